"""`streamfx live`: its options and messages."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("VIDEO", "out.mp4"), 1, "write files with --record"),
        (("VIDEO", "srt://127.0.0.1:9000"), 1, "no SRT"),
        (("none.mp4", "udp://127.0.0.1:9"), 1, "no such file: 'none.mp4'"),
        (("VIDEO", "udp://127.0.0.1:9", "--preset", "nobody"), 1, "unknown preset 'nobody'"),
        (("VIDEO", "udp://127.0.0.1:9", "--chain", "mirror", "--preset", "munch"), 2, "--chain or --preset"),
        (("VIDEO", "udp://127.0.0.1:9", "--chain", "mirror", "--detail", "0.5"), 2, "--chain or --detail"),
        (("VIDEO", "udp://127.0.0.1:9", "--chain", "miror"), 1, "did you mean mirror"),
        (("VIDEO", "udp://127.0.0.1:9", "--listen"), 2, "--listen"),
        (("VIDEO", "udp://127.0.0.1:9", "--size", "big"), 2, "'big' is not a size"),
        (("VIDEO", "udp://127.0.0.1:9", "--fps", "0"), 2, "'0' is not a frame rate"),
        (("VIDEO", "udp://127.0.0.1:9", "--record", "show.gif"), 1, "live recordings are"),
        (("camera:97", "udp://127.0.0.1:9"), 1, "camera '/dev/video97' not found"),
    ],
)
def test_bad_input(command, video, arguments, code, message):
    done = command("live", *(video if word == "VIDEO" else word for word in arguments))
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(command.home.iterdir())


def test_a_file_is_recorded(command, video, video_stream):
    done = command("live", video, "udp://127.0.0.1:9", "--chain", "mirror", "--record", "show.mkv", "--size", "32x24")
    assert done.returncode == 0, done.stderr
    stream = video_stream(command.home / "show.mkv")
    assert (stream["width"], stream["height"]) == (32, 24)
    assert [entry.name for entry in command.home.iterdir()] == ["show.mkv"]

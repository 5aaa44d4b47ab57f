"""streamfx batch: a folder with a broken file, runs again, lists, options, and files that grow."""

import json
import shutil
import signal
import subprocess
import sys
from importlib import import_module

import av
import pytest

from streamfx.cli.batch import _settled_files
from streamfx.jobs.batch_files import BatchItem

CHAIN = ["--chain", "hflip"]


@pytest.fixture
def clips(streamfx, video):
    folder = streamfx.home / "clips"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv"):
        (folder / name).write_bytes(video.read_bytes())
    (folder / "broken.mp4").write_text("not a video")
    return folder


def test_a_folder_with_a_broken_file(streamfx, clips, rgb, video):
    done = streamfx("batch", "clips", "out", *CHAIN, "--device", "cpu", "--jobs", "2", fresh=True)
    assert done.returncode == 1
    assert "clips/broken.mp4" in done.stderr
    assert done.stderr.splitlines()[-1] == "streamfx: 2 finished, 0 skipped, 1 failed, 0 stopped"
    table = done.stdout.decode()
    assert (table.count(" finished "), table.count(" failed ")) == (2, 1)
    assert sorted(path.name for path in (streamfx.home / "out").iterdir()) == ["a.mp4", "b.mkv"]
    assert (rgb(streamfx.home / "out" / "a.mp4").shape) == rgb(video).shape
    (clips / "broken.mp4").unlink()
    again = streamfx("batch", "clips", "out", *CHAIN, "--device", "cpu", "--json")
    assert again.returncode == 0
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert [(line["source"], line["state"]) for line in lines] == [
        ("clips/a.mp4", "skipped"),
        ("clips/b.mkv", "skipped"),
    ]


def rotated(path):
    """A copy of a video that is shown rotated by 90 degrees."""
    target = path.with_name("rotated.mp4")
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return target


@pytest.fixture(scope="session")
def odd_clips(clip, moving, tone):
    """Nine odd videos by name, with the number of their frames."""
    h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
    times = ["-vf", "setpts='(N+floor(N/3))/25/TB'", "-fps_mode", "vfr"]
    ten_bit = ["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"]
    half = "format=yuva420p,colorchannelmixer=aa=0.5"
    return {
        "vfr.mp4": (clip("vfr.mp4", *moving(), *tone(), *times, *h264), 25),
        "ten-bit.mkv": (clip("ten-bit.mkv", *moving(), *tone(), *ten_bit), 25),
        "alpha.webm": (clip("alpha.webm", *moving(), "-vf", half, "-c:v", "libvpx-vp9", "-b:v", "200k"), 25),
        "b-frames.mp4": (clip("b-frames.mp4", *moving(), *tone(), *h264, "-bf", "3", "-g", "17"), 25),
        "silent.mp4": (clip("silent.mp4", *moving(), *h264), 25),
        "one-frame.mp4": (clip("one-frame.mp4", *moving(), "-frames:v", "1", *h264), 1),
        "rotated.mp4": (rotated(clip("upright.mp4", *moving(), *h264)), 25),
        "interlaced.mkv": (clip("interlaced.mkv", *moving(), *h264, "-vf", "interlace", "-flags", "+ilme+ildct"), 12),
        "odd-size.mkv": (clip("odd-size.mkv", *moving(), "-vf", "format=yuv444p,crop=63:47", "-c:v", "libx264"), 25),
    }


def test_ten_odd_files_of_which_one_is_broken(streamfx, odd_clips, video_stream):
    folder = streamfx.home / "clips"
    folder.mkdir()
    for name, (path, _) in odd_clips.items():
        (folder / name).symlink_to(path)
    (folder / "broken.mp4").write_bytes(odd_clips["vfr.mp4"][0].read_bytes()[:600])
    arguments = ["batch", "clips", "out", *CHAIN, "--device", "cpu", "--jobs", "2", "--json"]
    done = streamfx(*arguments, "--name", "{number}-{stem}-{folder}{ext}", fresh=True)
    assert done.returncode == 1
    ends = {json.loads(line)["source"].removeprefix("clips/"): json.loads(line) for line in done.stdout.splitlines()}
    assert {name for name, end in ends.items() if end["state"] == "failed"} == {"broken.mp4"}
    assert ends["broken.mp4"]["error"]
    for name, (_, frames) in odd_clips.items():
        assert (name, ends[name]["state"], ends[name]["frames"]) == (name, "finished", frames)
    assert ends["alpha.webm"]["output"] == "out/001-alpha-clips.webm"
    outputs = {name: streamfx.home / end["output"] for name, end in ends.items()}
    assert video_stream(outputs["ten-bit.mkv"])["pix_fmt"] == "yuv420p10le"
    sizes = [video_stream(outputs[name]) for name in ("rotated.mp4", "odd-size.mkv")]
    assert [(size["width"], size["height"]) for size in sizes] == [(48, 64), (63, 47)]
    assert not (streamfx.home / "out" / "broken.mp4").exists()


def test_a_list_with_options_for_one_video(streamfx, clips, video_stream):
    (streamfx.home / "list.toml").write_text('[[video]]\nsource = "clips/a.mp4"\nname = "x.mp4"\nsize = "32x24"\n')
    done = streamfx("batch", "list.toml", "out", *CHAIN, "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", "")
    assert video_stream(streamfx.home / "out" / "x.mp4")["width"] == 32
    (streamfx.home / "list.toml").write_text('[[video]]\nsource = "clips/a.mp4"\npresett = "munch"\n')
    done = streamfx("batch", "list.toml", "out")
    assert done.returncode == 1
    assert "unknown option of style 'presett'; did you mean" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["clips", "out", *CHAIN, "--dream"], 2, "give --chain or --dream, not both"),
        (["clips", "out", *CHAIN, "--preset", "munch"], 2, "No such option"),
        (["clips", "clips"], 2, "'clips' holds the inputs; give another folder"),
        (["clips", "clips/a.mp4"], 2, "is not a folder"),
        (["empty", "out"], 1, "no video matches 'empty'"),
        (["clips", "out", "--name", "{x}"], 1, "unknown field of --name 'x'"),
        (["list.toml", "out", "--watch"], 2, "--watch needs a folder or a pattern"),
        (["clips", "out", "--start", "a.png"], 2, "No such option"),
    ],
)
def test_errors_before_anything_runs(streamfx, clips, arguments, code, reason):
    done = streamfx("batch", *arguments)
    assert done.returncode == code, done.stderr
    assert reason in " ".join(done.stderr.split())
    assert not (streamfx.home / "out").exists()


def test_the_help_lists_the_options_of_the_command(streamfx):
    assert "--detail" in streamfx("batch", "--help").stdout.decode()
    text = streamfx("batch", "--dream", "--help").stdout.decode()
    assert "--octaves" in text
    assert "--detail" not in text


def test_new_files_are_taken_once_they_have_stopped_growing(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("streamfx.cli.batch"), "_SETTLED", 0)
    file = tmp_path / "new.mp4"

    def ticks():
        for number in range(8):
            if number in (1, 2, 3):
                file.write_bytes(b"x" * number)
            yield

    def found():
        return [BatchItem(file, tmp_path / "out")] if file.exists() else []

    assert [len(items) for items in _settled_files(found, ticks())] == [0, 0, 0, 0, 1, 0, 0, 0]


def test_watch_renders_a_file_that_appears_and_ends_at_an_interrupt(tmp_path, video):
    (tmp_path / "in").mkdir()
    program = [sys.executable, "-c", "from streamfx.cli import main; main()", "batch", "in", "out", *CHAIN]
    options = {"cwd": tmp_path, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*program, "--device", "cpu", "--watch", "--json"], **options) as process:
        shutil.copy(video, tmp_path / "in" / "a.mp4")
        ended = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert (ended["source"], ended["state"], ended["frames"]) == ("in/a.mp4", "finished", 25)
    assert (rest, process.returncode) == ("", 0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]

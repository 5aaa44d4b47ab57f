"""Files that are broken, or made to break the program: what fuzzing found, and a little fuzzing."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import av
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import ffmpeg_messages
from streamfx.media.input import open as opening
from streamfx.media.input.audio_decoder import read_sound
from streamfx.media.input.reader import Reader
from streamfx.media.output.soundtrack import Song

FUZZ = Path(__file__).parents[1] / "soak" / "fuzz.py"
KINDS = "h264.mp4 fragments.mp4 h264.mkv mpeg4.avi ffv1.nut still.png still.jpg"


def test_mutated_files_end_in_one_line_or_a_film():
    kinds = [word for name in KINDS.split() for word in ("--kind", name)]
    command = [sys.executable, FUZZ, "--files", "3", "--seed", "7", *kinds]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 failed\n")
    assert sum(int(line.split()[1]) for line in done.stdout.splitlines()[1:-1]) == 3 * len(KINDS.split())


def test_empty_packets_let_the_last_picture_stay(clip, times, convert):
    """Theora's way to say that nothing has changed."""
    still = "color=red:s=64x48:r=25:d=0.2,drawbox=t=fill:enable='gte(n,3)'"
    made = clip("film.ogv", "-f", "lavfi", "-i", still, "-c:v", "libtheora")
    with av.open(made) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        assert any(packet.size == 0 for packet in packets)
        shown = [float(packet.pts * packet.time_base) for packet in packets if packet.size]
    film = convert(made, "out.mkv", "null")
    assert film.broken is None
    assert [float(time) for time in times(film.path)] == pytest.approx(shown, abs=0.001)


def replaced(source, target, old, new):
    data = source.read_bytes()
    assert old in data
    target.write_bytes(data.replace(old, new))
    return target


def test_pictures_that_nothing_can_decode(film, tmp_path):
    with pytest.raises(StreamfxError, match="in a coding that this FFmpeg cannot decode"):
        Reader(replaced(film, tmp_path / "film.mp4", b"avc1", b"zzzz"))


def test_sound_that_nothing_can_decode(clip, moving, tone, tmp_path, convert):
    made = clip("film.mkv", *moving(), *tone(), "-c:v", "libx264", "-c:a", "flac")
    strange = replaced(made, tmp_path / "film.mkv", b"A_FLAC", b"A_XYZQ")
    with pytest.raises(StreamfxError, match="sound in a coding that this FFmpeg cannot decode"):
        list(read_sound(str(strange), 8000))
    done = convert(strange, "out.mp4", "null")
    assert done.frames == 25
    assert done.says("left out")


@pytest.fixture
def twice(clip, moving, tone, tmp_path):
    """A film written behind itself: its times begin anew in the middle."""
    made = clip("film.ts", *moving(seconds="0.4"), *tone(seconds="0.4"), "-c:v", "libx264", "-c:a", "aac")
    path = tmp_path / "twice.ts"
    path.write_bytes(made.read_bytes() * 2)
    return path


@pytest.mark.parametrize("name", ["out.nut", "out.mp4", "out.mkv"])
def test_times_that_go_back(name, twice, convert, times):
    done = convert(twice, name, "null")
    assert done.broken is not None
    sound = times(done.path, "a:0")
    assert len(sound) > 10
    assert sound == sorted(set(sound))


def test_a_song_whose_times_go_back(twice):
    with Song(twice) as song:
        song.read_until(None)
        found = [packet.dts for packet in song.take_packets()]
    assert len(found) > 10
    assert found == sorted(set(found))


def test_decoders_may_speak_while_another_thread_listens(clip, moving, tmp_path, capfd):
    made = clip("film.mp4", *moving(seconds="0.4"), "-c:v", "libx264", "-g", "5")
    data = bytearray(made.read_bytes())
    start = data.index(b"mdat") + 1000
    data[start : start + 2000] = bytes(2000)
    (tmp_path / "film.mp4").write_bytes(data)
    running = True
    said = []

    def decode():
        while running:
            with suppress(av.error.FFmpegError), av.open(tmp_path / "film.mp4") as container:
                container.streams.video[0].thread_type = "AUTO"
                for packet in container.demux(video=0):
                    with suppress(av.error.FFmpegError):
                        packet.decode()

    threads = [threading.Thread(target=decode) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20_000):
        with ffmpeg_messages() as messages:
            pass
        said += messages
    running = False
    for thread in threads:
        thread.join()
    assert capfd.readouterr() == ("", "")
    assert not said  # what others say is not for this thread


def test_silence_is_kept_behind_messages(capfd, caplog):
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "who", "heard")
    assert [text for _, _, text in messages] == ["heard"]
    av.logging.log(av.logging.ERROR, "who", "lost")
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "who", "again")
    assert [text for _, _, text in messages] == ["again"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_level_that_a_user_has_set_stays(caplog):
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with ffmpeg_messages():
            pass
        assert av.logging.get_level() == av.logging.WARNING
        av.logging.log(av.logging.WARNING, "who", "told")
        assert "told" in caplog.text
    finally:
        av.logging.set_level(before)


def test_a_list_that_does_not_tell_its_end_is_not_waited_on_for_ever(tmp_path, moving, ffmpeg, convert, monkeypatch):
    code = ["-c:v", "libx264", "-g", "5", "-hls_time", "0.2", "-hls_list_size", "0"]
    ffmpeg(*moving(), *code, tmp_path / "list.m3u8")
    text = (tmp_path / "list.m3u8").read_text().replace("#EXT-X-ENDLIST", "")
    (tmp_path / "live.m3u8").write_text(text.replace("TARGETDURATION:0", "TARGETDURATION:60"))
    monkeypatch.setattr(opening, "PATIENCE", 1.5)
    made = convert(tmp_path / "live.m3u8", "out.mkv")
    assert made.frames > 5
    assert made.says("does not tell its end")

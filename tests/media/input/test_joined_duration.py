"""The duration of files whose clock starts over or jumps."""

from fractions import Fraction

import pytest

from streamfx.media.input.joined_duration import joined_duration
from streamfx.media.input.reader import Reader

CODE = ["-c:v", "mpeg2video", "-b:v", "300k", "-c:a", "mp2"]
FORMATS = {"a.ts": [], "a.m2ts": ["-mpegts_m2ts_mode", "1"], "a.vob": [], "a.mpg": ["-c:v", "mpeg1video"]}


@pytest.fixture(scope="session")
def part(clip, moving, tone):
    """part(name, offset): five seconds of video with a tone."""

    def part(name, offset="0"):
        return clip(name, *moving(seconds="5"), *tone("5"), *CODE, *FORMATS[name], "-output_ts_offset", offset)

    return part


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("count", "offset"), [(2, "0"), (3, "0"), (2, "5000"), (5, "90000")])
def test_all_parts_count(name, count, offset, part, tmp_path):
    parts = [part(name, offset if number % 2 else "0").read_bytes() for number in range(count)]
    (tmp_path / name).write_bytes(b"".join(parts))
    with Reader(tmp_path / name) as reader:
        assert float(reader.info.duration) == pytest.approx(5 * count, rel=0.15)
        assert reader.info.frames == pytest.approx(125 * count, rel=0.15)
    with Reader(tmp_path / name, start=Fraction(1), end=Fraction(8)) as reader:
        assert float(reader.info.duration) == 7


@pytest.mark.parametrize("name", FORMATS)
def test_files_without_jumps_have_the_duration_that_ffmpeg_finds(name, part):
    path = part(name, "3")
    assert joined_duration(path, "mpegts" if "ts" in name else "mpeg") is None
    with Reader(path) as reader:
        assert float(reader.info.duration) == pytest.approx(5, abs=0.2)


def test_other_formats_and_files_without_a_clock(video, tmp_path):
    assert joined_duration(video, "mov,mp4,m4a,3gp,3g2,mj2") is None
    (tmp_path / "zeros.ts").write_bytes(bytes(100_000))
    assert joined_duration(tmp_path / "zeros.ts", "mpegts") is None
    assert joined_duration(tmp_path, "mpegts") is None


def test_the_clocks_of_other_programs_are_ignored(part, ffmpeg, tmp_path):
    """Two programs in one file, whose clocks differ by an hour."""
    one, other = part("a.ts"), part("a.ts", "3600")
    programs = ["-program", "st=0", "-program", "st=1", "-mpegts_copyts", "1"]
    ffmpeg("-copyts", "-i", one, "-i", other, "-map", "0:v", "-map", "1:v", "-c", "copy", *programs, tmp_path / "b.ts")
    assert joined_duration(tmp_path / "b.ts", "mpegts") is None

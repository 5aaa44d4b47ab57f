"""Sources that become interlaced after their first frame."""

from fractions import Fraction

import numpy as np
import pytest

from streamfx.media.input.reader import Reader

COMBED = ["-vf", "tinterlace=mode=interleave_top,setfield=tff"]
MPEG2 = ["-c:v", "mpeg2video", "-q:v", "2", "-pix_fmt", "yuv420p"]


@pytest.fixture(scope="module")
def parts(clip, moving, ffmpeg):
    """A progressive and an interlaced part of half a second each, and both in one file in either order."""
    plain = clip("plain.ts", *moving("64x64", seconds="0.4"), *MPEG2)
    combed = clip("combed.ts", *moving("64x64", "50", "0.4"), *COMBED, *MPEG2, "-flags", "+ildct+ilme")
    joined = {}
    for name, order in (("late", (plain, combed)), ("early", (combed, plain))):
        lines = "".join(f"file '{path}'\n" for path in order)
        listing = plain.with_name(f"{name}.txt")
        listing.write_text(lines)
        joined[name] = clip(f"{name}.ts", "-f", "concat", "-safe", "0", "-i", listing, "-c", "copy")
    return {"plain": plain, "combed": combed, **joined}


def combing(path):
    """Differences between neighboring lines relative to those between every second one, for each frame."""
    with Reader(path) as reader:
        images = [frame.image.double().mean(0).numpy() for frame in reader]
    return np.array([np.abs(np.diff(i, axis=0)).mean() / np.abs(i[2:] - i[:-2]).mean() for i in images])


def test_frames_are_deinterlaced_from_the_first_interlaced_one_on(parts, caplog):
    plain, late = combing(parts["plain"]), combing(parts["late"])
    assert len(late) == len(plain) + 10
    np.testing.assert_allclose(late[: len(plain) - 1], plain[:-1], rtol=0.05)
    assert late[len(plain) :].max() < 0.8
    (line,) = [record.getMessage() for record in caplog.records if "interlaced" in record.getMessage()]
    assert line.endswith("late.ts' is interlaced from 0.40 s on: deinterlaced with bwdif")


def test_times_are_kept(parts):
    with Reader(parts["late"]) as reader:
        times = [frame.pts for frame in reader]
    assert times == [Fraction(n, 25) for n in range(len(times))]


def test_progressive_sources_are_not_filtered(parts, caplog):
    with Reader(parts["plain"]) as reader:
        assert sum(1 for _ in reader) == 10
    assert caplog.records == []


def test_an_interlaced_beginning_is_deinterlaced_as_before(parts, caplog):
    assert combing(parts["early"])[:9].max() < 0.8
    assert sum("is interlaced: deinterlaced" in record.getMessage() for record in caplog.records) == 1

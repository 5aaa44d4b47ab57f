"""One pass finds the frames, the cuts, and points from which to read."""

from fractions import Fraction

from streamfx.media.filters.graph import Filter
from streamfx.media.input.reader import Reader
from streamfx.media.input.scan import scan_source


def test_frames_points_and_times(video):
    positions = []
    with Reader(video) as reader:
        scan = scan_source(reader, (), 10, progress=positions.append)
    assert (scan.frames, scan.duration) == (25, Fraction(1, 25))
    assert [(point.at.number, point.at.time, point.previous, point.cut) for point in scan.points] == [
        (0, 0, None, False),
        (10, Fraction(2, 5), Fraction(9, 25), False),
        (20, Fraction(4, 5), Fraction(19, 25), False),
    ]
    assert positions[-1] == 1


def test_reading_from_a_point_continues(video):
    with Reader(video) as reader:
        whole = list(reader)
    with Reader(video) as reader:
        point = scan_source(reader, (), 7).points[2]
    with Reader(video) as reader:
        reader.resume_at(point.at)
        rest = list(reader)
    assert [frame.pts for frame in rest] == [frame.pts for frame in whole[14:]]
    assert all((one.image == two.image).all() for one, two in zip(rest, whole[14:]))


def test_cuts_are_points(clip):
    size = "size=64x48:rate=25"
    shots = f"testsrc2={size}:duration=1.6[a];mandelbrot={size},trim=duration=1.4[b];[a][b]concat"
    source = clip("cut.mkv", "-f", "lavfi", "-i", shots, "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    with Reader(source) as reader:
        points = scan_source(reader, (), 1000).points
    assert [(point.at.number, point.cut) for point in points] == [(0, False), (40, True)]
    with Reader(source) as reader:
        reader.resume_at(points[1].at)
        assert next(iter(reader)).cut
    with Reader(source) as reader:
        assert len(scan_source(reader, (), 1000, cuts=False).points) == 1


def test_frames_are_counted_after_filters(video):
    with Reader(video) as reader:
        scan = scan_source(reader, (Filter("fps", "5"),), 3)
    assert (scan.frames, scan.duration) == (5, Fraction(1, 5))

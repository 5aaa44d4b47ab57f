"""Resume points in a source, and which filters are stateless."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter, FilterGraph, available_filters
from streamfx.media.input.reader import Reader
from streamfx.media.input.resume_points import STATELESS, digest, stateful_filter


def make_frames(first, last, pix_fmt="yuv420p"):
    for number in range(first, last):
        noise = np.random.default_rng(number).integers(0, 255, (36, 48, 3), np.uint8)
        noise = (noise // 4 + np.arange(48, dtype=np.uint8)[None, :, None] * 3 + number * 5).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(noise).reformat(format=pix_fmt)
        frame.pts, frame.duration, frame.time_base = number, 1, Fraction(1, 25)
        yield frame


def filter_digests(name, first, last):
    """The digests of a filter's output if frame `first` is its first input."""
    options = {"pad": "64:48:3:3", "crop": "30:20", "scale": "30:20", "lut3d": None, "swaprect": "20:20:0:0:9:9"}
    options |= {"colorkey": "red", "chromakey": "red", "chromahold": "red", "colorhold": "red", "format": "yuv444p"}
    options |= {"colormatrix": "bt601:bt709", "noformat": "yuv444p", "v360": "e:flat", "rotate": "t"}
    options |= {"setdar": "1", "setsar": "1", "setrange": "full", "fieldorder": "bff"}
    options |= {"tonemap": "hable", "colorspace": "all=bt709:iall=bt601-6-625"}
    graph = FilterGraph([Filter(name, options.get(name) or "")], time_base=Fraction(1, 25), rate=Fraction(25))
    pix_fmt = {"tonemap": "gbrpf32le", "alphaextract": "yuva420p"}.get(name, "yuv420p")
    digests = [digest(output) for frame in make_frames(first, last, pix_fmt) for output in graph.push(frame)]
    assert len(digests) == last - first, "the filter delays frames"
    return digests


@pytest.mark.parametrize("name", sorted(STATELESS - {"lut3d"}))
def test_stateless_filters_do_not_depend_on_earlier_frames(name):
    assert name in available_filters()
    assert filter_digests(name, 0, 9)[5:] == filter_digests(name, 5, 9)


@pytest.mark.parametrize(
    "name", ["tmix=frames=3", "noise=alls=9:allf=t", "vignette", "fps=10", "framestep=2", "greyedge"]
)
def test_stateful_filters_are_named(name):
    (chain,) = build_chain(f"hflip,{name}")
    assert stateful_filter(chain.nodes) == name.partition("=")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hue=s=2", None),
        ("hue=H=2*PI*t", None),
        ("hue=H=n/10", "hue"),
        ("rotate=n*0.1", "rotate"),
        ("lutyuv=y=negval:u=128", None),
        ("scale=w=iw/2:h=ih/2:in_range=full", None),
        ("lutrgb=r='random(1)*val'", "lutrgb"),
    ],
)
def test_stateful_expressions_are_found(text, expected):
    (chain,) = build_chain(text)
    assert stateful_filter(chain.nodes) == expected


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gbrp", "rgba", "gray", "nv12"])
def test_a_digest_covers_only_the_samples(pix_fmt):
    first, second = make_frames(0, 2, pix_fmt)
    again = next(make_frames(0, 1, pix_fmt))
    again.pts, again.pict_type = 77, 1
    pts, base = again.pts, again.time_base
    assert digest(first) == digest(again) != digest(second)
    assert (again.pts, again.time_base) == (pts, base)


@pytest.mark.parametrize("filters", ["", "vflip", "fps=10", "tmix"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_resumed_reading_matches_uninterrupted_reading(filters, name, video, clip):
    source = video if name == "clip.mp4" else clip(name, "-i", video, "-c", "copy")
    nodes = build_chain(filters)[0].nodes if filters else ()
    with Reader(source) as reader:
        reader.resume_interval = 4
        whole = [(frame.pts, frame.duration, frame.cut, frame.image) for frame in reader.frames(nodes)]
        points = dict(reader.resume_points)
    assert sorted(points) == list(range(0, len(whole), 4))
    for number in (4, 8):
        with Reader(source) as reader:
            reader.resume_at(points[number])
            rest = [(frame.pts, frame.duration, frame.cut, frame.image) for frame in reader.frames(nodes)]
        assert [values[:3] for values in rest] == [values[:3] for values in whole[number:]]
        assert all(bool((one[3] == other[3]).all()) for one, other in zip(rest, whole[number:]))


def test_a_source_that_ends_before_the_resume_point_is_an_error(video):
    with Reader(video) as reader:
        reader.resume_interval = 20
        list(reader.video_frames())
        point = reader.resume_points[20]
    with Reader(video, end=Fraction(1, 2)) as reader:
        reader.resume_at(point)
        with pytest.raises(StreamfxError, match="frame 20 of"):
            list(reader.video_frames())

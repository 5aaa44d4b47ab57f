"""Marks in a source, and which filters forget."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter, FilterGraph, available_filters
from streamfx.media.input.reader import Reader
from streamfx.media.input.resume_points import MEMORYLESS, digest, what_remembers


def pictures(first, last, pix_fmt="yuv420p"):
    for number in range(first, last):
        noise = np.random.default_rng(number).integers(0, 255, (36, 48, 3), np.uint8)
        noise = (noise // 4 + np.arange(48, dtype=np.uint8)[None, :, None] * 3 + number * 5).astype(np.uint8)
        made = av.VideoFrame.from_ndarray(noise).reformat(format=pix_fmt)
        made.pts, made.duration, made.time_base = number, 1, Fraction(1, 25)
        yield made


def seen(name, first, last):
    """What a filter makes of pictures, of which `first` is the first that it sees."""
    options = {"pad": "64:48:3:3", "crop": "30:20", "scale": "30:20", "lut3d": None, "swaprect": "20:20:0:0:9:9"}
    options |= {"colorkey": "red", "chromakey": "red", "chromahold": "red", "colorhold": "red", "format": "yuv444p"}
    options |= {"colormatrix": "bt601:bt709", "noformat": "yuv444p", "v360": "e:flat", "rotate": "t"}
    options |= {"setdar": "1", "setsar": "1", "setrange": "full", "fieldorder": "bff"}
    options |= {"tonemap": "hable", "colorspace": "all=bt709:iall=bt601-6-625"}
    graph = FilterGraph([Filter(name, options.get(name) or "")], time_base=Fraction(1, 25), rate=Fraction(25))
    wanted = {"tonemap": "gbrpf32le", "alphaextract": "yuva420p"}.get(name, "yuv420p")
    made = [digest(done) for given in pictures(first, last, wanted) for done in graph.push(given)]
    assert len(made) == last - first, "it holds pictures back"
    return made


@pytest.mark.parametrize("name", sorted(MEMORYLESS - {"lut3d"}))
def test_filters_that_forget(name):
    """From the middle on, they make what they make from the beginning on."""
    assert name in available_filters()
    assert seen(name, 0, 9)[5:] == seen(name, 5, 9)


@pytest.mark.parametrize(
    "name", ["tmix=frames=3", "noise=alls=9:allf=t", "vignette", "fps=10", "framestep=2", "greyedge"]
)
def test_filters_that_remember_are_named(name):
    (chain,) = build_chain(f"hflip,{name}")
    assert what_remembers(chain.nodes) == name.partition("=")[0]


@pytest.mark.parametrize(
    ("text", "found"),
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
def test_expressions_that_count_are_found(text, found):
    (chain,) = build_chain(text)
    assert what_remembers(chain.nodes) == found


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gbrp", "rgba", "gray", "nv12"])
def test_a_digest_is_of_the_samples_alone(pix_fmt):
    first, second = pictures(0, 2, pix_fmt)
    again = next(pictures(0, 1, pix_fmt))
    again.pts, again.pict_type = 77, 1
    pts, base = again.pts, again.time_base
    assert digest(first) == digest(again) != digest(second)
    assert (again.pts, again.time_base) == (pts, base)


@pytest.mark.parametrize("filters", ["", "vflip", "fps=10", "tmix"])
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts"])
def test_reading_goes_on_from_a_mark_as_if_it_had_not_stopped(filters, name, film, clip):
    source = film if name == "film.mp4" else clip(name, "-i", film, "-c", "copy")
    nodes = build_chain(filters)[0].nodes if filters else ()
    with Reader(source) as reader:
        reader.every = 4
        whole = [(frame.pts, frame.duration, frame.cut, frame.image) for frame in reader.frames(nodes)]
        marks = dict(reader.marks)
    assert sorted(marks) == list(range(0, len(whole), 4))
    for number in (4, 8):
        with Reader(source) as reader:
            reader.begin_at(marks[number])
            rest = [(frame.pts, frame.duration, frame.cut, frame.image) for frame in reader.frames(nodes)]
        assert [each[:3] for each in rest] == [each[:3] for each in whole[number:]]
        assert all(bool((one[3] == other[3]).all()) for one, other in zip(rest, whole[number:]))


def test_a_source_that_ends_before_its_mark(film):
    with Reader(film) as reader:
        reader.every = 20
        list(reader.pictures())
        mark = reader.marks[20]
    with Reader(film, end=Fraction(1, 2)) as reader:
        reader.begin_at(mark)
        with pytest.raises(StreamfxError, match="frame 20 of"):
            list(reader.pictures())

"""Closed captions are kept in their frames, also by effects, or one line says that they are lost."""

import functools
from fractions import Fraction

import av
import pytest
from av.sidedata.sidedata import Type
from captioned import with_captions

from streamfx.errors import StreamfxError
from streamfx.jobs.job import Job
from streamfx.media.encoding import Output

KINDS = {"a.ts": "libx264", "a.mkv": "libx265", "a.mpg": "mpeg2video"}  # file name -> encoder


def captions(path):
    """The captions of each frame."""
    with av.open(str(path)) as container:
        found = [frame.side_data.get(Type.A53_CC) for frame in container.decode(video=0)]
    return [None if data is None else bytes(memoryview(data)) for data in found]


@pytest.fixture(scope="session")
def captioned(clip, moving, tmp_path_factory):
    """captioned(name, first): a clip of 25 frames with different captions from frame `first` on."""

    @functools.cache
    def captioned(name, first=0):
        plain = clip("plain.mp4", *moving(), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "10")
        folder = tmp_path_factory.mktemp("captions")
        with_captions(plain, folder / "marked.ts", first)
        if name != "a.ts":
            recode(folder / "marked.ts", folder / name, KINDS[name])
        return folder / (name if name != "a.ts" else "marked.ts")

    return captioned


def recode(source, target, encoder):
    """Recode a video with captions by PyAV; FFmpeg's encoders write them."""
    options = {"a53cc": "1"} | ({"x265-params": "log-level=none"} if encoder == "libx265" else {})
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = output.add_stream(encoder, 25, options)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuv420p10le" if encoder == "libx265" else "yuv420p"
        for number, frame in enumerate(container.decode(video=0)):
            converted = frame.reformat(format=stream.pix_fmt)
            converted.pts, converted.time_base, converted.pict_type = number, Fraction(1, 25), 0
            output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("chain", "target", "output"),
    [
        ("hflip", "b.ts", {}),
        ("mirror", "b.ts", {}),
        ("scale=80:-2,mirror,trails", "b.mp4", {}),
        ("mirror,hue=s=1,trails", "b.mkv", {"encoder": "libx265"}),
        ("mirror,scale=80:-2", "b.ts", {"encoder": "mpeg2video"}),
        ("format=rgb24,mirror,format=rgb24", "b.mov", {}),
        ("format=gray", "b.mkv", {"pix_fmt": "yuv444p"}),
    ],
)
def test_captions_are_kept_in_their_frames(captioned, convert, name, chain, target, output):
    source = captioned(name)
    expected = captions(source)
    assert len(expected) == 25
    assert None not in expected
    done = convert(source, target, chain, **output)
    assert captions(done.path) == expected
    assert not done.warned("captions")


@pytest.mark.parametrize("first", [0, 10])
@pytest.mark.parametrize(("chain", "target"), [("mirror", "b.webm"), ("hflip", "b.webm"), ("mirror", "b.gif")])
def test_one_line_says_that_an_encoder_cannot_write_them(captioned, convert, first, chain, target):
    source = captioned("a.ts", first)
    done = convert(source, target, chain)
    encoder = {"b.webm": "libvpx-vp9", "b.gif": "gif"}[target]
    lines = [warning for warning in done.warnings if "captions" in warning]
    assert lines == [f"the closed captions of '{source}' are lost: {encoder} cannot write them"]


def test_captions_that_begin_later(captioned, convert):
    source = captioned("a.ts", 10)
    done = convert(source, "b.ts", "mirror")
    assert captions(done.path) == captions(source)
    assert captions(done.path)[8:10] == [None, None] != captions(done.path)[10:12]


def test_a_video_without_captions_has_no_line(video, convert):
    assert not convert(video, "b.webm", "mirror").warned("captions")


def test_frames_that_are_not_written_take_their_captions_with_them(captioned, convert):
    done = convert(captioned("a.ts"), "b.ts", "mirror,trim=start=0.4:end=0.6,setpts=PTS-0.4/TB")
    assert captions(done.path) == captions(captioned("a.ts"))[10:15]


def test_resumed_runs_keep_them(captioned, tmp_path):
    source = captioned("a.ts")
    job = Job(source, tmp_path / "b.ts", "mirror,trails", segment=5, output=Output(), device="cpu")

    def stop(progress):
        if progress.frames == 12:
            raise StreamfxError("stopped")

    with pytest.raises(StreamfxError, match="frames are saved"):
        job.run(stop)
    assert job.resume().state == "finished"
    assert captions(tmp_path / "b.ts") == captions(source)

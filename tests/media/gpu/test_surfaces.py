"""The way of a film over a GPU, with arrays on the CPU in its place: right colours, rows and times, and few copies."""

import logging
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
import torch
from av.codec.context import CodecContext
from standin import StandIn, laid_out

from streamfx.effects.mirror import Mirror
from streamfx.frame import Frame
from streamfx.media import pixel_formats
from streamfx.media.filters.effect import Filter, Filters
from streamfx.media.gpu import nvidia as drivers
from streamfx.media.gpu.surfaces import to_image, to_picture, two_planes
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer
from streamfx.media.probe import Coding
from streamfx.pipeline import run

CPU = torch.device("cpu")
SMALL = 36 * 64 * 4  # bytes of a picture in which cuts are looked for
PLANES = (48 + 24) * 64  # bytes of 4:2:0 of 64x48
SOFT = "gradients=rate=25:speed=0.05:seed=7:n=4:c0=0x3a6ea5:c1=0xe0b070:c2=0x7a3b6b:c3=0x4f9d69"  # no colour of chance
EXACT = {"encoder": "libx264", "options": {"qp": "0"}}  # asked for by name, the stand-in's encoder takes any options


@dataclass(frozen=True)
class Same:
    """An effect that changes nothing, but asks for RGB."""

    def build(self, device):
        return lambda frame, memory: [] if frame is None else [frame]


@pytest.fixture
def register(monkeypatch):
    """register(stand_in): it, in the GPU's place from now on."""

    def register(stand_in):
        monkeypatch.setitem(drivers.DRIVERS, "cpu", lambda device: stand_in)
        return stand_in

    return register


@pytest.fixture
def said(caplog):
    """All lines of the log so far."""
    caplog.set_level(logging.INFO, "streamfx")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="session")
def soft(clip):
    """soft(pix_fmt): 10 pictures of slowly moving soft colours, 64x48, losslessly coded with pictures out of order."""

    def soft(pix_fmt="yuv420p", sound=(), size="64x48"):
        text = f"{SOFT}:size={size},format=gbrp,format={pix_fmt}"
        code = ["-c:v", "libx264", "-qp", "0", "-bf", "2", "-g", "5", "-pix_fmt", pix_fmt, "-colorspace", "bt709"]
        return clip("soft.mp4", "-f", "lavfi", "-i", text, *sound, "-frames:v", "10", *code)

    return soft


def pictures(path):
    with Reader(path) as reader:
        made = list(reader.pictures())
        return [(picture.pts * picture.time_base, codes(picture)) for picture in made]


def codes(picture):
    """y, cb and cr of a 4:2:0 picture."""
    deep = picture.format.components[0].bits > 8
    planar = pixel_formats.rearranged(picture, "yuv420p10le" if deep else "yuv420p")
    return [pixel_formats.samples_of(plane, 10 if deep else 8).astype(int).copy() for plane in planar.planes]


def check(made, source, slack=2.0):
    """The film has the times and the samples of its source, within what chroma loses on its way to RGB and back."""
    ours, theirs = pictures(made), pictures(source)
    assert [moment for moment, _ in ours] == [moment for moment, _ in theirs]
    for (_, planes), (_, wanted) in zip(ours, theirs, strict=True):
        for plane, right in zip(planes, wanted, strict=True):
            assert np.abs(plane - right).mean() <= slack


def test_a_film_never_leaves_the_device(register, convert, soft, said, picture, tone, hashes):
    source = soft(sound=tuple(tone("0.4")))
    gpu = register(StandIn())
    made = convert(source, "out.mp4", effects=[Same()], **EXACT)
    check(made.path, source)
    assert (made.frames, made.lines, made.encoder) == (10, [], "libx264")
    assert not gpu.sent
    once = {PLANES: 2}  # the first picture and the encoder's test picture are looked at
    assert gpu.fetched == {SMALL: 10} | once
    assert "decoded on cpu" in " ".join(said())
    assert f"encoding with libx264 from the memory of {CPU}" in said()
    assert picture(made.path)["color_space"] == "bt709"
    assert hashes(made.path, "a") == hashes(source, "a")


def test_an_encoder_of_its_own_is_the_default(register, convert, soft, said):
    register(StandIn())
    made = convert(soft(), "out.mkv", effects=[Same()])
    check(made.path, soft(), slack=3.0)
    assert "encoding with libx264 from the memory of cpu" in said()


def test_without_an_encoder_samples_are_fetched_once(register, convert, soft, said):
    class NoEncoder(StandIn):
        encoders = ()

    gpu = register(NoEncoder())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft())
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10, PLANES: 10 + 1}
    assert any(line.startswith("encoding on the CPU") for line in said())


def refuses(stream):
    raise av.error.PermissionError(1, "Operation not permitted")


class Silent(StandIn):
    """Takes packets for ever."""

    def build_decoder(self, stream):
        return lambda packet: []


class Broken(StandIn):
    """Fails at the first packet."""

    def build_decoder(self, stream):
        def decode(packet):
            raise av.error.InvalidDataError(1, "no surfaces left")

        return decode


class Refusing(StandIn):
    def build_decoder(self, stream):
        raise av.error.PermissionError(1, "Operation not permitted")


class Without(StandIn):
    def build_decoder(self, stream):
        return None


@pytest.mark.parametrize("kind", [Silent, Broken, Refusing, Without])
def test_a_decoder_that_refuses_leaves_one_upload_of_samples(kind, register, convert, soft, said):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft())
    assert made.frames == 10
    assert gpu.sent == {PLANES: 10}
    assert any("is decoded on the CPU: " in line for line in said())


# --- wrong ones: each is seen by the program at the first picture, and by these tests at any


class WrongChroma(StandIn):
    """Blue for red."""

    start = 0

    def decoded(self, picture, number):
        made = laid_out(picture, self.gap)
        if number >= self.start:
            plane = made.planes[1]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            pairs = rows[:, : 2 * plane.width].reshape(plane.height, -1, 2)
            pairs[:] = pairs[..., ::-1].copy()
        return made


class WrongPitch(StandIn):
    """Rows begin where they would without what lies between them."""

    start, seen = 0, 0

    def planes(self, picture):
        y, uv = super().planes(picture)
        if picture.pts < self.start * 512:
            return y, uv
        return y.as_strided(y.shape, (y.shape[1], 1)), uv


class WrongTime(StandIn):
    """Each picture at the time of the next one."""

    start = 0

    def decoded(self, picture, number):
        made = laid_out(picture, self.gap)
        if number >= self.start:
            made.pts += 512
        return made


class WrongTags(StandIn):
    """Takes the picture for another matrix's."""

    start = 0

    def decoded(self, picture, number):
        made = laid_out(picture, self.gap)
        if number >= self.start:
            made.colorspace = 5
        return made


WRONG = {
    WrongTags: "other colour tags",
    WrongChroma: "is off by",
    WrongPitch: "is off by",
    WrongTime: "should be 64x48 at 0",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_decoder_is_not_used(kind, register, convert, soft, said):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    (line,) = [line for line in said() if "is decoded on" in line]
    assert WRONG[kind] in line
    check(made.path, soft())
    assert gpu.sent == {PLANES: 10}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_later_these_tests_see(kind, register, convert, soft, said):
    gpu = register(kind())
    gpu.start = 4
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    assert "is decoded on cpu" in " ".join(said())
    with pytest.raises(AssertionError):
        check(made.path, soft())


class ElsewhereChroma(StandIn):
    """Chroma in an allocation of its own, of which NVENC is not told."""

    def wrap(self, y, uv, pix_fmt):
        return super().wrap(y.clone(), uv.clone(), pix_fmt)


class Packed(StandIn):
    """An encoder that takes rows to lie side by side."""

    def wrap(self, y, uv, pix_fmt):
        held = y.as_strided((y.stride(0) * y.shape[0] * 3 // 2,), (1,))
        y = held[: y.numel()].view(y.shape)
        return super().wrap(y, held[y.numel() :][: uv.numel()].view(uv.shape), pix_fmt)


class Unable(StandIn):
    """What an H100 says."""

    def wrap(self, y, uv, pix_fmt):
        raise av.error.ExternalError(1, "OpenEncodeSessionEx failed: unsupported device (2)")


@pytest.mark.parametrize(
    ("kind", "why"),
    [(ElsewhereChroma, "came out of it wrong"), (Packed, "came out of it wrong"), (Unable, "unsupported device")],
)
def test_a_wrong_encoder_is_not_used(kind, why, register, convert, soft, said):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    (line,) = [line for line in said() if "encoding on the CPU" in line]
    assert why in line
    check(made.path, soft())
    assert gpu.fetched[PLANES] >= 10


# --- kinds of films


def test_ten_bits(register, convert, soft, said, picture):
    gpu = register(StandIn())  # has no encoder of 10 bits
    made = convert(soft("yuv420p10le"), "out.mp4", effects=[Same()], encoder="libx264", options={"qp": "0"})
    check(made.path, soft("yuv420p10le"), slack=4.0)
    assert picture(made.path)["pix_fmt"] == "yuv420p10le"
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10 + 11}  # as many bytes as a picture of 10 bits has here


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuvj420p"])
def test_other_samples(pix_fmt, register, convert, soft, picture):
    gpu = register(StandIn())
    made = convert(soft(pix_fmt), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft(pix_fmt))
    assert picture(made.path)["pix_fmt"] == pix_fmt
    assert (pix_fmt == "yuvj420p") != bool(gpu.sent)


def test_odd_sides(register, convert, clip, picture, rgb):
    text = f"{SOFT}:size=63x47,format=yuv420p"
    source = clip("odd.mkv", "-f", "lavfi", "-i", text, "-frames:v", "3", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    gpu = register(StandIn())
    made = convert(source, "out.mkv", effects=[Same()], encoder="ffv1", pix_fmt="bgr0")
    assert picture(made.path)["pix_fmt"] == "bgr0"
    assert gpu.sent == {47 * 63 + 2 * 24 * 32: 3}
    assert gpu.fetched == {3 * 63 * 47: 3}
    drivers.DRIVERS.pop("cpu")
    here = convert(source, "here.mkv", effects=[Same()], encoder="ffv1", pix_fmt="bgr0")
    assert np.abs(rgb(made.path).astype(int) - rgb(here.path)).mean() < 1.5


def test_a_span_of_a_film_with_its_own_times(register, convert, clip, moving, times):
    source = clip("vfr.mkv", *moving(), "-vf", r"select=not(eq(mod(n\,5)\,3)),gblur=6", "-fps_mode", "vfr", "-g", "50")
    reading = {"start": Fraction(1, 5), "end": Fraction(4, 5)}
    register(StandIn())
    there = convert(source, "there.mkv", effects=[Same()], reading=reading, **EXACT)
    drivers.DRIVERS.pop("cpu")
    here = convert(source, "here.mkv", effects=[Same()], reading=reading, **EXACT)
    assert times(there.path) == times(here.path)
    check(there.path, here.path)


def test_cuts_are_those_of_the_cpu(register, clip):
    text = "testsrc2=size=64x48:rate=25:duration=0.4[a];mandelbrot=size=64x48:rate=25,trim=duration=0.4[b];[a][b]concat"
    source = clip("cut.mp4", "-filter_complex", text, "-pix_fmt", "yuv420p")
    with Reader(source) as reader:
        here = [frame.cut for frame in reader.frames(device=CPU)]
    register(StandIn())
    with Reader(source) as reader:
        there = [frame.cut for frame in reader.frames(device=CPU)]
    assert here == there
    assert sum(there) == 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_marks_are_those_of_the_cpu(pix_fmt, register, soft):
    """So that a run can go on with either what the other began."""

    def marks():
        with Reader(soft(pix_fmt)) as reader:
            reader.every = 4
            assert len(list(reader.frames(device=CPU))) == 10
            return {number: (mark.moment, mark.digest) for number, mark in reader.marks.items()}

    here = marks()
    register(StandIn())
    assert marks() == here
    assert len(here) == 3


def test_filters_at_the_ends_bring_it_to_the_cpu(register, convert, soft, said):
    gpu = register(StandIn())
    hue = Filters((Filter("hue", "h=0"),))
    made = convert(soft(), "first.mp4", effects=[hue, Same()], **EXACT)
    check(made.path, soft())
    assert gpu.sent == {PLANES: 10}
    assert any("FFmpeg's filters come first" in line for line in said())
    gpu = register(StandIn())
    made = convert(soft(), "last.mp4", effects=[Same(), hue], **EXACT)
    check(made.path, soft())
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10, PLANES: 10 + 1}
    assert any("FFmpeg's filters come last" in line for line in said())


def test_filters_in_between_go_down_and_up_and_say_so_once(register, convert, soft):
    gpu = register(StandIn())
    source = soft(size="80x48")
    made = convert(source, "out.mp4", effects=[Same(), Filters((Filter("hue", "h=0"),)), Same()], **EXACT)
    check(made.path, source)
    (line,) = made.lines
    assert "hue" in line
    assert "to the CPU and back" in line
    assert gpu.sent == {3 * 2 * 80 * 48: 10}
    assert gpu.fetched[3 * 2 * 80 * 48] == 10


def test_a_turned_film(register, convert, soft, picture, tmp_path):
    source = tmp_path / "turned.mp4"
    with av.open(soft()) as plain, av.open(source, "w") as turned:
        stream = turned.add_stream_from_template(plain.streams.video[0])
        stream.set_display_rotation(90)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                turned.mux(packet)
    gpu = register(StandIn())
    made = convert(source, "out.mp4", effects=[Mirror()], **EXACT)
    assert (picture(made.path)["width"], picture(made.path)["height"]) == (48, 64)
    assert gpu.sent == {PLANES: 10}


# --- pictures


FORMATS = [
    "yuv420p",
    "yuvj420p",
    "nv12",
    "yuv420p10le",
    "p010le",
    "yuv422p",
    "yuv444p12le",
    "rgb24",
    "gray",
    "yuva420p",
]


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_pictures_are_those_of_the_cpu(pix_fmt, size, register):
    if pix_fmt in ("nv12", "p010le") and size[0] % 2:
        return  # the stand-in would take them for its own
    height, width = size
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    image = torch.stack([across.expand(size), down.expand(size), 0.5 - 0.3 * across * down])
    coding = Coding(pix_fmt, 2 if "j" in pix_fmt else 1, 1)
    alpha = across.expand(1, *size) if coding.has_alpha else None
    picture = pixel_formats.to_picture(image, alpha, coding)
    here = pixel_formats.to_image(picture)
    register(StandIn())
    there = to_image(picture, CPU)
    again = pixel_formats.to_image(to_picture(image, alpha, coding))
    for one, other in ((there, here), (again, here)):
        assert (one[0] - other[0]).abs().mean() < 0.008
        assert (one[1] is None) == (alpha is None)
        if alpha is not None:
            assert (one[1] - other[1]).abs().max() < 1 / 255


def test_what_the_container_tells_a_decoder_is_told_on():
    own, other = (CodecContext.create("h264", "r") for _ in range(2))
    own.width, own.height, own.extradata, own.reorder_depth = 64, 48, b"header", 3
    own.color_range, own.colorspace, own.color_primaries, own.color_trc = 2, 9, 9, 16
    drivers.liken(other, own)
    names = [
        "width",
        "height",
        "extradata",
        "reorder_depth",
        "color_range",
        "colorspace",
        "color_primaries",
        "color_trc",
    ]
    assert [getattr(other, name) for name in names] == [64, 48, b"header", 3, 2, 9, 9, 16]


def test_which_formats_have_two_planes():
    two = {name: two_planes(name) for name in FORMATS}
    assert [name for name in two if two[name] == "nv12"] == ["yuv420p", "yuvj420p", "nv12"]
    assert [name for name in two if two[name] == "p010le"] == ["yuv420p10le", "p010le"]
    assert two_planes("yuv420p12le") is None


def test_frames_last_until_the_next_one(register, soft):
    register(StandIn())
    with Reader(soft()) as reader:
        frames = list(reader.frames(device=CPU))
    assert all(isinstance(frame, Frame) and frame.duration == Fraction(1, 25) for frame in frames)
    assert [frame.pts for frame in frames] == [Fraction(n, 25) for n in range(10)]


# --- on a GPU, whatever of all this it has


@pytest.mark.needs_cuda
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_a_film_on_a_gpu(pix_fmt, soft, tmp_path, said):
    source, made = soft(pix_fmt, size="640x360"), tmp_path / "made.mp4"
    with Reader(source) as reader, Writer(made, reader) as writer:
        assert run(reader, [Same()], writer, device="cuda") == 10
    check(made, source, slack=3.0 if pix_fmt == "yuv420p" else 12.0)
    assert any("is decoded on" in line for line in said())
    assert any(line.startswith("encoding") for line in said())


@pytest.mark.needs_cuda
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_marks_of_a_gpu_are_those_of_the_cpu(pix_fmt, soft):
    marks = []
    for device in (CPU, torch.device("cuda", 0)):
        with Reader(soft(pix_fmt, size="640x360")) as reader:
            reader.every = 4
            assert len(list(reader.frames(device=device))) == 10
            marks.append({number: (mark.moment, mark.digest) for number, mark in reader.marks.items()})
    assert marks[0] == marks[1]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
def test_copies_on_a_gpu_are_whole(dtype):
    gpu = drivers.driver_of(torch.device("cuda"))
    sent = (torch.rand(300, 512) * 250).to(torch.int32).to(dtype)
    for _ in range(20):
        there = gpu.upload(sent)
        back = gpu.download(there)
        del there
        assert torch.equal(back.float(), sent.float())

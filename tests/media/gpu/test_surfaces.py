"""Video on a GPU, simulated with CPU memory: correct colors, rows and timestamps, and few copies."""

import logging
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
import pytest
import torch
from standin import StandIn, as_nvdec_frame

from streamfx.effects.mirror import Mirror
from streamfx.frame import Frame
from streamfx.media import pixel_formats
from streamfx.media.filters.effect import Filter, Filters
from streamfx.media.gpu import nvidia as drivers
from streamfx.media.gpu.surfaces import to_image, to_video_frame, two_planes
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer
from streamfx.media.probe import Coding
from streamfx.pipeline import run

CPU = torch.device("cpu")
SMALL = 36 * 64 * 4  # bytes of a frame downscaled for shot detection
PLANES = (48 + 24) * 64  # bytes of a 64x48 frame in 4:2:0
SOFT = "gradients=rate=25:speed=0.05:seed=7:n=4:c0=0x3a6ea5:c1=0xe0b070:c2=0x7a3b6b:c3=0x4f9d69"  # fixed colors
EXACT = {"encoder": "libx264", "options": {"qp": "0"}}  # selected by name, the stand-in's encoder accepts any options


@dataclass(frozen=True)
class Same:
    """An effect that changes nothing but requires RGB."""

    def build(self, device):
        return lambda frame, memory: [] if frame is None else [frame]


@pytest.fixture
def register(monkeypatch):
    """register(stand_in): use it as the GPU, and return it."""

    def register(stand_in):
        monkeypatch.setitem(drivers.DRIVERS, "cpu", lambda device: stand_in)
        return stand_in

    return register


@pytest.fixture
def log_lines(caplog):
    """log_lines(): all log messages so far."""
    caplog.set_level(logging.INFO, "streamfx")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(scope="session")
def soft(clip):
    """soft(pix_fmt): 10 frames of slowly moving gradients, 64x48, lossless, with B-frames."""

    def soft(pix_fmt="yuv420p", audio=(), size="64x48"):
        text = f"{SOFT}:size={size},format=gbrp,format={pix_fmt}"
        code = ["-c:v", "libx264", "-qp", "0", "-bf", "2", "-g", "5", "-pix_fmt", pix_fmt, "-colorspace", "bt709"]
        return clip("soft.mp4", "-f", "lavfi", "-i", text, *audio, "-frames:v", "10", *code)

    return soft


def video_frames(path):
    with Reader(path) as reader:
        return [(frame.pts * frame.time_base, codes(frame)) for frame in list(reader.video_frames())]


def codes(frame):
    """Y, Cb and Cr of a 4:2:0 frame."""
    deep = frame.format.components[0].bits > 8
    planar = pixel_formats.convert_pixel_format(frame, "yuv420p10le" if deep else "yuv420p")
    return [pixel_formats.samples_of(plane, 10 if deep else 8).astype(int).copy() for plane in planar.planes]


def check(made, source, slack=2.0):
    """The video has the timestamps and samples of its source, up to the chroma loss of a conversion to RGB and back."""
    result, expected_frames = video_frames(made), video_frames(source)
    assert [time for time, _ in result] == [time for time, _ in expected_frames]
    for (_, planes), (_, expected_planes) in zip(result, expected_frames, strict=True):
        for plane, expected in zip(planes, expected_planes, strict=True):
            assert np.abs(plane - expected).mean() <= slack


def test_frames_stay_on_the_device(register, convert, soft, log_lines, video_stream, tone, hashes):
    source = soft(audio=tuple(tone("0.4")))
    gpu = register(StandIn())
    made = convert(source, "out.mp4", effects=[Same()], **EXACT)
    check(made.path, source)
    assert (made.frames, made.warnings, made.encoder) == (10, [], "libx264")
    assert not gpu.sent
    checks = {PLANES: 2}  # the first frame and the encoder's test frame are checked
    assert gpu.fetched == {SMALL: 10} | checks
    assert "decoded on cpu" in " ".join(log_lines())
    assert f"encoding with libx264 on {CPU}" in log_lines()
    assert video_stream(made.path)["color_space"] == "bt709"
    assert hashes(made.path, "a") == hashes(source, "a")


def test_the_gpu_encoder_is_the_default(register, convert, soft, log_lines):
    register(StandIn())
    made = convert(soft(), "out.mkv", effects=[Same()])
    check(made.path, soft(), slack=3.0)
    assert "encoding with libx264 on cpu" in log_lines()


def test_without_an_encoder_samples_are_downloaded_once(register, convert, soft, log_lines):
    class NoEncoder(StandIn):
        encoders = ()

    gpu = register(NoEncoder())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft())
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10, PLANES: 10 + 1}
    assert any(line.startswith("encoding on the CPU") for line in log_lines())


class Silent(StandIn):
    """Takes packets but returns no frames."""

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
def test_without_a_decoder_samples_are_uploaded_once(kind, register, convert, soft, log_lines):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft())
    assert made.frames == 10
    assert gpu.sent == {PLANES: 10}
    assert any("is decoded on the CPU: " in line for line in log_lines())


# --- faulty decoders: the program detects a faulty first frame, and these tests a later one


class WrongChroma(StandIn):
    """Swaps red and blue chroma."""

    start = 0

    def decoded(self, frame, number):
        made = as_nvdec_frame(frame, self.row_padding)
        if number >= self.start:
            plane = made.planes[1]
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            pairs = rows[:, : 2 * plane.width].reshape(plane.height, -1, 2)
            pairs[:] = pairs[..., ::-1].copy()
        return made


class WrongPitch(StandIn):
    """Ignores the padding between rows."""

    start = 0

    def planes(self, frame):
        y, uv = super().planes(frame)
        if frame.pts < self.start * 512:
            return y, uv
        return y.as_strided(y.shape, (y.shape[1], 1)), uv


class WrongTime(StandIn):
    """Gives each frame the timestamp of the next one."""

    start = 0

    def decoded(self, frame, number):
        made = as_nvdec_frame(frame, self.row_padding)
        if number >= self.start:
            made.pts += 512
        return made


class WrongTags(StandIn):
    """Reports another color matrix."""

    start = 0

    def decoded(self, frame, number):
        made = as_nvdec_frame(frame, self.row_padding)
        if number >= self.start:
            made.colorspace = 5
        return made


WRONG = {
    WrongTags: "other color tags",
    WrongChroma: "is off by",
    WrongPitch: "is off by",
    WrongTime: "should be 64x48 at 0",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_faulty_decoder_is_not_used(kind, register, convert, soft, log_lines):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    (line,) = [line for line in log_lines() if "is decoded on" in line]
    assert WRONG[kind] in line
    check(made.path, soft())
    assert gpu.sent == {PLANES: 10}


@pytest.mark.parametrize("kind", WRONG)
def test_later_faults_fail_these_checks(kind, register, convert, soft, log_lines):
    gpu = register(kind())
    gpu.start = 4
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    assert "is decoded on cpu" in " ".join(log_lines())
    with pytest.raises(AssertionError):
        check(made.path, soft())


class SeparateChroma(StandIn):
    """Puts chroma in a separate allocation, where NVENC does not look."""

    def wrap(self, y, uv, pix_fmt):
        return super().wrap(y.clone(), uv.clone(), pix_fmt)


class Packed(StandIn):
    """Assumes rows without padding."""

    def wrap(self, y, uv, pix_fmt):
        buffer = y.as_strided((y.stride(0) * y.shape[0] * 3 // 2,), (1,))
        y = buffer[: y.numel()].view(y.shape)
        return super().wrap(y, buffer[y.numel() :][: uv.numel()].view(uv.shape), pix_fmt)


class Unable(StandIn):
    """Fails like an H100, which has no NVENC."""

    def wrap(self, y, uv, pix_fmt):
        raise av.error.ExternalError(1, "OpenEncodeSessionEx failed: unsupported device (2)")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(SeparateChroma, "a test frame was off by"), (Packed, "a test frame was off by"), (Unable, "unsupported device")],
)
def test_a_faulty_encoder_is_not_used(kind, reason, register, convert, soft, log_lines):
    gpu = register(kind())
    made = convert(soft(), "out.mp4", effects=[Same()], **EXACT)
    (line,) = [line for line in log_lines() if "encoding on the CPU" in line]
    assert reason in line
    check(made.path, soft())
    assert gpu.fetched[PLANES] >= 10


# --- kinds of video


def test_ten_bits(register, convert, soft, log_lines, video_stream):
    gpu = register(StandIn())  # has no 10-bit encoder
    made = convert(soft("yuv420p10le"), "out.mp4", effects=[Same()], encoder="libx264", options={"qp": "0"})
    check(made.path, soft("yuv420p10le"), slack=4.0)
    assert video_stream(made.path)["pix_fmt"] == "yuv420p10le"
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10 + 11}  # a downscaled frame happens to have as many bytes as a 10-bit frame


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuvj420p"])
def test_other_pixel_formats(pix_fmt, register, convert, soft, video_stream):
    gpu = register(StandIn())
    made = convert(soft(pix_fmt), "out.mp4", effects=[Same()], **EXACT)
    check(made.path, soft(pix_fmt))
    assert video_stream(made.path)["pix_fmt"] == pix_fmt
    assert (pix_fmt == "yuvj420p") != bool(gpu.sent)


def test_odd_sizes(register, convert, clip, video_stream, rgb):
    text = f"{SOFT}:size=63x47,format=yuv420p"
    source = clip("odd.mkv", "-f", "lavfi", "-i", text, "-frames:v", "3", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    gpu = register(StandIn())
    made = convert(source, "out.mkv", effects=[Same()], encoder="ffv1", pix_fmt="bgr0")
    assert video_stream(made.path)["pix_fmt"] == "bgr0"
    assert gpu.sent == {47 * 63 + 2 * 24 * 32: 3}
    assert gpu.fetched == {3 * 63 * 47: 3}
    drivers.DRIVERS.pop("cpu")
    on_cpu = convert(source, "on_cpu.mkv", effects=[Same()], encoder="ffv1", pix_fmt="bgr0")
    assert np.abs(rgb(made.path).astype(int) - rgb(on_cpu.path)).mean() < 1.5


def test_part_of_a_variable_frame_rate_video(register, convert, clip, moving, times):
    source = clip("vfr.mkv", *moving(), "-vf", r"select=not(eq(mod(n\,5)\,3)),gblur=6", "-fps_mode", "vfr", "-g", "50")
    reading = {"start": Fraction(1, 5), "end": Fraction(4, 5)}
    register(StandIn())
    on_gpu = convert(source, "on_gpu.mkv", effects=[Same()], reading=reading, **EXACT)
    drivers.DRIVERS.pop("cpu")
    on_cpu = convert(source, "on_cpu.mkv", effects=[Same()], reading=reading, **EXACT)
    assert times(on_gpu.path) == times(on_cpu.path)
    check(on_gpu.path, on_cpu.path)


def test_cuts_match_the_cpu(register, clip):
    text = "testsrc2=size=64x48:rate=25:duration=0.4[a];mandelbrot=size=64x48:rate=25,trim=duration=0.4[b];[a][b]concat"
    source = clip("cut.mp4", "-filter_complex", text, "-pix_fmt", "yuv420p")
    with Reader(source) as reader:
        on_cpu = [frame.cut for frame in reader.frames(device=CPU)]
    register(StandIn())
    with Reader(source) as reader:
        on_gpu = [frame.cut for frame in reader.frames(device=CPU)]
    assert on_cpu == on_gpu
    assert sum(on_gpu) == 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_resume_points_match_the_cpu(pix_fmt, register, soft):
    """So that a run started on one device can resume on the other."""

    def resume_points():
        with Reader(soft(pix_fmt)) as reader:
            reader.resume_interval = 4
            assert len(list(reader.frames(device=CPU))) == 10
            return {number: (point.time, point.digest) for number, point in reader.resume_points.items()}

    on_cpu = resume_points()
    register(StandIn())
    assert resume_points() == on_cpu
    assert len(on_cpu) == 3


def test_leading_and_trailing_filters_run_on_the_cpu(register, convert, soft, log_lines):
    gpu = register(StandIn())
    hue = Filters((Filter("hue", "h=0"),))
    made = convert(soft(), "first.mp4", effects=[hue, Same()], **EXACT)
    check(made.path, soft())
    assert gpu.sent == {PLANES: 10}
    assert any("FFmpeg filters run on the CPU" in line for line in log_lines())
    gpu = register(StandIn())
    made = convert(soft(), "last.mp4", effects=[Same(), hue], **EXACT)
    check(made.path, soft())
    assert not gpu.sent
    assert gpu.fetched == {SMALL: 10, PLANES: 10 + 1}
    assert any("the chain ends with FFmpeg filters" in line for line in log_lines())


def test_filters_between_effects_copy_and_warn_once(register, convert, soft):
    gpu = register(StandIn())
    source = soft(size="80x48")
    made = convert(source, "out.mp4", effects=[Same(), Filters((Filter("hue", "h=0"),)), Same()], **EXACT)
    check(made.path, source)
    (line,) = made.warnings
    assert "hue" in line
    assert "to the CPU and back" in line
    assert gpu.sent == {3 * 2 * 80 * 48: 10}
    assert gpu.fetched[3 * 2 * 80 * 48] == 10


def test_a_rotated_video(register, convert, soft, video_stream, tmp_path):
    source = tmp_path / "rotated.mp4"
    with av.open(soft()) as plain, av.open(source, "w") as rotated:
        stream = rotated.add_stream_from_template(plain.streams.video[0])
        stream.set_display_rotation(90)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                rotated.mux(packet)
    gpu = register(StandIn())
    made = convert(source, "out.mp4", effects=[Mirror()], **EXACT)
    assert (video_stream(made.path)["width"], video_stream(made.path)["height"]) == (48, 64)
    assert gpu.sent == {PLANES: 10}


# --- frames


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
def test_frames_match_the_cpu(pix_fmt, size, register):
    if pix_fmt in ("nv12", "p010le") and size[0] % 2:
        return  # the stand-in would treat them as its own frames
    height, width = size
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    image = torch.stack([across.expand(size), down.expand(size), 0.5 - 0.3 * across * down])
    coding = Coding(pix_fmt, 2 if "j" in pix_fmt else 1, 1)
    alpha = across.expand(1, *size) if coding.has_alpha else None
    frame = pixel_formats.to_video_frame(image, alpha, coding)
    on_cpu = pixel_formats.to_image(frame)
    register(StandIn())
    on_gpu = to_image(frame, CPU)
    round_trip = pixel_formats.to_image(to_video_frame(image, alpha, coding))
    for one, other in ((on_gpu, on_cpu), (round_trip, on_cpu)):
        assert (one[0] - other[0]).abs().mean() < 0.008
        assert (one[1] is None) == (alpha is None)
        if alpha is not None:
            assert (one[1] - other[1]).abs().max() < 1 / 255


def test_semi_planar_formats():
    two = {name: two_planes(name) for name in FORMATS}
    assert [name for name in two if two[name] == "nv12"] == ["yuv420p", "yuvj420p", "nv12"]
    assert [name for name in two if two[name] == "p010le"] == ["yuv420p10le", "p010le"]
    assert two_planes("yuv420p12le") is None


def test_frame_timing(register, soft):
    register(StandIn())
    with Reader(soft()) as reader:
        frames = list(reader.frames(device=CPU))
    assert all(isinstance(frame, Frame) and frame.duration == Fraction(1, 25) for frame in frames)
    assert [frame.pts for frame in frames] == [Fraction(n, 25) for n in range(10)]


# --- on a real GPU, using the features that it has


@pytest.mark.needs_cuda
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_video_on_a_gpu(pix_fmt, soft, tmp_path, log_lines):
    source, made = soft(pix_fmt, size="640x360"), tmp_path / "made.mp4"
    with Reader(source) as reader, Writer(made, reader) as writer:
        assert run(reader, [Same()], writer, device="cuda") == 10
    check(made, source, slack=3.0 if pix_fmt == "yuv420p" else 12.0)
    assert any("is decoded on" in line for line in log_lines())
    assert any(line.startswith("encoding") for line in log_lines())


@pytest.mark.needs_cuda
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_resume_points_of_a_gpu_match_the_cpu(pix_fmt, soft):
    resume_points = []
    for device in (CPU, torch.device("cuda", 0)):
        with Reader(soft(pix_fmt, size="640x360")) as reader:
            reader.resume_interval = 4
            assert len(list(reader.frames(device=device))) == 10
            resume_points.append({number: (point.time, point.digest) for number, point in reader.resume_points.items()})
    assert resume_points[0] == resume_points[1]

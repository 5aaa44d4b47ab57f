"""Chooses the encoder, pixel format and color tags of an output."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av.error
from av.codec.codec import Codec, find_best_pix_fmt_of_list
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.format import names as pixel_formats  # type: ignore[attr-defined]  # its stub has no names
from av.video.frame import VideoFrame

from streamfx.errors import StreamfxError, unknown
from streamfx.media.encoding import Encoding, Output
from streamfx.media.ffmpeg_log import ffmpeg_messages
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import TWO_PLANES, encoder_problem, two_planes
from streamfx.media.linear_light import LINEAR, SRGB
from streamfx.media.output.formats import STILL_ENCODERS, Format
from streamfx.media.output.hdr import HDR_OPTIONS, hdr_options
from streamfx.media.output.x264 import repeatable_options
from streamfx.media.pixel_formats import family
from streamfx.media.probe import FULL, LIMITED, Coding, VideoInfo, depth, encoders, has_alpha

if TYPE_CHECKING:
    import torch

log = logging.getLogger("streamfx")

BT709, RGB, BT470BG = 1, 0, 5  # matrix coefficients of H.273
BT2020_PRIMARIES, HDR_TRANSFERS = 9, (16, 18)  # of H.273: PQ and HLG
FAST_SETTINGS = {"libx264": {"preset": "superfast"}, "libx265": {"preset": "ultrafast"}}  # changes for `fast`
SETTINGS = {  # encoder -> default options
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libx265": {"crf": "18", "preset": "veryfast", "x265-params": "log-level=error", "a53cc": "1"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    "libsvtav1": {"crf": "24", "preset": "8"},
    "prores_ks": {"profile": "4444"},
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "4"},
    "mjpeg": {"qmin": "2", "qmax": "2"},
    "libwebp": {"quality": "92"},
    "exr": {"format": "half", "compression": "zip16"},
    "h264_nvenc": {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"},
    "hevc_nvenc": {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"},
}
QUALITY = {"h264_nvenc": "cq", "hevc_nvenc": "cq", "av1_nvenc": "cq"}  # encoder -> its name for crf
GPU_BIT_DEPTHS = {"mp4": (8, 10), "mov": (8, 10), "matroska": (8, 10), "mpegts": (8, 10), "flv": (8,)}  # muxer -> bits
X265_MIN_WIDTH = 64  # pixels; version 4.1, preset veryfast, writes out of bounds at widths 33 to 55
RATE_CONTROLS = frozenset(("qp", "b", "q", "qscale", "cq", "global_quality"))  # override our default crf
LOSSLESS_X264 = {"qp": "0", "preset": "ultrafast", "tune": "zerolatency"}
PALETTE_FORMATS = ("pal8",)  # only PaletteMapper makes these, for gif
Y4M_FORMATS = ["gray", *(f"yuv{chroma}p{bits}" for bits in ("", "10le", "12le") for chroma in ("420", "422", "444"))]


def choose_encoding(
    target: str,
    form: Format,
    output: Output,
    source: Coding,
    info: VideoInfo | None,
    size: tuple[int, int],
    driver: Driver | None = None,
) -> Encoding:
    """The first encoder and pixel format that support frames coded like `source` of `size` (height, width).

    The encoders of `driver`, the GPU that holds the frames, are tried first. Raises StreamfxError if the user's own
    choice is not available.
    """
    if output.encoder is not None and output.encoder not in encoders():
        raise unknown("encoder", output.encoder, encoders())
    if driver and (on_gpu := _gpu_encoding(driver, form, output, source, info, size)):
        return on_gpu
    reason = ""  # of the first failure
    for number, (encoder, pix_fmt, options) in enumerate(_candidates(target, form, output, source)):
        merged = repeatable_options(encoder, _merged_options(encoder, options, output, info), size[1])
        encoding = _encoding_for(encoder, pix_fmt, merged, source)
        problem = _open_problem(encoding, size)
        if not problem:
            log.info("encoding with %s on the CPU", encoder)
            if number and pix_fmt.startswith("yuv444") and "420" in source.pix_fmt:
                log.warning(
                    "%s cannot encode %dx%d as 4:2:0; using 4:4:4, which some players reject", encoder, *size[::-1]
                )
            return encoding
        reason = reason or f"encoder {encoder} cannot encode {pix_fmt} at {size[1]}x{size[0]}: {problem}"
    raise StreamfxError(reason)


def _gpu_encoding(
    driver: Driver, form: Format, output: Output, source: Coding, info: VideoInfo | None, size: tuple[int, int]
) -> Encoding | None:
    """The GPU's encoding; None if the user chose another encoder or the GPU does not support the source."""
    selected = output.encoder in [name for name, _ in driver.encoders]
    default = output.encoder is None and output.crf is None and not output.options
    planar = _nearest(source, ["yuv420p", "yuv420p10le", source.pix_fmt], form, lossy=True)
    pix_fmt = two_planes(planar)
    bits = depth(planar)
    why = ""
    if not (selected or default) or output.pix_fmt is not None or form.encoder is not None:
        why = "the output options require it"
    elif form.muxer not in GPU_BIT_DEPTHS or bits not in GPU_BIT_DEPTHS[form.muxer]:
        why = f"the GPU has no encoder for {form.muxer} at {bits} bits"
    elif pix_fmt is None or size[0] % 2 or size[1] % 2:
        why = f"the GPU needs 4:2:0 with an even width and height, not {planar} at {size[1]}x{size[0]}"
    names = [name for name, encoder_bits in driver.encoders if encoder_bits == bits and output.encoder in (None, name)]
    for name in names if not why else []:
        assert pix_fmt is not None
        options = _merged_options(name, SETTINGS.get(name, {}), output, info)
        encoding = replace(_encoding_for(name, pix_fmt, options, source), device=str(driver.device))
        why = encoder_problem(driver, encoding, size)
        if not why:
            log.info("encoding with %s on %s", name, driver.device)
            return encoding
        why = f"{name}: {why}"
    log.info("encoding on the CPU: %s", why or f"{driver.device} has no encoder for {bits} bits")
    return None


def keeps_captions(encoder: str) -> bool:
    """Whether an encoder writes the closed captions in the side data of frames."""
    return any(option.name == "a53cc" for option in CodecContext.create(encoder, "w").supported_options.private)


def try_encoders(device: torch.device) -> dict[str, str]:
    """Encode a test frame with each of the GPU's encoders: "NAME, N bits" -> what is wrong, "" if it works."""
    driver = driver_of(device)
    problems = {}
    for name, bits in driver.encoders if driver else ():
        assert driver is not None
        coding = Coding(TWO_PLANES[bits], LIMITED, BT709)
        trial = Encoding(name, coding, SETTINGS.get(name, {}), coding.pix_fmt, str(driver.device))
        problems[f"{name}, {bits} bits"] = encoder_problem(driver, trial, (1080, 1920))
    return problems


def hardware_problem(encoder: str) -> str:
    """Why an encoder that needs hardware does not encode a test frame from the CPU's memory; "" if it does."""
    context = CodecContext.create(encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 640, 360, "yuv420p"
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    frame = VideoFrame(context.width, context.height, context.pix_fmt)
    frame.pts, frame.time_base = 0, context.time_base
    with ffmpeg_messages() as messages:
        try:
            context.open()
            packets = [*context.encode(frame), *context.encode(None)]
        except (av.error.FFmpegError, OSError) as error:
            return " ".join(messages[0][2].split()) if messages else str(error)
    return "" if packets else "it returned no packet"


def _candidates(target: str, form: Format, output: Output, source: Coding) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Encoders and pixel formats to try, best first."""
    for encoder, options in _encoders_for(target, form, output, source):
        listed = Codec(encoder, "w").video_formats
        allowed = [fmt.name for fmt in listed if fmt.name not in PALETTE_FORMATS] if listed else [source.pix_fmt]
        if encoder == "rawvideo" and form.muxer == "yuv4mpegpipe":
            allowed = Y4M_FORMATS
        if encoder == form.encoder:
            allowed = list(form.pix_fmts)
        if not allowed:
            raise StreamfxError(f"encoder {encoder} needs a palette, which only gif gets; choose another encoder")
        if encoder == "apng":
            allowed = [name for name in allowed if depth(name) <= 8]  # FFmpeg reads no deeper ones
        if output.pix_fmt is not None:
            _check_pix_fmt(output.pix_fmt, encoder, allowed)
            yield encoder, output.pix_fmt, options
            continue
        best = _nearest(source, allowed, form, lossy=Codec(encoder, "w").lossy)
        yield encoder, best, options
        for fallback in ("yuva420p", "yuva422p"):  # encoders list formats that they cannot open
            if source.has_alpha and fallback in allowed and fallback != best:
                yield encoder, fallback, options
        full_chroma = f"yuv444p{'10le' if VideoFormat(best).components[0].bits == 10 else ''}"
        if full_chroma in allowed and full_chroma != best:
            yield encoder, full_chroma, options


def _encoders_for(target: str, form: Format, output: Output, source: Coding) -> list[tuple[str, dict[str, str]]]:
    if output.encoder is not None:
        names = [output.encoder]
    elif form.encoder is not None:
        names = [form.encoder]
    elif form.muxer == "image2":
        names = [STILL_ENCODERS[Path(target).suffix.lower()]]
    elif form.muxer in ("gif", "apng", "rawvideo"):
        names = [form.muxer]
    elif form.muxer == "yuv4mpegpipe":
        names = ["rawvideo"]
    elif form.lossless:
        x264_fits = not source.has_alpha and source.depth <= 10 and family(source.pix_fmt) != "gbr"
        return [*([("libx264", LOSSLESS_X264)] if x264_fits else []), ("ffv1", SETTINGS["ffv1"])]
    elif form.muxer == "webm":
        deep = source.depth > 8 and not source.has_alpha  # PyAV's libvpx encodes 8 bits only
        names = ["libsvtav1", "libvpx-vp9"] if deep else ["libvpx-vp9"]
    elif source.has_alpha and form.muxer in ("mov", "matroska"):
        names = ["prores_ks" if form.muxer == "mov" else "ffv1"]
    elif form.muxer in ("avi", "flv"):
        names = ["libx264"]
    else:
        names = ["libx265", "libx264"] if source.depth > 8 else ["libx264"]
    return [(name, SETTINGS.get(name, {})) for name in names]


def _nearest(source: Coding, allowed: list[str], form: Format, *, lossy: bool) -> str:
    """The pixel format in `allowed` that loses the least; RGB and gray become 4:2:0 in videos, for players."""
    ideal = source.pix_fmt
    if family(ideal) != "yuv" and lossy and not form.lossless:
        chroma = "444" if form.muxer == "image2" else "420"
        ideal = f"yuv{'a' if source.has_alpha else ''}{chroma}p{'10le' if source.depth > 8 else ''}"
    if source.has_alpha:
        allowed = [name for name in allowed if has_alpha(name)] or allowed
    if ideal in allowed:
        return ideal
    best, _ = find_best_pix_fmt_of_list(allowed, ideal, has_alpha=source.has_alpha)
    return best.name if best else allowed[0]


def _check_pix_fmt(pix_fmt: str, encoder: str, allowed: list[str]) -> None:
    if pix_fmt not in pixel_formats:
        raise unknown("pixel format", pix_fmt, allowed)
    if pix_fmt not in allowed:
        raise StreamfxError(f"encoder {encoder} does not support {pix_fmt}; give one of {', '.join(allowed)}")


def _merged_options(encoder: str, options: dict[str, str], output: Output, info: VideoInfo | None) -> dict[str, str]:
    """The default options with the user's on top."""
    merged = options | (FAST_SETTINGS.get(encoder, {}) if output.fast and "qp" not in options else {})
    if output.crf is not None:
        merged.pop("qp", None)
        merged[QUALITY.get(encoder, "crf")] = f"{output.crf:g}"
    user = dict(output.options)
    if not RATE_CONTROLS.isdisjoint(user):
        merged.pop("crf", None)
    if encoder in HDR_OPTIONS:
        key = HDR_OPTIONS[encoder]
        parts = [merged.pop(key, ""), *hdr_options(encoder, info), user.pop(key, "")]
        if any(parts):
            merged[key] = ":".join(filter(None, parts))
    return merged | user


def _open_problem(encoding: Encoding, size: tuple[int, int]) -> str:
    """Why the encoder does not open for this coding and size; "" if it does. Unknown options are errors."""
    if encoding.encoder == "libx265" and (reason := _x265_problem(encoding.pix_fmt, *size)):
        return reason
    os.environ.setdefault("SVT_LOG", "1")  # otherwise SVT-AV1 writes to stderr
    context = CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width, context.pix_fmt = *size, encoding.pix_fmt
    context.color_range, context.colorspace = encoding.coding.range, encoding.coding.matrix
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = dict(encoding.options)
    with ffmpeg_messages() as messages:
        try:
            context.open()
        except av.error.FFmpegError as error:
            reasons = [" ".join(text.split()) for _, _, text in messages]
            return reasons[0] if reasons else str(error)
    if context.options:
        name, option = encoding.encoder, next(iter(context.options))
        raise StreamfxError(f"encoder {name} has no option '{option}'; see ffmpeg -h encoder={name}")
    return ""


def _x265_problem(pix_fmt: str, height: int, width: int) -> str:
    """Why libx265 must not be opened: it would write to stderr or out of bounds. "" if it is safe."""
    fmt = VideoFormat(pix_fmt, width, height)
    if (fmt.chroma_width(2) == 1 and width % 2) or (fmt.chroma_height(2) == 1 and height % 2):
        return "subsampled chroma needs an even width and height"
    return f"it may crash below a width of {X265_MIN_WIDTH}" if width < X265_MIN_WIDTH else ""


def _encoding_for(encoder: str, pix_fmt: str, options: dict[str, str], source: Coding) -> Encoding:
    """Keeps the source's color tags, except that RGB converted to YUV becomes BT.709, and JPEG full-range BT.601."""
    if encoder == "gif":
        return Encoding(encoder, Coding("bgra" if source.has_alpha else "rgb24"), options, "pal8")
    if source.transfer == LINEAR:  # decoded as sRGB
        source = replace(source, transfer=SRGB)
    coding = replace(source, pix_fmt=pix_fmt)
    if encoder == "exr":
        _check_light(source)
        return Encoding(encoder, Coding(pix_fmt, 0, RGB, BT709, LINEAR), options, pix_fmt)
    if VideoFormat(pix_fmt).is_rgb:
        coding = replace(coding, matrix=RGB, range=0)
    elif encoder == "mjpeg":
        coding = replace(coding, matrix=BT470BG, range=FULL)
    elif family(pix_fmt) == "yuv" != family(source.pix_fmt):
        coding = Coding(pix_fmt, LIMITED, BT709, BT709, BT709)
    return Encoding(encoder, coding, options, pix_fmt)


def _check_light(source: Coding) -> None:
    """Raise StreamfxError if the source's light is not that of Rec.709, which OpenEXR files are written in."""
    if source.primaries == BT2020_PRIMARIES or source.transfer in HDR_TRANSFERS:
        raise StreamfxError(
            "OpenEXR files are written in linear Rec.709 light, but the source is BT.2020 or HDR; "
            "give --format prores or --format png16, which keep its colors"
        )

"""Which encoder and pixel format the pictures of an output get, and with which colour tags."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av.error
from av.codec.codec import Codec, find_best_pix_fmt_of_list
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat

from streamfx.errors import StreamfxError, unknown
from streamfx.media.filters.graph import ffmpeg_messages
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import TWO_PLANES, refusal, two_planes
from streamfx.media.output.formats import STILL_ENCODERS, Format
from streamfx.media.output.x264 import repeatable
from streamfx.media.pixel_formats import family
from streamfx.media.probe import FULL, LIMITED, Coding, VideoInfo, depth, encoders, has_alpha

if TYPE_CHECKING:
    import torch

log = logging.getLogger("streamfx")

BT709, RGB, BT470BG = 1, 0, 5  # matrix coefficients of H.273
HURRIED = {"libx264": {"preset": "superfast"}, "libx265": {"preset": "ultrafast"}}  # of SETTINGS, when in a hurry
SETTINGS = {  # encoder -> options, where the user gives no other
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libx265": {"crf": "18", "preset": "veryfast", "x265-params": "log-level=error"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    "libsvtav1": {"crf": "24", "preset": "8"},
    "prores_ks": {"profile": "4444"},
    "ffv1": {"level": "3", "slicecrc": "1", "slices": "4"},
    "mjpeg": {"qmin": "2", "qmax": "2"},
    "libwebp": {"quality": "92"},
    "h264_nvenc": {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"},
    "hevc_nvenc": {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"},
}
QUALITY = {"h264_nvenc": "cq", "hevc_nvenc": "cq", "av1_nvenc": "cq"}  # encoder -> its word for crf
ON_DEVICE = {"mp4": (8, 10), "mov": (8, 10), "matroska": (8, 10), "mpegts": (8, 10), "flv": (8,)}  # muxer -> bits
X265_NARROWEST = 64  # pixels; from 33 to 55 it writes beyond its memory, measured with 4.1 at preset veryfast
RATE_CONTROLS = frozenset(("qp", "b", "q", "qscale", "cq", "global_quality"))  # that our crf would win against
HDR_WORDS = {"libx265": "x265-params", "libsvtav1": "svtav1-params"}  # encoder -> option that holds them
LOSSLESS_X264 = {"qp": "0", "preset": "ultrafast", "tune": "zerolatency"}
UNMADE = ("pal8",)  # what nobody makes of RGB, but Palettes for gif
Y4M_FORMATS = ["gray", *(f"yuv{chroma}p{bits}" for bits in ("", "10le", "12le") for chroma in ("420", "422", "444"))]


@dataclass(frozen=True, slots=True)
class Output:
    """What the user asks of an output; everything has a sensible default."""

    format: str | None = None  # one of FORMATS; None: by the ending, nut for stdout
    encoder: str | None = None  # FFmpeg's name; None: the best this format takes
    crf: float | None = None  # constant rate factor, in the encoder's own scale
    options: dict[str, str] = field(default_factory=dict)  # handed through to the encoder
    pix_fmt: str | None = None
    audio: bool = True
    overwrite: bool = False
    hurry: bool = False  # encode quicker, into larger files, where the user does not say otherwise
    settings: str = ""  # written into the file's metadata


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoder that was chosen, and the coding of the pictures that it takes."""

    encoder: str
    coding: Coding
    options: dict[str, str]
    pix_fmt: str  # the encoder's own: pal8, made of `coding` by a palette, or that of `coding`
    device: str = ""  # that the pictures stay on


def choose_encoding(
    target: str,
    form: Format,
    output: Output,
    source: Coding,
    info: VideoInfo | None,
    size: tuple[int, int],
    driver: Driver | None = None,
) -> Encoding:
    """The first encoder and pixel format that take pictures like `source` of `size` (height, width).

    With a `driver`, on whose device the pictures are, its encoders come first. Raises StreamfxError where the user's
    own choice cannot be had.
    """
    if output.encoder is not None and output.encoder not in encoders():
        raise unknown("encoder", output.encoder, encoders())
    if driver and (found := _encoding_on(driver, form, output, source, info, size)):
        return found
    reason = ""  # why the first one refuses
    for number, (encoder, pix_fmt, options) in enumerate(_candidates(target, form, output, source)):
        asked = repeatable(encoder, _with_asked(encoder, options, output, info), size[1])
        encoding = _with_colour(encoder, pix_fmt, asked, source)
        refusal = _refusal(encoding, size)
        if not refusal:
            log.info("encoding with %s on the CPU", encoder)
            if number and pix_fmt.startswith("yuv444") and "420" in source.pix_fmt:
                log.warning(
                    "%s takes no 4:2:0 of %dx%d: written as 4:4:4, which some players refuse", encoder, *size[::-1]
                )
            return encoding
        reason = reason or f"encoder {encoder} takes no {pix_fmt} of {size[1]}x{size[0]}: {refusal}"
    raise StreamfxError(reason)


def _encoding_on(
    driver: Driver, form: Format, output: Output, source: Coding, info: VideoInfo | None, size: tuple[int, int]
) -> Encoding | None:
    """The device's own encoding; None where the user asks for another, or it cannot show what the source does."""
    wished = output.encoder in [name for name, _ in driver.encoders]
    plain = output.encoder is None and output.crf is None and not output.options
    wanted = _nearest(source, ["yuv420p", "yuv420p10le", source.pix_fmt], form, lossy=True)
    pix_fmt = two_planes(wanted)
    bits = depth(wanted)
    why = ""
    if not (wished or plain) or output.pix_fmt is not None:
        why = "another encoder was asked for"
    elif form.muxer not in ON_DEVICE or bits not in ON_DEVICE[form.muxer]:
        why = f"{form.muxer} is written by another"
    elif pix_fmt is None or size[0] % 2 or size[1] % 2:
        why = f"it takes 4:2:0 of even sides, these are {wanted} of {size[1]}x{size[0]}"
    names = [name for name, taken in driver.encoders if taken == bits and output.encoder in (None, name)]
    for name in names if not why else []:
        assert pix_fmt is not None
        options = _with_asked(name, SETTINGS.get(name, {}), output, info)
        encoding = replace(_with_colour(name, pix_fmt, options, source), device=str(driver.device))
        why = refusal(driver, encoding, size)
        if not why:
            log.info("encoding with %s from the memory of %s", name, driver.device)
            return encoding
        why = f"{name}: {why}"
    log.info("encoding on the CPU: %s", why or f"no encoder of {driver.device} takes {bits} bits")
    return None


def try_encoders(device: torch.device) -> dict[str, str]:
    """By name and bits, why each of the device's encoders does not work; empty where it does."""
    driver = driver_of(device)
    found = {}
    for name, bits in driver.encoders if driver else ():
        assert driver is not None
        coding = Coding(TWO_PLANES[bits], LIMITED, BT709)
        trial = Encoding(name, coding, SETTINGS.get(name, {}), coding.pix_fmt, str(driver.device))
        found[f"{name}, {bits} bits"] = refusal(driver, trial, (1080, 1920))
    return found


def _candidates(target: str, form: Format, output: Output, source: Coding) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Encoders and pixel formats to try, best first."""
    for encoder, options in _encoders_for(target, form, output, source):
        listed = Codec(encoder, "w").video_formats
        allowed = [fmt.name for fmt in listed if fmt.name not in UNMADE] if listed else [source.pix_fmt]
        if encoder == "rawvideo" and form.muxer == "yuv4mpegpipe":
            allowed = Y4M_FORMATS
        if encoder == "apng":
            allowed = [name for name in allowed if depth(name) <= 8]  # FFmpeg itself reads no other
        if output.pix_fmt is not None:
            _check_pix_fmt(output.pix_fmt, encoder, allowed)
            yield encoder, output.pix_fmt, options
            continue
        best = _nearest(source, allowed, form, lossy=Codec(encoder, "w").lossy)
        yield encoder, best, options
        for simpler in ("yuva420p", "yuva422p"):  # encoders list more than they take
            if source.has_alpha and simpler in allowed and simpler != best:
                yield encoder, simpler, options
        fuller = f"yuv444p{'10le' if VideoFormat(best).components[0].bits == 10 else ''}"
        if fuller in allowed and fuller != best:
            yield encoder, fuller, options


def _encoders_for(target: str, form: Format, output: Output, source: Coding) -> list[tuple[str, dict[str, str]]]:
    if output.encoder is not None:
        names = [output.encoder]
    elif form.muxer == "image2":
        names = [STILL_ENCODERS[Path(target).suffix.lower()]]
    elif form.muxer in ("gif", "apng", "rawvideo"):
        names = [form.muxer]
    elif form.muxer == "yuv4mpegpipe":
        names = ["rawvideo"]
    elif form.lossless:
        plain = not source.has_alpha and source.depth <= 10 and family(source.pix_fmt) != "gbr"
        return [*([("libx264", LOSSLESS_X264)] if plain else []), ("ffv1", SETTINGS["ffv1"])]
    elif form.muxer == "webm":
        deep = source.depth > 8 and not source.has_alpha  # more than this build of libvpx can
        names = ["libsvtav1", "libvpx-vp9"] if deep else ["libvpx-vp9"]
    elif source.has_alpha and form.muxer in ("mov", "matroska"):
        names = ["prores_ks" if form.muxer == "mov" else "ffv1"]
    elif form.muxer in ("avi", "flv"):
        names = ["libx264"]
    else:
        names = ["libx265", "libx264"] if source.depth > 8 else ["libx264"]
    return [(name, SETTINGS.get(name, {})) for name in names]


def _nearest(source: Coding, allowed: list[str], form: Format, *, lossy: bool) -> str:
    """The pixel format among `allowed` that loses least; RGB and grey become 4:2:0 in films, as players want it."""
    wanted = source.pix_fmt
    if family(wanted) != "yuv" and lossy and not form.lossless:
        chroma = "444" if form.muxer == "image2" else "420"
        wanted = f"yuv{'a' if source.has_alpha else ''}{chroma}p{'10le' if source.depth > 8 else ''}"
    if source.has_alpha:
        allowed = [name for name in allowed if has_alpha(name)] or allowed
    if wanted in allowed:
        return wanted
    best, _ = find_best_pix_fmt_of_list(allowed, wanted, has_alpha=source.has_alpha)
    return best.name if best else allowed[0]


def _check_pix_fmt(pix_fmt: str, encoder: str, allowed: list[str]) -> None:
    try:
        VideoFormat(pix_fmt)
    except ValueError:
        raise unknown("pixel format", pix_fmt, allowed) from None
    if pix_fmt not in allowed:
        raise StreamfxError(f"encoder {encoder} takes no {pix_fmt}; it takes {', '.join(allowed)}")


def _with_asked(encoder: str, options: dict[str, str], output: Output, info: VideoInfo | None) -> dict[str, str]:
    """Our settings, overlaid with the user's."""
    merged = options | (HURRIED.get(encoder, {}) if output.hurry and "qp" not in options else {})
    if output.crf is not None:
        merged.pop("qp", None)
        merged[QUALITY.get(encoder, "crf")] = f"{output.crf:g}"
    own = dict(output.options)
    if not RATE_CONTROLS.isdisjoint(own):
        merged.pop("crf", None)
    if encoder in HDR_WORDS:
        key = HDR_WORDS[encoder]
        words = [merged.pop(key, ""), *_hdr(encoder, info), own.pop(key, "")]
        if any(words):
            merged[key] = ":".join(filter(None, words))
    return merged | own


def _hdr(encoder: str, info: VideoInfo | None) -> list[str]:
    """The encoder's words for the HDR10 metadata of the source (SMPTE ST 2086 and CTA-861.3)."""
    words = []
    x265 = encoder == "libx265"
    if info is not None and info.mastering is not None and len(info.mastering) >= 88:
        values = memoryview(info.mastering[:80]).cast("i").tolist()
        numbers = [Fraction(*values[i : i + 2]) for i in range(0, 20, 2)]  # red, green, blue, white: x, y; low, high

        def pair(tag: str, one: Fraction, two: Fraction, scale: int) -> str:
            return f"{tag}({round(one * scale)},{round(two * scale)})" if x265 else f"{tag}({float(one)},{float(two)})"

        places = (("G", 2), ("B", 4), ("R", 0), ("WP", 6))
        points = [pair(tag, numbers[i], numbers[i + 1], 50000) for tag, i in places]
        light = pair("L", numbers[9], numbers[8], 10000)
        words.append(f"{'hdr10=1:master-display' if x265 else 'mastering-display'}={''.join(points)}{light}")
    if info is not None and info.light_level is not None and len(info.light_level) >= 8:
        brightest, average = memoryview(info.light_level[:8]).cast("I").tolist()
        words.append(f"{'max-cll' if x265 else 'content-light'}={brightest},{average}")
    return words


def _refusal(encoding: Encoding, size: tuple[int, int]) -> str:
    """Why an encoder refuses pictures of this coding and size; empty where it does not. Unknown options are errors."""
    if encoding.encoder == "libx265" and (reason := _too_odd_for_x265(encoding.pix_fmt, *size)):
        return reason
    os.environ.setdefault("SVT_LOG", "1")  # else that library writes to stderr by itself
    context = CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.height, context.width, context.pix_fmt = *size, encoding.pix_fmt
    context.color_range, context.colorspace = encoding.coding.range, encoding.coding.matrix
    context.framerate, context.time_base = Fraction(25), Fraction(1, 25)
    context.options = dict(encoding.options)
    with ffmpeg_messages() as messages:
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            said = [text.strip() for _, _, text in messages]
            return said[0] if said else str(error)
    if context.options:
        raise StreamfxError(
            f"encoder {encoding.encoder} knows no option '{next(iter(context.options))}'; "
            f"see ffmpeg -h encoder={encoding.encoder}"
        )
    return ""


def _too_odd_for_x265(pix_fmt: str, height: int, width: int) -> str:
    """Why libx265 is not to be asked at all: it would write to stderr by itself, or beyond its memory."""
    fmt = VideoFormat(pix_fmt, width, height)
    if (fmt.chroma_width(2) == 1 and width % 2) or (fmt.chroma_height(2) == 1 and height % 2):
        return "its chroma planes would not come out even"
    return f"it crashes where pictures are narrower than {X265_NARROWEST}" if width < X265_NARROWEST else ""


def _with_colour(encoder: str, pix_fmt: str, options: dict[str, str], source: Coding) -> Encoding:
    """Colour of the output: the source's, but RGB turned to YUV becomes BT.709, and stills keep to what JPEG means."""
    if encoder == "gif":
        return Encoding(encoder, Coding("bgra" if source.has_alpha else "rgb24"), options, "pal8")
    coding = replace(source, pix_fmt=pix_fmt)
    if VideoFormat(pix_fmt).is_rgb:
        coding = replace(coding, matrix=RGB, range=0)
    elif encoder == "mjpeg":
        coding = replace(coding, matrix=BT470BG, range=FULL)
    elif family(pix_fmt) == "yuv" != family(source.pix_fmt):
        coding = Coding(pix_fmt, LIMITED, BT709, BT709, BT709)
    return Encoding(encoder, coding, options, pix_fmt)

"""Alpha channels that are coded apart from the color: in a stream of its own (AVIF, HEIC) or as side data (WebM)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from av import Packet, VideoFrame
from av.codec.context import CodecContext
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.stream import VideoStream

from streamfx.media.limits import decoder_options
from streamfx.media.pixel_formats import convert_pixel_format, copy_planes
from streamfx.media.probe import decoders

HEIF_BRANDS = frozenset(("avif", "avis", "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"))


def alpha_stream(container: InputContainer, color: VideoStream) -> VideoStream | None:
    """Return the stream with the alpha channel of `color`; only HEIF files, which include AVIF and HEIC, have one."""
    if container.metadata.get("major_brand", "") not in HEIF_BRANDS:
        return None
    for stream in container.streams.video:
        same = (stream.width, stream.height, stream.frames) == (color.width, color.height, color.frames)
        if stream.index > color.index and same and stream.codec_context and _is_gray(stream.codec_context.pix_fmt):
            return stream
    return None


def _is_gray(pix_fmt: str | None) -> bool:
    return pix_fmt is not None and len(VideoFormat(pix_fmt).components) == 1


class AlphaMerger:
    """Decodes the packets of a color stream and of its alpha stream to frames with alpha.

    Frames are paired in order. Color frames without alpha come last, as they are.
    """

    def __init__(self, color: VideoStream, alpha: VideoStream) -> None:
        self.streams = color, alpha
        self._waiting: tuple[deque[VideoFrame], deque[VideoFrame]] = deque(), deque()
        self._ended = 0  # streams

    def decode(self, packet: Packet[Stream]) -> list[VideoFrame]:
        """Return the frames that are complete."""
        index = packet.stream is self.streams[1]
        colors, alphas = self._waiting
        self._waiting[index].extend(self.streams[index].decode(packet))
        frames = [add_alpha(colors.popleft(), alphas.popleft()) for _ in range(min(len(colors), len(alphas)))]
        self._ended += packet.size == 0 and packet.pts is None
        if self._ended == len(self.streams):
            frames += colors
            colors.clear()
        return frames


def add_alpha(color: VideoFrame, alpha: VideoFrame) -> VideoFrame:
    """Return a frame with the planes of `color`, and the plane of `alpha`, a gray frame of the same size."""
    name = color.format.name.replace("yuvj", "yuv").replace("gray", "yuv444p", 1)
    name = name.replace("yuv", "yuva", 1).replace("gbr", "gbra", 1)
    plain = name.replace("yuva", "yuv", 1).replace("gbra", "gbr", 1)
    source = color if color.format.name.replace("yuvj", "yuv") == plain else convert_pixel_format(color, plain)
    depth = VideoFormat(name).components[0].bits
    if alpha.format.components[0].bits != depth:
        alpha = convert_pixel_format(alpha, "gray" if depth == 8 else f"gray{depth}le")
    merged = VideoFrame(color.width, color.height, name)
    copy_planes(merged, [*source.planes, alpha.planes[0]])
    merged.pts, merged.dts, merged.time_base, merged.duration = color.pts, color.dts, color.time_base, color.duration
    merged.colorspace, merged.color_range = color.colorspace, color.color_range
    merged.color_primaries, merged.color_trc = color.color_primaries, color.color_trc
    return merged


def webm_alpha_decoder(stream: VideoStream) -> Callable[[Packet[Stream]], list[VideoFrame]] | None:
    """Return a decoder that keeps WebM alpha, which is coded as side data; FFmpeg's native VP8/VP9 decoders drop it."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name, "")
    if stream.metadata.get("alpha_mode") != "1" or name not in decoders():
        return None
    context = CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.options = decoder_options()
    return context.decode

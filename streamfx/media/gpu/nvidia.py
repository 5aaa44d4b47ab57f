"""What is asked of a GPU, and how NVIDIA's answers: its decoder, its encoder, and the ways to its memory and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from av.codec.codec import Codec
from av.codec.context import CodecContext
from av.codec.hwaccel import HWAccel
from av.video.codeccontext import VideoCodecContext
from av.video.frame import CudaContext, VideoFrame

if TYPE_CHECKING:
    import torch
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream
    from torch import Tensor

Decode: TypeAlias = "Callable[[Packet[Stream]], list[VideoFrame]]"


class Driver(Protocol):
    """What is asked of a GPU. Its work is ordered on one stream; copies overlap it, and each waits for the other."""

    device: torch.device
    encoders: tuple[tuple[str, int], ...]  # FFmpeg's names and the bits that each takes; the first of a kind is best

    def coder(self) -> AbstractContextManager[HWAccel | None]:
        """What makes FFmpeg's coders, while it is entered, work on the device's memory."""
        ...

    def build_decoder(self, stream: VideoStream) -> Decode | None:
        """A decoder of the stream's packets that leaves pictures on the device; None where it has none for them."""
        ...

    def holds(self, picture: VideoFrame) -> bool:
        """Whether the picture's samples lie on the device."""
        ...

    def planes(self, picture: VideoFrame) -> tuple[Tensor, Tensor]:
        """y [H, W] and uv [H / 2, W / 2, 2] of a picture that it holds, without a copy."""
        ...

    def wrap(self, y: Tensor, uv: Tensor, pix_fmt: str) -> VideoFrame:
        """The picture for the device's encoder that these planes are, without a copy."""
        ...

    def upload(self, host: Tensor) -> Tensor:
        """A contiguous tensor on the device."""
        ...

    def download(self, there: Tensor) -> Tensor:
        """A contiguous tensor on the host; it is whole when this returns."""
        ...


class Cuda:
    """NVIDIA's decoder (NVDEC), encoder (NVENC) and memory, in torch's context and on its default stream.

    What NVDEC makes is ordered on that stream, and NVENC begins behind what it has to do.
    """

    encoders: tuple[tuple[str, int], ...] = (("h264_nvenc", 8), ("hevc_nvenc", 10), ("hevc_nvenc", 8))

    def __init__(self, device: torch.device) -> None:
        import torch

        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        self._up, self._down = (torch.cuda.Stream(self.device) for _ in range(2))  # type: ignore[no-untyped-call]
        # the primary context, which is torch's, has other flags than FFmpeg wants where it asks for that one by name
        self._context = CudaContext(index, primary_ctx=False, current_ctx=True)

    @contextmanager
    def coder(self) -> Iterator[HWAccel]:
        """In torch's context, made the current one of this thread, where FFmpeg looks for it."""
        import torch

        current: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        with torch.cuda.device(self.device):
            torch.zeros(1, device=self.device)  # choosing a device alone need not make its context
            yield HWAccel("cuda", self.device.index, True, current, is_hw_owned=True)

    def build_decoder(self, stream: VideoStream) -> Decode | None:
        own = stream.codec_context
        codec = _cuda_decoder(own)
        if codec is None:
            return None
        with self.coder() as hardware:
            context = CodecContext.create(codec, "r", hwaccel=hardware)
        assert isinstance(context, VideoCodecContext)
        liken(context, own)
        return context.decode

    def holds(self, picture: VideoFrame) -> bool:
        return picture.format.name == "cuda"

    def planes(self, picture: VideoFrame) -> tuple[Tensor, Tensor]:
        from torch.utils.dlpack import from_dlpack

        # the capsules, for torch would name a stream to the planes, which they refuse
        y, uv = (from_dlpack(plane.__dlpack__()) for plane in picture.planes)
        return y, uv

    def wrap(self, y: Tensor, uv: Tensor, pix_fmt: str) -> VideoFrame:
        with self.coder():
            return VideoFrame.from_dlpack(_capsules(y, uv), format=pix_fmt, cuda_context=self._context)

    def upload(self, host: Tensor) -> Tensor:
        import torch

        ours = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            there = host.pin_memory().to(self.device, non_blocking=True)
        ours.wait_stream(self._up)
        there.record_stream(ours)
        return there

    def download(self, there: Tensor) -> Tensor:
        import torch

        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            host = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
            host.copy_(there, non_blocking=True)
            there.record_stream(self._down)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._down)
        done.synchronize()
        return host


def liken(context: VideoCodecContext, own: VideoCodecContext) -> None:
    """Tell a new decoder what the container told the usual one."""
    context.extradata = own.extradata
    context.width, context.height = own.width, own.height
    context.reorder_depth = own.reorder_depth  # else pictures come too early, in a wrong order
    context.color_range, context.colorspace = own.color_range, own.colorspace
    context.color_primaries, context.color_trc = own.color_primaries, own.color_trc


def _cuda_decoder(own: VideoCodecContext) -> Codec | None:
    """FFmpeg's decoder that can use CUDA for what `own` decodes; AV1's usual one cannot."""
    for name in dict.fromkeys((own.codec.canonical_name, own.name)):
        try:
            codec = Codec(name, "r")
        except ValueError:
            continue
        if any(config.device_type.name == "cuda" for config in codec.hardware_configs or ()):
            return codec
    return None


def coder_on(device: str) -> AbstractContextManager[HWAccel | None]:
    """`Driver.coder` of a device by its name; of none, where the name is empty."""
    if not device:
        return nullcontext()
    import torch

    driver = driver_of(torch.device(device))
    return driver.coder() if driver else nullcontext()


def _capsules(*planes: Tensor) -> tuple[object, ...]:
    """What holds planes for FFmpeg, for as long as it needs them."""
    from torch.utils import dlpack

    return tuple(dlpack.to_dlpack(plane) for plane in planes)  # type: ignore[attr-defined]


@cache
def _cuda(device: torch.device) -> Driver:
    return Cuda(device)


DRIVERS: dict[str, Callable[[torch.device], Driver]] = {"cuda": _cuda}  # by a device's type


def driver_of(device: torch.device | None) -> Driver | None:
    """The driver of a device; None for the CPU, and others that only torch works on."""
    build = None if device is None else DRIVERS.get(device.type)
    return None if build is None or device is None else build(device)

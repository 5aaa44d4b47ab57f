"""The interface of a GPU driver, and its NVIDIA implementation: NVDEC, NVENC and copies to and from the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from av.codec.codec import Codec, UnknownCodecError
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
    """Video functions of a GPU. Work is ordered on one stream; copies overlap with it and are synchronized."""

    device: torch.device
    encoders: tuple[tuple[str, int], ...]  # (FFmpeg's name, bit depth), best first

    def hwaccel(self) -> AbstractContextManager[HWAccel | None]:
        """A context in which FFmpeg creates decoders and encoders that use the device's memory."""
        ...

    def build_decoder(self, stream: VideoStream) -> Decode | None:
        """A decoder for the stream that leaves frames on the device; None if the codec is not supported."""
        ...

    def holds(self, frame: VideoFrame) -> bool:
        """Whether the frame's samples are on the device."""
        ...

    def planes(self, frame: VideoFrame) -> tuple[Tensor, Tensor]:
        """y [H, W] and uv [H / 2, W / 2, 2] of a frame on the device, without a copy."""
        ...

    def wrap(self, y: Tensor, uv: Tensor, pix_fmt: str) -> VideoFrame:
        """These planes as a frame for the device's encoder, without a copy."""
        ...

    def upload(self, host: Tensor) -> Tensor:
        """Copy a contiguous tensor to the device."""
        ...

    def download(self, tensor: Tensor) -> Tensor:
        """Copy a contiguous tensor to the host; the copy is complete on return."""
        ...


class Cuda:
    """NVIDIA's decoder (NVDEC), encoder (NVENC) and memory, in torch's context and on its default stream.

    NVDEC and NVENC are ordered with the other work on that stream.
    """

    encoders: tuple[tuple[str, int], ...] = (("h264_nvenc", 8), ("hevc_nvenc", 10), ("hevc_nvenc", 8))

    def __init__(self, device: torch.device) -> None:
        import torch

        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        self._up, self._down = (torch.cuda.Stream(self.device) for _ in range(2))  # type: ignore[no-untyped-call]
        # FFmpeg rejects the flags of torch's primary context when asked for it by index, but can use the current one
        self._context = CudaContext(index, primary_ctx=False, current_ctx=True)

    @contextmanager
    def hwaccel(self) -> Iterator[HWAccel]:
        """Makes torch's context current in this thread, for FFmpeg to use."""
        import torch

        options: dict[str, object] = {"primary_ctx": "0", "current_ctx": "1"}
        with torch.cuda.device(self.device):
            torch.zeros(1, device=self.device)  # selecting a device does not create its context
            yield HWAccel("cuda", self.device.index, True, options, is_hw_owned=True)

    def build_decoder(self, stream: VideoStream) -> Decode | None:
        source_context = stream.codec_context
        codec = _cuda_decoder(source_context)
        if codec is None:
            return None
        with self.hwaccel() as hardware:
            context = CodecContext.create(codec, "r", hwaccel=hardware)
        assert isinstance(context, VideoCodecContext)
        copy_parameters(context, source_context)
        return context.decode

    def holds(self, frame: VideoFrame) -> bool:
        return frame.format.name == "cuda"

    def planes(self, frame: VideoFrame) -> tuple[Tensor, Tensor]:
        from torch.utils.dlpack import from_dlpack

        # from capsules: given the plane itself, torch passes a stream, which PyAV rejects
        y, uv = (from_dlpack(plane.__dlpack__()) for plane in frame.planes)
        return y, uv

    def wrap(self, y: Tensor, uv: Tensor, pix_fmt: str) -> VideoFrame:
        with self.hwaccel():
            return VideoFrame.from_dlpack(_capsules(y, uv), format=pix_fmt, cuda_context=self._context)

    def upload(self, host: Tensor) -> Tensor:
        import torch

        current = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._up):
            tensor = host.pin_memory().to(self.device, non_blocking=True)
        current.wait_stream(self._up)
        tensor.record_stream(current)
        return tensor

    def download(self, tensor: Tensor) -> Tensor:
        import torch

        self._down.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._down):
            host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            host.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._down)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._down)
        done.synchronize()
        return host


def copy_parameters(context: VideoCodecContext, source_context: VideoCodecContext) -> None:
    """Copy the container's stream parameters from `source_context`, the stream's decoder, to a new decoder."""
    context.extradata = source_context.extradata
    context.width, context.height = source_context.width, source_context.height
    context.reorder_depth = source_context.reorder_depth  # otherwise frames come out too early, in the wrong order
    context.color_range, context.colorspace = source_context.color_range, source_context.colorspace
    context.color_primaries, context.color_trc = source_context.color_primaries, source_context.color_trc


def _cuda_decoder(source_context: VideoCodecContext) -> Codec | None:
    """FFmpeg's CUDA-capable decoder for the codec of `source_context`; the default one for AV1 is not."""
    for name in dict.fromkeys((source_context.codec.canonical_name, source_context.name)):
        try:
            codec = Codec(name, "r")
        except UnknownCodecError:
            continue
        if any(config.device_type.name == "cuda" for config in codec.hardware_configs or ()):
            return codec
    return None


def hwaccel_for(device: str) -> AbstractContextManager[HWAccel | None]:
    """`Driver.hwaccel` of a device by name; no acceleration if the name is empty."""
    if not device:
        return nullcontext()
    import torch

    driver = driver_of(torch.device(device))
    return driver.hwaccel() if driver else nullcontext()


def _capsules(*planes: Tensor) -> tuple[object, ...]:
    """DLPack capsules that keep the planes alive for FFmpeg."""
    from torch.utils import dlpack

    return tuple(dlpack.to_dlpack(plane) for plane in planes)  # type: ignore[attr-defined]


@cache
def _cuda(device: torch.device) -> Driver:
    return Cuda(device)


DRIVERS: dict[str, Callable[[torch.device], Driver]] = {"cuda": _cuda}  # by device type


def driver_of(device: torch.device | None) -> Driver | None:
    """The driver of a device; None for the CPU and for devices that only torch supports."""
    build = None if device is None else DRIVERS.get(device.type)
    return None if build is None or device is None else build(device)

"""GPU drivers: selection by device, decoders, planes in shared memory, and copies without loss."""

import gc

import av
import numpy as np
import pytest
import torch
from av import VideoFrame
from av.codec.codec import Codec
from av.codec.context import CodecContext
from standin import StandIn

from streamfx.media.gpu import nvidia
from streamfx.media.gpu.nvidia import copy_parameters, driver_of, hwaccel_for

HAS_CUDA_DECODERS = any(config.device_type.name == "cuda" for config in Codec("h264", "r").hardware_configs or ())
SIZES = [(48, 64), (2, 2)]
FORMATS = [("nv12", torch.uint8), ("p010le", torch.uint16)]


def random_planes(height, width, dtype, device="cpu"):
    """y [H, W] and uv [H / 2, W / 2, 2] of random samples."""
    planes = [torch.randint(0, 250, shape) for shape in ((height, width), (height // 2, width // 2, 2))]
    return [plane.to(torch.int32).to(dtype).to(device) for plane in planes]


@pytest.mark.parametrize("device", [None, torch.device("cpu"), torch.device("meta")])
def test_devices_without_a_driver(device):
    assert driver_of(device) is None


@pytest.mark.parametrize("name", ["", "cpu"])
def test_no_acceleration_without_a_driver(name):
    with hwaccel_for(name) as hardware:
        assert hardware is None


def test_the_driver_of_the_device_type_is_used(monkeypatch):
    monkeypatch.setitem(nvidia.DRIVERS, "meta", lambda device: (device.type, device.index))
    assert driver_of(torch.device("meta", 3)) == ("meta", 3)


def test_stream_parameters_are_copied():
    own, other = (CodecContext.create("h264", "r") for _ in range(2))
    own.width, own.height, own.extradata, own.reorder_depth = 64, 48, b"header", 3
    own.color_range, own.colorspace, own.color_primaries, own.color_trc = 2, 9, 9, 16
    copy_parameters(other, own)
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


@pytest.mark.parametrize("code", [["libx264", "-bf", "3", "-g", "50"], ["mpeg4", "-bf", "2"]])
def test_a_decoder_with_copied_parameters_decodes_the_same_frames(code, clip, moving):
    source = clip("frames.mkv", *moving(seconds="0.4"), "-c:v", *code, "-pix_fmt", "yuv420p")
    with av.open(source) as container:
        expected = [(frame.pts, frame.to_ndarray()) for frame in container.decode(video=0)]
    with av.open(source) as container:
        own = container.streams.video[0].codec_context
        context = CodecContext.create(own.codec.canonical_name, "r")
        copy_parameters(context, own)
        frames = [frame for packet in container.demux(video=0) for frame in context.decode(packet)]
    assert [frame.pts for frame in frames] == [pts for pts, _ in expected] == sorted(pts for pts, _ in expected)
    for frame, (_, samples) in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame.to_ndarray(), samples)


@pytest.mark.skipif(not HAS_CUDA_DECODERS, reason="this FFmpeg is built without CUDA")
@pytest.mark.parametrize(
    ("decoder", "name"), [("h264", "h264"), ("libdav1d", "av1"), ("av1", "av1"), ("libvpx-vp9", "vp9"), ("ffv1", None)]
)
def test_the_cuda_decoder_of_a_codec(decoder, name):
    codec = nvidia._cuda_decoder(CodecContext.create(decoder, "r"))
    assert (codec and codec.name) == name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("pix_fmt", "dtype"), FORMATS)
def test_frames_share_the_memory_of_planes(pix_fmt, dtype, size):
    y, uv = random_planes(*size, dtype)
    frame = VideoFrame.from_dlpack(nvidia._capsules(y, uv), format=pix_fmt)
    assert (frame.height, frame.width, frame.format.name) == (*size, pix_fmt)
    y[0, 0], uv[-1, -1, 1] = 251, 252
    for plane, tensor in zip(StandIn().planes(frame), (y, uv), strict=True):
        assert (plane.shape, plane.dtype, plane.data_ptr()) == (tensor.shape, dtype, tensor.data_ptr())
        assert torch.equal(plane.to(torch.int32), tensor.to(torch.int32))


def test_planes_live_as_long_as_the_frame():
    y, uv = random_planes(480, 640, torch.uint8)
    expected = y.numpy().copy()
    frame = VideoFrame.from_dlpack(nvidia._capsules(y, uv), format="nv12")
    del y, uv
    gc.collect()
    others = [torch.zeros(480, 640, dtype=torch.uint8) for _ in range(10)]  # would reuse the memory
    np.testing.assert_array_equal(np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(480, 640), expected)
    assert not any(other.any() for other in others)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32], ids=str)
def test_copies_on_a_gpu_are_complete(dtype):
    gpu = driver_of(torch.device("cuda"))
    uploaded = (torch.rand(300, 512) * 250).to(torch.int32).to(dtype)
    for _ in range(20):
        tensor = gpu.upload(uploaded)
        downloaded = gpu.download(tensor)
        del tensor
        assert torch.equal(downloaded.float(), uploaded.float())


@pytest.mark.needs_cuda
def test_one_driver_per_gpu():
    gpu = driver_of(torch.device("cuda", 0))
    assert driver_of(torch.device("cuda", 0)) is gpu
    assert gpu.device == torch.device("cuda", 0)
    assert driver_of(torch.device("cuda")).device.index == torch.cuda.current_device()


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("pix_fmt", "dtype"), FORMATS)
def test_frames_on_a_gpu_share_the_memory_of_planes(pix_fmt, dtype):
    gpu = driver_of(torch.device("cuda", 0))
    y, uv = random_planes(48, 64, dtype, gpu.device)
    frame = gpu.wrap(y, uv, pix_fmt)
    assert gpu.holds(frame)
    assert not gpu.holds(VideoFrame(64, 48, "nv12"))
    for plane, tensor in zip(gpu.planes(frame), (y, uv), strict=True):
        assert plane.data_ptr() == tensor.data_ptr()
        assert torch.equal(plane.cpu().to(torch.int32), tensor.cpu().to(torch.int32))

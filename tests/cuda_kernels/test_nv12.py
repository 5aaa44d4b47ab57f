"""The NV12 and P010 kernels match the reference implementations at any pitch, and write only the planes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.ops import cuda
from streamfx.ops.color import _code_range, _nv12_to_rgb, _rgb_to_nv12

SIDES = st.integers(1, 70)
MATRICES = st.sampled_from([(0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)])
DEPTHS = pytest.mark.parametrize("bits", [8, 10, 12, 16])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
UNTOUCHED = 77


def planes(height, width, bits, extra, start, device, values=None):
    """(memory, y, uv): rows are `extra` samples longer than necessary, y begins at sample `start` of the memory."""
    dtype = torch.uint8 if bits == 8 else torch.uint16
    rows, columns = (height + 1) // 2, (width + 1) // 2
    pitch = 2 * columns + extra
    memory = torch.full((start + (height + rows) * pitch + 8,), UNTOUCHED, dtype=torch.int32)
    if values is not None:
        memory[:] = torch.randint(0, 1 << (8 * dtype.itemsize), memory.shape, generator=values, dtype=torch.int32)
    memory = memory.to(dtype).to(device)
    y = memory.as_strided((height, width), (pitch, 1), start)
    return memory, y, memory.as_strided((rows, columns, 2), (pitch, 2, 1), start + height * pitch)


def with_random_planes(test):
    """Runs a test with planes of random size, pitch and coding."""
    return settings(max_examples=15)(
        given(
            height=SIDES,
            width=SIDES,
            extra=st.integers(0, 5),
            start=st.integers(0, 3),
            matrix=MATRICES,
            full=st.booleans(),
            seed=st.integers(0, 99),
        )(test)
    )


@DTYPES
@DEPTHS
@with_random_planes
def test_to_rgb(height, width, extra, start, matrix, full, seed, bits, dtype, device, check_error):
    random = torch.Generator().manual_seed(seed)
    _, y, uv = planes(height, width, bits, extra, start, device, random)
    shift = 8 * y.dtype.itemsize - bits
    result = cuda.nv12_to_rgb(y, uv, (*matrix, *_code_range(bits, full)), shift, dtype)
    assert result.dtype == dtype
    expected = _nv12_to_rgb(y.cpu(), uv.cpu(), *matrix, bits, full, shift)
    check_error(f"nv12_to_rgb {dtype}", result, expected, 3e-6 if dtype == torch.float32 else 3e-4)


@DTYPES
@DEPTHS
@with_random_planes
def test_from_rgb(height, width, extra, start, matrix, full, seed, bits, dtype, device, fenced, check_error):
    random = torch.Generator().manual_seed(seed)
    image = (1.4 * torch.rand(3, height, width, generator=random) - 0.2).to(dtype)  # also outside 0..1
    memory, y, uv = planes(height, width, bits, extra, start, device)
    shift = 8 * y.dtype.itemsize - bits
    cuda.rgb_to_nv12(fenced(image, seed % 2), y, uv, (*matrix, *_code_range(bits, full)), shift)
    expected, expected_y, expected_uv = planes(height, width, bits, extra, start, "cpu")
    _rgb_to_nv12(image, matrix, (bits, full), shift, expected_y, expected_uv)
    codes, expected = (x.to(torch.int32).cpu() >> shift for x in (memory, expected))
    check_error(f"rgb_to_nv12 {bits} bits", codes, expected, 1)  # values halfway between two codes
    assert (codes != expected).float().mean() < (0.02 if bits < 16 else 0.2) + 2 / len(codes)


def test_invalid_arguments_are_refused(device):
    _, y, uv = planes(6, 8, 8, 0, 0, device)
    coding = (0.2126, 0.0722, *_code_range(8, True))
    with pytest.raises(ValueError, match="does not fit luma"):
        cuda.nv12_to_rgb(y, uv[:2], coding, 0)
    with pytest.raises(ValueError, match="rows must be contiguous"):
        cuda.nv12_to_rgb(y[:, ::2], uv[:, ::2], coding, 0)
    with pytest.raises(ValueError, match="NV12 is uint8"):
        cuda.nv12_to_rgb(y.int(), uv.int(), coding, 0)
    with pytest.raises(ValueError, match="does not fit luma"):
        cuda.rgb_to_nv12(torch.rand(3, 6, 9, device=device), y, uv, coding, 0)

"""NV12 and P010 become RGB and back as their twins make it, at any pitch, and nothing beside the planes is written."""

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


def planes(height, width, bits, beside, start, device, values=None):
    """y and uv of rows `beside` samples longer than they need be, `start` samples into an allocation; and that."""
    dtype = torch.uint8 if bits == 8 else torch.uint16
    rows, columns = (height + 1) // 2, (width + 1) // 2
    pitch = 2 * columns + beside
    held = torch.full((start + (height + rows) * pitch + 8,), UNTOUCHED, dtype=torch.int32)
    if values is not None:
        held[:] = torch.randint(0, 1 << (8 * dtype.itemsize), held.shape, generator=values, dtype=torch.int32)
    held = held.to(dtype).to(device)
    y = held.as_strided((height, width), (pitch, 1), start)
    return held, y, held.as_strided((rows, columns, 2), (pitch, 2, 1), start + height * pitch)


def drawn(test):
    """A test of planes of any size, pitch and coding."""
    return settings(max_examples=15)(
        given(
            height=SIDES,
            width=SIDES,
            beside=st.integers(0, 5),
            start=st.integers(0, 3),
            matrix=MATRICES,
            full=st.booleans(),
            seed=st.integers(0, 99),
        )(test)
    )


@DTYPES
@DEPTHS
@drawn
def test_to_rgb(height, width, beside, start, matrix, full, seed, bits, dtype, device, furthest):
    random = torch.Generator().manual_seed(seed)
    _, y, uv = planes(height, width, bits, beside, start, device, random)
    shift = 8 * y.dtype.itemsize - bits
    made = cuda.nv12_to_rgb(y, uv, (*matrix, *_code_range(bits, full)), shift, dtype)
    assert made.dtype == dtype
    wanted = _nv12_to_rgb(y.cpu(), uv.cpu(), *matrix, bits, full, shift)
    furthest(f"nv12_to_rgb {dtype}", made, wanted, 3e-6 if dtype == torch.float32 else 3e-4)


@DTYPES
@DEPTHS
@drawn
def test_from_rgb(height, width, beside, start, matrix, full, seed, bits, dtype, device, fenced, furthest):
    random = torch.Generator().manual_seed(seed)
    image = (1.4 * torch.rand(3, height, width, generator=random) - 0.2).to(dtype)  # beyond 0..1 as well
    held, y, uv = planes(height, width, bits, beside, start, device)
    shift = 8 * y.dtype.itemsize - bits
    cuda.rgb_to_nv12(fenced(image, seed % 2), y, uv, (*matrix, *_code_range(bits, full)), shift)
    wanted, of_y, of_uv = planes(height, width, bits, beside, start, "cpu")
    _rgb_to_nv12(image, *matrix, bits, full, shift, of_y, of_uv)
    codes, wanted = (each.to(torch.int32).cpu() >> shift for each in (held, wanted))
    furthest(f"rgb_to_nv12 {bits} bits", codes, wanted, 1)  # what lies between two codes may be rounded either way
    assert (codes != wanted).float().mean() < (0.02 if bits < 16 else 0.2) + 2 / len(codes)


def test_what_does_not_fit_is_said(device):
    _, y, uv = planes(6, 8, 8, 0, 0, device)
    coding = (0.2126, 0.0722, *_code_range(8, True))
    with pytest.raises(ValueError, match="does not fit luma"):
        cuda.nv12_to_rgb(y, uv[:2], coding, 0)
    with pytest.raises(ValueError, match="side by side"):
        cuda.nv12_to_rgb(y[:, ::2], uv[:, ::2], coding, 0)
    with pytest.raises(ValueError, match="NV12 is uint8"):
        cuda.nv12_to_rgb(y.int(), uv.int(), coding, 0)
    with pytest.raises(ValueError, match="does not fit luma"):
        cuda.rgb_to_nv12(torch.rand(3, 6, 9, device=device), y, uv, coding, 0)

"""Color conversions and color preservation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamfx.ops.color import (
    keep_color,
    line_length,
    luma,
    nv12_planes,
    nv12_to_planar,
    nv12_to_rgb,
    planar_to_nv12,
    rgb_to_nv12,
    rgb_to_yuv,
    split_line,
    yuv_to_rgb,
)

BT709 = (0.2126, 0.0722)
CPU = torch.device("cpu")


def test_luma_of_gray_is_equal_and_green_has_the_largest_weight():
    assert torch.allclose(luma(torch.full((3, 2, 2), 0.3)), torch.tensor(0.3))
    red, green, blue = (luma(torch.eye(3)[i].view(3, 1, 1)).item() for i in range(3))
    assert green > red > blue > 0
    assert luma(torch.rand(5, 3, 4, 6)).shape == (5, 1, 4, 6)


def test_keep_color_combines_stylized_luma_with_source_chroma():
    source = 0.4 + 0.2 * torch.rand(3, 8, 9)
    stylized = 0.4 + 0.2 * torch.rand(3, 8, 9)
    mixed = keep_color(source, stylized)
    torch.testing.assert_close(luma(mixed), luma(stylized))
    torch.testing.assert_close(mixed - luma(mixed), source - luma(source))


def test_keep_color_stays_in_range():
    mixed = keep_color(torch.rand(3, 50, 50), torch.rand(3, 50, 50).round())
    assert mixed.min() >= 0
    assert mixed.max() <= 1


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("color", [(0, 0, 0), (1, 1, 1), (1, 0, 0), (0.2, 0.7, 0.4)])
def test_colors_survive_nv12(color, bits, full):
    image = torch.tensor(color).float().view(3, 1, 1).expand(3, 7, 9)
    y, uv = rgb_to_nv12(image, *BT709, bits=bits, full=full)
    assert (y.shape, uv.shape) == ((7, 9), (4, 5, 2))
    codes = rgb_to_yuv(image[:, :1, :1], *BT709, bits=bits, full=full).flatten().clamp(0, (1 << bits) - 1)
    stored = torch.tensor([y[3, 4].item(), *uv[1, 2].tolist()]) >> (0 if bits == 8 else 16 - bits)
    assert (stored - codes).abs().max() <= 0.5001
    back = nv12_to_rgb(y, uv, *BT709, bits=bits, full=full)
    assert (back - image).abs().max() < 2.5 / (1 << bits)


def test_chroma_is_sited_left_and_between_rows():
    """Linear ramps survive the round trip without a subpixel shift."""
    ramp = torch.stack([torch.linspace(0.2, 0.8, 64).expand(64, 64), torch.full((64, 64), 0.5), torch.rand(64, 64)])
    ramp[2] = ramp[0].T
    y, uv = rgb_to_nv12(ramp, *BT709, bits=16, full=True)
    back = nv12_to_rgb(y, uv, *BT709, bits=16, full=True)
    assert (back - ramp)[:, 2:-2, 2:-2].abs().max() < 1e-4


def test_chroma_of_one_column_affects_only_its_neighbors():
    y, uv = torch.full((4, 12), 100, dtype=torch.uint8), torch.full((2, 6, 2), 128, dtype=torch.uint8)
    uv[:, 3, 1] = 200
    red = nv12_to_rgb(y, uv, *BT709, bits=8, full=True)[0, 0]
    gray = yuv_to_rgb(torch.tensor([100.0, 128, 128]).view(3, 1, 1), *BT709, bits=8, full=True)[0, 0, 0]
    strength = ((red - gray) / (red[6] - gray)).round(decimals=3)
    assert strength.tolist() == [0, 0, 0, 0, 0, 0.5, 1, 0.5, 0, 0, 0, 0]


def test_planes_share_one_allocation():
    y, uv = nv12_planes(6, 10, 10, CPU, pitch=64)
    assert y.stride() == (32, 1)
    assert uv.stride() == (32, 2, 1)
    assert uv.data_ptr() - y.data_ptr() == 6 * 64
    result = rgb_to_nv12(torch.full((3, 6, 10), 0.5), *BT709, bits=10, full=True, out=(y, uv))
    assert result[0] is y
    assert y.unique().tolist() == [512 << 6]  # 511.5 rounds to even
    assert uv.unique().tolist() == [512 << 6]


def test_unsupported_bit_depths_are_an_error():
    y, uv = nv12_planes(2, 2, 8, CPU)
    with pytest.raises(ValueError, match="10 bits do not fit"):
        nv12_to_rgb(y, uv, *BT709, bits=10, full=True)


@given(height=st.integers(1, 9), width=st.integers(1, 9), bits=st.sampled_from([8, 10, 16]), seed=st.integers(0, 99))
def test_nv12_to_planar_round_trip(height, width, bits, seed):
    generator = torch.Generator().manual_seed(seed)
    y, uv = nv12_planes(height, width, bits, torch.device("cpu"))
    shift = 0 if bits == 8 else 16 - bits
    for plane in (y, uv):
        plane.copy_((torch.randint(0, 1 << bits, plane.shape, generator=generator) << shift).to(plane.dtype))
    line = nv12_to_planar(y, uv, bits)
    y_codes, cb, cr = (plane.to(torch.int32) for plane in split_line(line, height, width))
    assert line.shape == (line_length(height, width),)
    assert torch.equal(y_codes, y.to(torch.int32) >> shift)
    assert torch.equal(torch.stack([cb, cr], -1), uv.to(torch.int32) >> shift)
    for plane, expected in zip(planar_to_nv12(line, height, width, bits), (y, uv), strict=True):
        assert plane.dtype == expected.dtype
        assert torch.equal(plane.to(torch.int32), expected.to(torch.int32))

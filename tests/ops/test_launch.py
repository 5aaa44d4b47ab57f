"""What kernels accept, the order of their arguments, and the layout of thread blocks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamfx.ops import launch

IMAGE = torch.zeros(3, 4, 5)


def nv12(height, width, dtype=torch.uint8, padding=0):
    """y [H, W] and uv [H / 2, W / 2, 2] whose rows are padded by `padding` samples."""
    half = (height + 1) // 2, (width + 1) // 2
    y = torch.zeros(height, width + padding, dtype=dtype)[:, :width]
    uv = torch.zeros(half[0], 2 * half[1] + padding, dtype=dtype)[:, : 2 * half[1]].unflatten(1, (half[1], 2))
    return y, uv


@given(
    height=st.integers(3, 9),  # the pitch of a single row is arbitrary
    width=st.integers(3, 9),
    padding=st.integers(0, 4),
    dtype=st.sampled_from([torch.uint8, torch.uint16]),
)
def test_sides_and_pitches_of_nv12(height, width, padding, dtype):
    y, uv = nv12(height, width, dtype, padding)
    expected = height, width, width + padding, 2 * ((width + 1) // 2) + padding
    assert launch.nv12_sides(y, uv) == expected


@pytest.mark.parametrize(
    ("y", "uv", "reason"),
    [
        (nv12(4, 6)[0].float(), nv12(4, 6)[1].float(), "NV12 is uint8, P010 is uint16; got torch.float32"),
        (nv12(4, 6)[0], nv12(4, 6, torch.uint16)[1], "got torch.uint8 and torch.uint16"),
        (nv12(4, 6)[0], nv12(4, 8)[1], r"chroma \(2, 4, 2\) does not fit luma \(4, 6\)"),
        (nv12(5, 6)[0], nv12(4, 6)[1], "does not fit"),
        (nv12(4, 6)[0][None], nv12(4, 6)[1], "does not fit"),
        (nv12(4, 6)[0][:0], nv12(4, 6)[1][:0], "does not fit"),
        (nv12(6, 4)[0].T, nv12(4, 6)[1], "rows must be contiguous; got strides"),
        (nv12(4, 6)[0], nv12(4, 12)[1][:, ::2], "rows must be contiguous"),
    ],
)
def test_other_planes_are_not_nv12(y, uv, reason):
    with pytest.raises(ValueError, match=reason):
        launch.nv12_sides(y, uv)


def test_images_become_contiguous_without_gradients():
    image = torch.rand(5, 4, 3, requires_grad=True).permute(2, 1, 0)
    checked = launch.check_image("image", image)
    assert checked.is_contiguous()
    assert not checked.requires_grad
    assert torch.equal(checked, image)
    assert launch.check_image("image", IMAGE).data_ptr() == IMAGE.data_ptr()  # not copied


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (torch.zeros(4, 5), r"x must be \[..., C, H, W\] with 1 to 1073741824 pixels, got \(4, 5\)"),
        (torch.zeros(3, 0, 5), r"got \(3, 0, 5\)"),
        (torch.zeros(1).expand(1, 1 << 15, (1 << 15) + 1), r"got \(1, 32768, 32769\)"),
        (torch.zeros(3, 4, 5, dtype=torch.float64), "x must be float32 or float16, not torch.float64"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), "not torch.uint8"),
    ],
)
def test_unsupported_images_are_errors(image, reason):
    with pytest.raises(ValueError, match=reason):
        launch.check_image("x", image)


def test_rgb_has_three_channels_and_no_batch():
    assert launch.check_rgb(IMAGE.half()).dtype == torch.float16
    for shape in ((1, 4, 5), (4, 4, 5), (4, 5), (1, 3, 4, 5)):
        with pytest.raises(ValueError, match=r"image must be \[3, H, W\], got"):
            launch.check_rgb(torch.zeros(shape))


def test_flow_is_float32_with_two_channels():
    assert launch.check_flow("flow", torch.zeros(7, 2, 4, 5).half()).dtype == torch.float32
    assert launch.check_flow("mask", torch.zeros(1, 4, 5), channels=1).shape == (1, 4, 5)
    for shape in ((4, 5), (3, 4, 5), (2, 2), (7, 1, 4, 5)):
        with pytest.raises(ValueError, match=r"flow must be \[..., 2, H, W\], got"):
            launch.check_flow("flow", torch.zeros(shape))


def test_planes_fit_their_image():
    images = torch.zeros(7, 3, 4, 5)
    assert launch.check_plane("mask", torch.zeros(7, 1, 4, 5, dtype=torch.float64), images, 1).dtype == torch.float32
    for shape in ((1, 4, 5), (7, 3, 4, 5), (7, 1, 4, 6), (6, 1, 4, 5)):
        with pytest.raises(ValueError, match=r"mask .* does not fit image \(7, 3, 4, 5\)"):
            launch.check_plane("mask", torch.zeros(shape), images, 1)


def test_images_must_match():
    launch.check_same("other", torch.ones(3, 4, 5), IMAGE)
    for other in (torch.ones(3, 4, 6), IMAGE.half()):
        with pytest.raises(ValueError, match=r"other .* must match the other image, \(3, 4, 5\) torch.float32"):
            launch.check_same("other", other, IMAGE)


def test_names_of_filters_and_borders():
    assert [launch.border(name) for name in ("replicate", "reflect", "wrap", "zeros")] == [0, 1, 2, 3]
    assert launch.filter("bicubic") == "bicubic"
    with pytest.raises(ValueError, match=r"border must be one of .*replicate.*, got 'mirror'"):
        launch.border("mirror")
    with pytest.raises(ValueError, match=r"filter must be one of .*bilinear.*, got 'nearest'"):
        launch.filter("nearest")


@given(count=st.integers(1, 10**6), size=st.integers(1, 1024))
def test_blocks_cover_all_items(count, size):
    number = launch.blocks(count, size)
    assert (number - 1) * size < count <= number * size


@given(st.lists(st.integers(1, 3), max_size=2), st.integers(1, 100), st.integers(1, 100))
def test_tiles_cover_all_pixels(batch, height, width):
    image = torch.zeros(*batch, 3, height, width)
    across, down, images = launch.tiles(image)
    assert (across - 1) * launch.BLOCK[0] < width <= across * launch.BLOCK[0]
    assert (down - 1) * launch.BLOCK[1] < height <= down * launch.BLOCK[1]
    assert images == launch.batch(image) == image.numel() // (3 * height * width)
    assert launch.sides(image) == (3, height, width)

"""Camera moves: signs and order as in Deforum, exact composition, stills of any size."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.ops.camera import View, fit_matrix, matrix_flow, render_still
from streamfx.ops.warp import warp

SQUARE, WIDE = (8, 8), (24, 40)


def moved(image, view, border="replicate", filter="bicubic"):
    size = image.shape[-2:]
    return warp(image, matrix_flow(view.matrix(*size), *size), filter, border)


def point(matrix, x, y):
    """The point after a move."""
    result = matrix @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    return (result[:2] / result[2]).tolist()


def smooth(height, width):
    """An image of waves about twenty pixels long, which sampling hardly changes."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    return torch.stack([0.5 + 0.4 * torch.sin(x * a + y * b) for a, b in ((0.25, 0.1), (-0.15, 0.2), (0.05, -0.3))])


def test_identity_changes_nothing():
    image = torch.rand(3, *WIDE)
    assert torch.equal(matrix_flow(View().matrix(*WIDE), *WIDE), torch.zeros(2, *WIDE))
    torch.testing.assert_close(moved(image, View()), image)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(angle=90), lambda image: image.rot90(1, (1, 2))),  # counterclockwise
        (View(angle=-90), lambda image: image.rot90(-1, (1, 2))),
        (View(angle=180), lambda image: image.flip(1, 2)),
    ],
)
@pytest.mark.parametrize("size", [8, 9])
def test_rotations_by_90_degrees_are_exact(view, expected, size):
    image = torch.rand(3, size, size)
    torch.testing.assert_close(moved(image, view), expected(image), atol=1e-5, rtol=0)


def test_positive_shifts_move_the_image_right_and_down():
    image = torch.rand(3, *WIDE)
    result = moved(image, View(shift_x=3, shift_y=2))
    torch.testing.assert_close(result[:, 2:, 3:], image[:, :-2, :-3])
    torch.testing.assert_close(
        moved(image, View(shift_x=3, shift_y=2), "wrap"), image.roll((2, 3), (1, 2)), atol=1e-5, rtol=0
    )


def test_zoom_enlarges_about_the_center():
    matrix = View(zoom=2).matrix(*WIDE)
    assert point(matrix, 19.5, 11.5) == pytest.approx([19.5, 11.5])  # the center of 40x24
    assert point(matrix, 20.5, 11.5) == pytest.approx([21.5, 11.5])
    corner = View(zoom=2, center_x=0, center_y=0).matrix(*WIDE)
    assert point(corner, -0.5, -0.5) == pytest.approx([-0.5, -0.5])  # the corner of the image
    image = torch.zeros(1, *WIDE)
    image[:, 10:14, 18:22] = 1
    result = moved(image, View(zoom=2))
    assert result[0, 9:15, 17:23].min() > 0.99
    assert result.sum() == pytest.approx(4 * 16, rel=0.05)


@pytest.mark.parametrize("border", ["replicate", "reflect", "wrap"])
def test_borders_of_a_shifted_image(border):
    image = torch.rand(1, *WIDE)
    flow = matrix_flow(View(shift_x=-5).matrix(*WIDE), *WIDE)
    result = warp(image, flow, "bicubic", border)[..., -5:]
    expected = {
        "replicate": image[..., -1:].expand(1, 24, 5),
        "reflect": image[..., -6:-1].flip(2),
        "wrap": image[..., :5],
    }
    torch.testing.assert_close(result, expected[border], atol=1e-5, rtol=0)


def test_order_of_operations_is_that_of_deforum():
    """OpenCV's matrices multiplied as in Deforum, except that Deforum's center is off by half a pixel."""
    import cv2
    import numpy as np

    height, width = WIDE
    turn = np.vstack([cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 25.0, 1.3), [0, 0, 1]])
    shift = np.array([[1, 0, 4.0], [0, 1, -7.0], [0, 0, 1]])
    result = View(zoom=1.3, angle=25, shift_x=4, shift_y=-7).matrix(height, width)
    torch.testing.assert_close(result, torch.from_numpy(turn @ shift))


def test_moves_compose_by_multiplication():
    one, other = View(zoom=2).matrix(*WIDE), View(zoom=0.5).matrix(*WIDE)
    torch.testing.assert_close(other @ one, torch.eye(3, dtype=torch.float64))
    assert matrix_flow(other @ one, *WIDE).abs().max() < 1e-6
    shift, turn = View(shift_x=5).matrix(*WIDE), View(angle=90).matrix(*WIDE)
    assert point(turn @ shift, 19.5, 11.5) == pytest.approx([19.5, 6.5])  # shifted right, then rotated up
    assert point(shift @ turn, 19.5, 11.5) == pytest.approx([24.5, 11.5])


def test_composed_moves_match_consecutive_warps():
    image = smooth(96, 128)
    first, second = View(zoom=1.1, angle=7, shift_x=3.3), View(zoom=0.95, angle=-3, shift_y=2.6)
    both = second.matrix(96, 128) @ first.matrix(96, 128)
    twice, once = moved(moved(image, first), second), warp(image, matrix_flow(both, 96, 128), "bicubic")
    assert (twice - once)[:, 20:-20, 20:-20].abs().max() < 0.02


def test_a_thousand_rotations_are_precise():
    step = View(angle=0.36, zoom=1.001).matrix(*WIDE)
    total = torch.eye(3, dtype=torch.float64)
    for _ in range(1000):
        total = step @ total
    torch.testing.assert_close(total, View(zoom=1.001**1000).matrix(*WIDE), atol=1e-9, rtol=0)


def test_tilts_move_an_edge_away():
    top = View(tilt_x=30).matrix(*WIDE)
    upper = point(top, 39, 0)[0] - point(top, 0, 0)[0]
    lower = point(top, 39, 23)[0] - point(top, 0, 23)[0]
    assert upper < 39 < lower
    right = View(tilt_y=30).matrix(*WIDE)
    assert point(right, 39, 23)[1] - point(right, 39, 0)[1] < 23 < point(right, 0, 23)[1] - point(right, 0, 0)[1]
    for view in (View(tilt_x=30), View(tilt_y=30), View(tilt_x=20, tilt_y=-40)):
        assert point(view.matrix(*WIDE), 19.5, 11.5) == pytest.approx([19.5, 11.5])


def test_tilt_has_perspective():
    """10 pixels above the center, tilted by 60 degrees, seen from 40 pixels away: 5 up, 8.66 farther away."""
    x, y = point(View(tilt_x=60).matrix(*WIDE), 24.5, 1.5)
    assert [x - 19.5, y - 11.5] == pytest.approx([5 * 40 / (40 + 8.660254), -5 * 40 / (40 + 8.660254)])


def test_extreme_tilts_give_finite_images():
    tilt = View(tilt_x=70, tilt_y=50, zoom=0.3).matrix(*WIDE)
    total = torch.eye(3, dtype=torch.float64)
    for _ in range(9):
        total = tilt @ total
        flow = matrix_flow(total, *WIDE)
        assert flow.isfinite().all()
        for border in ("replicate", "reflect", "wrap"):
            assert warp(torch.rand(3, *WIDE), flow, "bicubic", border).isfinite().all()
            assert render_still(torch.rand(3, 30, 30), total, *WIDE, border=border).isfinite().all()


def test_too_far_a_zoom_is_an_error():
    matrix = View(zoom=1e-300).matrix(*WIDE)
    with pytest.raises(StreamfxError, match="zoomed or tilted too far"):
        matrix_flow(matrix @ matrix, *WIDE)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"zoom": 0.0}, "zoom is 0"), ({"zoom": float("nan")}, "zoom is nan"), ({"tilt_x": 90.0}, "tilt_x is 90")],
)
def test_invalid_views_are_refused(settings, reason):
    with pytest.raises(StreamfxError, match=reason):
        View(**settings)


def test_still_of_equal_size_is_warped():
    still, matrix = torch.rand(3, *WIDE), View(zoom=1.2, angle=10).matrix(*WIDE)
    expected = warp(still, matrix_flow(matrix, *WIDE), "bicubic", "reflect")
    torch.testing.assert_close(render_still(still, matrix, *WIDE), expected)


@pytest.mark.parametrize("border", ["replicate", "reflect", "wrap"])
def test_still_of_another_size_is_sampled_like_warp(border):
    """The output is a column narrower than the still, so its view is shifted by half a pixel."""
    still = smooth(26, 42)
    turn = View(angle=10, shift_x=2).matrix(26, 42)
    matrix = fit_matrix(26, 42, 26, 41) @ turn  # one column less: half a pixel is cropped on each side
    result = render_still(still, matrix @ torch.linalg.inv(fit_matrix(26, 42, 26, 41)), 26, 41, border=border)
    shift = torch.tensor([[1, 0, -0.5], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    expected = warp(still, matrix_flow(shift @ turn, 26, 42), "bicubic", border)[..., :41]
    assert (result - expected).abs().max() < 0.02  # OpenCV has a precision of 1/32 pixel


def test_still_fills_the_frame_and_is_cropped():
    fit = fit_matrix(100, 100, 50, 100)
    assert point(fit, 49.5, 49.5) == pytest.approx([49.5, 24.5])
    still = torch.arange(100.0)[None, :, None].expand(1, 100, 100) / 100
    result = render_still(still, View().matrix(50, 100), 50, 100)
    torch.testing.assert_close(result, still[:, 25:75], atol=1e-5, rtol=0)
    tall = render_still(still, View().matrix(100, 50), 100, 50)
    torch.testing.assert_close(tall, still[:, :, 25:75], atol=1e-5, rtol=0)


def test_small_stills_are_enlarged_and_large_ones_averaged():
    small = render_still(smooth(12, 20), View().matrix(*WIDE), *WIDE)
    assert small.shape == (3, 24, 40)
    stripes = torch.zeros(1, 96, 160)
    stripes[..., ::2] = 1  # too fine for a quarter of the size
    result = render_still(stripes, View().matrix(*WIDE), *WIDE)
    torch.testing.assert_close(result, torch.full((1, 24, 40), 0.5))
    large = smooth(24, 40).repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.testing.assert_close(render_still(large, View().matrix(*WIDE), *WIDE), smooth(24, 40), atol=1e-5, rtol=0)


def test_still_at_extreme_zoom_out_is_its_mean():
    still = torch.rand(1, 16, 16)
    result = render_still(still, View(zoom=1e-5).matrix(16, 16), 16, 16)
    torch.testing.assert_close(result, still.mean().expand(1, 16, 16))

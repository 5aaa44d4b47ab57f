"""The painter: any size, range, prior, and files that hold one."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.nets.painter import Painter, load_painter, save_painter
from streamfx.nets.weights import load_weights, save_weights


@pytest.fixture
def painter():
    torch.manual_seed(1)
    return Painter(channels=8, wide=12, blocks=2, fine=8).eval()


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (2, 2), (3, 5), (4, 4), (9, 8), (33, 47), (64, 64)])
def test_any_size_comes_out_as_it_went_in(painter, size):
    painted = painter(torch.rand(2, 3, *size))
    assert painted.shape == (2, 3, *size)
    assert painted.isfinite().all()
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_no_prior_equals_a_prior_of_zeros(painter):
    frame = torch.rand(1, 3, 30, 41)
    torch.testing.assert_close(painter(frame), painter(frame, torch.zeros(1, 4, 30, 41)))


def test_a_prior_is_seen(painter):
    frame = torch.rand(1, 3, 32, 32)
    assert not torch.allclose(painter(frame), painter(frame, torch.rand(1, 4, 32, 32)))


def test_painting_twice_is_the_same(painter):
    frame = torch.rand(1, 3, 32, 32)
    assert torch.equal(painter(frame), painter(frame))


def test_the_canvas_is_noise_without_pattern(painter):
    canvas = painter.canvas
    assert abs(canvas.mean()) < 0.02
    assert abs(canvas.std() - 3**-0.5) < 0.02  # uniform in -1..1
    for shift in ((0, 1), (1, 0), (1, 1), (0, 16)):
        assert abs((canvas * canvas.roll(shift, (-2, -1))).mean()) < 0.02


def test_a_new_painter_has_no_checkerboard(painter):
    """ICNR: what the sub-pixel convolution gives is constant within 2x2."""
    fine = torch.nn.functional.pixel_shuffle(painter.out(torch.rand(1, 8, 6, 6)), 2)
    blocks = torch.nn.functional.pixel_unshuffle(fine, 2).view(1, 3, 4, 6, 6)
    torch.testing.assert_close(blocks, blocks[:, :, :1].expand_as(blocks))


def test_saved_and_loaded_paints_the_same(painter, tmp_path):
    file = tmp_path / "p.safetensors"
    save_painter(file, painter)
    loaded = load_painter(file)
    assert loaded.sizes == painter.sizes
    assert not any(p.requires_grad for p in loaded.parameters())
    frame = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(loaded(frame), painter(frame), atol=5e-3, rtol=0)
    parameters = sum(p.numel() for p in painter.parameters())
    assert file.stat().st_size < 2 * parameters + 6000  # half precision


def test_a_file_of_other_sizes_is_refused(painter, tmp_path):
    file = tmp_path / "p.safetensors"
    save_weights(file, painter, "painter", {**painter.sizes, "channels": 16})
    with pytest.raises(StreamfxError, match="do not fit"):
        load_painter(file)
    save_weights(file, painter, "painter", {"girth": 3})
    with pytest.raises(StreamfxError, match="another painter"):
        load_painter(file)
    assert load_weights(file, "painter")[1] == {"girth": 3}

"""The way back, written out, is torch's: operation by operation, and for whole networks through the engine."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from streamfx.deepdream import gradient_export
from streamfx.deepdream.gradient_export import Backward, Unwritten


class Climb(nn.Module):
    """Picture -> the gradient of the sum of what a network gives, each place with a share of its own."""

    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, image):
        with torch.enable_grad():
            pixels = image.detach().requires_grad_()
            seen = self.network(pixels)
            shares = torch.linspace(-1, 1, seen.numel()).view(seen.shape).sin()
            (slope,) = torch.autograd.grad(seen, pixels, shares)
        return slope


def picture(*shape):
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(gradient_export, "LOW", torch.float32)
    torch.manual_seed(3)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("size", [(24, 33), (17, 20)])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, padding=1),
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 6, 1, padding=1),
        nn.Conv2d(4, 6, 1, stride=2),
        nn.Conv2d(4, 6, (1, 7), padding=(0, 3)),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2),
        nn.Conv2d(4, 6, 3, stride=2, dilation=2),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.Conv2d(4, 6, 7, stride=2, padding=3),
        nn.Conv2d(4, 6, 5, stride=3, padding=1),
        nn.Conv2d(4, 6, 3, stride=(1, 2)),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 5, stride=2, padding=2, groups=4),
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.ReLU6(),
        nn.MaxPool2d(2, 2),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(3, 1, 1),
        nn.MaxPool2d(5, 2, 2),
        nn.AvgPool2d(3, 1, 1),
        nn.LocalResponseNorm(5, 2.0),
    ],
    ids=str,
)
def test_each_operation_goes_back_as_torch_has_it(layer, size):
    climb, given = Climb(layer), picture(4, *size)
    torch.testing.assert_close(Backward(climb, torch.zeros_like(given))(given), climb(given), atol=1e-4, rtol=1e-4)


class Branches(nn.Module):
    """What joins and parts, as in Inception and in residual blocks."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.last = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(9, 3, 1)

    def forward(self, x):
        return F.relu(self.last(torch.cat([self.one(x).relu(), F.max_pool2d(self.other(x), 3, 1, 1)], 1))) + 2 * x


@pytest.mark.usefixtures("exact")
def test_branches_are_added_up():
    climb, given = Climb(Branches()), picture(3, 20, 24)
    torch.testing.assert_close(Backward(climb, torch.zeros_like(given))(given), climb(given), atol=1e-4, rtol=1e-4)


def test_the_way_back_alone_is_short_of_precision():
    torch.manual_seed(3)
    climb, given = (
        Climb(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1))),
        picture(3, 32, 32),
    )
    made, expected = Backward(climb, torch.zeros_like(given))(given), climb(given)
    assert made.dtype == torch.float32
    assert not torch.equal(made, expected)
    assert F.cosine_similarity(made.flatten(), expected.flatten(), 0) > 0.9999


@pytest.mark.parametrize(
    "layer", [nn.SiLU(), nn.ConvTranspose2d(3, 3, 2), nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(2)], ids=str
)
def test_what_is_not_known_is_told(layer):
    with pytest.raises(Unwritten):
        Backward(Climb(layer), picture(3, 16, 16))(picture(3, 16, 16))

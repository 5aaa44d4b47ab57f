"""Exported gradients match those of torch, for single operations and for a small network."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from streamfx.deepdream import gradient_export
from streamfx.deepdream.gradient_export import ExportedGradient, UnsupportedGradient


class GradientOf(nn.Module):
    """Image -> gradient of a weighted sum of the network's output; weights vary by position."""

    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, image):
        with torch.enable_grad():
            pixels = image.detach().requires_grad_()
            output = self.network(pixels)
            weights = torch.linspace(-1, 1, output.numel()).view(output.shape).sin()
            (gradient,) = torch.autograd.grad(output, pixels, weights)
        return gradient


def image_of(*shape):
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
def test_operations_have_the_gradient_of_torch(layer, size):
    gradient, image = GradientOf(layer), image_of(4, *size)
    torch.testing.assert_close(
        ExportedGradient(gradient, torch.zeros_like(image))(image), gradient(image), atol=1e-4, rtol=1e-4
    )


class Branches(nn.Module):
    """Concatenated branches and a skip connection, as in Inception and residual blocks."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.last = nn.Conv2d(3, 5, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(9, 3, 1)

    def forward(self, x):
        return F.relu(self.last(torch.cat([self.one(x).relu(), F.max_pool2d(self.other(x), 3, 1, 1)], 1))) + 2 * x


@pytest.mark.usefixtures("exact")
def test_gradients_of_branches_are_added():
    gradient, image = GradientOf(Branches()), image_of(3, 20, 24)
    torch.testing.assert_close(
        ExportedGradient(gradient, torch.zeros_like(image))(image), gradient(image), atol=1e-4, rtol=1e-4
    )


def test_backward_pass_has_reduced_precision():
    torch.manual_seed(3)
    gradient, image = (
        GradientOf(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, 1, 1))),
        image_of(3, 32, 32),
    )
    exported, expected = ExportedGradient(gradient, torch.zeros_like(image))(image), gradient(image)
    assert exported.dtype == torch.float32
    assert not torch.equal(exported, expected)
    assert F.cosine_similarity(exported.flatten(), expected.flatten(), 0) > 0.9999


@pytest.mark.parametrize(
    "layer", [nn.SiLU(), nn.ConvTranspose2d(3, 3, 2), nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(2)], ids=str
)
def test_unsupported_operations_are_refused(layer):
    with pytest.raises(UnsupportedGradient):
        ExportedGradient(GradientOf(layer), image_of(3, 16, 16))(image_of(3, 16, 16))

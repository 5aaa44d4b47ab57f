"""Fused batch norms: equal activations and gradients, and the cases in which a network stays as it is."""

import pytest
import timm
import torch
from torch import nn

from streamfx.deepdream.activations import LayerActivations
from streamfx.deepdream.fuse_batchnorm import fuse_batchnorm
from streamfx.deepdream.networks import build_layers
from streamfx.inference.efficientnet import Features


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def with_statistics(network):
    """The network with random statistics and affine parameters in its norms."""
    for norm in norms(network):
        nn.init.normal_(norm.running_mean, std=0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    return network


def layers_of(network, *layers):
    return LayerActivations(with_statistics(network), layers, (0.5,) * 3, (0.3,) * 3)


def gradient(network, layer):
    image = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1)).requires_grad_()
    network(image)[layer].square().mean().backward()
    return image.grad


def test_fused_batchnorm_gives_the_same_activations():
    image = torch.rand(1, 3, 64, 80)
    plain, fused = Features(["block3", "block10"]), build_layers("lite0", ["block3", "block10"])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    for name, expected in plain(image).items():
        torch.testing.assert_close(fused(image)[name], expected, atol=1e-3, rtol=1e-3)


def test_requested_or_misplaced_norms_are_not_fused():
    class Odd(nn.Module):
        """The norm is registered after the convolution, but runs before it."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.norm.running_mean += 1

        def forward(self, x):
            return self.conv(self.norm(x))

    image = torch.rand(1, 3, 32, 32)
    odd = LayerActivations(Odd(), ["conv"], (0, 0, 0), (1, 1, 1))
    torch.testing.assert_close(fuse_batchnorm(odd)(image)["conv"], odd(image)["conv"])
    odd = LayerActivations(Odd(), [""], (0, 0, 0), (1, 1, 1))
    torch.testing.assert_close(fuse_batchnorm(odd)(image)[""], odd(image)[""])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("affine", [False, True])
def test_convolutions_of_all_kinds(bias, groups, affine):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=bias),
        nn.BatchNorm2d(8, eps=0.01),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 3, stride=2, groups=groups, bias=bias),
        nn.BatchNorm2d(4),
    )
    if not affine:
        network[4] = nn.BatchNorm2d(4, affine=False)
        nn.init.uniform_(network[4].running_var, 0.5, 2)
        network[1] = with_statistics(network[1])
        layers = LayerActivations(network, ["2", "4"], (0.5,) * 3, (0.3,) * 3)
    else:
        layers = layers_of(network, "2", "4")
    fused = fuse_batchnorm(layers)
    assert norms(fused) == []
    image = torch.rand(2, 3, 20, 24)
    for name, expected in layers(image).items():
        torch.testing.assert_close(fused(image)[name], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradient(fused, "4"), gradient(layers, "4"), atol=1e-6, rtol=1e-3)


def test_norms_with_an_activation_keep_it():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), timm.layers.BatchNormAct2d(6, act_layer=nn.SiLU))
    layers = layers_of(network, "1")
    fused = fuse_batchnorm(layers)
    assert [type(module) for module in fused.network] == [nn.Conv2d, nn.SiLU]
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(fused(image)["1"], layers(image)["1"], atol=1e-5, rtol=1e-4)


def test_the_given_network_is_not_changed():
    layers = layers_of(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), "1")
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    fused = fuse_batchnorm(layers)
    assert fused is not layers
    assert len(norms(layers)) == 1
    assert all(torch.equal(before[name], value) for name, value in layers.state_dict().items())
    assert not any(parameter.requires_grad for parameter in fused.parameters())


def test_convolutions_whose_output_is_returned_are_not_fused():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    layers = layers_of(network, "0", "3")
    fused = fuse_batchnorm(layers)
    assert [type(module) for module in fused.network] == [nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.Identity]
    image = torch.rand(1, 3, 8, 8)
    for name, expected in layers(image).items():
        torch.testing.assert_close(fused(image)[name], expected, atol=1e-5, rtol=1e-4)


def test_a_network_that_would_change_is_returned_itself():
    """The norm follows the convolution in the list of modules, but not in the computation."""

    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.conv(x) + self.norm(x)

    layers = layers_of(Parallel(), "")
    assert fuse_batchnorm(layers) is layers

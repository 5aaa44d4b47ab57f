"""Activations of named modules: which modules run, normalization, and removed hooks."""

import pytest
import torch
from torch import nn

from streamfx.deepdream.activations import LayerActivations, record_activations
from streamfx.errors import StreamfxError

PLAIN = {"mean": (0, 0, 0), "deviation": (1, 1, 1)}


class Branches(nn.Module):
    """Its modules run in another order than they are registered in; one returns a tuple."""

    def __init__(self):
        super().__init__()
        self.last, self.first, self.pair = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 1), Pair()

    def forward(self, x):
        x, _ = self.pair(self.first(x))
        return self.last(x)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 1))


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


def test_network_stops_after_the_deepest_layer():
    ran = []

    class Recording(nn.Conv2d):
        def forward(self, x):
            ran.append(self)
            return super().forward(x)

    network = nn.Sequential(Recording(3, 4, 1), nn.ReLU(inplace=True), Recording(4, 5, 1), Recording(5, 6, 1))
    activations = LayerActivations(network, ["2", "0"], (0.5,) * 3, (0.5,) * 3)(torch.rand(1, 3, 8, 8))
    assert list(activations) == ["2", "0"]
    assert len(ran) == 2
    assert activations["0"].min() < 0  # the in-place ReLU did not overwrite it


def test_images_are_normalized(network):
    image = torch.rand(2, 3, 6, 7)
    mean, deviation = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    (activation,) = LayerActivations(network, ["0"], mean, deviation)(image).values()
    expected = network[0]((image - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1))
    torch.testing.assert_close(activation, expected)


def test_layers_may_be_requested_twice_and_in_any_order(network):
    activations = LayerActivations(network, ["2", "0", "2"], **PLAIN)(torch.rand(1, 3, 4, 4))
    assert {name: value.shape[1] for name, value in activations.items()} == {"2": 5, "0": 4}


def test_the_whole_network_is_a_layer(network):
    image = torch.rand(1, 3, 4, 4)
    activations = LayerActivations(network, [""], **PLAIN)(image)
    torch.testing.assert_close(activations[""], network(image))


def test_networks_are_frozen_for_evaluation():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    layers = LayerActivations(network.train(), ["1"], **PLAIN)
    before = network[1].running_mean.clone()
    image = torch.rand(1, 3, 4, 4, requires_grad=True)
    layers(image)["1"].sum().backward()
    assert torch.equal(network[1].running_mean, before)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert image.grad.abs().sum() > 0


def test_unknown_layers_are_errors(network):
    with pytest.raises(StreamfxError, match="unknown layer '3'"):
        LayerActivations(network, ["0", "3"], **PLAIN)


def test_hooks_are_removed_even_after_an_error(network):
    modules = dict(network.named_children())
    record_activations(network, modules, {}, 1)(torch.rand(1, 3, 4, 4))
    assert hooks(network) == 0
    with pytest.raises(RuntimeError, match="channels"):
        record_activations(network, modules, {}, 1)(torch.rand(1, 7, 4, 4))
    assert hooks(network) == 0


def test_recording_follows_the_execution_and_skips_other_outputs():
    network, activations = Branches(), {}
    record_activations(network, dict(network.named_children()), activations, None)(torch.rand(1, 3, 4, 4))
    assert list(activations) == ["first", "last"]
    assert hooks(network) == 0


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_recording_stops_after_the_limit(limit, network):
    activations = {}
    record_activations(network, dict(network.named_children()), activations, limit)(torch.rand(1, 3, 4, 4))
    assert list(activations) == ["0", "1", "2"][:limit]


def test_modules_that_run_twice_keep_their_first_output():
    conv = nn.Conv2d(3, 3, 1)
    activations, image = {}, torch.rand(1, 3, 4, 4)
    record_activations(nn.Sequential(conv, conv), {"conv": conv}, activations, None)(image)
    torch.testing.assert_close(activations["conv"], conv(image))

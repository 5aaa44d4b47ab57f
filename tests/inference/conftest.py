"""A small network, and an empty cache of compiled networks."""

import pytest
import torch
from torch import nn

from streamfx.styletransfer.network import Sizes, StyleNetwork

SIZES = Sizes(16, 24, 24, encoder4=1, encoder8=1, bottleneck=1, decoder8=1, decoder4=1)


class OneInput(nn.Module):
    """A small style network that takes the frame alone."""

    def __init__(self):
        super().__init__()
        self.network = StyleNetwork(SIZES)
        nn.init.normal_(self.network.style, std=0.3)

    def forward(self, frame):
        return self.network(frame, self.network.style[:1])


@pytest.fixture(scope="session")
def new_module():
    """new_module(seed): a network from an image [1, 3, H, W] to another, with random weights."""

    def new_module(seed=2):
        torch.manual_seed(seed)
        return OneInput().eval().requires_grad_(False)

    return new_module


@pytest.fixture
def module(new_module):
    return new_module()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of compiled networks, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "streamfx" / "engines"

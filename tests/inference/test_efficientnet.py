"""EfficientNet-Lite: layers, trained weights, gradients."""

import pytest
import torch
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.inference.efficientnet import NETWORKS, Features


def test_layers_have_the_requested_order_and_their_strides():
    activations = Features(["block5", "stem", "block1"])(torch.rand(1, 3, 64, 96))
    assert {name: tuple(x.shape) for name, x in activations.items()} == {
        "block5": (1, 80, 4, 6),
        "stem": (1, 32, 32, 48),
        "block1": (1, 24, 16, 24),
    }
    assert list(activations) == ["block5", "stem", "block1"]


def test_later_stages_are_dropped():
    assert len(Features(["block1"]).stages) == 3
    assert len(Features([NETWORKS["lite0"][-1]]).stages) == 17
    assert len(Features([NETWORKS["lite1"][-1]], "lite1").stages) == 22


def test_strides_of_lite1():
    layers = ["block1", "block4", "block7", "block15"]
    activations = Features(layers, "lite1")(torch.rand(1, 3, 64, 64))
    assert [activations[layer].shape[-1] for layer in layers] == [16, 8, 4, 2]


@pytest.mark.parametrize(("network", "layer"), [("lite0", "block15"), ("lite1", "block20")])
def test_weights_are_trained_and_in_order(network, layer):
    """At a deep layer, a photo of a cat is much closer to its mirror image than to a photo of a cup."""
    cat = torch.from_numpy(data.chelsea()[:224, 100:324].copy()).permute(2, 0, 1)[None] / 255
    cup = torch.from_numpy(data.coffee()[50:274, 150:374].copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        features = Features([layer], network)(torch.cat([cat, cat.flip(-1), cup]))[layer].mean((2, 3))
    same = torch.cosine_similarity(features[0], features[1], dim=0)
    other = torch.cosine_similarity(features[0], features[2], dim=0)
    assert same > other + 0.3


def test_gradients_reach_the_image_but_not_the_weights():
    features = Features(["block3"])
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    features(image)["block3"].square().mean().backward()
    assert image.grad.abs().max() > 0
    assert not any(p.requires_grad for p in features.parameters())


def test_unknown_names_are_refused():
    with pytest.raises(StreamfxError, match=r"did you mean .*block1"):
        Features(["blok1"])
    with pytest.raises(StreamfxError, match="did you mean lite1 or lite0"):
        Features(["stem"], network="lite9")

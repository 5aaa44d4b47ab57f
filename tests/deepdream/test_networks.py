"""The networks to dream with: their layers, the choice among them, and weights from files."""

from dataclasses import replace

import pytest
import torch
from graphs import small_inception
from torch import nn

from streamfx.deepdream import networks
from streamfx.deepdream.activations import Watched
from streamfx.deepdream.fuse_batchnorm import fold_norms
from streamfx.deepdream.networks import (
    NETWORKS,
    build_layers,
    choose_network,
    find_network,
    list_layers,
    main_layers,
)
from streamfx.errors import StreamfxError
from streamfx.inference.efficientnet import Features


@pytest.fixture
def away(monkeypatch, tmp_path):
    """A cache of downloads with nothing in it."""
    monkeypatch.setattr("streamfx.inference.downloads.user_cache_dir", lambda *_, **__: str(tmp_path))
    return tmp_path / "weights"


@pytest.fixture
def inception_here(away):
    """The 2015 network in the cache, a tenth as wide."""
    away.mkdir(parents=True)
    return small_inception().write(away / "tensorflow_inception_graph.pb")


@pytest.mark.parametrize("name", NETWORKS)
def test_defaults_are_layers(name, away):
    assert NETWORKS[name].default in [layer.name for layer in list_layers(name)]
    assert set(main_layers(name)) <= {layer.name for layer in list_layers(name)}


def test_layers_tell_channels_and_stride():
    layers = {layer.name: layer for layer in list_layers("lite0")}
    assert list(layers)[:2] == ["stem", "block0"]
    assert (layers["block10"].channels, layers["block10"].stride) == (112, 16)


def test_auto_takes_what_is_here(away):
    assert choose_network("auto", []).name == "lite0"
    assert choose_network("auto", ["block10", "stem"]).name == "lite0"
    assert choose_network("auto", ["block18"]).name == "lite1"
    with pytest.raises(StreamfxError, match=r"layer of inceptionv1, .*: streamfx models fetch inceptionv1"):
        choose_network("auto", ["mixed4c"])
    with pytest.raises(StreamfxError, match=r"layer of googlenet, .*: streamfx models fetch googlenet"):
        choose_network("auto", ["inception4c"])


def test_auto_takes_the_network_of_2015_when_it_is_here(inception_here):
    assert choose_network("auto", []).name == "inceptionv1"
    assert choose_network("auto", ["mixed4a_3x3_bottleneck_pre_relu"]).name == "inceptionv1"
    assert choose_network("auto", ["block10"]).name == "lite0"


@pytest.mark.parametrize(
    ("model", "layers", "words"),
    [
        ("auto", ["blok10"], "unknown layer 'blok10'; did you mean block10"),
        ("auto", ["block10", "mixed4c"], "no network has all of these layers: block10, mixed4c"),
        ("lite0", ["block16"], "unknown layer of lite0 'block16'; did you mean"),
        ("lite9", [], "unknown model 'lite9'; did you mean lite"),
        ("timm:resnett18", [], "unknown model of timm 'resnett18'; did you mean resnet18"),
        ("timm:vit_tiny_patch16_224", ["norm"], "cannot look at pictures of any size"),
    ],
)
def test_what_there_is_not(model, layers, words, away):
    with pytest.raises(StreamfxError) as error:
        choose_network(model, layers)
    assert words in str(error.value)


def test_lite0_is_the_same_with_its_norms_folded():
    picture = torch.rand(1, 3, 64, 80)
    plain, folded = Features(["block3", "block10"]), build_layers("lite0", ["block3", "block10"])
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for name, expected in plain(picture).items():
        torch.testing.assert_close(folded(picture)[name], expected, atol=1e-3, rtol=1e-3)


def test_norms_that_are_seen_or_stand_elsewhere_are_not_folded():
    class Odd(nn.Module):
        """Its norm is registered behind the convolution, but works in front of it."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.norm.running_mean += 1

        def forward(self, x):
            return self.conv(self.norm(x))

    picture = torch.rand(1, 3, 32, 32)
    odd = Watched(Odd(), ["conv"], (0, 0, 0), (1, 1, 1))
    torch.testing.assert_close(fold_norms(odd)(picture)["conv"], odd(picture)["conv"])
    odd = Watched(Odd(), [""], (0, 0, 0), (1, 1, 1))
    torch.testing.assert_close(fold_norms(odd)(picture)[""], odd(picture)[""])


def test_a_watched_network_stops_at_the_deepest_layer_asked_for():
    ran = []

    class Loud(nn.Conv2d):
        def forward(self, x):
            ran.append(self)
            return super().forward(x)

    network = nn.Sequential(Loud(3, 4, 1), nn.ReLU(inplace=True), Loud(4, 5, 1), Loud(5, 6, 1))
    seen = Watched(network, ["2", "0"], (0.5,) * 3, (0.5,) * 3)(torch.rand(1, 3, 8, 8))
    assert list(seen) == ["2", "0"]
    assert len(ran) == 2
    assert seen["0"].min() < 0  # the ReLU behind it did not write into it


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_s_weights_come_from_a_file_of_its_format(name, tmp_path, away):
    import torchvision.models as models

    make = {"googlenet": models.googlenet, "inception_v3": models.inception_v3}[name]
    network = make(weights=None, aux_logits=True, init_weights=False, transform_input=True).eval()
    file = tmp_path / "net.pth"
    torch.save(network.state_dict(), file)
    layer = NETWORKS[name].default
    picture = torch.rand(1, 3, 96, 112)
    looked = build_layers(name, [layer], str(file))
    (found,) = looked(picture).values()
    kept = []
    dict(network.named_modules())[layer].register_forward_hook(lambda module, given, output: kept.append(output))
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in networks._IMAGENET)
    network((picture - mean) / deviation)  # as torchvision wants it, which scales it once more
    torch.testing.assert_close(found, kept[0], atol=1e-3, rtol=1e-2)


def test_timm_s_weights_from_a_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    network = timm.create_model("resnet10t", pretrained=False)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    (found,) = build_layers("timm:resnet10t", ["layer2"], str(tmp_path / "net.safetensors"))(
        torch.rand(1, 3, 64, 64)
    ).values()
    assert found.shape == (1, 128, 8, 8)
    assert "layer2" in [layer.name for layer in list_layers("timm:resnet10t")]
    assert find_network("timm:resnet10t").licence


def test_weights_that_are_not_there_or_of_another_network(tmp_path, away):
    with pytest.raises(StreamfxError, match="weights of vgg19 are not here: streamfx models fetch vgg19"):
        build_layers("vgg19", ["features.2"])
    with pytest.raises(StreamfxError, match="has its weights with it"):
        build_layers("lite0", ["stem"], "x.pth")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(StreamfxError, match="does not hold weights of this network: 'conv1"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "x.pth"))
    (tmp_path / "y.pth").write_bytes(b"no weights")
    with pytest.raises(StreamfxError, match="does not hold weights of this network"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "y.pth"))
    with pytest.raises(StreamfxError, match="are missing"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "z.pth"))


def test_what_is_fetched_can_be_used(away, tmp_path, monkeypatch):
    """The archive of 2015, from a url of this machine."""
    import hashlib
    import zipfile

    archive = tmp_path / "inception5h.zip"
    graph = small_inception().write(tmp_path / "graph.pb")
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(graph, "tensorflow_inception_graph.pb")
    known = NETWORKS["inceptionv1"]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    here = replace(known, download=replace(known.download, url=archive.as_uri(), sha256=digest))
    monkeypatch.setitem(NETWORKS, "inceptionv1", here)
    networks.fetch_network("inceptionv1")
    assert here.cached
    assert {layer.name: layer.channels for layer in list_layers("inceptionv1")}["mixed4a"] == 21
    assert build_layers("inceptionv1", ["mixed4a"])(torch.rand(1, 3, 64, 64))["mixed4a"].shape == (1, 21, 8, 8)

"""DeepDream networks: layers, selection, and weights from files."""

from dataclasses import replace

import pytest
import torch
from graphs import small_inception

from streamfx.deepdream import networks
from streamfx.deepdream.networks import (
    NETWORKS,
    build_layers,
    choose_network,
    find_network,
    list_layers,
    main_layers,
)
from streamfx.errors import StreamfxError


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """An empty download cache."""
    monkeypatch.setattr("streamfx.inference.downloads.cache_folder", lambda: tmp_path)
    return tmp_path / "weights"


@pytest.fixture
def cached_inception(empty_cache):
    """InceptionV1 in the cache, at a tenth of its width."""
    empty_cache.mkdir(parents=True)
    return small_inception().write(empty_cache / "tensorflow_inception_graph.pb")


@pytest.mark.parametrize("name", NETWORKS)
def test_default_layers_exist(name, empty_cache):
    assert NETWORKS[name].default in [layer.name for layer in list_layers(name)]
    assert set(main_layers(name)) <= {layer.name for layer in list_layers(name)}


def test_channels_and_stride_of_layers():
    layers = {layer.name: layer for layer in list_layers("lite0")}
    assert list(layers)[:2] == ["stem", "block0"]
    assert (layers["block10"].channels, layers["block10"].stride) == (112, 16)


def test_auto_selects_a_cached_network(empty_cache):
    assert choose_network("auto", []).name == "lite0"
    assert choose_network("auto", ["block10", "stem"]).name == "lite0"
    assert choose_network("auto", ["block18"]).name == "lite1"
    with pytest.raises(StreamfxError, match=r"layer of inceptionv1, .*; run 'streamfx models fetch inceptionv1'"):
        choose_network("auto", ["mixed4c"])
    with pytest.raises(StreamfxError, match=r"layer of googlenet, .*; run 'streamfx models fetch googlenet'"):
        choose_network("auto", ["inception4c"])


def test_auto_prefers_inception_if_cached(cached_inception):
    assert choose_network("auto", []).name == "inceptionv1"
    assert choose_network("auto", ["mixed4a_3x3_bottleneck_pre_relu"]).name == "inceptionv1"
    assert choose_network("auto", ["block10"]).name == "lite0"


@pytest.mark.parametrize(
    ("model", "layers", "words"),
    [
        ("auto", ["blok10"], "unknown layer 'blok10'; did you mean block10"),
        ("auto", ["block10", "mixed4c"], "no network has all of the layers block10, mixed4c"),
        ("lite0", ["block16"], "unknown layer of lite0 'block16'; did you mean"),
        ("lite9", [], "unknown model 'lite9'; did you mean lite"),
        ("timm:resnett18", [], "unknown timm model 'resnett18'; did you mean resnet18"),
        ("timm:vit_tiny_patch16_224", ["norm"], "does not accept images of any size"),
    ],
)
def test_unknown_models_and_layers_are_refused(model, layers, words, empty_cache):
    with pytest.raises(StreamfxError) as error:
        choose_network(model, layers)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_weights_from_a_torchvision_file(name, tmp_path, empty_cache):
    import torchvision.models as models

    make = {"googlenet": models.googlenet, "inception_v3": models.inception_v3}[name]
    network = make(weights=None, aux_logits=True, init_weights=False, transform_input=True).eval()
    file = tmp_path / "net.pth"
    torch.save(network.state_dict(), file)
    layer = NETWORKS[name].default
    image = torch.rand(1, 3, 96, 112)
    (activation,) = build_layers(name, [layer], str(file))(image).values()
    outputs = []
    dict(network.named_modules())[layer].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in networks._IMAGENET)
    network((image - mean) / deviation)  # torchvision normalizes once more
    torch.testing.assert_close(activation, outputs[0], atol=1e-3, rtol=1e-2)


def test_timm_weights_from_a_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    network = timm.create_model("resnet10t", pretrained=False)
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    (activation,) = build_layers("timm:resnet10t", ["layer2"], str(tmp_path / "net.safetensors"))(
        torch.rand(1, 3, 64, 64)
    ).values()
    assert activation.shape == (1, 128, 8, 8)
    assert "layer2" in [layer.name for layer in list_layers("timm:resnet10t")]
    assert find_network("timm:resnet10t").license


def test_missing_or_wrong_weights_are_refused(tmp_path, empty_cache):
    with pytest.raises(StreamfxError, match="weights of vgg19 not found; run 'streamfx models fetch vgg19'"):
        build_layers("vgg19", ["features.2"])
    with pytest.raises(StreamfxError, match="has built-in weights"):
        build_layers("lite0", ["stem"], "x.pth")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(StreamfxError, match="does not contain weights of this network: 'conv1"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "x.pth"))
    (tmp_path / "y.pth").write_bytes(b"no weights")
    with pytest.raises(StreamfxError, match="does not contain weights of this network"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "y.pth"))
    with pytest.raises(StreamfxError, match="weights file not found"):
        build_layers("googlenet", ["conv1"], str(tmp_path / "z.pth"))


def test_downloaded_network_can_be_used(empty_cache, tmp_path, monkeypatch):
    """The 2015 archive, from a file URL."""
    import hashlib
    import zipfile

    archive = tmp_path / "inception5h.zip"
    graph = small_inception().write(tmp_path / "graph.pb")
    with zipfile.ZipFile(archive, "w") as writer:
        writer.write(graph, "tensorflow_inception_graph.pb")
    network = NETWORKS["inceptionv1"]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    local = replace(network, download=replace(network.download, url=archive.as_uri(), sha256=digest))
    monkeypatch.setitem(NETWORKS, "inceptionv1", local)
    networks.fetch_network("inceptionv1")
    assert local.cached
    assert {layer.name: layer.channels for layer in list_layers("inceptionv1")}["mixed4a"] == 21
    assert build_layers("inceptionv1", ["mixed4a"])(torch.rand(1, 3, 64, 64))["mixed4a"].shape == (1, 21, 8, 8)

"""The DeepDream networks: descriptions, sources of the weights, and activations at named layers."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from streamfx.deepdream.activations import LayerActivations, record_activations
from streamfx.deepdream.fuse_batchnorm import fuse_batchnorm
from streamfx.errors import StreamfxError, unknown
from streamfx.inference.downloads import Download, Report, fetch
from streamfx.inference.efficientnet import NETWORKS as LITES
from streamfx.inference.efficientnet import Features
from streamfx.inference.weights import check_shapes

_TORCHVISION = "https://download.pytorch.org/models/"
_INCEPTION5H = "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip"
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation, RGB 0..1
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_LISTING_SIZE = 224  # pixels, width of the image whose activations determine channels and strides
_TIMM = "timm:"
_MAX_VALUES = 1 << 30  # in a weights file; vgg19 has 144 million


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose activations an objective can use."""

    name: str
    channels: int | None  # None: unknown until the weights are downloaded
    stride: int | None  # image pixels per pixel of the layer


@dataclass(frozen=True, slots=True)
class Network:
    """Description of a network; needs no weights."""

    name: str
    about: str
    license: str
    default: str  # default layer
    size: int  # bytes of the weights
    download: Download | None = None  # None: weights are installed with the package, or timm downloads them

    @property
    def cached(self) -> bool:
        """Whether the weights are on this machine."""
        if self.name.startswith(_TIMM):
            return _timm_file(self.name) is not None
        return self.download is None or self.download.cached


NETWORKS = {
    network.name: network
    for network in (
        Network(
            "inceptionv1",
            "original DeepDream graph, 2015",
            "Apache-2.0",
            "mixed4c",
            49_937_555,
            Download(
                _INCEPTION5H,
                "d13569f6a98159de37e92e9c8ec4dae8f674fbf475f69fe6199b514f756d4364",
                49_937_555,
                "tensorflow_inception_graph.pb",
            ),
        ),
        Network("lite0", "EfficientNet, installed", "Apache-2.0", "block10", 18_700_000),
        Network("lite1", "EfficientNet, installed", "Apache-2.0", "block13", 21_700_000),
        Network(
            "googlenet",
            "torchvision",
            "BSD-3-Clause",
            "inception4c",
            52_147_035,
            Download(f"{_TORCHVISION}googlenet-1378be20.pth", "1378be20", 52_147_035),
        ),
        Network(
            "inception_v3",
            "torchvision",
            "BSD-3-Clause",
            "Mixed_6b",
            108_949_747,
            Download(f"{_TORCHVISION}inception_v3_google-0cc3c7bd.pth", "0cc3c7bd", 108_949_747),
        ),
        Network(
            "vgg19",
            "torchvision",
            "BSD-3-Clause",
            "features.28",
            574_673_361,
            Download(f"{_TORCHVISION}vgg19-dcbb9e9d.pth", "dcbb9e9d", 574_673_361),
        ),
    )
}


def find_network(name: str) -> Network:
    """The network of this name; "timm:NAME" is any convolutional network of timm. Raises StreamfxError."""
    if name in NETWORKS:
        return NETWORKS[name]
    if not name.startswith(_TIMM):
        raise unknown("model", name, [*NETWORKS, "auto", "timm:NAME"])
    about = _timm_about(name)
    return Network(name, f"{name.removeprefix(_TIMM)} of timm", about.license or "unknown", "", 0)


def fetch_network(name: str, report: Report = lambda done, total: None) -> None:
    """Download the weights of a network if they are not on this machine. Raises StreamfxError."""
    network = find_network(name)
    if network.download is not None:
        fetch(network.download, report)
    elif name.startswith(_TIMM) and not network.cached:
        try:
            _timm_model(name, pretrained=True)
        except Exception as error:  # the hub client raises many types
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StreamfxError(
                f"timm cannot download '{name}' ({reason[:120]}); connect to the internet or give a file with --weights"
            ) from error


def list_layers(name: str) -> list[Layer]:
    """The layers of a network in order of execution; needs no weights."""
    if name == "inceptionv1":
        return _inception_layers()
    build = _builder(name)
    with torch.device("meta"):
        network = Features(LITES[name], name, trained=False) if name in LITES else build()
    activations: dict[str, Tensor] = {}
    image = torch.zeros(1, 3, _LISTING_SIZE + 32, _LISTING_SIZE, device="meta")
    if isinstance(network, Features):
        activations = network(image)
    else:
        try:
            record_activations(network, dict(network.named_modules()), activations, None)(image)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise StreamfxError(f"'{name}' does not accept images of any size; use a convolutional network") from error
    return [
        Layer(layer, x.shape[1], max(1, round(_LISTING_SIZE / x.shape[3])))
        for layer, x in activations.items()
        if layer and x.ndim == 4 and x.shape[3] > 1 and x.shape[2] > x.shape[3]
    ]


def choose_network(model: str, layers: Sequence[str]) -> Network:
    """The network called `model`, checked to have all `layers`.

    "auto" selects the first network on this machine that has them: inceptionv1 before lite0. Nothing is downloaded.
    Raises StreamfxError, with similar names for unknown layers.
    """
    if model != "auto":
        network = find_network(model)
        names = [layer.name for layer in list_layers(model)] if layers else []
        for layer in layers:
            if layer not in names:
                raise unknown(f"layer of {model}", layer, names)
        return network
    missing = None
    known: list[str] = []
    for network in NETWORKS.values():
        if not layers and network.cached:
            return network
        if layers:
            names = [layer.name for layer in list_layers(network.name)]
            known += names if network.cached or network.name == "inceptionv1" else []
            if set(layers) <= set(names):
                if network.cached:
                    return network
                missing = missing or network
    if missing is not None:
        raise StreamfxError(
            f"'{layers[0]}' is a layer of {missing.name}, whose weights are not on this machine; run 'streamfx models "
            f"fetch {missing.name}' or use a layer of lite0: stem, block0 .. block15"
        )
    unknown_layer = next((layer for layer in layers if layer not in known), None)
    if unknown_layer is None:
        raise StreamfxError(f"no network has all of the layers {', '.join(layers)}; see 'streamfx models layers NAME'")
    raise unknown("layer", unknown_layer, set(known))


def main_layers(name: str) -> list[str]:
    """The most useful layers of a network, for overviews."""
    names = [layer.name for layer in list_layers(name)]
    if name == "inceptionv1":
        return [layer for layer in names if re.fullmatch(r"conv2d\d|mixed\d[a-z]", layer)]
    top_level = [layer for layer in names if "." not in layer]
    return top_level if len(top_level) > 4 else names


def build_layers(name: str, layers: Sequence[str], weights: str = "") -> nn.Module:
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}; stops after the deepest of `layers`.

    `weights` is a file to load instead of the cached one. Parameters are frozen. Raises StreamfxError.
    """
    network = find_network(name)
    if weights and network.download is None and not name.startswith(_TIMM):
        raise StreamfxError(f"{name} has built-in weights; --weights works with {', '.join(_with_files())}, timm:NAME")
    if name in LITES:
        return fuse_batchnorm(Features(layers, name))
    path = Path(weights) if weights else _cached_weights(network)
    if name == "inceptionv1":
        from streamfx.deepdream.inception import load_inception

        return load_inception(path, layers)
    module = _builder(name)()
    _load(module, path)
    return fuse_batchnorm(LayerActivations(module, layers, *_normalization(name)))


def _inception_layers() -> list[Layer]:
    from streamfx.deepdream.graphdef import read_graph
    from streamfx.deepdream.inception import LAYERS, spatial_layers

    download = NETWORKS["inceptionv1"].download
    assert download is not None
    channels = spatial_layers(read_graph(download.path)) if download.cached else LAYERS
    return [Layer(layer, count, None) for layer, count in channels.items()]


def _builder(name: str) -> Callable[[], nn.Module]:
    """A function that builds the network with random weights."""
    if name.startswith(_TIMM):
        return lambda: _timm_model(name, pretrained=False)
    import torchvision.models as models  # type: ignore[import-untyped]

    makers: dict[str, Callable[[], nn.Module]] = {
        "googlenet": lambda: models.googlenet(weights=None, aux_logits=False, init_weights=False),
        "inception_v3": lambda: models.inception_v3(weights=None, aux_logits=False, init_weights=False),
        "vgg19": lambda: models.vgg19(weights=None, init_weights=False),
    }

    def build() -> nn.Module:
        return makers[name]().eval()

    return build


def _normalization(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation that a network expects its input to be normalized with."""
    if name.startswith(_TIMM):
        about = _timm_about(name)
        return about.mean, about.std
    return _IMAGENET if name == "vgg19" else _HALF


def _load(module: nn.Module, path: Path) -> None:
    """Load the weights file `path` into `module`; extra weights (auxiliary heads) are ignored."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                check_shapes(path, file, _MAX_VALUES)
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        else:
            _check_archive(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        missing, _ = module.load_state_dict(state, strict=False)
    except StreamfxError:
        raise
    except FileNotFoundError as error:
        raise StreamfxError(f"weights file not found: {path}") from error
    except Exception as error:  # damaged pickles, archives and tensors raise many types
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StreamfxError(f"{path} does not contain weights of this network ({reason[:120]})") from error
    if missing:
        raise StreamfxError(f"{path} does not contain weights of this network: '{missing[0]}' is missing")


def _check_archive(path: Path) -> None:
    """Raise StreamfxError for a zip bomb. torch.save does not compress, and torch.load reads everything."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > 2 * path.stat().st_size:
        raise StreamfxError(f"{path} unpacks to {size} bytes, too many for a weights file; download it again")


def _cached_weights(network: Network) -> Path:
    """The weights file on this machine. Raises StreamfxError that says how to download it."""
    path = _timm_file(network.name) if network.download is None else network.download.path
    if path is None or not path.is_file():
        raise StreamfxError(f"weights of {network.name} not found; run 'streamfx models fetch {network.name}'")
    return path


def _with_files() -> list[str]:
    return [name for name, network in NETWORKS.items() if network.download is not None]


def _timm_about(name: str) -> Any:
    import timm
    from timm.models import get_pretrained_cfg, list_models

    plain = name.removeprefix(_TIMM)
    if not timm.is_model(plain):
        raise unknown("timm model", plain, list_models())
    about = get_pretrained_cfg(plain)
    if about is None:
        raise StreamfxError(f"timm has no pretrained weights for '{plain}'")
    return about


def _timm_model(name: str, *, pretrained: bool) -> nn.Module:
    import timm

    _timm_about(name)
    model: nn.Module = timm.create_model(name.removeprefix(_TIMM), pretrained=pretrained).eval()
    return model


def _timm_file(name: str) -> Path | None:
    """The weights file of a timm model in the Hugging Face cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    hub = _timm_about(name).hf_hub_id
    for file in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(hub, file) if hub else None
        if isinstance(cached, str):
            return Path(cached)
    return None

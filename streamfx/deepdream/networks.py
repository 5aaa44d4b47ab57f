"""The networks to dream with: what each is, where its weights come from, and its activations at named layers."""

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

from streamfx.deepdream.activations import Watched, watch
from streamfx.deepdream.fuse_batchnorm import fold_norms
from streamfx.errors import StreamfxError, unknown
from streamfx.inference.downloads import Download, Report, fetch
from streamfx.inference.efficientnet import NETWORKS as LITES
from streamfx.inference.efficientnet import Features
from streamfx.inference.weights import check_shapes

_TORCHVISION = "https://download.pytorch.org/models/"
_INCEPTION5H = "https://storage.googleapis.com/download.tensorflow.org/models/inception5h.zip"
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation, RGB 0..1
_HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
_SEEN = 224  # pixels, the side of the picture by which layers are counted
_TIMM = "timm:"
_MOST = 1 << 30  # values in a file of weights; vgg19 has 144 million


@dataclass(frozen=True, slots=True)
class Layer:
    """A place in a network to dream at."""

    name: str
    channels: int | None  # None: not known before the weights are there
    stride: int | None  # pixels of the picture for one of the layer's


@dataclass(frozen=True, slots=True)
class Network:
    """What is known of a network without its weights."""

    name: str
    about: str
    licence: str
    default: str  # the layer to dream at where none is asked for
    size: int  # bytes of its weights
    download: Download | None = None  # None: the weights came with the installation, or timm fetches them

    @property
    def cached(self) -> bool:
        """Whether its weights are on this machine."""
        if self.name.startswith(_TIMM):
            return _timm_file(self.name) is not None
        return self.download is None or self.download.cached


NETWORKS = {
    each.name: each
    for each in (
        Network(
            "inceptionv1",
            "the graph of 2015",
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
            "torchvision's",
            "BSD-3-Clause",
            "inception4c",
            52_147_035,
            Download(f"{_TORCHVISION}googlenet-1378be20.pth", "1378be20", 52_147_035),
        ),
        Network(
            "inception_v3",
            "torchvision's",
            "BSD-3-Clause",
            "Mixed_6b",
            108_949_747,
            Download(f"{_TORCHVISION}inception_v3_google-0cc3c7bd.pth", "0cc3c7bd", 108_949_747),
        ),
        Network(
            "vgg19",
            "torchvision's",
            "BSD-3-Clause",
            "features.28",
            574_673_361,
            Download(f"{_TORCHVISION}vgg19-dcbb9e9d.pth", "dcbb9e9d", 574_673_361),
        ),
    )
}


def find_network(name: str) -> Network:
    """The network of this name; "timm:NAME" is any convolutional one of timm's. Raises StreamfxError."""
    if name in NETWORKS:
        return NETWORKS[name]
    if not name.startswith(_TIMM):
        raise unknown("model", name, [*NETWORKS, "auto", "timm:NAME"])
    about = _timm_about(name)
    licence = about.license or "not told by timm"
    return Network(name, f"{name.removeprefix(_TIMM)} of timm", licence, "", 0)


def fetch_network(name: str, report: Report = lambda done, whole: None) -> None:
    """Bring the weights of a network to this machine, where they are not here yet. Raises StreamfxError."""
    network = find_network(name)
    if network.download is not None:
        fetch(network.download, report)
    elif name.startswith(_TIMM) and not network.cached:
        try:
            _timm_model(name, pretrained=True)
        except Exception as error:  # whatever its hub's client raises
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise StreamfxError(
                f"timm cannot fetch '{name}' ({reason[:120]}); go online once, or give the file by --weights"
            ) from error


def list_layers(name: str) -> list[Layer]:
    """The layers of a network in the order in which they see a picture; needs no weights."""
    if name == "inceptionv1":
        return _inception_layers()
    build = _builder(name)
    with torch.device("meta"):
        network = Features(LITES[name], name, trained=False) if name in LITES else build()
    seen: dict[str, Tensor] = {}
    picture = torch.zeros(1, 3, _SEEN + 32, _SEEN, device="meta")
    if isinstance(network, Features):
        seen = network(picture)
    else:
        try:
            watch(network, dict(network.named_modules()), seen, None)(picture)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise StreamfxError(
                f"'{name}' cannot look at pictures of any size; take a convolutional network"
            ) from error
    return [
        Layer(layer, x.shape[1], max(1, round(_SEEN / x.shape[3])))
        for layer, x in seen.items()
        if layer and x.ndim == 4 and x.shape[3] > 1 and x.shape[2] > x.shape[3]
    ]


def choose_network(model: str, layers: Sequence[str]) -> Network:
    """The network that `model` names and that has all these `layers`.

    "auto" takes the first that is on this machine and has them: inceptionv1 before lite0. Nothing is fetched.
    Raises StreamfxError, with near names for layers that are unknown.
    """
    if model != "auto":
        network = find_network(model)
        names = [layer.name for layer in list_layers(model)] if layers else []
        for layer in layers:
            if layer not in names:
                raise unknown(f"layer of {model}", layer, names)
        return network
    absent = None
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
                absent = absent or network
    if absent is not None:
        raise StreamfxError(
            f"'{layers[0]}' is a layer of {absent.name}, whose weights are not here: streamfx models fetch "
            f"{absent.name}, or take a layer of lite0: stem, block0 .. block15"
        )
    strange = next((layer for layer in layers if layer not in known), None)
    if strange is None:
        raise StreamfxError(f"no network has all of these layers: {', '.join(layers)}; 'streamfx models' lists them")
    raise unknown("layer", strange, set(known))


def main_layers(name: str) -> list[str]:
    """Those of a network's layers that are worth to be looked at first."""
    names = [layer.name for layer in list_layers(name)]
    if name == "inceptionv1":
        return [each for each in names if re.fullmatch(r"conv2d\d|mixed\d[a-z]", each)]
    outer = [each for each in names if "." not in each]
    return outer if len(outer) > 4 else names


def build_layers(name: str, layers: Sequence[str], weights: str = "") -> nn.Module:
    """Images [N, 3, H, W] RGB 0..1 -> {layer: activations [N, C, h, w]}, run no further than the deepest of `layers`.

    `weights` is a file to read instead of the cached one. Parameters are frozen. Raises StreamfxError.
    """
    network = find_network(name)
    if weights and network.download is None and not name.startswith(_TIMM):
        raise StreamfxError(f"{name} has its weights with it; --weights is for {', '.join(_with_files())}, timm:NAME")
    if name in LITES:
        return fold_norms(Features(layers, name))
    path = Path(weights) if weights else _weights_of(network)
    if name == "inceptionv1":
        from streamfx.deepdream.inception import load_inception

        return load_inception(path, layers)
    module = _builder(name)()
    _load(module, path)
    return fold_norms(Watched(module, layers, *_colors(name)))


def _inception_layers() -> list[Layer]:
    from streamfx.deepdream.graphdef import read_graph
    from streamfx.deepdream.inception import LAYERS, spatial_layers

    download = NETWORKS["inceptionv1"].download
    assert download is not None
    channels = spatial_layers(read_graph(download.path)) if download.cached else LAYERS
    return [Layer(layer, count, None) for layer, count in channels.items()]


def _builder(name: str) -> Callable[[], nn.Module]:
    """What makes the network with random weights."""
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


def _colors(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """The mean and the deviation of the colours that a network was trained to see."""
    if name.startswith(_TIMM):
        about = _timm_about(name)
        return about.mean, about.std
    return _IMAGENET if name == "vgg19" else _HALF


def _load(module: nn.Module, path: Path) -> None:
    """Put the weights of the file `path` into `module`; what the file has more, auxiliary heads, is left."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                check_shapes(path, file, _MOST)
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        else:
            _check_archive(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        missing, _ = module.load_state_dict(state, strict=False)
    except StreamfxError:
        raise
    except FileNotFoundError as error:
        raise StreamfxError(f"the weights {path} are missing") from error
    except Exception as error:  # pickles, archives and tensors break in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StreamfxError(f"{path} does not hold weights of this network ({reason[:120]})") from error
    if missing:
        raise StreamfxError(f"{path} does not hold weights of this network: '{missing[0]}' is missing")


def _check_archive(path: Path) -> None:
    """Raise StreamfxError for one that would unpack to far more than it is: torch packs nothing, and reads all."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        whole = sum(entry.file_size for entry in archive.infolist())
    if whole > 2 * path.stat().st_size:
        raise StreamfxError(f"{path} unpacks to {whole} bytes, which no file of weights does; fetch it again")


def _weights_of(network: Network) -> Path:
    """The file of its weights on this machine; an error that says how to get it, where there is none."""
    path = _timm_file(network.name) if network.download is None else network.download.path
    if path is None or not path.is_file():
        raise StreamfxError(f"the weights of {network.name} are not here: streamfx models fetch {network.name}")
    return path


def _with_files() -> list[str]:
    return [name for name, network in NETWORKS.items() if network.download is not None]


def _timm_about(name: str) -> Any:
    import timm
    from timm.models import get_pretrained_cfg, list_models

    plain = name.removeprefix(_TIMM)
    if not timm.is_model(plain):
        raise unknown("model of timm", plain, list_models())
    about = get_pretrained_cfg(plain)
    if about is None:
        raise StreamfxError(f"timm has no trained weights for '{plain}'")
    return about


def _timm_model(name: str, *, pretrained: bool) -> nn.Module:
    import timm

    _timm_about(name)
    model: nn.Module = timm.create_model(name.removeprefix(_TIMM), pretrained=pretrained).eval()
    return model


def _timm_file(name: str) -> Path | None:
    """Where the hub's client keeps the weights of one of timm's; None where it does not."""
    from huggingface_hub import try_to_load_from_cache

    hub = _timm_about(name).hf_hub_id
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(hub, file) if hub else None
        if isinstance(found, str):
            return Path(found)
    return None

"""Make presets from network files of other projects."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.inference.onnx import output_shape, read_ports
from streamfx.ops.color import luma
from streamfx.ops.resize import resize
from streamfx.presets import Channels, ImportedNetwork, StylePreset, ValueRange, parse_blend
from streamfx.resources import resource
from streamfx.styletransfer.importing.network import (
    SMALLEST,
    ImportedStylizer,
    as_vector,
    image_and_vector,
    to_network,
)
from streamfx.styletransfer.importing.predictor import copy_file, middle_square, predict_style
from streamfx.styletransfer.importing.transformer_net import read_pth, save_network
from streamfx.styletransfer.importing.trial import Trial, run_trials
from streamfx.styletransfer.preset_files import check_name, make_folder, save_preset
from streamfx.styletransfer.training.contact_sheets import write_grid
from streamfx.styletransfer.training.dataset import installed_photos
from streamfx.styletransfer.training.images import load_image

LICENSE = "that of the imported network"
SIDE = 192  # pixels of the photos in the trials

_CPU = torch.device("cpu")
_PTH = (".pth", ".pt", ".model")  # endings of PyTorch's weights
_SAME = 0.6  # least correlation of the results at two sizes of a network that takes any size


@dataclass(frozen=True)
class Import:
    """What to import, and what is known about it; trials on a photo find the rest."""

    file: Path
    name: str  # of the preset
    predictor: Path | None = None  # network that predicts the style from a picture
    style_image: Path | None = None  # the picture of the style, for a network with a predictor
    style: str = ""  # for a network with several styles: "19", or a mix such as "3:0.5,12:0.5"
    channels: Channels | None = None
    value_range: ValueRange | None = None
    photo: Path | None = None  # for the trials; by default the installed ones
    license: str = LICENSE


@dataclass(frozen=True)
class Imported:
    """A new preset, and the trials that led to it, best first."""

    preset: Path
    sheet: Path  # a photo and the results of the trials, in a row
    trials: Sequence[Trial]


def import_model(request: Import, folder: Path, *, overwrite: bool = False) -> Imported:
    """Write the preset NAME.toml, its networks and the picture NAME.sheet.png to `folder`. Raises StreamfxError."""
    preset = folder / f"{check_name(request.name)}.toml"
    if preset.exists() and not overwrite:
        raise StreamfxError(f"{preset} exists; give -y to replace it, or another --name")
    photos = _photos(request.photo)
    make_folder(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".", suffix=".import", dir=folder) as temporary:
            work = Path(temporary)
            is_pth = request.file.suffix.lower() in _PTH
            weights, trials = (_import_pth if is_pth else _import_onnx)(request, work, photos)
            sheet = work / f"{request.name}.sheet.png"
            write_grid(sheet, [[photos[0], *(trial.image for trial in trials)]])
            save_preset(work / preset.name, _preset(request, weights, trials[0].network))
            for file in sorted(work.iterdir(), key=lambda file: file.suffix == ".toml"):  # the preset last
                file.replace(folder / file.name)
    except OSError as error:
        raise StreamfxError(f"cannot write to {folder}: {error.strerror or error}") from error
    return Imported(preset, folder / sheet.name, trials)


def _preset(request: Import, weights: Path, network: ImportedNetwork) -> StylePreset:
    if network.predictor is not None and request.style_image is None:
        network = network.model_copy(update={"style": ()})  # it was that of a shipped painting, for the trials
    return StylePreset(
        kind="style",
        title=request.file.stem,
        license=request.license,
        weights={"fine": weights.name, "fast": weights.name},
        network=network,
    )


def _import_pth(request: Import, work: Path, photos: Sequence[Tensor]) -> tuple[Path, list[Trial]]:
    if request.predictor or request.style or request.style_image:
        raise StreamfxError("a .pth network has one style of its own; leave out --predictor, --style and --style-image")
    weights = work / f"{request.name}.safetensors"
    save_network(weights, read_pth(request.file))
    network = ImportedNetwork(kind="fast_neural_style", source=request.file.name)
    stylizer = ImportedStylizer(weights, network, "fp32", _CPU)
    channels, value_range = request.channels or "rgb", request.value_range or "0..255"  # as the example defines
    run = stylizer.run
    return weights, run_trials(network, photos, lambda _, x: run(x), channels=channels, value_range=value_range)


def _import_onnx(request: Import, work: Path, photos: Sequence[Tensor]) -> tuple[Path, list[Trial]]:
    network = _described(request)
    file = work / f"{request.name}.onnx"
    copy_file(request.file, file)
    predictor = request.predictor
    if predictor is not None:
        network = network.model_copy(update={"predictor": f"{request.name}-predictor.onnx"})
        copy_file(predictor, work / f"{request.name}-predictor.onnx")
    picture = load_image(request.style_image or resource("presets") / "vangogh.jpg").float() / 255
    runs: dict[tuple[float, ...], ImportedStylizer] = {}  # by style

    @cache
    def with_style(known: ImportedNetwork) -> ImportedNetwork:
        if predictor is None:
            return known
        return known.model_copy(update={"style": predict_style(predictor, known, picture)})

    def run(known: ImportedNetwork, images: Tensor) -> Tensor:
        known = with_style(known)
        if known.style not in runs:
            runs[known.style] = ImportedStylizer(file, known, "fp32", _CPU)
        return runs[known.style].run(images)

    shown = photos if network.size is None else [resize(photo, network.size) for photo in photos]
    trials = run_trials(network, shown, run, channels=request.channels, value_range=request.value_range)
    size = network.size
    if size is not None and _takes_any_size(file, trials[0], with_style(trials[0].network), shown[0]):
        size = None
    known = [with_style(trial.network).model_copy(update={"size": size}) for trial in trials]
    images = [resize(trial.image, (SIDE, SIDE)) for trial in trials]
    return file, [Trial(network, image, trial.score) for network, image, trial in zip(known, images, trials)]


def _described(request: Import) -> ImportedNetwork:
    """The network's layout, fixed size and style, as far as its inputs and outputs tell. Raises StreamfxError."""
    inputs, outputs = read_ports(request.file)
    image, vector = image_and_vector(inputs, request.file)
    layout = "nchw" if image.shape[1] == 3 else "nhwc"
    size = image.shape[2:] if layout == "nchw" else image.shape[1:3]
    if len(outputs) != 1:
        raise StreamfxError(f"'{request.file}' has {len(outputs)} outputs; a style network has one, the picture")
    style: tuple[float, ...] = ()
    if vector is None and (request.predictor or request.style):
        raise StreamfxError(f"'{request.file}' has one style of its own; leave out --predictor and --style")
    if vector is not None and request.predictor is None:
        style = _mix(request, math.prod(length for length in vector.shape if length is not None))
        as_vector(style, vector, request.file)
    if request.style_image is not None and request.predictor is None:
        raise StreamfxError("--style-image needs the network that reads it: give --predictor")
    fixed = None if None in size else size
    known = {"kind": "onnx", "source": request.file.name, "layout": layout, "size": fixed, "style": style}
    return ImportedNetwork.model_validate(known)


def _mix(request: Import, count: int) -> tuple[float, ...]:
    """The numbers of a mix such as "3:0.5,12:0.5" of a network's `count` styles."""
    if not request.style:
        raise StreamfxError(
            f"'{request.file}' takes {count} numbers beside the picture: if each is one of its styles, give --style "
            f"0..{count - 1} or a mix such as 0:0.5,1:0.5; if another network predicts them, give --predictor"
        )
    style = [0.0] * count
    for name, share in parse_blend(request.style):
        if not (name.isascii() and name.isdigit() and int(name) < count):
            raise StreamfxError(f"'{name}' is not one of the styles 0..{count - 1} of '{request.file}'")
        style[int(name)] += share
    return tuple(style)


def _takes_any_size(file: Path, trial: Trial, network: ImportedNetwork, photo: Tensor) -> bool:
    """Whether a network whose file names one size gives a result like that of the trial at another."""
    height, width = (side * 3 // 4 // 8 * 8 if side > SMALLEST else 2 * side for side in photo.shape[1:])
    shape = tuple(to_network(resize(photo, (height, width)), network).shape)
    inputs, _ = read_ports(file)
    _, vector = image_and_vector(inputs, file)
    shapes = [shape] if vector is None else [shape, tuple(as_vector(network.style, vector, file).shape)]
    if output_shape(file, shapes) != shape:
        return False
    try:
        resized = ImportedStylizer(file, network.model_copy(update={"size": (height, width)}), "fp32", _CPU)(photo)
    except StreamfxError:
        return False
    lights = torch.stack([luma(resized).flatten(), luma(trial.image).flatten()])
    return torch.corrcoef(lights)[0, 1].item() > _SAME


def _photos(file: Path | None) -> list[Tensor]:
    """The photos of the trials [3, SIDE, SIDE] RGB 0..1."""
    files = installed_photos() if file is None else [file]
    images = [load_image(file, draft_side=SIDE).float() / 255 for file in files]
    return [resize(middle_square(image), (SIDE, SIDE)) for image in images]

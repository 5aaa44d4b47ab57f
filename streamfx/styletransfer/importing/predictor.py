"""Styles that a network predicts from a picture, for presets imported with a predictor."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.inference.onnx import build_onnx_engine, read_ports
from streamfx.ops.resize import resize
from streamfx.presets import ImportedNetwork, Preset
from streamfx.resources import cache_folder
from streamfx.styletransfer.importing.network import image_and_vector, to_network
from streamfx.styletransfer.preset_files import save_preset, temporary_folder
from streamfx.styletransfer.training.images import load_image

SIDE = 256  # pixels of the picture, if the predictor takes any size
_VERSION = 1  # of the presets in the cache


def predict_style(predictor: Path, network: ImportedNetwork, picture: Tensor) -> tuple[float, ...]:
    """The style of a picture [3, H, W] RGB 0..1, whose middle square is read. Raises StreamfxError.

    The predictor takes the channels and the range of `network`.
    """
    inputs, _ = read_ports(predictor)
    port, extra = image_and_vector(inputs, predictor)
    if extra is not None:
        raise StreamfxError(f"'{predictor}' takes more than a picture; a predictor takes one and returns numbers")
    layout = "nchw" if port.shape[1] == 3 else "nhwc"
    height, width = (length or SIDE for length in (port.shape[2:] if layout == "nchw" else port.shape[1:3]))
    square = resize(middle_square(picture), (height, width))
    images = to_network(square, network.model_copy(update={"layout": layout}))
    numbers = build_onnx_engine(predictor, [tuple(images.shape)], "f32")(images).flatten().tolist()
    return tuple(round(number, 6) for number in numbers)


def predicted_preset(preset: Preset, picture: Path) -> Path:
    """The preset with the style of a picture, from the cache or made now. Raises StreamfxError."""
    network = preset.style.network
    if network is None or network.predictor is None:
        raise StreamfxError(
            f"the preset {preset.name} has a style of its own; give --style-image alone, or with a preset that was "
            "imported with --predictor"
        )
    files = [preset.path.parent / network.predictor, preset.weights("fine")]
    made = cache_folder() / "styles" / _key(preset, [*files, picture]) / "style.toml"
    if not made.is_file():
        style = predict_style(files[0], network, load_image(picture).float() / 255)
        known = preset.style.model_copy(update={"network": network.model_copy(update={"style": style})})
        with temporary_folder(made.parent, made.is_file) as folder:
            for file in files:
                copy_file(file, folder / file.name)
            save_preset(folder / made.name, known)
    return made


def middle_square(image: Tensor) -> Tensor:
    """The largest square in the middle of an image [3, H, W]."""
    side = min(image.shape[1:])
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    return image[:, top : top + side, left : left + side].contiguous()


def copy_file(file: Path, target: Path) -> None:
    """Copy the content of a file. Raises StreamfxError."""
    try:
        shutil.copyfile(file, target)
    except OSError as error:
        raise StreamfxError(f"cannot copy '{file}' to '{target}': {error.strerror or error}") from error


def _key(preset: Preset, files: list[Path]) -> str:
    key = hashlib.sha256(f"{_VERSION} {preset.style.model_dump_json()}".encode())
    for file in files:
        try:
            key.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise StreamfxError(f"cannot read {file}: {error.strerror or error}") from error
    return key.hexdigest()[:32]

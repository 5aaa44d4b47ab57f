"""Presets of the user's own: what they are learned from, the training, and the files it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from streamfx.errors import StreamfxError
from streamfx.presets import Painting, Quality, StylePreset, TrainingSettings, load_preset
from streamfx.resources import resource
from streamfx.styletransfer.painting_losses import save_targets
from streamfx.styletransfer.training.contact_sheets import write_sheet, write_thumbnail
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting, painting_height
from streamfx.styletransfer.training.painter import Progress, Subject, Training, train

SUFFIXES: dict[Quality, str] = {"fine": ".safetensors", "fast": "-fast.safetensors"}  # behind a preset's name
LICENCE = "yours, as far as the paintings are"


def masters(quality: Quality) -> Path:
    """The weights that learning starts from: of the shipped painter of many masters."""
    return resource("presets") / f"masters{SUFFIXES[quality]}"


def weights_file(preset: Path, quality: Quality) -> Path:
    """Where the weights of the preset NAME.toml of this quality lie."""
    return preset.with_name(preset.stem + SUFFIXES[quality])


def build_style(
    title: str, paintings: Sequence[Path], settings: TrainingSettings, quality: Quality, name: str, height: int | None
) -> StylePreset:
    """The words of a new preset `name`, learned from these pictures in equal shares.

    Without a `height` each painting is learned at its own, within bounds.
    """
    return StylePreset(
        kind="style",
        title=title,
        licence=LICENCE,
        weights={quality: name + SUFFIXES[quality]},
        painting=tuple(
            Painting(file=_text(file.name), title=title_of(file), height=height or painting_height(file))
            for file in paintings
        ),
        training=settings,
    )


def title_of(painting: Path) -> str:
    """A title for the picture in a file that has only the file's name."""
    return _text(painting.stem).replace("_", " ").strip().title() or _text(painting.name)


def prepare_style(
    preset: Path,
    paintings: Sequence[Path],
    settings: TrainingSettings,
    quality: Quality,
    height: int | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> StylePreset:
    """What the preset file `preset` will say when this training is over; refuses where it would destroy another.

    A preset that has only the other quality keeps its words and gains this one, if it is of the same paintings.
    """
    weights = weights_file(preset, quality)
    kept = load_preset(str(preset)).style if preset.exists() and not overwrite else None
    if not (overwrite or resume):
        there = preset if kept is not None and quality in kept.weights else weights
        if there.exists():
            raise StreamfxError(f"{there} exists; overwrite it with -y, go on from its checkpoint with --resume")
        unfinished = weights.with_suffix(".checkpoint")
        if unfinished.exists():
            raise StreamfxError(f"{unfinished} is of an unfinished training; go on with --resume, or anew with -y")
    if kept is None:
        return build_style(title_of(preset), paintings, settings, quality, preset.stem, height)
    files = [painting.file for painting in kept.painting]
    if files != [_text(file.name) for file in paintings]:
        raise StreamfxError(f"the preset {preset} is of {', '.join(files)}; give that, another --name, or -y")
    changed: dict[str, Any] = {"weights": {**kept.weights, quality: weights.name}}
    if height is not None:
        changed["painting"] = tuple(each.model_copy(update={"height": height}) for each in kept.painting)
    budget = settings.model_dump(include={"minutes", "steps", "seed"})
    return kept.model_copy(update={**changed, "training": kept.training.model_copy(update=budget)})


def train_preset(
    preset: Path,
    style: StylePreset,
    quality: Quality,
    paintings: Sequence[Path],
    photos: Path | None = None,
    *,
    resume: bool = False,
    device: torch.device | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Learn `style` from the pictures `paintings`, those it names, and write it as `preset` (NAME.toml).

    Beside it come to lie the weights, what `train` leaves, a sheet of photos and their paintings (NAME.sheet.png) and
    a thumbnail (NAME.jpg). Learning starts from the shipped masters. Without `photos` those that are installed serve.
    """
    name, settings = preset.stem, style.training
    canvases = [
        (load_painting(file, words), words.share) for file, words in zip(paintings, style.painting, strict=True)
    ]
    content = load_photos(photos, settings.crop)
    training = Training(quality, {name: Subject(canvases, settings)}, settings, masters(quality), device)
    weights = weights_file(preset, quality)
    if quality == "fast" and "fine" in style.weights:
        training.follow(weights_file(preset, "fine"))  # one preset has one look
    if resume:
        training.load(weights.with_suffix(".checkpoint"))
    make_folder(preset.parent)
    train(training, content, weights, report=report)
    save_targets(targets := weights.with_name(f"{name}-targets.safetensors"), training.targets())
    save_preset(preset, style.model_copy(update={"targets": targets.name}))
    write_thumbnail(preset.with_suffix(".jpg"), paintings[0])
    write_sheet(weights.with_suffix(".sheet.png"), training.painter, training.numbers()[name], content)


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StreamfxError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def save_preset(file: Path, style: StylePreset) -> None:
    """Write a preset with all its settings, defaults too: they may be others one day; whole or not at all."""
    values = style.model_dump(exclude_none=True)
    paintings, training = values.pop("painting"), values.pop("training")
    parts = [_toml(values)]
    parts += ["[[painting]]\n" + _toml(painting) for painting in paintings]
    parts.append("[training]\n" + _toml(training))
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        beside.write_text("\n".join(parts), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise StreamfxError(f"cannot write the preset {file}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def _toml(values: dict[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in values.items() if value != "")


def _value(value: Any) -> str:
    """Strings, numbers and lists as TOML, whose notation of them is JSON's; a table in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(name: str) -> str:
    """The name of a file as text that can be written in UTF-8."""
    return name.encode("utf-8", "replace").decode("utf-8")

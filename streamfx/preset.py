"""Presets: TOML files, shipped or the user's own, read into checked settings."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path
from typing import Literal

from platformdirs import user_data_dir
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamfx.errors import StreamfxError, unknown
from streamfx.shipped import shipped

_log = logging.getLogger("streamfx")


class TrainingSettings(BaseModel):
    """How a painter is trained; what a preset states here can be trained again. Weights are those of the losses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    painting_height: int = Field(
        default=960, ge=32, le=4096
    )  # pixels; a frame's strokes are as large as the painting's at this height
    painting_margin: float = Field(default=0.025, ge=0, le=0.4)  # share cut off each side: frames, bare canvas
    channels: int = Field(default=48, ge=4, le=512)  # of the network, at a quarter of the frame's size
    wide: int = Field(default=88, ge=4, le=512)  # channels at an eighth
    blocks: int = Field(default=5, ge=1, le=32)
    fine: int = Field(default=32, ge=4, le=512)  # channels at half
    crop: int = Field(default=256, ge=32, le=2048, multiple_of=8)  # pixels
    batch: int = Field(default=4, ge=1, le=256)
    style_layers: tuple[str, ...] = ("stem", "block1", "block3", "block5", "block8")
    content_layers: tuple[str, ...] = ("block3", "block5")
    style_weight: float = Field(default=2.0, ge=0)
    palette_weight: float = Field(default=4.0, ge=0)
    light_weight: float = Field(default=1.5, ge=0)  # the large shapes of light and dark stay where they are
    grid_weight: float = Field(default=20.0, ge=0)  # no pixel position within 8x8 differs from the others
    smooth_weight: float = Field(default=0.3, ge=0)  # total variation
    border_weight: float = Field(default=40.0, ge=0)  # at the borders the picture goes on as within
    learning_rate: float = Field(default=3e-3, gt=0)
    minutes: float = Field(default=30.0, gt=0)
    steps: int | None = Field(default=None, ge=1)  # ends the training instead of the minutes: the same on any machine
    seed: int = Field(default=0, ge=0)


class StylePreset(BaseModel):
    """A painter: what it was trained on and where its weights lie."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["style"]
    title: str
    painting: str
    painter: str = ""
    year: str = ""
    licence: str
    weights: str = Field(pattern=r"^[^/\\]+$")  # name of the file beside the preset
    training: TrainingSettings = TrainingSettings()


class Preset(BaseModel):
    """A preset and the file it came from."""

    model_config = ConfigDict(frozen=True)

    path: Path
    style: StylePreset

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def weights(self) -> Path:
        """The file of the painter's weights."""
        return self.path.parent / self.style.weights


def user_presets() -> Path:
    """The folder of the presets that this user trained; need not exist."""
    return Path(user_data_dir("streamfx", appauthor=False)) / "presets"


def preset_files() -> dict[str, Path]:
    """Name -> file of all presets; the user's own win over shipped ones of the same name."""
    folders = (shipped("presets"), user_presets())
    files = {file.stem: file for folder in folders for file in folder.glob("*.toml")}
    return dict(sorted(files.items()))


def presets() -> list[Preset]:
    """All presets that can be read, by name; a file that cannot is skipped with a warning that says why."""
    found = []
    for file in preset_files().values():
        try:
            found.append(_read(file))
        except StreamfxError as error:
            _log.warning("%s", error)
    return found


def load_preset(name: str) -> Preset:
    """The preset called `name`, or the one in the file `name` where that ends in .toml."""
    if name.endswith(".toml"):
        return _read(Path(name).expanduser())
    files = preset_files()
    if name not in files:
        raise unknown("preset", name, files)
    return _read(files[name])


def _read(file: Path) -> Preset:
    try:
        with file.open("rb") as stream:
            values = tomllib.load(stream)
    except OSError as error:
        raise StreamfxError(f"cannot read the preset {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StreamfxError(f"the preset {file} is not TOML: {error}") from error
    try:
        return Preset(path=file, style=StylePreset.model_validate(values))
    except ValidationError as error:
        raise StreamfxError(f"the preset {file}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """The first mistake in one line; for an unknown key the known ones with it."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        model: type[BaseModel] = TrainingSettings if problem["loc"][0] == "training" else StylePreset
        return f"unknown key '{key}'; known: {', '.join(model.model_fields)}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    return f"'{key}': {problem['msg'][0].lower()}{problem['msg'][1:]}"

"""Presets of styles and dreams: TOML files, shipped or the user's own, loaded as validated settings."""

from __future__ import annotations

import logging
import math
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamfx.errors import StreamfxError, unknown
from streamfx.plugins import preset_folders
from streamfx.resources import resource, user_folder
from streamfx.settings import Quality

_log = logging.getLogger("streamfx")

Kind: TypeAlias = Literal["style", "timeline", "dream"]

_MAX_BYTES = 4 << 20  # of a TOML file
_NUMBER = re.compile(r"\d+(\.\d*)?|\.\d+", re.ASCII)


class TrainingSettings(BaseModel):
    """How a style is trained. Each weight scales a loss of streamfx.styletransfer.losses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: int = Field(default=384, ge=64, le=2048, multiple_of=16)  # pixels
    batch: int = Field(default=2, ge=1, le=256)
    scales: tuple[Annotated[int, Field(ge=1, le=16)], ...] = Field(default=(1, 2, 4, 8), min_length=1)  # reductions
    style_layers: dict[
        str, tuple[str, ...]
    ] = {  # per feature extractor; a second one penalizes artifacts that the first misses
        "lite0": ("stem", "block1", "block3", "block5", "block8"),
        "lite1": ("stem", "block1", "block3", "block6", "block10"),
    }
    content_layers: dict[str, tuple[str, ...]] = {"lite0": ("block4",), "lite1": ("block5",)}
    gram_weight: float = Field(default=12.0, ge=0)
    wasserstein_weight: float = Field(default=6.0, ge=0)
    per_image: float = Field(default=0.4, ge=0, le=1)  # share of the style loss per image; the rest per batch
    content_weight: float = Field(default=2.4, ge=0)
    contrast_weight: float = Field(default=6.0, ge=0)
    alignment_weight: float = Field(default=60.0, ge=0)
    palette_weight: float = Field(default=20.0, ge=0)
    stray_weight: float = Field(default=8.0, ge=0)
    light_weight: float = Field(default=1.5, ge=0)
    fringe_weight: float = Field(default=1.5, ge=0)
    grid_weight: float = Field(default=160.0, ge=0)
    smooth_weight: float = Field(default=0.3, ge=0)  # total variation
    border_weight: float = Field(default=40.0, ge=0)
    flicker_weight: float = Field(default=100.0, ge=0)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    minutes: float = Field(default=10.0, gt=0)
    steps: int | None = Field(default=None, ge=1)  # replaces `minutes`, for reproducible training
    seed: int = Field(default=0, ge=0)


_Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Painting(BaseModel):
    """One of the paintings that a style is learned from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    title: str = ""
    year: str = ""
    height: int = Field(default=800, ge=32, le=4096)  # pixels; sets the size of the strokes
    crop: tuple[_Share, _Share, _Share, _Share] = (0, 0, 1, 1)  # left, top, right and bottom of the part to learn from
    margin: float = Field(default=0.025, ge=0, le=0.4)  # share cropped at each side, to remove picture frames
    share: float = Field(default=1.0, gt=0)  # of the style, relative to the other paintings


ValueRange: TypeAlias = Literal["0..1", "0..255", "-1..1"]  # of the colors that a network takes or returns
Channels: TypeAlias = Literal["rgb", "bgr"]
_Side: TypeAlias = Annotated[int, Field(ge=8, le=8192)]  # pixels
_FileName: TypeAlias = Annotated[str, Field(pattern=r"^[^/\\]+$")]  # in the preset's folder


class ImportedNetwork(BaseModel):
    """How to run a network that another program trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["onnx", "fast_neural_style"]
    source: str = ""  # name of the imported file
    layout: Literal["nchw", "nhwc"] = "nchw"  # N pictures, C channels, H and W
    channels: Channels = "rgb"
    input_range: ValueRange = "0..255"
    output_range: ValueRange = "0..255"
    size: tuple[_Side, _Side] | None = None  # height and width, if the network takes no others
    style: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(default=(), max_length=4096)  # second input
    predictor: _FileName | None = None  # network that predicts `style` from a picture


class StylePreset(BaseModel):
    """A style: its paintings, its training settings and the names of its weight files."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True)

    kind: Literal["style"]
    title: str
    artist: str = Field(default="", validation_alias=AliasChoices("artist", "painter"))  # "painter" in older files
    year: str = ""
    license: str = Field(validation_alias=AliasChoices("license", "licence"))
    weights: dict[Quality, _FileName] = Field(min_length=1)
    targets: _FileName | None = None  # for --method optimise
    painting: tuple[Painting, ...] = ()
    training: TrainingSettings = TrainingSettings()
    network: ImportedNetwork | None = None

    @model_validator(mode="after")
    def _has_an_origin(self) -> Self:
        if not self.painting and self.network is None:
            raise ValueError("the key 'painting' is missing")
        return self


Value: TypeAlias = bool | int | float | str
START_PALETTE = "start"  # in a list of palettes: the start image of the video


class Look(BaseModel):
    """Settings of a dream under a name, for `streamfx dream --look NAME`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["dream"]
    title: str = ""
    settings: dict[str, Value] = Field(min_length=1)  # of the effects Dream and Feedback
    music: dict[str, Value] = {}  # replace those of the same name in videos with audio


class Preset(BaseModel):
    """A preset and the file it came from."""

    model_config = ConfigDict(frozen=True)

    path: Path
    style: StylePreset

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def thumbnail(self) -> Path | None:
        """The thumbnail of the painting in the preset's folder, NAME.jpg; None if the file does not exist."""
        file = self.path.with_suffix(".jpg")
        return file if file.is_file() else None

    @property
    def targets(self) -> Path:
        """The file with the style targets of the paintings; raises StreamfxError if the preset has none."""
        if self.style.targets is None:
            raise StreamfxError(
                f"the preset {self.name} has no style targets, which --method optimise needs; "
                "use --method network, or train the preset again"
            )
        return self.path.parent / self.style.targets

    def weights(self, quality: str) -> Path:
        """The weight file of this quality; raises StreamfxError if the preset has none."""
        file = next((file for name, file in self.style.weights.items() if name == quality), None)
        if file is None:
            raise StreamfxError(
                f"the preset {self.name} has no {quality} network; use --quality {next(iter(self.style.weights))}, "
                f"or train one with streamfx train --quality {quality}"
            )
        return self.path.parent / file


def user_presets() -> Path | None:
    """The folder of the user's own presets, which may not exist; None for a user without a home folder."""
    folder = user_folder()
    return folder and folder / "presets"


def preset_files(kind: Kind = "style") -> dict[str, Path]:
    """Name -> file of all presets of a kind; the user's own replace shipped ones, which replace other packages'.

    The user's own are in the folder of presets and in folders there.
    """
    own = user_presets()
    inside = [] if own is None else [folder for folder in sorted(own.glob("[!.]*")) if folder.is_dir()]
    folders = filter(None, (*preset_folders(), resource("presets"), *inside, own))
    files = {file.stem: file for folder in folders for file in folder.glob("*.toml") if kind == _kind_of(file)}
    return dict(sorted(files.items()))


def _kind_of(file: Path) -> str:
    """The kind of a preset. An unreadable file counts as a style; loading it reports the error."""
    try:
        kind = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("kind", "style")
    except (OSError, ValueError, RecursionError):
        return "style"
    return kind if kind in ("timeline", "dream") else "style"


def presets() -> list[Preset]:
    """All style presets, sorted by name. Skips invalid files with a warning that gives the reason."""
    loaded = []
    for file in preset_files().values():
        try:
            loaded.append(_read(file))
        except StreamfxError as error:
            _log.warning("%s", error)
    return loaded


def load_preset(name: str) -> Preset:
    """The preset called `name`, or the one in the file `name` if that ends in .toml."""
    if name.endswith(".toml"):
        return _read(Path(os.path.expanduser(name)))
    files = preset_files()
    if name not in files:
        if name in preset_files("timeline"):
            raise StreamfxError(f"'{name}' is a timeline, not a style; run streamfx render {name} out.mp4")
        raise unknown("preset", name, files)
    return _read(files[name])


def load_look(name: str) -> Look:
    """The look called `name`, or the one in the file `name` if that ends in .toml. Raises StreamfxError."""
    files = preset_files("dream")
    if not name.endswith(".toml") and name not in files:
        raise unknown("look", name, files)
    file = Path(os.path.expanduser(name)) if name.endswith(".toml") else files[name]
    try:
        look = Look.model_validate(load_toml(file, "look"))
    except ValidationError as error:
        raise StreamfxError(f"the look {file}: {_first_problem(error)}") from error
    return look.model_copy(
        update={name: _with_palette(getattr(look, name), file.parent) for name in ("settings", "music")}
    )


def _with_palette(settings: dict[str, Value], folder: Path) -> dict[str, Value]:
    """Settings whose palette, a list of images, is relative to a folder."""
    if "palette" not in settings:
        return settings
    images = [image.strip() for image in str(settings["palette"]).split(",") if image.strip()]
    paths = [image if image == START_PALETTE else str(folder / image) for image in images]
    return settings | {"palette": ", ".join(paths)}


def parse_blend(text: str) -> list[tuple[str, float]]:
    """Names and shares of a blend like "vangogh:0.6,munch:0.4". A share defaults to 1; shares are scaled to sum to 1.

    A name is that of a preset or of a FILE.toml.
    """
    if text.endswith(".toml") and os.path.isfile(os.path.expanduser(text)):
        return [(text, 1.0)]  # the name of its folder may contain : and ,
    parts: dict[str, float] = {}
    for part in text.split(","):
        name, colon, share = part.strip().rpartition(":")
        if not colon or not _NUMBER.fullmatch(share.strip()):
            name, share = part.strip(), "1"
        if not name.strip():
            raise StreamfxError(f"'{text}' is not a preset; give a name, or a blend like vangogh:0.6,munch:0.4")
        parts[name.strip()] = parts.get(name.strip(), 0.0) + float(share.strip())
    total = sum(parts.values())
    if not 0 < total < math.inf:
        raise StreamfxError(f"the shares of '{text}' sum to {total:g}; the sum must be finite and above 0")
    return [(name, share / total) for name, share in parts.items() if share > 0]


def load_toml(file: Path, kind: str) -> dict[str, Any]:
    """The values of a TOML file. Raises StreamfxError; its message calls the file a `kind`: preset or timeline."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise StreamfxError(f"the {kind} {file} is too large; the limit is {_MAX_BYTES} bytes")
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))  # editors of Windows add a byte order mark
    except OSError as error:
        raise StreamfxError(f"cannot read the {kind} {file}: {error.strerror or error}") from error
    except RecursionError as error:
        raise StreamfxError(f"the {kind} {file} is not valid TOML: brackets are nested too deeply") from error
    except ValueError as error:  # bad TOML or UTF-8, or a number with too many digits
        raise StreamfxError(f"the {kind} {file} is not valid TOML: {error}") from error


def _read(file: Path) -> Preset:
    values = load_toml(file, "preset")
    try:
        return Preset(path=file, style=StylePreset.model_validate(values))
    except ValidationError as error:
        raise StreamfxError(f"the preset {file}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """The first error in one line; for an unknown key, with a list of the known ones."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        tables: dict[str | int, type[BaseModel]] = {
            "training": TrainingSettings,
            "painting": Painting,
            "network": ImportedNetwork,
        }
        model = tables.get(problem["loc"][0], Look if error.title == "Look" else StylePreset)
        known = model.model_fields
        return f"unknown key '{key}'; known: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    if not key:
        return problem["msg"].removeprefix("Value error, ")
    return f"'{key}': {problem['msg'][0].lower()}{problem['msg'][1:]}"

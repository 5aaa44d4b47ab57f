"""The videos of a batch: a folder, a pattern or a list, and the files to write."""

from __future__ import annotations

import glob
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from natsort import natsorted

from streamfx.errors import StreamfxError, unknown
from streamfx.media.input.image_sequence import IMAGE_ENDINGS
from streamfx.media.output.formats import EXTENSIONS, STILL_ENCODERS

# in a folder, other files are not videos; a pattern may match any name
VIDEO_ENDINGS = frozenset(EXTENSIONS) | frozenset(
    (".3g2", ".3gp", ".asf", ".divx", ".f4v", ".h264", ".hevc", ".m2v", ".mpeg", ".mpg", ".mxf", ".ogv", ".vob", ".wmv")
)
_FIELDS = ("stem", "ext", "name", "folder", "number")
_KEYS = ("source", "name")  # of a [[video]] in a list; all others are options

Options = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One video of a batch."""

    source: Path
    target: Path
    options: Options = field(default_factory=dict)  # of this video alone, by name


def batch_items(inputs: str, folder: Path, name: str) -> list[BatchItem]:
    """The videos of `inputs`: a folder, a pattern such as "clips/*.mov", or a list, FILE.toml.

    `name` is a template for the files in `folder`; its fields are stem, ext, name, folder and number. Raises
    StreamfxError if there are none, or if two have the same output.
    """
    check_name(name)
    if inputs.lower().endswith(".toml"):
        items = _listed(Path(inputs), folder, name)
    else:
        sources = _matching(inputs)
        items = [BatchItem(source, folder / _fill(name, source, number)) for number, source in enumerate(sources, 1)]
    written: dict[Path, Path] = {}
    for item in items:
        if (other := written.setdefault(item.target, item.source)) != item.source:
            raise StreamfxError(
                f"'{other}' and '{item.source}' would both be written to '{item.target}'; "
                "give --name with {number}, or {name} to keep the extension: '{name}.mp4'"
            )
    return items


def check_name(name: str) -> None:
    """Raise StreamfxError if a template has unknown fields or names a folder."""
    for known in re.findall(r"\{([^{}]*)\}", name):
        if known not in _FIELDS:
            raise unknown("field of --name", known, _FIELDS)
    if "/" in name or not name.strip():
        raise StreamfxError(f"--name is '{name}', but must be a file name, such as '{{stem}}-painted.mp4'")


def _fill(name: str, source: Path, number: int) -> str:
    suffix = source.suffix.lower()
    ext = source.suffix if suffix in EXTENSIONS or suffix in STILL_ENCODERS else ".mp4"
    values = {
        "stem": source.stem,
        "ext": ext,
        "name": source.name,
        "folder": source.absolute().parent.name,
        "number": f"{number:03d}",
    }
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], name)


def _matching(inputs: str) -> list[Path]:
    folder = Path(inputs)
    if folder.is_dir():
        known = VIDEO_ENDINGS | IMAGE_ENDINGS
        found = [path for path in folder.iterdir() if path.suffix.lower() in known and not path.name.startswith(".")]
    else:
        found = [Path(name) for name in glob.glob(inputs, recursive=True)]
    return natsorted((path for path in found if path.is_file()), key=str)


def _listed(path: Path, folder: Path, name: str) -> list[BatchItem]:
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise StreamfxError(f"cannot read '{path}': {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StreamfxError(f"'{path}' is not a TOML file: {error}") from error
    for key in document:
        if key != "video":
            raise StreamfxError(f"'{path}': {unknown('key', key, ('video',))}; list the videos as [[video]]")
    videos = document.get("video", [])
    if not isinstance(videos, Sequence) or not all(isinstance(video, dict) for video in videos):
        raise StreamfxError(f"'{path}': list the videos as [[video]], each with a source")
    return [_listed_item(path, video, number, folder, name) for number, video in enumerate(videos, 1)]


def _listed_item(path: Path, video: dict[str, object], number: int, folder: Path, name: str) -> BatchItem:
    where = f"'{path}', video {number}"
    source, own = video.get("source"), video.get("name", name)
    if not isinstance(source, str) or not isinstance(own, str):
        raise StreamfxError(f"{where}: give the source, and the name if there is one, as text")
    check_name(own)
    options: dict[str, str | int | float | bool] = {}
    for key, value in video.items():
        if key in _KEYS:
            continue
        if not isinstance(value, str | int | float | bool):
            raise StreamfxError(f"{where}: {key} must be text, a number, true or false")
        options[key] = value
    file = path.parent / source
    return BatchItem(file, folder / _fill(own, file, number), options)

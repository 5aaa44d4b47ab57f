"""Effects and presets of other installed packages, found by their entry points.

`streamfx.effects` names effect classes, `streamfx.presets` names packages that hold preset files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from streamfx.settings import settings

if TYPE_CHECKING:
    from streamfx.frame import Effect

_log = logging.getLogger("streamfx")

EFFECTS_GROUP, PRESETS_GROUP = "streamfx.effects", "streamfx.presets"


class EffectRegistry(Mapping[str, "type[Effect]"]):
    """Effects by name: those given, and those of other packages, which are imported when they are used.

    A package that cannot be used is reported once and left out. It cannot replace an effect of streamfx.
    """

    def __init__(self, own: Mapping[str, type[Effect]]) -> None:
        self._own = dict(own)
        self._loaded: dict[str, type[Effect] | None] = {}  # None for those that cannot be used

    def __getitem__(self, name: str) -> type[Effect]:
        if name in self._own:
            return self._own[name]
        if name not in self._loaded and name in _named(EFFECTS_GROUP):
            self._loaded[name] = _load(_named(EFFECTS_GROUP)[name])
        effect = self._loaded.get(name)
        if effect is None:
            raise KeyError(name)
        return effect

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except KeyError:
            return False

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in sorted(_named(EFFECTS_GROUP)) if name not in self._own and name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def names(self) -> dict[type[Effect], str]:
        """The names of the effects that have been used so far, by class."""
        used = {name: effect for name, effect in self._loaded.items() if effect is not None}
        return {effect: name for name, effect in (self._own | used).items()}


def preset_folders() -> list[Path]:
    """The folders with presets of other packages. No code of theirs is run."""
    folders = []
    for name, entry in sorted(_named(PRESETS_GROUP).items()):
        folder = _folder(entry)
        if folder is None:
            _log.warning("the presets '%s' of %s are missing: no package '%s'", name, _owner(entry), entry.value)
        else:
            folders.append(folder)
    return folders


def owner_of(folder: Path) -> str | None:
    """The name of the installed package that a folder with presets belongs to."""
    return next((_owner(entry) for entry in _named(PRESETS_GROUP).values() if _folder(entry) == folder), None)


@cache
def _named(group: str) -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=group)}


def _load(entry: metadata.EntryPoint) -> type[Effect] | None:
    try:
        effect: Any = entry.load()
        if not (isinstance(effect, type) and is_dataclass(effect) and callable(getattr(effect, "build", None))):
            raise TypeError(f"{entry.value} is not a dataclass with a method build")
        settings(effect)
    except Exception as error:  # of any kind: it is code of others
        reason = str(error).partition("\n")[0]
        _log.warning(
            "the effect '%s' of %s is left out: %s: %s", entry.name, _owner(entry), type(error).__name__, reason
        )
        return None
    return cast("type[Effect]", effect)


def _owner(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist else "another package"


def _folder(entry: metadata.EntryPoint) -> Path | None:
    """The folder of the package that an entry names; found without running code if its files are installed."""
    path = entry.value.replace(".", "/")
    folder = Path(str(entry.dist.locate_file(path))) if entry.dist else None
    if folder is not None and folder.is_dir():
        return folder
    top = entry.value.partition(".")[0]  # of an editable installation
    spec = find_spec(top)
    if spec is None or spec.submodule_search_locations is None:
        return None
    folders = (Path(location).parent / path for location in spec.submodule_search_locations)
    return next((folder for folder in folders if folder.is_dir()), None)

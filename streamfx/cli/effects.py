"""`streamfx effects`: the effects and their settings."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from streamfx.errors import StreamfxError, unknown

if TYPE_CHECKING:
    from streamfx.frame import Effect
    from streamfx.settings import Setting


def effects(
    name: Annotated[str | None, typer.Argument(help="An effect; default: list all.")] = None,
    report: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """List the effects, or the settings of one."""
    from streamfx.effects import EFFECTS

    if name is not None and name not in EFFECTS:
        raise _unknown(name, EFFECTS)
    if report:
        selected = EFFECTS if name is None else {name: EFFECTS[name]}
        print(json.dumps({key: _facts(effect) for key, effect in selected.items()}, indent=2, default=float))
    elif name is None:
        _print_all(EFFECTS)
    else:
        _print_one(name, EFFECTS[name])


def _unknown(name: str, effects: Mapping[str, type[Effect]]) -> StreamfxError:
    from streamfx.media.filters.graph import available_filters

    if name in available_filters():
        return StreamfxError(
            f"'{name}' is an FFmpeg filter; https://ffmpeg.org/ffmpeg-filters.html documents its options"
        )
    return unknown("effect", name, effects)


def _facts(effect: type[Effect]) -> dict[str, object]:
    from streamfx.settings import settings

    return {
        "help": inspect.getdoc(effect),
        "settings": [
            {
                "name": setting.name,
                "type": setting.type.__name__,
                "default": setting.default,
                "required": setting.required,
                "schedule": setting.schedulable,
                "help": setting.help,
            }
            for setting in settings(effect)
        ],
    }


def _print_all(effects: Mapping[str, type[Effect]]) -> None:
    from streamfx.settings import settings

    table = Table("effect", "description", "settings", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, effect in effects.items():
        summary = (inspect.getdoc(effect) or "").splitlines()[0]
        table.add_row(f"[bold]{name}[/bold]", summary, ", ".join(setting.name for setting in settings(effect)))
    console = Console(highlight=False)
    console.print(table)
    console.print("\nAll FFmpeg filters can be used in the same chain:")
    console.print('  streamfx run in.mp4 out.mp4 --chain "fps=24,trails=decay=0.8,hue=s=1.2"', soft_wrap=True)


def _print_one(name: str, effect: type[Effect]) -> None:
    from streamfx.settings import settings

    console = Console(highlight=False)
    console.print(f"[bold]{name}[/bold]: {inspect.getdoc(effect)}\n")
    known = settings(effect)
    if not known:
        console.print("It has no settings.")
    else:
        table = Table("setting", "type", "default", "description", box=None, padding=(0, 2, 0, 0), header_style="bold")
        for setting in known:
            table.add_row(setting.name, setting.type.__name__, _default(setting), setting.help)
        console.print(table)
    schedulable = [setting.name for setting in known if setting.schedulable]
    if schedulable:
        console.print(f"\nSettings that accept a schedule: {', '.join(schedulable)}", soft_wrap=True)
    example = name + "=" * bool(known) + ":".join(f"{s.name}={_default(s)}" for s in known)
    console.print(f'\n  streamfx run in.mp4 out.mp4 --chain "{example}"', soft_wrap=True, markup=False)


def _default(setting: Setting) -> str:
    if setting.required:
        return "..."
    return str(int(setting.default)) if isinstance(setting.default, bool) else str(setting.default)

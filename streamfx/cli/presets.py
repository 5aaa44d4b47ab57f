"""`streamfx presets`: what can be painted with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from streamfx.presets import Preset


def presets(
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object with all that is known.")] = False,
) -> None:
    """List the presets: those that came with the program, and your own."""
    from streamfx.presets import presets as read_presets
    from streamfx.presets import user_presets

    found = read_presets()
    if report:
        print(json.dumps({each.name: _facts(each) for each in found}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("preset", "artist", "painting", "quality", "whose"):
        table.add_column(heading, no_wrap=heading in ("preset", "quality", "whose"))
    for each in found:
        qualities = " ".join(_qualities(each)) or "weights missing"
        after = escape(each.style.artist), escape("\n".join(_paintings(each)))
        table.add_row(f"[bold]{escape(each.name)}[/bold]", *after, qualities, _whose(each))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\n'streamfx sheet PHOTO sheet.png' shows them all on a picture of yours; blends too: --preset vangogh:0.6,"
        f"munch:0.4\nThe paintings lie as NAME.jpg beside the presets; --json names the files.\n"
        f"Your own lie in {user_presets()}; 'streamfx train PAINTING' makes one.",
        soft_wrap=True,
        markup=False,
    )


def _facts(preset: Preset) -> dict[str, object]:
    """Everything about a preset: what its file says, and where its files lie."""
    return {
        **preset.style.model_dump(mode="json"),
        "file": str(preset.path),
        "thumbnail": None if preset.thumbnail is None else str(preset.thumbnail),
        "qualities": _qualities(preset),
        "whose": _whose(preset),
    }


def _qualities(preset: Preset) -> list[str]:
    """Those whose weights are there."""
    return [quality for quality in preset.style.weights if preset.weights(quality).is_file()]


def _paintings(preset: Preset) -> list[str]:
    """Title and year of each painting that the style is after; the preset's own where the paintings have none."""
    style = preset.style
    named = [(painting.title, painting.year) for painting in style.painting if painting.title]
    return [", ".join(filter(None, pair)) for pair in named or [(style.title, style.year)]]


def _whose(preset: Preset) -> str:
    from streamfx.presets import user_presets

    return "yours" if preset.path.parent == user_presets() else "shipped"

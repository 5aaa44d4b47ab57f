"""`streamfx presets`: the shipped presets and the user's own."""

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
    report: Annotated[
        bool, typer.Option("--json", help="Print a JSON object with everything about each preset.")
    ] = False,
) -> None:
    """List the shipped presets and your own."""
    from streamfx.presets import load_look, preset_files, user_presets
    from streamfx.presets import presets as read_presets

    known = read_presets()
    if report:
        print(json.dumps({preset.name: _facts(preset) for preset in known}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("preset", "artist", "painting", "quality", "origin"):
        table.add_column(heading, no_wrap=heading in ("preset", "quality", "origin"))
    for preset in known:
        qualities = " ".join(_qualities(preset)) or "weights missing"
        paintings = escape(preset.style.artist), escape("\n".join(_paintings(preset)))
        table.add_row(f"[bold]{escape(preset.name)}[/bold]", *paintings, qualities, _origin(preset))
    console = Console(highlight=False)
    console.print(table)
    looks = Table(box=None, padding=(1, 2, 0, 0), header_style="bold")
    for heading in ("look of dreams", "title", "layers"):
        looks.add_column(heading)
    for name in preset_files("dream"):
        look = load_look(name)
        looks.add_row(f"[bold]{escape(name)}[/bold]", escape(look.title), escape(str(look.settings.get("layer", ""))))
    console.print(looks)
    console.print(
        "\n'streamfx sheet PHOTO sheet.png' shows them all on your image. Presets can be blended: --preset vangogh:0.6,"
        f"munch:0.4\nThumbnails of the paintings are next to the presets, as NAME.jpg; --json prints their paths.\n"
        f"Your own presets are in {user_presets() or 'a home folder'}; 'streamfx train PAINTING' adds one.",
        soft_wrap=True,
        markup=False,
    )


def _facts(preset: Preset) -> dict[str, object]:
    """A preset's settings and the paths of its files."""
    return {
        **preset.style.model_dump(mode="json"),
        "file": str(preset.path),
        "thumbnail": None if preset.thumbnail is None else str(preset.thumbnail),
        "qualities": _qualities(preset),
        "whose": _origin(preset),
    }


def _qualities(preset: Preset) -> list[str]:
    """The qualities with existing weights."""
    return [quality for quality in preset.style.weights if preset.weights(quality).is_file()]


def _paintings(preset: Preset) -> list[str]:
    """Title and year of each painting; those of the preset if the paintings have no titles."""
    style = preset.style
    if style.network is not None:
        return [f"imported from {style.network.source or style.title}"]
    titled = [(painting.title, painting.year) for painting in style.painting if painting.title]
    return [", ".join(filter(None, pair)) for pair in titled or [(style.title, style.year)]]


def _origin(preset: Preset) -> str:
    """Whether a preset is the user's, shipped, or which package it came with."""
    from streamfx.plugins import owner_of
    from streamfx.presets import user_presets

    own = user_presets()
    if own is not None and preset.path.is_relative_to(own):
        return "yours"
    return owner_of(preset.path.parent) or "shipped"

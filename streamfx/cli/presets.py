"""`streamfx presets`: what can be painted with."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def presets(
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the presets: those that came with the program, and your own."""
    from streamfx.preset import presets as read_presets
    from streamfx.preset import user_presets

    found = read_presets()
    if report:
        rows = {each.name: {**each.style.model_dump(exclude={"training"}), "file": str(each.path)} for each in found}
        print(json.dumps(rows, indent=2))
        return
    table = Table("preset", "after", "licence", "whose", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for each in found:
        style = each.style
        after = ", ".join(part for part in (style.painter, style.title, style.year) if part)
        own = "yours" if each.path.parent == user_presets() else "shipped"
        table.add_row(f"[bold]{each.name}[/bold]", after, style.licence, own)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nYour own lie in {user_presets()}; 'streamfx train PAINTING' makes one.", soft_wrap=True)

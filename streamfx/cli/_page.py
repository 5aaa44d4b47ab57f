"""The HTML page of `streamfx explore`: thumbnails by layer, with links to the full images and their commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the page."""

    address: str  # a layer or channel: block10, block10:3
    image: str  # file, relative to the page
    thumbnail: str
    size: tuple[int, int]  # width and height of the thumbnail
    command: str  # reproduces the image


def draw_page(title: str, about: str, layers: Mapping[str, Sequence[Entry]], sheets: Mapping[str, str]) -> str:
    """The page as HTML. `layers` maps each layer to its entries, `sheets` to the file of its contact sheet."""
    from jinja2 import Template

    template = Path(__file__).with_name("explore.html.jinja").read_text("utf-8")
    page: Template = Template(template, autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    return page.render(title=title, about=about, layers=layers, sheets=sheets)

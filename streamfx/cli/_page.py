"""The page of `streamfx explore`: thumbnails by layer, a picture's full size, and the command that makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark; --paper: #faf9f6; --ink: #1c1c1e; --grey: #7a7874; --line: #dcd9d2;
  --accent: #a3441f }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17171a; --ink: #eceae6; --grey: #98958f; --line: #333237; --accent: #f0936a }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1500px; padding: 2rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem }
p { margin: .2rem 0; color: var(--grey); max-width: 60rem } a { color: var(--accent) }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line);
  padding: .7rem 0; display: flex; flex-wrap: wrap; gap: .2rem .9rem }
nav a { text-decoration: none }
.grid { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(min(240px, 100%), 1fr)) }
figure { margin: 0; min-width: 0 } figure img { width: 100%; height: auto; display: block; border-radius: 4px }
figcaption { display: flex; align-items: baseline; gap: .5rem; padding: .35rem 0 .2rem } figcaption b { flex: 1 }
button { font: inherit; font-size: .8rem; color: var(--accent); background: none; border: 1px solid var(--line);
  border-radius: 4px; padding: .05rem .5rem; cursor: pointer }
code { display: block; font: 12px/1.45 ui-monospace, monospace; color: var(--grey); overflow-wrap: anywhere }
"""
_SCRIPT = """
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const code = button.closest("figure").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy" }, 1500);
});
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of the page."""

    address: str  # block10, or block10:3
    picture: str  # file, beside the page
    thumbnail: str
    size: tuple[int, int]  # of the thumbnail: width, height
    command: str  # that makes the picture


def draw_page(title: str, about: str, layers: Mapping[str, Sequence[Entry]], sheets: Mapping[str, str]) -> str:
    """The page as HTML: `layers` name their entries, `sheets` the picture files that show all of a layer at once."""
    links = "".join(f'<a href="#{escape(layer)}">{escape(layer)}</a>' for layer in layers)
    parts = [
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n<nav>{links}</nav>\n"
    ]
    for layer, entries in layers.items():
        sheet = f' <a href="{escape(sheets[layer])}">sheet</a>' if layer in sheets else ""
        parts.append(f'<section id="{escape(layer)}">\n<h2>{escape(layer)}{sheet}</h2>\n<div class="grid">\n')
        parts += [_figure(entry) for entry in entries]
        parts.append("</div>\n</section>\n")
    return "".join([*parts, f"<script>{_SCRIPT}</script>\n</html>\n"])


def _figure(entry: Entry) -> str:
    width, height = entry.size
    name = escape(entry.address)
    return (
        f'<figure><a href="{escape(entry.picture)}"><img src="{escape(entry.thumbnail)}" alt="{name}" loading="lazy" '
        f'width="{width}" height="{height}"></a>\n<figcaption><b>{name}</b><button type="button">copy</button>'
        f"</figcaption><code>{escape(entry.command)}</code></figure>\n"
    )

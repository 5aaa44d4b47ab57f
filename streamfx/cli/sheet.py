"""`streamfx sheet`: one picture in the manner of every preset, with names."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from unicodedata import combining, normalize

import typer
from rich.progress import BarColumn, Progress, TextColumn

from streamfx.cli._console import STDERR
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels
from streamfx.cli._options import parse_time
from streamfx.errors import StreamfxError
from streamfx.settings import Quality

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

    from streamfx.frame import Frame, Step
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
PAPER, INK, GREY = (250, 249, 246), (28, 28, 30), (122, 120, 116)  # of the sheet, the names, the lines below them
SHAPE = 1.3  # width over height that the columns are chosen for
TALLEST = 1.6  # height of a tile over its width; what is taller is shown narrower
# lengths as shares of a tile's width
MARGIN, GAP, NAME_SIZE, LINE_SIZE = 0.08, 0.05, 0.052, 0.034


@dataclass(frozen=True)
class Tile:
    """A picture on the sheet, and what is written below it."""

    picture: Image
    name: str
    line: str


def sheet(
    source: Annotated[str, typer.Argument(help="Picture, video, 'frames/%05d.png', URL, or - for stdin.")],
    output: Annotated[Path, typer.Argument(help="Picture to write: .png, .jpg or .webp.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the output.")] = False,
    at: Annotated[str, typer.Option(metavar="TIME", help="Frame of a video to show: 12.5, 1:30, 0:01:30.5.")] = "0",
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Show this one, or a blend like vangogh:0.6,munch:0.4; repeatable. Else all presets."),
    ] = None,
    quality: Annotated[Quality, typer.Option(help="fast takes a smaller network.")] = "fine",
    stroke: Annotated[float, typer.Option(min=0.5, max=2.0, help="Size of the strokes, 0.5..2.")] = 1.0,
    columns: Annotated[int | None, typer.Option(min=1, help="Tiles in a row; else what looks best.")] = None,
    width: Annotated[int, typer.Option(min=64, max=4096, help="Of a tile, in pixels.")] = 480,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Show every preset on a picture: streamfx sheet photo.jpg sheet.png"""
    if quiet:
        log.setLevel(logging.ERROR)
    moment = parse_time(at)
    if source == "-" and sys.stdin.isatty():
        raise StreamfxError("stdin is a terminal: pipe a picture or video in, or name an input file")
    writer = _writer(source, output, yes)
    try:
        steps = _steps(preset, quality, stroke, device)
        with closing(_prefetched(source, moment, width)) as frames:
            seen = next(frames)
        name = "stdin" if source == "-" else Path(source).name
        tiles = [Tile(_tile(seen, width), "source", f"{name}, at {at.strip()}" if moment else name)]
        tiles += _painted(seen, steps, width, shown=STDERR.is_terminal and not quiet)
        _write(writer, draw(tiles, width, columns))
    except KeyboardInterrupt:
        log.error("interrupted: nothing was kept")
        raise typer.Exit(130) from None


def _writer(source: str, output: Path, overwrite: bool) -> Writer:
    """What writes the sheet, whole or not at all; refuses now what it could not do later."""
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if output.suffix.lower() not in ENDINGS or not format_of(str(output), None).single_frame:
        raise StreamfxError(f"a sheet is one picture; '{output}' must end in one of {' '.join(ENDINGS)}")
    if output.is_file() and Path(source).is_file() and output.samefile(source):
        raise StreamfxError(f"'{output}' is the input itself; give another name for the sheet")
    return Writer(output, None, Output(overwrite=overwrite))


def _write(writer: Writer, picture: Image) -> None:
    import numpy as np
    import torch

    from streamfx.frame import Frame

    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    with writer:
        writer.write(Frame(image, Fraction(0), Fraction(1, 25)))


def _prefetched(source: str, moment: Fraction, width: int) -> Generator[Frame, None, None]:
    """The one frame, read on another thread: a source that sends nothing yet can be interrupted."""
    from streamfx.media.input.reader import Reader
    from streamfx.pipeline import prefetch

    def frames() -> Iterator[Frame]:
        with Reader(source, start=moment) as reader:
            yield next(_seen(reader, width))

    return prefetch(frames())


def _seen(reader: Reader, width: int) -> Iterator[Frame]:
    """The reader's frames with square pixels, no larger than they are painted or shown."""
    from streamfx.media.filters.graph import Filter
    from streamfx.styletransfer import working_resolution

    info = reader.info
    aspect = float(info.sample_aspect_ratio)
    wide, high = info.width * max(1.0, aspect), info.height / min(1.0, aspect)  # stretched, never squeezed
    smaller = min(1.0, math.sqrt(max(working_resolution.AREA, width * width * high / wide) / (wide * high)))
    size = max(1, round(wide * smaller)), max(1, round(high * smaller))
    if size == (info.width, info.height):
        return reader.frames()
    return reader.frames([Filter("scale", f"{size[0]}:{size[1]}:flags=lanczos"), Filter("setsar", "1")])


def _steps(chosen: Sequence[str] | None, quality: Quality, stroke: float, device: str) -> dict[str, Step]:
    """Preset or blend -> the step that paints in its manner; of all presets those that are there in this quality."""
    from streamfx.effects.style import Style
    from streamfx.pipeline import find_device
    from streamfx.presets import presets

    where = find_device(device)
    steps = {}
    for text in chosen or [each.name for each in presets()]:
        effect = Style(preset=text, quality=quality, stroke=stroke)
        try:
            steps[text] = effect.build(where)
        except StreamfxError as error:
            if chosen:
                raise
            log.warning("the preset %s is left out: %s", text, error)
    if not steps:
        raise StreamfxError("none of the presets can be shown; 'streamfx presets' lists them")
    return steps


def _painted(seen: Frame, steps: dict[str, Step], width: int, *, shown: bool) -> Iterator[Tile]:
    """A tile for each step; each step is let go when it has painted, with the memory of its network."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, console=STDERR, disable=not shown) as bar:
        task = bar.add_task("", total=len(steps))
        for text in list(steps):
            bar.update(task, description=text)
            (painted,) = steps.pop(text)(seen, {})
            yield Tile(_tile(painted, width), *_caption(text))
            bar.advance(task)


def _caption(text: str) -> tuple[str, str]:
    """What is written below the tile of a preset or blend: its name, and whose manner it is."""
    from streamfx.presets import load_preset, parse_blend

    parts = [(load_preset(name), share) for name, share in parse_blend(text)]
    if len(parts) > 1:
        name = " + ".join(f"{preset.name} {share:.0%}" for preset, share in parts)
        return name, ", ".join(preset.style.artist or preset.style.title for preset, _ in parts)
    (preset, _), *_ = parts
    style = preset.style
    return preset.name, ", ".join(part for part in (style.artist, style.title, style.year) if part)


def _tile(frame: Frame, width: int) -> Image:
    """The frame as a picture `width` wide, or narrower where it would be too tall; on paper where it is transparent."""
    import torch
    from PIL import Image

    image = frame.image.cpu()
    if frame.alpha is not None:
        paper = torch.tensor(PAPER).view(3, 1, 1) / 255
        image = paper.lerp(image, frame.alpha.cpu())
    pixels = (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous()
    picture = Image.fromarray(pixels.numpy())
    scale = min(width / picture.width, TALLEST * width / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def draw(tiles: Sequence[Tile], width: int, columns: int | None = None) -> Image:
    """All tiles, pictures of one size at most `width` wide, in rows on light paper, their names below them."""
    from PIL import Image, ImageDraw

    margin, gap = round(MARGIN * width), round(GAP * width)
    fonts = [_font(max(9, round(share * width))) for share in (NAME_SIZE, LINE_SIZE)]
    lines = [round(font.size * 1.35) for font in fonts]
    across, high = max(tile.picture.width for tile in tiles), max(tile.picture.height for tile in tiles)
    across = max(across, width // 2)  # room for the names
    cell = across + gap, high + round(fonts[0].size * 0.5) + sum(lines) + gap
    columns = min(len(tiles), columns or _columns(len(tiles), *cell))
    rows = -(-len(tiles) // columns)
    size = 2 * margin + columns * cell[0] - gap, 2 * margin + rows * cell[1] - gap
    paper = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(paper)
    for number, tile in enumerate(tiles):
        x, y = margin + number % columns * cell[0], margin + number // columns * cell[1]
        paper.paste(tile.picture, (x, y))
        y += high + round(fonts[0].size * 0.5)
        for text, font, step, colour in zip((tile.name, tile.line), fonts, lines, (INK, GREY)):
            pen.text((x, y), _fitted(text, font, across), fill=colour, font=font)
            y += step
    return paper


def _columns(tiles: int, width: int, height: int) -> int:
    """How many columns of cells come nearest to the sheet's shape, with few places left empty."""

    def badness(columns: int) -> float:
        rows = -(-tiles // columns)
        empty = columns * rows - tiles
        return abs(math.log(columns * width / (rows * height) / SHAPE)) + empty / tiles

    return min(range(1, tiles + 1), key=badness)


def _font(size: int) -> FreeTypeFont:
    """Pillow's own font, the same on every machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels carry FreeType"
    return font


def _fitted(text: str, font: FreeTypeFont, width: int) -> str:
    """The text in letters that the font has, cut off with an ellipsis where it is longer than `width`."""
    folded = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
    text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in folded)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text.rstrip()}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"

"""`streamfx sheet`: a contact sheet of one image stylized with every preset."""

from __future__ import annotations

import logging
import math
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
from streamfx.media.standard_streams import check_stdin
from streamfx.settings import Quality

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

    from streamfx.frame import Frame, Step
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.writer import Writer

log = logging.getLogger("streamfx")

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
PAPER, INK, GRAY = (250, 249, 246), (28, 28, 30), (122, 120, 116)  # background, names, captions
ASPECT = 1.3  # preferred aspect ratio of the sheet
MAX_TILE_HEIGHT = 1.6  # relative to the tile width; taller images are scaled down
# relative to the tile width; the sizes are font sizes
MARGIN, GAP, NAME_SIZE, LINE_SIZE = 0.08, 0.05, 0.052, 0.034


@dataclass(frozen=True)
class Tile:
    """An image on the sheet, and the two lines of text below it."""

    picture: Image
    name: str
    line: str


def sheet(
    source: Annotated[str, typer.Argument(help="Image, video, 'frames/%05d.png', URL, or - for stdin.")],
    output: Annotated[Path, typer.Argument(help="Image to write: .png, .jpg or .webp.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the output file.")] = False,
    at: Annotated[str, typer.Option(metavar="TIME", help="Video time of the frame: 12.5, 1:30, 0:01:30.5.")] = "0",
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Preset, or a blend like vangogh:0.6,munch:0.4; repeatable. Default: all presets."),
    ] = None,
    quality: Annotated[Quality, typer.Option(help="fast takes a smaller network.")] = "fine",
    stroke: Annotated[float, typer.Option(min=0.5, max=2.0, help="Relative size of the strokes, 0.5..2.")] = 1.0,
    columns: Annotated[int | None, typer.Option(min=1, help="Tiles per row; default: by aspect ratio.")] = None,
    width: Annotated[int, typer.Option(min=64, max=4096, help="Width of a tile, pixels.")] = 480,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Show every preset on an image: streamfx sheet photo.jpg sheet.png"""
    if quiet:
        log.setLevel(logging.ERROR)
    time = parse_time(at)
    if source == "-":
        check_stdin()
    writer = _build_writer(source, output, yes)
    try:
        steps = _build_steps(preset, quality, stroke, device)
        with closing(_read_frame(source, time, width)) as frames:
            frame = next(frames)
        name = "stdin" if source == "-" else Path(source).name
        tiles = [Tile(_tile_image(frame, width), "source", f"{name}, at {at.strip()}" if time else name)]
        tiles += _stylize(frame, steps, width, shown=STDERR.is_terminal and not quiet)
        _write(writer, draw(tiles, width, columns))
    except KeyboardInterrupt:
        log.error("interrupted: nothing was written")
        raise typer.Exit(130) from None


def _build_writer(source: str, output: Path, overwrite: bool) -> Writer:
    """The writer of the sheet. Raises StreamfxError if the output cannot be written, before any work is done."""
    from streamfx.media.encoding import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if output.suffix.lower() not in EXTENSIONS or not format_of(str(output), None).single_frame:
        raise StreamfxError(f"a sheet is one image; '{output}' must end in one of {' '.join(EXTENSIONS)}")
    if output.is_file() and Path(source).is_file() and output.samefile(source):
        raise StreamfxError(f"'{output}' is the input itself; give another name for the sheet")
    return Writer(output, None, Output(overwrite=overwrite))


def _write(writer: Writer, sheet: Image) -> None:
    import numpy as np
    import torch

    from streamfx.frame import Frame

    image = torch.from_numpy(np.array(sheet)).permute(2, 0, 1).float() / 255
    with writer:
        writer.write(Frame(image, Fraction(0), Fraction(1, 25)))


def _read_frame(source: str, time: Fraction, width: int) -> Generator[Frame, None, None]:
    """The frame at `time`, read on another thread, so that waiting for stdin or a stream can be interrupted."""
    from streamfx.media.input.reader import Reader
    from streamfx.pipeline import prefetch

    def frames() -> Iterator[Frame]:
        with Reader(source, start=time) as reader:
            yield next(_scaled_frames(reader, width))

    return prefetch(frames())


def _scaled_frames(reader: Reader, width: int) -> Iterator[Frame]:
    """The frames with square pixels, scaled down to the larger of the working resolution and the tile size."""
    from streamfx.media.filters.graph import Filter
    from streamfx.styletransfer import working_resolution

    info = reader.info
    aspect = float(info.sample_aspect_ratio)
    display_width, display_height = info.width * max(1.0, aspect), info.height / min(1.0, aspect)  # never shrunk
    area = max(working_resolution.AREA, width * width * display_height / display_width)
    scale = min(1.0, math.sqrt(area / (display_width * display_height)))
    size = max(1, round(display_width * scale)), max(1, round(display_height * scale))
    if size == (info.width, info.height):
        return reader.frames()
    return reader.frames([Filter("scale", f"{size[0]}:{size[1]}:flags=lanczos"), Filter("setsar", "1")])


def _build_steps(selected: Sequence[str] | None, quality: Quality, stroke: float, device: str) -> dict[str, Step]:
    """Preset or blend -> its step. By default all presets; those without weights for the quality are skipped."""
    from streamfx.effects.style import Style
    from streamfx.pipeline import find_device
    from streamfx.presets import presets

    torch_device = find_device(device)
    steps = {}
    for text in selected or [preset.name for preset in presets()]:
        effect = Style(preset=text, quality=quality, stroke=stroke)
        try:
            steps[text] = effect.build(torch_device)
        except StreamfxError as error:
            if selected:
                raise
            log.warning("skipping preset %s: %s", text, error)
    if not steps:
        raise StreamfxError("none of the presets can be shown; 'streamfx presets' lists them")
    return steps


def _stylize(frame: Frame, steps: dict[str, Step], width: int, *, shown: bool) -> Iterator[Tile]:
    """A tile for each step; each step is removed after use to free the memory of its network."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, console=STDERR, disable=not shown) as bar:
        task = bar.add_task("", total=len(steps))
        for text in list(steps):
            bar.update(task, description=text)
            (stylized,) = steps.pop(text)(frame, {})
            yield Tile(_tile_image(stylized, width), *_caption(text))
            bar.advance(task)


def _caption(text: str) -> tuple[str, str]:
    """The lines below the tile of a preset or blend: its name; artist, title and year."""
    from streamfx.presets import load_preset, parse_blend

    parts = [(load_preset(name), share) for name, share in parse_blend(text)]
    if len(parts) > 1:
        name = " + ".join(f"{preset.name} {share:.0%}" for preset, share in parts)
        return name, ", ".join(preset.style.artist or preset.style.title for preset, _ in parts)
    (preset, _), *_ = parts
    style = preset.style
    return preset.name, ", ".join(part for part in (style.artist, style.title, style.year) if part)


def _tile_image(frame: Frame, width: int) -> Image:
    """The frame scaled to `width`, or less for tall frames; transparent parts show the background."""
    import torch
    from PIL import Image

    image = frame.image.cpu()
    if frame.alpha is not None:
        paper = torch.tensor(PAPER).view(3, 1, 1) / 255
        image = paper.lerp(image, frame.alpha.cpu())
    pixels = (image.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous()
    picture = Image.fromarray(pixels.numpy())
    scale = min(width / picture.width, MAX_TILE_HEIGHT * width / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def draw(tiles: Sequence[Tile], width: int, columns: int | None = None) -> Image:
    """The sheet: tiles with images at most `width` wide, in rows, with their text below."""
    from PIL import Image, ImageDraw

    margin, gap = round(MARGIN * width), round(GAP * width)
    fonts = [_font(max(9, round(share * width))) for share in (NAME_SIZE, LINE_SIZE)]
    line_heights = [round(font.size * 1.35) for font in fonts]
    tile_width, tile_height = max(tile.picture.width for tile in tiles), max(tile.picture.height for tile in tiles)
    tile_width = max(tile_width, width // 2)  # room for the text
    cell = tile_width + gap, tile_height + round(fonts[0].size * 0.5) + sum(line_heights) + gap
    columns = min(len(tiles), columns or _columns(len(tiles), *cell))
    rows = -(-len(tiles) // columns)
    size = 2 * margin + columns * cell[0] - gap, 2 * margin + rows * cell[1] - gap
    sheet = Image.new("RGB", size, PAPER)
    canvas = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        x, y = margin + number % columns * cell[0], margin + number // columns * cell[1]
        sheet.paste(tile.picture, (x, y))
        y += tile_height + round(fonts[0].size * 0.5)
        for text, font, line_height, color in zip((tile.name, tile.line), fonts, line_heights, (INK, GRAY)):
            canvas.text((x, y), _fit(text, font, tile_width), fill=color, font=font)
            y += line_height
    return sheet


def _columns(tiles: int, width: int, height: int) -> int:
    """The number of columns of cells `width` x `height` with the best aspect ratio and few empty cells."""

    def cost(columns: int) -> float:
        rows = -(-tiles // columns)
        empty = columns * rows - tiles
        return abs(math.log(columns * width / (rows * height) / ASPECT)) + empty / tiles

    return min(range(1, tiles + 1), key=cost)


def _font(size: int) -> FreeTypeFont:
    """Pillow's built-in font, which is the same on every machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels include FreeType"
    return font


def _fit(text: str, font: FreeTypeFont, width: int) -> str:
    """The text in ASCII, which the font has, shortened with an ellipsis to `width` pixels."""
    folded = "".join(char for char in normalize("NFKD", text) if not combining(char))
    text = "".join(char if char.isascii() and char.isprintable() else "?" for char in folded)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text.rstrip()}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"

"""`streamfx explore`: an HTML page of dreams on one image, with layers and channels."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamfx.cli._allocator import keep_memory
from streamfx.cli._console import STDERR
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels
from streamfx.cli._page import Entry, draw_page
from streamfx.cli.models import fetch_with_bar
from streamfx.cli.sheet import Tile, draw
from streamfx.errors import Misuse, StreamfxError, unknown

if TYPE_CHECKING:
    from PIL.Image import Image

    from streamfx.effects.dream import Dream
    from streamfx.frame import Frame

log = logging.getLogger("streamfx")

THUMBNAIL = 320  # width, pixels
QUALITY = 92  # JPEG quality of the images
SETTINGS = "explore.json"  # in the page's folder: the settings of its images


@dataclass(frozen=True, slots=True)
class Gallery:
    """The paths of a page's files, and the settings that its images share."""

    folder: Path
    source: str
    size: tuple[int, int]  # width, height
    dream: Dream  # `layer` is replaced by the address of each image

    def image_file(self, address: str) -> Path:
        return self.folder / "pictures" / f"{_file_stem(address)}.jpg"

    def thumbnail(self, address: str) -> Path:
        return self.folder / "thumbnails" / f"{_file_stem(address)}.jpg"

    def sheet(self, layer: str) -> Path:
        return self.folder / "sheets" / f"{_file_stem(layer)}.png"

    def command(self, address: str) -> str:
        """The command that reproduces the image of this address."""
        dream, (width, height) = self.dream, self.size
        words: list[object] = ["streamfx", "dream", "--start", self.source, "out.png", "--size", f"{width}x{height}"]
        words += ["--model", dream.model, "--layer", address, "--octaves", dream.octaves, "--steps", dream.steps]
        if dream.weights:
            words += ["--weights", dream.weights]
        if dream.strength != 1:
            words += ["--strength", dream.strength]
        if dream.colors != "natural":
            words += ["--colors", dream.colors]
        if dream.seed:
            words += ["--seed", dream.seed]
        return shlex.join(map(str, words))


def explore(
    source: Annotated[str, typer.Argument(help="Image, or video, of which the first frame is used.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the page; an unfinished page is continued.")],
    model: Annotated[str, typer.Option(help="See 'streamfx models', or timm:NAME.")] = "auto",
    weights: Annotated[
        str, typer.Option(metavar="FILE", help="File of the model's weights, instead of the downloaded one.")
    ] = "",
    layers: Annotated[str, typer.Option(metavar="A,B,...", help="Layers to show.", show_default="the main ones")] = "",
    channels: Annotated[
        str, typer.Option(metavar="FROM:TO", help="Channels to show of each layer; TO is excluded: 0:64.")
    ] = "",
    width: Annotated[int, typer.Option(min=64, max=4096, help="Maximum width of the images, pixels.")] = 640,
    octaves: Annotated[int, typer.Option(min=1, max=12, help="Number of pattern sizes.")] = 4,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps in each octave.")] = 10,
    strength: Annotated[float, typer.Option(min=0.0, max=4.0, help="Strength of the dream, 0..4.")] = 1.0,
    colors: Annotated[
        Literal["natural", "free"],
        typer.Option(help="natural: colors vary together, as in photos; free: each by itself."),
    ] = "natural",
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Seed of the random shifts.")] = 0,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start over if the folder has other settings.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Show the dreams of the main layers, or others, as a page: streamfx explore photo.jpg FOLDER"""
    from streamfx.deepdream.networks import choose_network, list_layers, main_layers
    from streamfx.effects.dream import Dream

    keep_memory()
    shown = STDERR.is_terminal and not quiet
    selected = [name.strip() for name in layers.split(",") if name.strip()]
    channel_range = _channels(channels)
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=shown)
    network = choose_network(model, selected)
    known = {layer.name: layer.channels for layer in list_layers(network.name)}
    for layer in selected:
        if layer not in known:
            raise unknown(f"layer of {network.name}", layer, known)
    addresses = {
        layer: _addresses(layer, known[layer], channel_range) for layer in selected or main_layers(network.name)
    }
    frame = _first_frame(source, width)
    settings = Dream(
        model=network.name,
        weights=weights,
        octaves=octaves,
        steps=steps,
        strength=strength,
        seed=seed,
        colors=colors,
        coherence="off",
    )
    gallery = Gallery(folder, source, (frame.image.shape[2], frame.image.shape[1]), settings)
    try:
        _prepare(gallery, frame, yes)
        _render_missing(gallery, frame, addresses, device, shown)
    except KeyboardInterrupt:
        _write_page(gallery, addresses)
        log.error("interrupted: repeat the command to continue")
        raise typer.Exit(130) from None
    except OSError as error:
        raise StreamfxError(f"cannot write to '{folder}' ({error.strerror or error})") from error
    if not quiet:
        STDERR.print(f"streamfx: open {folder / 'index.html'}", markup=False)


def _channels(text: str) -> range | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text.strip(), re.ASCII)
    if not match or int(match[1]) >= int(match[2]):
        raise Misuse(f"'{text}' is not a range of channels; give FROM:TO, such as 0:64 for the first 64")
    return range(int(match[1]), int(match[2]))


def _addresses(layer: str, count: int | None, channels: range | None) -> list[str]:
    """The layer, and its channels in the range."""
    numbers = range(0) if channels is None else channels
    return [layer, *(f"{layer}:{number}" for number in numbers if count is None or number < count)]


def _file_stem(address: str) -> str:
    return re.sub(r"[^\w.]", "_", address)


def _first_frame(source: str, width: int) -> Frame:
    """The first frame, at most `width` wide; scaled as by --size, which the shown commands use."""
    from streamfx.media.filters.graph import Filter
    from streamfx.media.input.reader import Reader

    with Reader(source) as reader:
        info = reader.info
        scale = min(1.0, width / info.width)
        size = max(1, round(info.width * scale)), max(1, round(info.height * scale))
        filters = [Filter("scale", f"{size[0]}:{size[1]}:flags=lanczos")]
        return next(iter(reader.frames(filters)))


def _prepare(gallery: Gallery, frame: Frame, overwrite: bool) -> None:
    """Create the folders. Images of other settings are an error; with `overwrite`, they are deleted."""
    digest = hashlib.sha256(frame.image.mul(255).byte().numpy().tobytes()).hexdigest()
    dream = gallery.dream
    settings = {
        "image": digest[:32],
        "model": dream.model,
        "weights": dream.weights,
        "octaves": dream.octaves,
        "steps": dream.steps,
        "strength": dream.strength,
        "seed": dream.seed,
        "colors": dream.colors,
    }
    file = gallery.folder / SETTINGS
    saved = _saved_settings(file)
    differing = [name for name in (saved | settings if saved else ()) if saved.get(name) != settings.get(name)]
    if differing and not overwrite:
        raise StreamfxError(
            f"'{gallery.folder}' has different settings ({differing[0]}); give another folder, or -y to start over"
        )
    for name in ("pictures", "thumbnails", "sheets"):
        subfolder = gallery.folder / name
        subfolder.mkdir(parents=True, exist_ok=True)
        for old in subfolder.iterdir() if differing else ():
            old.unlink()
    file.write_text(json.dumps(settings, indent=2))


def _saved_settings(file: Path) -> dict[str, Any]:
    """The settings of the existing images; empty if there are none."""
    try:
        saved = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        saved = None
    return saved if isinstance(saved, dict) and saved else {"settings": "damaged"}


def _render_missing(
    gallery: Gallery, frame: Frame, layers: Mapping[str, Sequence[str]], device: str, shown: bool
) -> None:
    """Render the missing images; updates the page and the contact sheets after each layer."""
    missing = {a for addresses in layers.values() for a in addresses if not gallery.thumbnail(a).is_file()}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, disable=not shown) as bar:
        task = bar.add_task("", total=len(missing))
        for layer, addresses in layers.items():
            for address in addresses:
                if address in missing:
                    bar.update(task, description=address)
                    _render(gallery, frame, address, device)
                    bar.advance(task)
            _draw_sheet(gallery, layer, addresses)
            _write_page(gallery, layers)


def _render(gallery: Gallery, frame: Frame, address: str, device: str) -> None:
    """Write an image and then its thumbnail, both atomically; the thumbnail marks the image as complete."""
    from dataclasses import replace

    from PIL import Image

    from streamfx.pipeline import find_device

    step = replace(gallery.dream, layer=address).build(find_device(device))
    (output,) = step(frame, {})
    pixels = (output.image.cpu() * 255 + 0.5).byte().permute(1, 2, 0).contiguous()
    image = Image.fromarray(pixels.numpy())
    _save(image, gallery.image_file(address), quality=QUALITY)
    image.thumbnail((THUMBNAIL, 4 * THUMBNAIL), Image.Resampling.LANCZOS)
    _save(image, gallery.thumbnail(address), quality=QUALITY)


def _save(image: Image, path: Path, **options: Any) -> None:
    temporary = path.with_name(f".{path.name}")
    image.save(temporary, "PNG" if path.suffix == ".png" else "JPEG", **options)
    temporary.replace(path)


def _draw_sheet(gallery: Gallery, layer: str, addresses: Sequence[str]) -> None:
    from PIL import Image

    tiles = [
        Tile(Image.open(gallery.thumbnail(address)).convert("RGB"), address, gallery.dream.model)
        for address in addresses
    ]
    _save(draw(tiles, THUMBNAIL), gallery.sheet(layer))


def _write_page(gallery: Gallery, layers: Mapping[str, Sequence[str]]) -> None:
    """Write the page of all finished images."""
    shown = {layer: list(_entries(gallery, addresses)) for layer, addresses in layers.items()}
    sheets = {layer: _relative(gallery, gallery.sheet(layer)) for layer in layers if gallery.sheet(layer).is_file()}
    count = sum(map(len, shown.values()))
    title = f"{Path(gallery.source).name}: DeepDream with {gallery.dream.model}"
    about = f"{count} images, {gallery.size[0]}x{gallery.size[1]}. Click one for its full size; below is its command."
    page = draw_page(title, about, {layer: entries for layer, entries in shown.items() if entries}, sheets)
    temporary = gallery.folder / ".index.html"
    temporary.write_text(page, encoding="utf-8", errors="surrogateescape")  # names may not be UTF-8
    temporary.replace(gallery.folder / "index.html")


def _entries(gallery: Gallery, addresses: Sequence[str]) -> Iterator[Entry]:
    from PIL import Image

    for address in addresses:
        thumbnail = gallery.thumbnail(address)
        if thumbnail.is_file():
            with Image.open(thumbnail) as opened:
                size = opened.size
            image = _relative(gallery, gallery.image_file(address))
            yield Entry(address, image, _relative(gallery, thumbnail), size, gallery.command(address))


def _relative(gallery: Gallery, path: Path) -> str:
    return path.relative_to(gallery.folder).as_posix()

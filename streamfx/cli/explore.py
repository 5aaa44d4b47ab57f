"""`streamfx explore`: a picture dreamed on at every layer and channel, as a page to browse."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamfx.cli._allocator import keep_memory
from streamfx.cli._console import STDERR
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels
from streamfx.cli._options import Misuse
from streamfx.cli._page import Entry, draw_page
from streamfx.cli.models import fetch_with_bar
from streamfx.cli.sheet import Tile, draw
from streamfx.errors import StreamfxError, unknown

if TYPE_CHECKING:
    from PIL.Image import Image

    from streamfx.effects.dream import Dream
    from streamfx.frame import Frame

log = logging.getLogger("streamfx")

THUMBNAIL = 320  # pixels wide
QUALITY = 92  # of the pictures, as JPEG counts it
SETTINGS = "explore.json"  # beside the page: what its pictures were made from


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of a page lie, and what its pictures have in common."""

    home: Path
    source: str
    size: tuple[int, int]  # width, height
    dream: Dream  # with the model, and every layer instead of its own

    def picture(self, address: str) -> Path:
        return self.home / "pictures" / f"{_file(address)}.jpg"

    def thumbnail(self, address: str) -> Path:
        return self.home / "thumbnails" / f"{_file(address)}.jpg"

    def sheet(self, layer: str) -> Path:
        return self.home / "sheets" / f"{_file(layer)}.png"

    def command(self, address: str) -> str:
        """The command that makes the picture of this address, just as it is on the page."""
        dream, (width, height) = self.dream, self.size
        made: list[object] = ["streamfx", "dream", "--start", self.source, "out.png", "--size", f"{width}x{height}"]
        made += ["--model", dream.model, "--layer", address, "--octaves", dream.octaves, "--steps", dream.steps]
        if dream.weights:
            made += ["--weights", dream.weights]
        if dream.strength != 1:
            made += ["--strength", dream.strength]
        if dream.seed:
            made += ["--seed", dream.seed]
        return shlex.join(map(str, made))


def explore(
    source: Annotated[str, typer.Argument(help="Picture, or video, of which the first frame is taken.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the page; with pictures in it already, it goes on.")],
    model: Annotated[str, typer.Option(help="See 'streamfx models'; timm:NAME.")] = "auto",
    weights: Annotated[str, typer.Option(metavar="FILE", help="The model's weights.")] = "",
    layers: Annotated[
        str, typer.Option(metavar="A,B,...", help="The layers to show.", show_default="the main ones")
    ] = "",
    channels: Annotated[
        str, typer.Option(metavar="FROM:TO", help="Channels to show of each layer, the last not counted: 0:64.")
    ] = "",
    width: Annotated[int, typer.Option(min=64, max=4096, help="Of the pictures, at most, in pixels.")] = 640,
    octaves: Annotated[int, typer.Option(min=1, max=12, help="Sizes of pattern.")] = 4,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="In each octave.")] = 10,
    strength: Annotated[float, typer.Option(min=0.0, max=4.0, help="How far to dream, 0..4.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Of the random shifts.")] = 0,
    max_pixels: MaxPixels = MAX_PIXELS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Begin anew where the folder holds other settings.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Look for what to dream of: streamfx explore photo.jpg FOLDER"""
    from streamfx.deepdream.networks import choose_network, list_layers, main_layers
    from streamfx.effects.dream import Dream

    keep_memory()
    shown = STDERR.is_terminal and not quiet
    asked = [name.strip() for name in layers.split(",") if name.strip()]
    chosen = _channels(channels)
    if model != "auto" and not weights:
        fetch_with_bar(model, shown=shown)
    network = choose_network(model, asked)
    known = {layer.name: layer.channels for layer in list_layers(network.name)}
    for layer in asked:
        if layer not in known:
            raise unknown(f"layer of {network.name}", layer, known)
    addresses = {layer: _addresses(layer, known[layer], chosen) for layer in asked or main_layers(network.name)}
    frame = _first_frame(source, width)
    settings = Dream(
        model=network.name, weights=weights, octaves=octaves, steps=steps, strength=strength, seed=seed, coherence="off"
    )
    place = Place(folder, source, (frame.image.shape[2], frame.image.shape[1]), settings)
    try:
        _prepare(place, frame, yes)
        _make(place, frame, addresses, device, shown)
    except KeyboardInterrupt:
        _write_page(place, addresses)
        log.error("interrupted: the same command goes on from here")
        raise typer.Exit(130) from None
    except OSError as error:
        raise StreamfxError(f"cannot write to '{folder}' ({error.strerror or error})") from error
    if not quiet:
        STDERR.print(f"streamfx: look at {folder / 'index.html'}", markup=False)


def _channels(text: str) -> range | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text.strip(), re.ASCII)
    if not found or int(found[1]) >= int(found[2]):
        raise Misuse(f"'{text}' is no range of channels; give FROM:TO, as in 0:64 for the first 64")
    return range(int(found[1]), int(found[2]))


def _addresses(layer: str, count: int | None, channels: range | None) -> list[str]:
    """The layer as a whole, and its channels within the range."""
    some = range(0) if channels is None else channels
    return [layer, *(f"{layer}:{number}" for number in some if count is None or number < count)]


def _file(address: str) -> str:
    return re.sub(r"[^\w.]", "_", address)


def _first_frame(source: str, width: int) -> Frame:
    """The picture, at most `width` wide, scaled as --size scales it."""
    from streamfx.media.filters.graph import Filter
    from streamfx.media.input.reader import Reader

    with Reader(source) as reader:
        info = reader.info
        scale = min(1.0, width / info.width)
        size = max(1, round(info.width * scale)), max(1, round(info.height * scale))
        filters = [Filter("scale", f"{size[0]}:{size[1]}:flags=lanczos")]
        return next(iter(reader.frames(filters)))


def _prepare(place: Place, frame: Frame, overwrite: bool) -> None:
    """Make the folders; refuse a folder with pictures of other settings, or with -y take them away."""
    digest = hashlib.sha256(frame.image.mul(255).byte().numpy().tobytes()).hexdigest()
    dream = place.dream
    now = {
        "picture": digest[:32],
        "model": dream.model,
        "weights": dream.weights,
        "octaves": dream.octaves,
        "steps": dream.steps,
        "strength": dream.strength,
        "seed": dream.seed,
    }
    file = place.home / SETTINGS
    differing = [name for name, value in _settings(file).items() if now.get(name) != value]
    if differing and not overwrite:
        raise StreamfxError(
            f"'{place.home}' holds pictures of another {differing[0]}; give another folder, or -y to begin anew"
        )
    for name in ("pictures", "thumbnails", "sheets"):
        part = place.home / name
        part.mkdir(parents=True, exist_ok=True)
        for old in part.iterdir() if differing else ():
            old.unlink()
    file.write_text(json.dumps(now, indent=2))


def _settings(file: Path) -> Mapping[str, Any]:
    """What the pictures that are there were made from; nothing where that is not known."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"settings": None}


def _make(place: Place, frame: Frame, layers: Mapping[str, Sequence[str]], device: str, shown: bool) -> None:
    """Make what is not there yet; the page and the sheets grow with it, layer by layer."""
    missing = {a for addresses in layers.values() for a in addresses if not place.thumbnail(a).is_file()}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, disable=not shown) as bar:
        task = bar.add_task("", total=len(missing))
        for layer, addresses in layers.items():
            for address in addresses:
                if address in missing:
                    bar.update(task, description=address)
                    _dream_one(place, frame, address, device)
                    bar.advance(task)
            _draw_sheet(place, layer, addresses)
            _write_page(place, layers)


def _dream_one(place: Place, frame: Frame, address: str, device: str) -> None:
    """Make the picture and its thumbnail, each whole or not at all; the thumbnail last, for it tells that both are."""
    from dataclasses import replace

    from PIL import Image

    from streamfx.pipeline import find_device

    step = replace(place.dream, layer=address).build(find_device(device))
    (made,) = step(frame, {})
    pixels = (made.image.cpu() * 255 + 0.5).byte().permute(1, 2, 0).contiguous()
    picture = Image.fromarray(pixels.numpy())
    _save(picture, place.picture(address), quality=QUALITY)
    picture.thumbnail((THUMBNAIL, 4 * THUMBNAIL), Image.Resampling.LANCZOS)
    _save(picture, place.thumbnail(address), quality=QUALITY)


def _save(picture: Image, path: Path, **how: Any) -> None:
    beside = path.with_name(f".{path.name}")
    picture.save(beside, "PNG" if path.suffix == ".png" else "JPEG", **how)
    beside.replace(path)


def _draw_sheet(place: Place, layer: str, addresses: Sequence[str]) -> None:
    from PIL import Image

    tiles = [
        Tile(Image.open(place.thumbnail(address)).convert("RGB"), address, place.dream.model) for address in addresses
    ]
    _save(draw(tiles, THUMBNAIL), place.sheet(layer))


def _write_page(place: Place, layers: Mapping[str, Sequence[str]]) -> None:
    """The page of all pictures that are there."""
    shown = {layer: list(_entries(place, addresses)) for layer, addresses in layers.items()}
    sheets = {layer: _beside(place, place.sheet(layer)) for layer in layers if place.sheet(layer).is_file()}
    count = sum(map(len, shown.values()))
    title = f"{Path(place.source).name} as {place.dream.model} dreams of it"
    about = (
        f"{count} pictures, {place.size[0]}x{place.size[1]}. A click shows one in full size; below each is its command."
    )
    page = draw_page(title, about, {layer: entries for layer, entries in shown.items() if entries}, sheets)
    beside = place.home / ".index.html"
    beside.write_text(page, encoding="utf-8")
    beside.replace(place.home / "index.html")


def _entries(place: Place, addresses: Sequence[str]) -> Iterator[Entry]:
    from PIL import Image

    for address in addresses:
        thumbnail = place.thumbnail(address)
        if thumbnail.is_file():
            with Image.open(thumbnail) as opened:
                size = opened.size
            picture = _beside(place, place.picture(address))
            yield Entry(address, picture, _beside(place, thumbnail), size, place.command(address))


def _beside(place: Place, path: Path) -> str:
    return path.relative_to(place.home).as_posix()

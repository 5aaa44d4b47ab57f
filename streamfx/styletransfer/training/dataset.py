"""What painters learn to paint: photographs and frames of videos, cropped, scaled, noised and given plain skies."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.styletransfer.training.images import SUFFIXES, load_image

_log = logging.getLogger("streamfx")

_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv", ".ogv"}
_LARGEST = 1024  # pixels; larger photos are kept at this size, a crop is never as large
_MOST = 256  # photos and frames kept, 2 MB each
_OF_A_VIDEO = 16  # frames at most
_INSTALLED = {  # photographs that the wheels of these packages hold, so that nothing is ever fetched
    "skimage": (
        *("data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg"),
        *("data/motorcycle_left.png", "data/hubble_deep_field.jpg"),
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def load_photos(folder: Path | None, smallest: int, held_out: tuple[str, ...] = ()) -> list[Tensor]:
    """The photos in `folder` and below, and frames of its videos; each [3, H, W] uint8, sides >= `smallest`.

    Files whose names begin with one of `held_out` are left out.
    Without a folder those photographs that scikit-image and scikit-learn bring. Files that cannot be read are skipped
    by name with a warning.
    """
    if folder is None:
        return [_fit(load_image(file), smallest) for file in _installed_photos()]
    if not folder.is_dir():
        raise StreamfxError(f"{folder} is not a folder of photos or videos")
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in SUFFIXES | _VIDEOS and f.is_file()]
    files = [file for file in files if not file.name.startswith(held_out)] if held_out else files
    if len(files) > _MOST:
        _log.warning("%d photos and videos in %s: %d of them are used", len(files), folder, _MOST)
        files = [files[i * len(files) // _MOST] for i in range(_MOST)]
    frames = min(_OF_A_VIDEO, max(1, _MOST // max(1, len(files))))
    photos = []
    for file in files:
        try:
            found = _video_frames(file, frames) if file.suffix.lower() in _VIDEOS else [load_image(file, most=_LARGEST)]
            photos += [_fit(image, smallest) for image in found]
        except StreamfxError as error:
            _log.warning("skipped: %s", error)
    if not photos:
        raise StreamfxError(
            f"no photos or videos in {folder} that can be read; give a folder with JPEG, PNG, WebP or MP4 files, say"
        )
    return photos


def _installed_photos() -> list[Path]:
    files = []
    for package, names in _INSTALLED.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            files += [Path(spec.origin).parent / name for name in names]
    found = [file for file in files if file.is_file()]
    if not found:
        raise StreamfxError("the photographs to practise on are missing: pip install scikit-image, or give --photos")
    return found


def _video_frames(file: Path, count: int) -> list[Tensor]:
    """`count` frames [3, H, W] uint8 of a video, evenly spread over it; fewer of a short one."""
    with closing(Reader(file)) as reader:
        length = reader.info.duration
        if length is None:
            return _evenly((frame.image for frame in reader), count)
    spread = (length * (2 * i + 1) / (2 * count) for i in range(count))
    return [image for moment in spread for image in _frame_at(file, moment)]


def _frame_at(file: Path, moment: Fraction) -> Iterator[Tensor]:
    try:
        with closing(Reader(file, start=moment)) as reader:
            yield from (_to_bytes(frame.image) for frame in islice(reader, 1))
    except StreamfxError:  # the film is shorter than it says
        return


def _evenly(images: Iterable[Tensor], count: int) -> list[Tensor]:
    """About `count` of images whose number is not known before their end, evenly spread over them."""
    kept: list[Tensor] = []
    every = 1
    for at, image in enumerate(images):
        if at % every == 0:
            kept.append(_to_bytes(image))
        if len(kept) > 2 * count:
            kept, every = kept[::2], 2 * every
    return kept


def _fit(image: Tensor, smallest: int) -> Tensor:
    """`image` scaled so that its longer side is at most _LARGEST, but its shorter at least `smallest`."""
    height, width = image.shape[-2:]
    scale = max(min(1.0, _LARGEST / max(height, width)), smallest / min(height, width))
    size = (max(smallest, round(height * scale)), max(smallest, round(width * scale)))
    return _to_bytes(_resize(image.float() / 255, size))


def _to_bytes(image: Tensor) -> Tensor:
    return (image * 255).round().byte()


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`image` [3, H, W] float at `size` = (height, width)."""
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def build_batch(photos: list[Tensor], crop: int, batch: int, chance: random.Random) -> tuple[Tensor, Tensor]:
    """(what the painter is given, what it should have seen), both [batch, 3, crop, crop] float 0..1.

    The first is the second with the noise of a camera; both hold crops at half to full size of the photo, and lie on
    the photos' device.
    """
    clean = torch.stack([_crop(photos, crop, chance) for _ in range(batch)])
    maker = torch.Generator(clean.device).manual_seed(chance.getrandbits(32))
    sigma = torch.tensor([chance.choice((0.0, chance.uniform(0.0, 0.04))) for _ in range(batch)]).view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=maker, device=clean.device)
    return (clean + sigma.to(clean.device) * noise).clamp(0, 1), clean


def _crop(photos: list[Tensor], crop: int, chance: random.Random) -> Tensor:
    photo = chance.choice(photos)
    height, width = photo.shape[-2:]
    side = round(chance.uniform(min(0.6 * crop, height, width), min(height, width)))
    top, left = chance.randint(0, height - side), chance.randint(0, width - side)
    image = _resize(photo[:, top : top + side, left : left + side].float() / 255, (crop, crop))
    if chance.random() < 0.5:
        image = image.flip(-1)
    if chance.random() < 0.15:
        image = _with_sky(image, chance)
    return image


def _with_sky(image: Tensor, chance: random.Random) -> Tensor:
    """The upper part of `image` replaced by a smooth gradient, as skies and walls are."""
    size = image.shape[-1]
    bottom = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(chance.getrandbits(32)))
    top = (bottom + chance.uniform(-0.3, 0.3)).clamp(0, 1)
    rows = torch.linspace(0, 1, size).view(1, size, 1)
    sky = torch.lerp(top, bottom, rows).expand(3, size, size)
    columns = torch.linspace(-0.5, 0.5, size).view(1, 1, size)
    edge = chance.uniform(0.3, 1.2) + columns * chance.uniform(-0.6, 0.6)  # a horizon, tilted
    return torch.where((rows < edge).to(image.device), sky.to(image.device), image)

"""What painters learn to paint: photographs, cropped, scaled, noised and given plain skies."""

from __future__ import annotations

import logging
import random
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError

_log = logging.getLogger("streamfx")

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
_LARGEST = 1024  # pixels; larger photos are kept at this size, a crop is never as large


def load_image(path: Path, height: int | None = None) -> Tensor:
    """The picture at `path`, upright, [3, H, W] RGB uint8, scaled to `height` where one is given."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; a picture that cannot be decoded raises
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
    except FileNotFoundError as error:
        raise StreamfxError(f"{path} does not exist") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StreamfxError(
            f"{path} is no picture that can be read; give a JPEG, PNG, WebP, BMP or TIFF file"
        ) from error
    if height is not None:
        image = image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def load_photos(folder: Path | None, smallest: int) -> list[Tensor]:
    """The photos in `folder` and below, or those that scikit-image brings, each [3, H, W] uint8, sides >= `smallest`.

    Files that cannot be read are skipped by name with a warning.
    """
    if folder is None:
        return [_fit(image, smallest) for image in _installed_photos()]
    if not folder.is_dir():
        raise StreamfxError(f"{folder} is not a folder of photos")
    photos = []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in _SUFFIXES or not file.is_file():
            continue
        try:
            photos.append(_fit(load_image(file), smallest))
        except StreamfxError as error:
            _log.warning("skipped: %s", error)
    if not photos:
        raise StreamfxError(f"no photos in {folder}; give a folder with JPEG, PNG, WebP, BMP or TIFF files")
    return photos


def _installed_photos() -> list[Tensor]:
    from skimage import data

    images = []
    for name in ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry"):
        images.append(np.asarray(getattr(data, name)()))
    return [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images]


def _fit(image: Tensor, smallest: int) -> Tensor:
    """`image` scaled so that its longer side is at most _LARGEST, but its shorter at least `smallest`."""
    height, width = image.shape[-2:]
    scale = max(min(1.0, _LARGEST / max(height, width)), smallest / min(height, width))
    size = (max(smallest, round(height * scale)), max(smallest, round(width * scale)))
    return (_resize(image.float() / 255, size) * 255).round().byte()


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`image` [3, H, W] float at `size` = (height, width)."""
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def build_batch(photos: list[Tensor], crop: int, batch: int, chance: random.Random) -> tuple[Tensor, Tensor]:
    """(what the painter is given, what it should have seen), both [batch, 3, crop, crop] float 0..1.

    The first is the second with the noise of a camera; both hold crops at half to full size of the photo.
    """
    clean = torch.stack([_crop(photos, crop, chance) for _ in range(batch)])
    maker = torch.Generator().manual_seed(chance.getrandbits(32))
    sigma = torch.tensor([chance.choice((0.0, chance.uniform(0.0, 0.04))) for _ in range(batch)]).view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=maker)
    return (clean + sigma * noise).clamp(0, 1), clean


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
    return torch.where(rows < edge, sky, image)

"""Pictures of what a painter has learned: photos above their paintings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.styletransfer.painter import Painter
from streamfx.styletransfer.training.images import load_image
from streamfx.styletransfer.working_resolution import working_size

_PREVIEW = (320, 480, 6)  # height, largest width of a picture; pictures in a row
_FINAL = (480, 720, 4)
_PHOTOS = 8  # on the final sheet
_THUMBNAIL = 320  # pixels of width


def write_preview(file: Path, painter: Painter, styles: Mapping[str, Tensor], photos: Sequence[Tensor]) -> None:
    """Some photos [3, H, W] uint8 above their paintings in each style, quickly: painted as small as they are shown."""
    height, width, count = _PREVIEW
    shown = [_scaled(photo.float() / 255, height) for photo in photos[:count]]
    _write(file, [[shown, *([_paint(painter, style, photo) for photo in shown] for style in styles.values())]], width)


def write_sheet(file: Path, painter: Painter, style: Tensor, photos: Sequence[Tensor]) -> None:
    """Photos [3, H, W] uint8, evenly picked, above their paintings with strokes as large as films get them."""
    height, width, row = _FINAL
    count = min(_PHOTOS, len(photos))
    chosen = [photos[i * len(photos) // count].float() / 255 for i in range(count)]
    painted = []
    for photo in chosen:
        size = working_size(photo.shape[-2], photo.shape[-1], 1.0)
        canvas = F.interpolate(photo[None], size, mode="bilinear", antialias=True)[0]
        painted.append(_scaled(_paint(painter, style, canvas), height))
    before = [_scaled(photo, height) for photo in chosen]
    _write(file, [[before[at : at + row], painted[at : at + row]] for at in range(0, count, row)], width)


def _paint(painter: Painter, style: Tensor, photo: Tensor) -> Tensor:
    learning = painter.training
    painter.eval()
    with torch.no_grad():
        painted: Tensor = painter(photo[None].to(style.device), style[None])[0].cpu()
    painter.train(learning)
    return painted


def _scaled(image: Tensor, height: int) -> Tensor:
    size = (height, max(1, round(image.shape[-1] * height / image.shape[-2])))
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _write(file: Path, groups: Sequence[Sequence[Sequence[Tensor]]], width: int) -> None:
    """Groups of rows of images [3, H, W]; those of a column are as wide as its widest in its group, up to `width`."""
    bands = []
    for rows in groups:
        widths = [min(width, max(image.shape[-1] for image in column)) for column in zip(*rows)]
        for row in rows:
            cells = [F.pad(image[..., :w], (0, max(0, w - image.shape[-1]))) for image, w in zip(row, widths)]
            bands.append(torch.cat(cells, dim=-1))
    whole = max(band.shape[-1] for band in bands)
    sheet = torch.cat([F.pad(band, (0, whole - band.shape[-1])) for band in bands], dim=-2)
    pixels = (sheet.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    try:
        Image.fromarray(pixels).save(file)
    except OSError as error:
        raise StreamfxError(f"cannot write {file}: {error.strerror or error}") from error


def write_grid(file: Path, rows: Sequence[Sequence[Tensor]]) -> None:
    """Rows of images [3, H, W] 0..1, without gaps."""
    _write(file, [rows], max(image.shape[-1] for row in rows for image in row))


def write_thumbnail(file: Path, painting: Path) -> None:
    """The painting as small as lists of presets show it."""
    image = load_image(painting).float() / 255
    _write(file, [[[_scaled(image, max(1, round(image.shape[-2] * _THUMBNAIL / image.shape[-1])))]]], _THUMBNAIL)

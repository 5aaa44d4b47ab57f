"""Contact sheets: photos above their stylized frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.styletransfer.network import StyleNetwork
from streamfx.styletransfer.training.images import load_image
from streamfx.styletransfer.working_resolution import working_size

_FINAL = (480, 720, 4)  # height and largest width of an image; images in a row
_PHOTOS = 8  # on the final sheet
_THUMBNAIL = 320  # pixels of width


def write_sheet(file: Path, network: StyleNetwork, photos: Sequence[Tensor]) -> None:
    """Photos [3, H, W] uint8 evenly sampled, above their stylized frames at the working resolution."""
    height, width, row = _FINAL
    count = min(_PHOTOS, len(photos))
    samples = [photos[i * len(photos) // count].float() / 255 for i in range(count)]
    stylized = []
    for photo in samples:
        size = working_size(photo.shape[-2], photo.shape[-1], 1.0)
        frame = F.interpolate(photo[None], size, mode="bilinear", antialias=True)[0]
        stylized.append(_scaled(stylize(network, frame, 0.0), height))
    before = [_scaled(photo, height) for photo in samples]
    _write(file, [[before[at : at + row], stylized[at : at + row]] for at in range(0, count, row)], width)


@torch.no_grad()
def stylize(network: StyleNetwork, photo: Tensor, detail: float) -> Tensor:
    """`photo` [3, H, W] 0..1 stylized by a network in training, on the CPU."""
    training = network.training
    network.eval()
    style = network.parameters_at(detail)
    with torch.autocast(style.device.type, torch.bfloat16):
        image: Tensor = network(photo[None].to(style.device), style)[0].float().cpu()
    network.train(training)
    return image


def _scaled(image: Tensor, height: int) -> Tensor:
    size = (height, max(1, round(image.shape[-1] * height / image.shape[-2])))
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _write(file: Path, groups: Sequence[Sequence[Sequence[Tensor]]], width: int) -> None:
    """Groups of rows of images [3, H, W]; a column is as wide as its widest image in the group, up to `width`."""
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
    """A thumbnail of the painting, _THUMBNAIL pixels wide."""
    image = load_image(painting).float() / 255
    _write(file, [[[_scaled(image, max(1, round(image.shape[-2] * _THUMBNAIL / image.shape[-1])))]]], _THUMBNAIL)

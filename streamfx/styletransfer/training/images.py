"""Load images of any color mode (gray, transparent, CMYK, 16-bit) as RGB, and paintings as training targets."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.media.limits import check_size
from streamfx.presets import Painting

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}

_MIN_SIDE = 64  # pixels, of a painting
_MAX_ASPECT = 3  # of a painting, long side to short side; longer ones are center-cropped
_MIN_DEVIATION = 0.01  # standard deviation of the colors; below it a painting shows no strokes
_HEIGHTS = (460, 960)  # pixels; in this range the strokes of a painting have a good size
_MIN_HEIGHT = 256  # pixels; smaller paintings are always enlarged to this
_MAX_ENLARGEMENT = 1.5  # beyond _MIN_HEIGHT; the network would learn the blur of a larger one


def load_image(path: Path, *, draft_side: int | None = None) -> Tensor:
    """The image at `path`, upright, [3, H, W] RGB uint8; the first frame of an animation.

    Transparent parts become white. With `draft_side`, a JPEG may be decoded at a reduced size, which is faster, with
    no side below `draft_side` pixels. Raises StreamfxError.
    """
    return _to_tensor(_read(path, draft_side))


def _read(path: Path, draft_side: int | None = None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata; an undecodable image raises
            with Image.open(path) as opened:
                if draft_side is not None:
                    opened.draft(None, (draft_side, draft_side))
                check_size(str(path), *opened.size)
                return _as_rgb(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise StreamfxError(f"{path} does not exist") from error
    except StreamfxError:
        raise
    except Image.DecompressionBombError as error:
        raise StreamfxError(f"{path} has too many pixels; scale it down to 100 megapixels or less") from error
    except Exception as error:  # Pillow's decoders raise exceptions of many kinds for damaged files
        raise StreamfxError(f"{path} is not a readable image; give a JPEG, PNG, WebP, BMP or TIFF file") from error


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _as_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode, converted to sRGB on white."""
    if image.mode.startswith(("I", "F")):
        image = _as_8_bit_gray(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    profile: Any = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
            image = converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile, or one for another color mode
            pass
    return image.convert("RGB")


def _as_8_bit_gray(image: Image.Image) -> Image.Image:
    """A gray image of integers above 8 bits or of floats, scaled to 8 bits."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    largest = values.max(initial=0)
    if image.mode == "F" and largest <= 1:
        white = 1
    else:
        white = 65535 if image.mode.startswith("I;16") or largest > 255 else 255
    return Image.fromarray((values / white * 255).round().clip(0, 255).astype(np.uint8))


def painting_height(path: Path) -> int:
    """The default training height of the painting at `path`: its own, within bounds, without much enlargement."""
    height = _read(path).height
    lowest, highest = _HEIGHTS
    return min(highest, max(height, min(lowest, max(_MIN_HEIGHT, round(height * _MAX_ENLARGEMENT)))))


def load_painting(file: Path, painting: Painting) -> Tensor:
    """The image in `file` [3, H, W] 0..1, scaled and cropped as `painting` says; raises StreamfxError."""
    image = _read(file)
    left, top, right, bottom = painting.crop
    image = image.crop((*_pixels(image, left, top), *_pixels(image, right, bottom)))
    height, width = image.size[::-1]
    scaled = max(1, round(width * painting.height / height))
    if min(height, width, scaled) < _MIN_SIDE:
        detail = "" if min(height, width) < _MIN_SIDE else f" and is {scaled} wide at height {painting.height}"
        raise StreamfxError(
            f"the painting {file} has {width}x{height} pixels{detail}; give one with at least {_MIN_SIDE} on each side"
        )
    target = _to_tensor(image.resize((scaled, painting.height), Image.Resampling.LANCZOS)).float() / 255
    for side, other in ((-2, -1), (-1, -2)):
        length = target.shape[side]
        cropped = min(length - 2 * int(length * painting.margin), _MAX_ASPECT * target.shape[other])
        target = target.narrow(side, (length - cropped) // 2, cropped)
    if target.flatten(1).std(dim=1).max() < _MIN_DEVIATION:
        raise StreamfxError(f"the painting {file} has only one color; give one with visible strokes")
    return target


def _pixels(image: Image.Image, x: float, y: float) -> tuple[int, int]:
    return round(x * image.width), round(y * image.height)

"""Pictures from disk as RGB, whatever they hold: grey, transparent, CMYK, 16-bit; and those a style is learned from."""

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

_SMALLEST = 64  # pixels of a painting's shorter side
_LONGEST = 3  # times a painting's shorter side; what is longer is cut to its middle
_PLAIN = 0.01  # standard deviation of the colours; what has less shows no strokes
_HEIGHTS = (460, 960)  # pixels; within them the strokes of a painting look right
_TINY = 256  # pixels; paintings are scaled to this height at least, as large as the crops that learn from them
_ENLARGED = 1.5  # at most, above that; more would teach the blur of the enlargement


def load_image(path: Path, *, most: int | None = None) -> Tensor:
    """The picture at `path`, upright, [3, H, W] RGB uint8.

    Transparent parts are white; of an animation it is the first picture. With `most` a JPEG may come out smaller where
    that is quicker, but with no side below `most`.
    """
    return _to_tensor(_read(path, most))


def _read(path: Path, most: int | None = None) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; a picture that cannot be decoded raises
            with Image.open(path) as opened:
                if most is not None:
                    opened.draft(None, (most, most))
                check_size(str(path), *opened.size)
                return _as_rgb(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise StreamfxError(f"{path} does not exist") from error
    except StreamfxError:
        raise
    except Image.DecompressionBombError as error:
        raise StreamfxError(f"{path} has too many pixels; scale it down to 100 megapixels or less") from error
    except Exception as error:  # Pillow's decoders raise all kinds for files that are not what they should be
        raise StreamfxError(
            f"{path} is no picture that can be read; give a JPEG, PNG, WebP, BMP or TIFF file"
        ) from error


def _to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _as_rgb(image: Image.Image) -> Image.Image:
    """Any picture in sRGB without alpha."""
    if image.mode.startswith(("I", "F")):
        image = _as_grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    profile: Any = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
            image = converted or image
        except (ImageCms.PyCMSError, OSError, ValueError):  # a profile that is broken or of another kind of picture
            pass
    return image.convert("RGB")


def _as_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, or of floats, scaled to 8 bits."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    largest = values.max(initial=0)
    if image.mode == "F" and largest <= 1:
        white = 1
    else:
        white = 65535 if image.mode.startswith("I;16") or largest > 255 else 255
    return Image.fromarray((values / white * 255).round().clip(0, 255).astype(np.uint8))


def painting_height(path: Path) -> int:
    """The height to learn the painting at `path` from: its own, within bounds, and not enlarged to a blur."""
    own = _read(path).height
    least, largest = _HEIGHTS
    return min(largest, max(own, min(least, max(_TINY, round(own * _ENLARGED)))))


def load_painting(file: Path, painting: Painting) -> Tensor:
    """The picture in `file` [3, H, W] 0..1 at the height and without the margin that `painting` says."""
    image = _read(file)
    height, width = image.size[::-1]
    scaled = max(1, round(width * painting.height / height))
    if min(height, width, scaled) < _SMALLEST:
        at = "" if min(height, width) < _SMALLEST else f", but {scaled} of width when {painting.height} high"
        raise StreamfxError(
            f"the painting {file} has {width}x{height} pixels{at}; it needs {_SMALLEST} at its shorter side"
        )
    painted = _to_tensor(image.resize((scaled, painting.height), Image.Resampling.LANCZOS)).float() / 255
    for side, other in ((-2, -1), (-1, -2)):
        length = painted.shape[side]
        kept = min(length - 2 * int(length * painting.margin), _LONGEST * painted.shape[other])
        painted = painted.narrow(side, (length - kept) // 2, kept)
    if painted.flatten(1).std(dim=1).max() < _PLAIN:
        raise StreamfxError(f"the painting {file} is all of one colour; give one with strokes to learn from")
    return painted

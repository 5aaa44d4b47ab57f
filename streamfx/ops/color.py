"""Colour on planes: luma, and a painting's light with its source's colours."""

import torch
from torch import Tensor

_BAND = 64  # rows
LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, of R, G and B


def luma(image: Tensor) -> Tensor:
    """BT.709 luma [..., 1, H, W] of an RGB `image` [..., 3, H, W], in the image's own range."""
    red, green, blue = image.unbind(-3)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(-3)


def keep_color(source: Tensor, painted: Tensor) -> Tensor:
    """The luma of `painted` with the chroma of `source`, both RGB [..., 3, H, W] in 0..1.

    Chroma is the distance of R and B from luma, so one shift of all three channels exchanges the luma and keeps the
    chroma. Colours that leave 0..1 that way are clipped.
    """
    return torch.clamp(source + (luma(painted) - luma(source)), 0.0, 1.0)


def yuv_to_rgb(planes: Tensor, kr: float, kb: float, *, bits: int, full: bool, out: Tensor | None = None) -> Tensor:
    """RGB [3, H, W] in 0..1 from Y'CbCr code values [3, H, W] of `bits` per sample (ITU-T H.273, equations 20 to 46).

    kr and kb are the shares of red and blue in luma; `full` tells the code range (0..255 or 16..235/240 at 8 bits).
    `out` takes the result; it may be `planes`.
    """
    matrix, offset = _yuv_matrix(kr, kb, bits, full)
    inverse = matrix.inverse()
    return _affine(planes, inverse, -inverse @ offset, out).clamp_(0, 1)


def rgb_to_yuv(image: Tensor, kr: float, kb: float, *, bits: int, full: bool, out: Tensor | None = None) -> Tensor:
    """Y'CbCr code values [3, H, W], not yet rounded, from RGB [3, H, W] in 0..1: the inverse of `yuv_to_rgb`."""
    return _affine(image, *_yuv_matrix(kr, kb, bits, full), out)


def _affine(planes: Tensor, matrix: Tensor, offset: Tensor, out: Tensor | None) -> Tensor:
    """`matrix` [3, 3] and `offset` [3] applied to each pixel of [3, H, W]; `out` may be `planes`.

    Plane by plane, a band of rows at a time: on a CPU that is several times quicker than a product of matrices, which
    three channels are too few for, and what is worked on stays in the cache.
    """
    out = torch.empty_like(planes) if out is None else out
    band = planes.new_empty(3, _BAND, planes.shape[2])
    weights, shifts = matrix.tolist(), offset.tolist()
    for rows, target in zip(torch.split(planes, _BAND, 1), torch.split(out, _BAND, 1), strict=True):
        made = band[:, : rows.shape[1]]
        for row, (first, *others), shift in zip(made, weights, shifts, strict=True):
            torch.mul(rows[0], first, out=row)
            for plane, weight in zip(rows[1:], others, strict=True):
                if weight:
                    row.add_(plane, alpha=weight)
            row.add_(shift)
        target.copy_(made)
    return out


def _yuv_matrix(kr: float, kb: float, bits: int, full: bool) -> tuple[Tensor, Tensor]:
    """The matrix [3, 3] and offset [3], float64, that make code values of RGB."""
    black, y_span, neutral, c_span = _code_range(bits, full)
    kg = 1.0 - kr - kb
    cb, cr = 0.5 * c_span / (1 - kb), 0.5 * c_span / (1 - kr)
    rows = [
        [kr * y_span, kg * y_span, kb * y_span],
        [-kr * cb, -kg * cb, (1 - kb) * cb],
        [(1 - kr) * cr, -kg * cr, -kb * cr],
    ]
    return torch.tensor(rows, dtype=torch.float64), torch.tensor([black, neutral, neutral], dtype=torch.float64)


def gray_to_rgb(plane: Tensor, *, bits: int, full: bool) -> Tensor:
    """RGB [3, H, W] in 0..1 from grey code values [1, H, W]."""
    black, span, _, _ = _code_range(bits, full)
    return ((plane - black) / span).clamp_(0, 1).expand(3, -1, -1).contiguous()


def rgb_to_gray(image: Tensor, *, bits: int, full: bool) -> Tensor:
    """Grey code values [1, H, W], not yet rounded, of the BT.709 luma of RGB [3, H, W] in 0..1."""
    black, span, _, _ = _code_range(bits, full)
    return luma(image) * span + black


def _code_range(bits: int, full: bool) -> tuple[float, float, float, float]:
    """Code value of black, span of luma, neutral chroma, span of chroma."""
    if full:
        peak = float((1 << bits) - 1)
        return 0.0, peak, float(1 << (bits - 1)), peak
    step = float(1 << (bits - 8))
    return 16 * step, 219 * step, 128 * step, 224 * step

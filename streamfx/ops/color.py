"""Color: luma, color preservation, and conversion between Y'CbCr and RGB."""

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.ops import cuda

_BAND = 64  # rows
_SIGNED = {torch.uint16: torch.int16}  # supports more operations in torch; shifts give the same bits
LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709, of R, G and B


def luma(image: Tensor) -> Tensor:
    """BT.709 luma [..., 1, H, W] of an RGB `image` [..., 3, H, W], in the image's own range."""
    red, green, blue = image.unbind(-3)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(-3)


def keep_color(source: Tensor, stylized: Tensor) -> Tensor:
    """The luma of `stylized` with the chroma of `source`, both RGB [..., 3, H, W] in 0..1.

    Chroma is the difference of R and B from luma, so an equal shift of all three channels replaces the luma and keeps
    the chroma. Colors outside 0..1 are clipped.
    """
    return torch.clamp(source + (luma(stylized) - luma(source)), 0.0, 1.0)


def srgb_to_linear(image: Tensor) -> Tensor:
    """Linear light 0..1 of an image coded by the sRGB curve (IEC 61966-2-1), any shape; clipped to 0..1."""
    image = image.clamp(0, 1)
    return torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: Tensor) -> Tensor:
    """The inverse of `srgb_to_linear`."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def yuv_to_rgb(planes: Tensor, kr: float, kb: float, *, bits: int, full: bool, out: Tensor | None = None) -> Tensor:
    """RGB [3, H, W] in 0..1 from Y'CbCr code values [3, H, W] of `bits` per sample (ITU-T H.273, equations 20 to 46).

    kr and kb are the weights of red and blue in luma; `full` selects the code range (0..255, or 16..235/240 at 8
    bits). The result is written to `out` if given, which may be `planes`.
    """
    matrix, offset = _yuv_matrix(kr, kb, bits, full)
    inverse = matrix.inverse()
    return _convert(planes, inverse, -inverse @ offset, out).clamp_(0, 1)


def rgb_to_yuv(image: Tensor, kr: float, kb: float, *, bits: int, full: bool, out: Tensor | None = None) -> Tensor:
    """Y'CbCr code values [3, H, W], not yet rounded, from RGB [3, H, W] in 0..1: the inverse of `yuv_to_rgb`."""
    return _convert(image, *_yuv_matrix(kr, kb, bits, full), out)


def nv12_to_rgb(
    y: Tensor, uv: Tensor, kr: float, kb: float, *, bits: int, full: bool, dtype: torch.dtype = torch.float32
) -> Tensor:
    """RGB [3, H, W] in 0..1 from NV12: y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2], of any row pitch.

    uint8, or uint16 with the value in the upper `bits`, as in P010. The other settings are those of `yuv_to_rgb`.
    Chroma is interpolated linearly; it is sited at the left of its two columns, in the middle of its two rows.
    """
    shift = _unused_bits(y, bits)
    if y.is_cuda and cuda.installed():
        return cuda.nv12_to_rgb(y, uv, (kr, kb, *_code_range(bits, full)), shift, dtype)
    return _nv12_to_rgb(y, uv, kr, kb, bits, full, shift).to(dtype)


def _nv12_to_rgb(y: Tensor, uv: Tensor, kr: float, kb: float, bits: int, full: bool, shift: int) -> Tensor:
    height, width = y.shape
    chroma = (uv.to(torch.int32) >> shift).float().permute(2, 0, 1)  # [2, h, w]
    padded = F.pad(chroma[None], (0, 1, 1, 1), mode="replicate")[0]
    center = 0.75 * padded[:, 1:-1]
    rows = torch.stack([center + 0.25 * padded[:, :-2], center + 0.25 * padded[:, 2:]], 2).flatten(1, 2)
    left, right = rows[..., :-1], rows[..., 1:]
    upsampled = torch.stack([left, 0.5 * (left + right)], 3).flatten(2)[:, :height, :width]
    y_codes = (y.to(torch.int32) >> shift).float()
    return yuv_to_rgb(torch.cat([y_codes[None], upsampled]), kr, kb, bits=bits, full=full)


def rgb_to_nv12(
    image: Tensor, kr: float, kb: float, *, bits: int, full: bool, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """NV12 (8 bits) or P010 (10, in the upper bits of 16): the inverse of `nv12_to_rgb`, rounded to the nearest codes.

    A chroma sample is the mean of its two rows, with weights 1, 2, 1 for the columns around it. `out` receives the
    planes and defines their pitch; without it, both are in one contiguous allocation, as NVENC requires.
    """
    height, width = image.shape[-2:]
    y, uv = nv12_planes(height, width, bits, image.device) if out is None else out
    shift = _unused_bits(y, bits)
    if cuda.supports(image):
        cuda.rgb_to_nv12(image, y, uv, (kr, kb, *_code_range(bits, full)), shift)
    else:
        _rgb_to_nv12(image, (kr, kb), (bits, full), shift, y, uv)
    return y, uv


def _rgb_to_nv12(
    image: Tensor, matrix: tuple[float, float], code_range: tuple[int, bool], shift: int, y: Tensor, uv: Tensor
) -> None:
    (kr, kb), (bits, full) = matrix, code_range
    image, (height, width) = image.detach().float(), image.shape[-2:]
    peak = (1 << bits) - 1
    padded = F.pad(image[None], (1, 1 + width % 2, 0, height % 2), mode="replicate")[0]
    rows = 0.5 * (padded[:, ::2] + padded[:, 1::2])
    mean = 0.25 * rows[..., :-2:2] + 0.5 * rows[..., 1:-1:2] + 0.25 * rows[..., 2::2]  # [3, h, w]
    y_codes, chroma = (rgb_to_yuv(pixels, kr, kb, bits=bits, full=full) for pixels in (image, mean))
    y.copy_((y_codes[0].round().clamp(0, peak).to(torch.int32) << shift).to(y.dtype))
    uv.copy_((chroma[1:].round().clamp(0, peak).to(torch.int32) << shift).to(uv.dtype).permute(1, 2, 0))


def nv12_planes(height: int, width: int, bits: int, device: torch.device, pitch: int = 256) -> tuple[Tensor, Tensor]:
    """Uninitialized y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2] of NV12 (8 bits) or P010 (10).

    Both are in one contiguous allocation, whose row size is a multiple of `pitch` bytes.
    """
    dtype = torch.uint8 if bits <= 8 else torch.uint16
    samples = pitch // dtype.itemsize
    columns = -(-(width + width % 2) // samples) * samples
    memory = torch.empty(height + (height + 1) // 2, columns, dtype=dtype, device=device)
    return split_planes(memory, height, width)


def split_planes(memory: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2] as views of `memory` [H + (H + 1) // 2, samples per row]."""
    shape = ((height + 1) // 2, (width + 1) // 2, 2)
    start = memory.storage_offset() + height * memory.stride(0)
    return memory[:height, :width], memory.as_strided(shape, (memory.stride(0), 2, 1), start)


def nv12_to_planar(y: Tensor, uv: Tensor, bits: int) -> Tensor:
    """Code values of y, cb and cr as consecutive planes in a 1-D tensor, on the device of the NV12 planes."""
    shift = _unused_bits(y, bits)
    planes = [plane.view(_SIGNED.get(plane.dtype, plane.dtype)) for plane in (y, uv)]
    line = torch.cat([planes[0].flatten(), planes[1].movedim(2, 0).flatten()])
    return ((line >> shift) & ((1 << bits) - 1) if shift else line).view(y.dtype)


def planar_to_nv12(line: Tensor, height: int, width: int, bits: int) -> tuple[Tensor, Tensor]:
    """y [H, W] and uv [(H + 1) // 2, (W + 1) // 2, 2], separate tensors, from the result of `nv12_to_planar`."""
    signed = line.view(_SIGNED.get(line.dtype, line.dtype))
    shift = _unused_bits(line, bits)
    y, *chroma = split_line(signed << shift if shift else signed, height, width)
    return y.view(line.dtype), torch.stack(chroma, -1).view(line.dtype)


def split_line(line: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """y [H, W], cb and cr [(H + 1) // 2, (W + 1) // 2] as views of a 1-D tensor of samples."""
    sides = (height + 1) // 2, (width + 1) // 2
    y, cb, cr = torch.split(line, [height * width, sides[0] * sides[1], sides[0] * sides[1]])
    return y.view(height, width), cb.view(sides), cr.view(sides)


def line_length(height: int, width: int) -> int:
    """Number of samples of y, cb and cr together."""
    return height * width + 2 * ((height + 1) // 2) * ((width + 1) // 2)


def _unused_bits(y: Tensor, bits: int) -> int:
    """Number of unused low bits of a sample."""
    if y.dtype not in (torch.uint8, torch.uint16) or not 8 <= bits <= 8 * y.dtype.itemsize:
        raise ValueError(f"{bits} bits do not fit {y.dtype}; NV12 has 8 in uint8, P010 has 10 in uint16")
    return 8 * y.dtype.itemsize - bits


def _convert(planes: Tensor, matrix: Tensor, offset: Tensor, out: Tensor | None) -> Tensor:
    """`matrix` [3, 3] and `offset` [3] applied to each pixel of [3, H, W]; `out` may be `planes`.

    Works plane by plane on bands of rows that stay in the cache: on a CPU this is several times faster than a matrix
    product over three channels.
    """
    out = torch.empty_like(planes) if out is None else out
    band = planes.new_empty(3, _BAND, planes.shape[2])
    weights, shifts = matrix.tolist(), offset.tolist()
    for rows, target in zip(torch.split(planes, _BAND, 1), torch.split(out, _BAND, 1), strict=True):
        result = band[:, : rows.shape[1]]
        for row, (first, *others), shift in zip(result, weights, shifts, strict=True):
            torch.mul(rows[0], first, out=row)
            for plane, weight in zip(rows[1:], others, strict=True):
                if weight:
                    row.add_(plane, alpha=weight)
            row.add_(shift)
        target.copy_(result)
    return out


def _yuv_matrix(kr: float, kb: float, bits: int, full: bool) -> tuple[Tensor, Tensor]:
    """The matrix [3, 3] and offset [3], float64, that convert RGB 0..1 to code values."""
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
    """RGB [3, H, W] in 0..1 from gray code values [1, H, W]."""
    black, span, _, _ = _code_range(bits, full)
    return ((plane - black) / span).clamp_(0, 1).expand(3, -1, -1).contiguous()


def rgb_to_gray(image: Tensor, *, bits: int, full: bool) -> Tensor:
    """Gray code values [1, H, W], not yet rounded, of the BT.709 luma of RGB [3, H, W] in 0..1."""
    black, span, _, _ = _code_range(bits, full)
    return luma(image) * span + black


def _code_range(bits: int, full: bool) -> tuple[float, float, float, float]:
    """Code value of black, span of luma, neutral chroma, span of chroma."""
    if full:
        peak = float((1 << bits) - 1)
        return 0.0, peak, float(1 << (bits - 1)), peak
    step = float(1 << (bits - 8))
    return 16 * step, 219 * step, 128 * step, 224 * step

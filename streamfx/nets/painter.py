"""The feed-forward painter: one pass turns a frame into a painting of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.nets.weights import load_state, load_weights, save_weights

FRAME, PRIOR = 3, 4  # channels: RGB; RGB of the warped previous painting and the trust in it
_STRIDE = 4  # the stem's; the deep part works at half of that again
_MARGIN = 8  # pixels painted beyond each border and cut off: there the strokes know that the picture ends
_CANVAS = 256  # positions; the canvas repeats after 1024 pixels of the frame
_CANVAS_PLANES = 2


def _bordered(x: Tensor, width: tuple[int, int, int, int], training: bool) -> Tensor:
    """`x` with a border by reflection; in training of what is at the other side: no place may be special then."""
    return F.pad(x, width, mode="circular" if training else "reflect")


class _Conv(nn.Conv2d):
    """A convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=size, stride=stride)
        self.border = (size // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H/stride, W/stride]
        return F.conv2d(_bordered(x, self.border, self.training), self.weight, self.bias, self.stride)


def _double(x: Tensor) -> Tensor:
    """`x` at twice its size."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.first_norm = nn.InstanceNorm2d(channels, affine=True)
        self.second = _Conv(channels, channels)
        self.second_norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        change: Tensor = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return x + change


class Painter(nn.Module):
    """Frame [N, 3, H, W] RGB 0..1 -> painting [N, 3, H, W] RGB 0..1, of any size from 1x1.

    A transform network in the manner of Johnson et al. 2016 with the instance norm of Ulyanov et al. 2016:
    pixel-unshuffle in, residual blocks at an eighth of the size for broad strokes and at a quarter for edges, sub-pixel
    convolution out (Shi et al. 2016), initialised without a checkerboard (ICNR, Aitken et al. 2017) and smoothed by a
    last convolution.

    A still pattern of noise, the canvas, is seen beside the frame: in plain areas, where a convolution alone can only
    be plain, brush strokes hang on it, and on it rather than on the noise of the camera. The stem and the upsampling
    have no norm, so that a dark frame stays darker than a bright one.

    `prior` [N, 4, H, W] is the previous painting, warped to this frame (0..1), and the trust in each of its pixels
    (0..1, the painting is zero where the trust is). No prior means zeros, and costs nothing.
    """

    def __init__(self, channels: int = 48, wide: int = 88, blocks: int = 5, fine: int = 32) -> None:
        super().__init__()
        self.sizes = {"channels": channels, "wide": wide, "blocks": blocks, "fine": fine}
        self.stem = _Conv((FRAME + PRIOR) * _STRIDE**2, channels)
        self.grain = _Conv(_CANVAS_PLANES, channels)
        self.before = _Residual(channels)
        self.down = _Conv(channels, wide, stride=2)
        self.blocks = nn.Sequential(*(_Residual(wide) for _ in range(blocks)))
        self.back = _Conv(wide, channels)
        self.after = _Residual(channels)
        self.up = _Conv(channels, fine)
        self.out = _Conv(fine, 3 * 4)
        self.smooth = _Conv(3, 3, size=5)
        _init_icnr(self.out)
        _init_smooth(self.smooth)
        self.canvas: Tensor
        self.register_buffer("canvas", _canvas(), persistent=False)

    def forward(self, frame: Tensor, prior: Tensor | None = None) -> Tensor:
        height, width = frame.shape[-2:]
        margin = 0 if self.training else _MARGIN
        seen = frame - 0.5 if prior is None else torch.cat([frame - 0.5, prior], dim=-3)
        edges = self.before(F.relu(self._stem(_extend(seen, margin))))  # [N, channels, H/4, W/4]
        x = self.blocks(F.relu(self.down(edges)))  # [N, wide, H/8, W/8]
        x = self.after(edges + self.back(_double(x)))  # [N, channels, H/4, W/4]
        x = F.relu(self.up(_double(x)))  # [N, fine, H/2, W/2]
        x = F.pixel_shuffle(self.out(x), 2)  # [N, 3, H, W]
        return torch.sigmoid(self.smooth(x))[..., margin : margin + height, margin : margin + width]

    def _stem(self, x: Tensor) -> Tensor:
        """The first convolution; without a prior only that part of it which looks at the frame."""
        x = _bordered(F.pixel_unshuffle(x, _STRIDE), (1, 1, 1, 1), self.training)
        seen = F.conv2d(x, self.stem.weight[:, : x.shape[-3]], self.stem.bias)
        grain: Tensor = self.grain(self._canvas_for(*seen.shape[-2:]))
        return seen + grain

    def _canvas_for(self, height: int, width: int) -> Tensor:
        """The canvas [1, planes, height, width]; in training it is shifted anew every time: no place is special."""
        canvas = self.canvas
        if self.training:
            canvas = canvas.roll(torch.randint(_CANVAS, (2,)).tolist(), (-2, -1))
        canvas = canvas.repeat(1, 1, -(-height // _CANVAS), -(-width // _CANVAS))
        return canvas[..., :height, :width]


def _canvas() -> Tensor:
    """White noise [1, planes, side, side] in -1..1, the same on every machine: an integer hash of the position."""
    x = torch.arange(_CANVAS_PLANES * _CANVAS**2, dtype=torch.int64)
    for shift, factor in ((16, 0x45D9F3B), (16, 0x45D9F3B), (16, 1)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return (x.double() / 2**31 - 1).float().view(1, _CANVAS_PLANES, _CANVAS, _CANVAS)


def _extend(x: Tensor, margin: int) -> Tensor:
    """`x` with a margin all round, and more at the right and the bottom for whole positions of the deep part.

    Two of these at least: reflection and instance norm need them.
    """
    height, width = x.shape[-2:]
    mode = "reflect" if min(height, width) > margin else "replicate"
    x = F.pad(x, (margin, margin, margin, margin), mode=mode)
    whole = 2 * _STRIDE
    right, bottom = (max(-side % whole, 2 * whole - side) for side in (width + 2 * margin, height + 2 * margin))
    return F.pad(x, (0, right, 0, bottom), mode="replicate")


def _init_icnr(conv: nn.Conv2d) -> None:
    """The four sub-pixels of each output colour start alike, so that nothing alternates (Aitken et al. 2017)."""
    with torch.no_grad():
        conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))
        if conv.bias is not None:
            conv.bias.zero_()


def _init_smooth(conv: nn.Conv2d) -> None:
    """Start as a slight blur of each colour by itself."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    with torch.no_grad():
        conv.weight.zero_()
        for colour in range(3):
            conv.weight[colour, colour] = torch.outer(line, line)
        if conv.bias is not None:
            conv.bias.zero_()


def save_painter(path: Path, painter: Painter) -> None:
    """Write a painter in half precision, its sizes beside its weights."""
    save_weights(path, painter, "painter", painter.sizes)


def load_painter(path: Path) -> Painter:
    """The painter stored at `path`, ready to paint (float32, on the CPU, without gradients)."""
    state, sizes = load_weights(path, "painter")
    if sizes.keys() != {"channels", "wide", "blocks", "fine"}:
        raise StreamfxError(f"{path} was made for another painter (sizes {', '.join(sizes)}); train it again")
    painter = Painter(**sizes)
    load_state(path, painter, state)
    return painter.eval().requires_grad_(False)

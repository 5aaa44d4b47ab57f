"""The feed-forward painter: one pass turns a frame into a painting of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.nets.weights import load_state, load_weights, save_weights

FRAME, PRIOR = 3, 4  # channels: RGB; RGB of the warped previous painting and the trust in it
_STRIDE = 4  # the network works at a quarter of the frame's size


class _Conv(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps the size by reflection at the borders."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, kernel_size=3)

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H, W], H and W at least 2
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.weight, self.bias)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.first_norm = nn.InstanceNorm2d(channels, affine=True)
        self.second = _Conv(channels, channels)
        self.second_norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        y = F.relu(self.first_norm(self.first(x)))
        return x + self.second_norm(self.second(y))


class Painter(nn.Module):
    """Frame [N, 3, H, W] RGB 0..1 -> painting [N, 3, H, W] RGB 0..1, of any size from 1x1.

    A transform network in the manner of Johnson et al. 2016 with the instance norm of Ulyanov et al. 2016, at a quarter
    of the size throughout: pixel-unshuffle in, sub-pixel convolution out (Shi et al. 2016), initialised without a
    checkerboard (ICNR, Aitken et al. 2017) and smoothed by a last convolution.

    `prior` [N, 4, H, W] is the previous painting, warped to this frame (0..1), and the trust in each of its pixels
    (0..1, the painting is zero where the trust is). No prior means zeros, and costs nothing.
    """

    def __init__(self, channels: int = 56, blocks: int = 5, fine: int = 32) -> None:
        super().__init__()
        self.sizes = {"channels": channels, "blocks": blocks, "fine": fine}
        self.stem = _Conv((FRAME + PRIOR) * _STRIDE**2, channels)
        self.stem_norm = nn.InstanceNorm2d(channels, affine=True)
        self.blocks = nn.Sequential(*(_Residual(channels) for _ in range(blocks)))
        self.up = _Conv(channels, fine)
        self.up_norm = nn.InstanceNorm2d(fine, affine=True)
        self.out = _Conv(fine, 3 * 4)
        self.smooth = _Conv(3, 3)
        _init_icnr(self.out)
        _init_smooth(self.smooth)

    def forward(self, frame: Tensor, prior: Tensor | None = None) -> Tensor:
        height, width = frame.shape[-2:]
        x = F.relu(self.stem_norm(self._stem(frame - 0.5, prior)))  # [N, C, H/4, W/4]
        x = self.blocks(x)
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)  # [N, C, H/2, W/2]
        x = F.relu(self.up_norm(self.up(x)))
        x = F.pixel_shuffle(self.out(x), 2)  # [N, 3, H, W]
        return torch.sigmoid(self.smooth(x))[..., :height, :width]

    def _stem(self, frame: Tensor, prior: Tensor | None) -> Tensor:
        """The first convolution; without a prior only that part of it which looks at the frame."""
        height, width = frame.shape[-2:]
        x = frame if prior is None else torch.cat([frame, prior], dim=-3)
        x = F.pad(x, (0, _padding(width), 0, _padding(height)), mode="replicate")
        x = F.pad(F.pixel_unshuffle(x, _STRIDE), (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, self.stem.weight[:, : x.shape[-3]], self.stem.bias)


def _padding(length: int) -> int:
    """Pixels to add for a multiple of the stride; reflection and instance norm need two strides at least."""
    return max(-length % _STRIDE, 2 * _STRIDE - length)


def _init_icnr(conv: nn.Conv2d) -> None:
    """The four sub-pixels of each output colour start alike, so that nothing alternates (Aitken et al. 2017)."""
    with torch.no_grad():
        conv.weight.copy_(conv.weight[::4].repeat_interleave(4, dim=0))
        if conv.bias is not None:
            conv.bias.zero_()


def _init_smooth(conv: nn.Conv2d) -> None:
    """Start as a slight blur of each colour by itself."""
    line = torch.tensor([0.25, 0.5, 0.25])
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
    if sizes.keys() != {"channels", "blocks", "fine"}:
        raise StreamfxError(f"{path} was made for another painter (sizes {', '.join(sizes)}); train it again")
    painter = Painter(**sizes)
    load_state(path, painter, state)
    return painter.eval().requires_grad_(False)

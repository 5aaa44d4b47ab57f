"""The feed-forward painter: one pass turns a frame into a painting of it, in any of the styles it knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError, unknown
from streamfx.inference.weights import load_state, load_weights, save_weights

FRAME, PRIOR = 3, 4  # channels: RGB; RGB of the warped previous painting and the trust in it
_STRIDE = 4  # the stem's; the deep part works at half of that again
_MARGIN = 8  # pixels painted beyond each border and cut off: there the strokes know that the picture ends
_CANVAS = 256  # positions; the canvas repeats after 1024 pixels of the frame
_CANVAS_PLANES = 2
_EPSILON = 1e-2  # of the norms: a frame that is plain all over stays so, instead of its noise being blown up

_STYLE = "style."  # before the name of a style's numbers in a file of weights

SIZES = {  # by quality
    "fine": {"channels": 48, "wide": 96, "blocks": 5, "before": 1, "after": 1},
    "fast": {"channels": 32, "wide": 64, "blocks": 3, "before": 0, "after": 1},
}

_Numbers: TypeAlias = Iterator[Tensor]  # of a style, one piece for each place that takes some


def _bordered(x: Tensor, width: tuple[int, int, int, int], training: bool) -> Tensor:
    """`x` with a border by reflection; in training of what is at the other side: no place may be special then."""
    return F.pad(x, width, mode="circular" if training else "reflect")


class _Conv(nn.Conv2d):
    """A convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=size, stride=stride, groups=groups)
        self.border = (size // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H/stride, W/stride]
        return F.conv2d(
            _bordered(x, self.border, self.training), self.weight, self.bias, self.stride, groups=self.groups
        )


def _tinted(x: Tensor, numbers: Tensor) -> Tensor:
    """Each channel of `x` [N, C, H, W] scaled and shifted by a style's `numbers` [N, 2 * C], all 0 for neither."""
    scale, shift = numbers[..., None, None].chunk(2, dim=-3)
    return x * (1 + scale) + shift


def _normed(x: Tensor, numbers: Tensor) -> Tensor:
    """Conditional instance norm (Dumoulin et al. 2017)."""
    return _tinted(F.instance_norm(x, eps=_EPSILON), numbers)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = _Conv(channels, channels)

    def forward(self, x: Tensor, numbers: _Numbers) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        change = F.relu(_normed(self.first(x), next(numbers)))
        return x + _normed(self.second(change), next(numbers))


class Painter(nn.Module):
    """Frame [N, 3, H, W] RGB 0..1, of any size, and style [N or 1, numbers] -> painting [N, 3, H, W] RGB 0..1.

    A transform network in the manner of Johnson et al. 2016 with the conditional instance norm of Dumoulin et al. 2017:
    pixel-unshuffle in, residual blocks at an eighth of the size for broad strokes and at a quarter for edges, sub-pixel
    convolution out (Shi et al. 2016), initialised without a checkerboard (ICNR, Aitken et al. 2017) and smoothed by a
    last convolution of each colour.

    All styles share the weights; a style is the scale and the shift of each channel at each norm, `numbers` of them,
    all 0 in a style that has learned nothing. Between two styles lie their mixtures.

    A still pattern of noise, the canvas, is seen beside the frame: in plain areas, where a convolution alone can only
    be plain, brush strokes hang on it, and on it rather than on the noise of the camera. The stem and the upsampling
    have no norm, so that a dark frame stays darker than a bright one.

    `prior` [N, 4, H, W] is the previous painting, warped to this frame (RGB 0..1), and the trust in each of its pixels
    (0..1); without one nothing is trusted (Ruder et al. 2018).
    """

    def __init__(self, channels: int, wide: int, blocks: int, before: int, after: int) -> None:
        super().__init__()
        self.sizes = {"channels": channels, "wide": wide, "blocks": blocks, "before": before, "after": after}
        self.stem = _Conv((FRAME + PRIOR) * _STRIDE**2, channels)
        self.grain = _Conv(_CANVAS_PLANES, channels)
        self.before = nn.ModuleList(_Residual(channels) for _ in range(before))
        self.down = _Conv(channels, wide, stride=2)
        self.blocks = nn.ModuleList(_Residual(wide) for _ in range(blocks))
        self.back = _Conv(wide, channels * 4)
        self.after = nn.ModuleList(_Residual(channels) for _ in range(after))
        self.out = _Conv(channels, 3 * _STRIDE**2)
        self.smooth = _Conv(3, 3, size=5, groups=3)
        _init_icnr(self.back, 2)
        _init_icnr(self.out, _STRIDE)
        _init_smooth(self.smooth)
        self.layout = [2 * channels] * (2 * before + 1) + [2 * wide] * (2 * blocks) + [2 * channels] * (2 * after + 1)
        self.numbers = sum(self.layout)  # of a style
        self.canvas: Tensor
        self.register_buffer("canvas", _canvas(), persistent=False)

    def forward(self, frame: Tensor, style: Tensor, prior: Tensor | None = None) -> Tensor:
        height, width = frame.shape[-2:]
        margin = 0 if self.training else _MARGIN
        seen = frame - 0.5
        if prior is not None:
            trust = prior[..., 3:, :, :]
            seen = torch.cat([seen, (prior[..., :3, :, :] - 0.5) * trust, trust], dim=-3)
        numbers = iter(torch.split(style, self.layout, dim=-1))
        edges = F.relu(_tinted(self._stem(_extend(seen, margin)), next(numbers)))  # [N, channels, H/4, W/4]
        for block in self.before:
            edges = block(edges, numbers)
        x = F.relu(self.down(edges))  # [N, wide, H/8, W/8]
        for block in self.blocks:
            x = block(x, numbers)
        x = edges + F.pixel_shuffle(self.back(x), 2)  # [N, channels, H/4, W/4]
        for block in self.after:
            x = block(x, numbers)
        x = F.pixel_shuffle(self.out(_tinted(x, next(numbers))), _STRIDE)  # [N, 3, H, W]
        return torch.sigmoid(self.smooth(x)[..., margin : margin + height, margin : margin + width])

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
    whole = 2 * _STRIDE
    right, bottom = (
        margin + max(-side % whole, 2 * whole - side) for side in (width + 2 * margin, height + 2 * margin)
    )
    mode = "reflect" if height > max(margin, bottom) and width > max(margin, right) else "replicate"
    return F.pad(x, (margin, right, margin, bottom), mode=mode)


def _init_icnr(conv: nn.Conv2d, stride: int) -> None:
    """The sub-pixels of each output channel start alike, so that nothing alternates (Aitken et al. 2017)."""
    with torch.no_grad():
        conv.weight.copy_(conv.weight[:: stride**2].repeat_interleave(stride**2, dim=0))
        if conv.bias is not None:
            conv.bias.zero_()


def _init_smooth(conv: nn.Conv2d) -> None:
    """Start as a slight blur."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    with torch.no_grad():
        conv.weight.copy_(torch.outer(line, line))
        if conv.bias is not None:
            conv.bias.zero_()


def save_painter(path: Path, painter: Painter, styles: Mapping[str, Tensor]) -> None:
    """Write a painter and the numbers [numbers] of each style it knows in half precision, its sizes beside them."""
    state = painter.state_dict() | {f"{_STYLE}{name}": numbers for name, numbers in styles.items()}
    save_weights(path, state, "painter", painter.sizes)


def _least(channels: int, wide: int, blocks: int, before: int, after: int) -> int:
    """How many weights a painter of these sizes has in its convolutions of 3x3 alone."""
    return 9 * (2 * blocks * wide**2 + 2 * (before + after) * channels**2 + 5 * channels * wide)


def load_painter(path: Path) -> tuple[Painter, dict[str, Tensor]]:
    """The painter stored at `path` (float32, on the CPU, ready to paint, without gradients) and its styles' numbers."""
    state, sizes = load_weights(path, "painter")
    if sizes.keys() != SIZES["fine"].keys():
        raise StreamfxError(f"{path} was made for another painter (sizes {', '.join(sizes)}); train it again")
    if _least(**sizes) > sum(tensor.numel() for tensor in state.values()) or not sizes["channels"] * sizes["wide"]:
        raise StreamfxError(f"{path} does not hold a painter of the sizes that it tells; fetch or train it again")
    painter = Painter(**sizes)
    styles = {name.removeprefix(_STYLE): state.pop(name) for name in list(state) if name.startswith(_STYLE)}
    load_state(path, painter, state)
    for name, numbers in styles.items():
        if numbers.shape != (painter.numbers,):
            raise StreamfxError(f"{path}: the style '{name}' has not the {painter.numbers} numbers of its painter")
    return painter.eval().requires_grad_(False), styles


def mix_painters(parts: Sequence[tuple[Path, str, float]]) -> tuple[Painter, Tensor]:
    """One painter and the numbers [1, numbers] of a style between those of `parts`: file, style's name, share.

    The shares sum to 1. Styles of one file share the painter. Painters of several files are interpolated weight by
    weight, which works for those trained from one base (Wang et al. 2019, deep network interpolation).
    """
    painter: Painter | None = None
    files = dict.fromkeys(file for file, _, _ in parts)
    loaded = {file: load_painter(file) for file in files}
    shares = {file: sum(share for own, _, share in parts if own == file) for file in files}
    numbers = []
    for file, name, share in parts:
        own, styles = loaded[file]
        if name not in styles:
            raise unknown(f"style in {file}", name, styles)
        if painter is not None and own.sizes != painter.sizes:
            raise StreamfxError(f"{file} cannot be blended with {next(iter(files))}: their networks differ in size")
        painter = own if painter is None else painter
        numbers.append(styles[name] * share)
    assert painter is not None, "no parts to mix"
    if len(files) > 1:
        states = [(loaded[file][0].state_dict(), share) for file, share in shares.items()]
        mixed = {key: sum((state[key] * share for state, share in states), torch.zeros(())) for key in states[0][0]}
        painter = Painter(**painter.sizes).eval().requires_grad_(False)
        painter.load_state_dict(mixed)
    return painter, torch.stack(numbers).sum(0, keepdim=True)

"""The style network: one pass turns a frame into a stylized frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.inference.weights import load_state, load_weights, save_weights

NETWORK = "style-network"  # in the metadata of weight files

_UNSHUFFLE = 4  # the stem's reduction of height and width
_DEEPEST = 16  # reduction at the bottleneck
_MARGIN = 8  # pixels computed beyond each border and cut off, so that strokes meet the picture's edge
_NOISE_SIDE, _NOISE_PLANES = 256, 2  # the noise pattern repeats after 1024 pixels of the frame
_EPSILON = 1e-2  # of the instance norms: a uniform frame stays uniform instead of having its noise amplified
_RANGE_MOMENTUM = 0.02  # of the moving maximum of a convolution's input
_INT8 = 127
_WEIGHT_RANGE = "weight_range"  # in weight files: the largest absolute weight of each output channel

_Parameters: TypeAlias = Iterator[Tensor]  # the style parameters, split by layer


@dataclass(frozen=True, slots=True)
class Sizes:
    """Channels at 1/4, 1/8 and 1/16 of the frame's size, and the number of residual blocks of each stage."""

    channels4: int
    channels8: int
    channels16: int
    encoder4: int
    encoder8: int
    bottleneck: int
    decoder8: int
    decoder4: int


SIZES = {  # by quality
    "fine": Sizes(48, 96, 128, encoder4=1, encoder8=1, bottleneck=4, decoder8=4, decoder4=1),
    "fast": Sizes(32, 64, 96, encoder4=0, encoder8=1, bottleneck=3, decoder8=2, decoder4=1),
}


def _pad(x: Tensor, border: int, training: bool) -> Tensor:
    """Pad by reflection; in training circularly, so that no position is special."""
    return F.pad(x, (border,) * 4, mode="circular" if training else "reflect")


class Conv(nn.Conv2d):
    """A convolution that keeps the size (or divides it by `stride`), optionally in simulated int8.

    `input_range` is the largest absolute input, tracked in training. While quantized, input and weights are rounded
    as int8 arithmetic rounds them: one step for the input, one for each output channel's weights. OpenVINO compiles
    the traced fake quantization into int8 kernels; in training its gradient passes straight through.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=size, stride=stride)
        self.weight_steps: Tensor | None = None  # [outputs] while quantized; constant in a traced network
        self.input_range: Tensor
        self.register_buffer("input_range", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H / stride, W / stride]
        weight = self.weight
        if self.training:
            self._track(x)
        if self.weight_steps is not None:
            steps = int8_steps(weight) if self.training else self.weight_steps
            x, weight = self._rounded(x), _rounded_weight(weight, steps)
        x = _pad(x, self.kernel_size[0] // 2, self.training)
        return F.conv2d(x, weight, self.bias, self.stride)

    def quantize(self, quantized: bool) -> None:
        self.weight_steps = int8_steps(self.weight) if quantized else None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, quantized={self.weight_steps is not None}"  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _track(self, x: Tensor) -> None:
        self.input_range.lerp_(x.detach().abs().amax().to(self.input_range), _RANGE_MOMENTUM)

    def _rounded(self, x: Tensor) -> Tensor:
        step = max(self.input_range.item() / _INT8, 1e-6)
        return torch.fake_quantize_per_tensor_affine(x, step, 0, -_INT8 - 1, _INT8)


def int8_steps(weight: Tensor) -> Tensor:
    """The int8 step [outputs] of each output channel of a convolution's `weight` [outputs, inputs, h, w]."""
    return (weight.detach().abs().amax((1, 2, 3)) / _INT8).clamp(min=1e-12)


def _rounded_weight(weight: Tensor, steps: Tensor) -> Tensor:
    zeros = torch.zeros(len(steps), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -_INT8, _INT8)


def _modulate(x: Tensor, parameters: Tensor) -> Tensor:
    """Scale and shift each channel of `x` [N, C, H, W] by style parameters [N, 2 * C], all 0 for no change."""
    scale, shift = parameters[..., None, None].chunk(2, dim=-3)
    return x * (1 + scale) + shift


class Residual(nn.Module):
    """Two convolutions with conditional instance norm (Dumoulin et al. 2017) around a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Conv(channels, channels)
        self.second = Conv(channels, channels)

    def forward(self, x: Tensor, parameters: _Parameters) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        change = F.relu(_modulate(_norm(self.first(x)), next(parameters)))
        return x + _modulate(_norm(self.second(change)), next(parameters))


def _norm(x: Tensor) -> Tensor:
    return F.instance_norm(x, eps=_EPSILON)


class StyleNetwork(nn.Module):
    """Frame [N, 3, H, W] RGB 0..1 of any size, style parameters [N or 1, P] -> stylized frame [N, 3, H, W] RGB 0..1.

    A transform network (Johnson et al. 2016) in the shape of a U: pixel-unshuffle to 1/4, residual blocks at 1/4, 1/8
    and 1/16 of the size for edges, strokes and swirls, sub-pixel convolutions back (Shi et al. 2016) with ICNR
    initialization (Aitken et al. 2017), and a 5x5 convolution of each color that smooths what is left of a grid. The
    receptive field is about 500 pixels wide.

    Each style has a network of its own. `style` [2, P] holds the style parameters, scale and shift of each channel at
    each norm, for detail 0 (bold) and detail 1 (close to the photo); between them they are interpolated
    (`parameters_at`), after the adjustable style transfer of Babaeizadeh and Ghiasi 2018.

    A fixed pattern of noise is an input beside the frame: in uniform areas, where a convolution alone can only be
    uniform, stroke placement is determined by it, rather than by the camera's noise.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = s = sizes
        self.stem = Conv(3 * _UNSHUFFLE**2, s.channels4)
        self.noise = Conv(_NOISE_PLANES, s.channels4)
        self.encoder4 = _blocks(s.channels4, s.encoder4)
        self.down8 = Conv(s.channels4, s.channels8, stride=2)
        self.encoder8 = _blocks(s.channels8, s.encoder8)
        self.down16 = Conv(s.channels8, s.channels16, stride=2)
        self.bottleneck = _blocks(s.channels16, s.bottleneck)
        self.up8 = Conv(s.channels16, s.channels8 * 4)
        self.decoder8 = _blocks(s.channels8, s.decoder8)
        self.up4 = Conv(s.channels8, s.channels4 * 4)
        self.decoder4 = _blocks(s.channels4, s.decoder4)
        self.out = Conv(s.channels4, 3 * _UNSHUFFLE**2)
        self.smooth = nn.Conv2d(3, 3, kernel_size=5, groups=3)
        _init_icnr(self.up8, 2)
        _init_icnr(self.up4, 2)
        _init_icnr(self.out, _UNSHUFFLE)
        _init_smooth(self.smooth)
        counts = (
            (s.channels4, 2 * s.encoder4 + 1),
            (s.channels8, 2 * s.encoder8),
            (s.channels16, 2 * s.bottleneck),
            (s.channels8, 2 * s.decoder8),
            (s.channels4, 2 * s.decoder4 + 1),
        )
        self.layout = [2 * channels for channels, count in counts for _ in range(count)]
        self.style = nn.Parameter(torch.zeros(2, sum(self.layout)))
        self.pattern: Tensor
        self.register_buffer("pattern", _noise_pattern(), persistent=False)

    def forward(self, frame: Tensor, style: Tensor) -> Tensor:
        height, width = frame.shape[-2:]
        margin = 0 if self.training else _MARGIN
        parameters = iter(torch.split(style, self.layout, dim=-1))
        x = F.pixel_unshuffle(_extend(frame - 0.5, margin), _UNSHUFFLE)
        x = self.stem(x) + self.noise(self._pattern_for(*x.shape[-2:]))
        x4 = _run(self.encoder4, F.relu(_modulate(x, next(parameters))), parameters)  # [N, channels4, H/4, W/4]
        x8 = _run(self.encoder8, F.relu(self.down8(x4)), parameters)  # [N, channels8, H/8, W/8]
        x16 = _run(self.bottleneck, F.relu(self.down16(x8)), parameters)  # [N, channels16, H/16, W/16]
        x = _run(self.decoder8, x8 + F.pixel_shuffle(self.up8(x16), 2), parameters)
        x = _run(self.decoder4, x4 + F.pixel_shuffle(self.up4(x), 2), parameters)
        x = F.pixel_shuffle(self.out(_modulate(x, next(parameters))), _UNSHUFFLE)  # [N, 3, H, W]
        x = F.conv2d(_pad(x, 2, self.training), self.smooth.weight, self.smooth.bias, groups=3)
        return torch.sigmoid(x[..., margin : margin + height, margin : margin + width])

    def parameters_at(self, detail: float) -> Tensor:
        """The style parameters [1, P] at `detail` 0..1: 0 is bold, 1 keeps most of the photo's structure."""
        return torch.lerp(self.style[:1], self.style[1:], detail)

    def quantize(self, quantized: bool = True) -> StyleNetwork:
        """Simulate int8 in all convolutions but the last one, which smooths the picture; returns the network."""
        for part in self.modules():
            if isinstance(part, Conv):
                part.quantize(quantized)
        return self

    def _pattern_for(self, height: int, width: int) -> Tensor:
        """The noise pattern [1, planes, height, width]; in training it is shifted at random each time."""
        pattern = self.pattern
        if self.training:
            pattern = pattern.roll(torch.randint(_NOISE_SIDE, (2,)).tolist(), (-2, -1))
        pattern = pattern.repeat(1, 1, -(-height // _NOISE_SIDE), -(-width // _NOISE_SIDE))
        return pattern[..., :height, :width]


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Residual(channels) for _ in range(count))


def _run(blocks: nn.ModuleList, x: Tensor, parameters: _Parameters) -> Tensor:
    for block in blocks:
        x = block(x, parameters)
    return x


def _noise_pattern() -> Tensor:
    """White noise [1, planes, side, side] in -1..1, the same on every machine: an integer hash of the position."""
    x = torch.arange(_NOISE_PLANES * _NOISE_SIDE**2, dtype=torch.int64)
    for shift, factor in ((16, 0x45D9F3B), (16, 0x45D9F3B), (16, 1)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return (x.double() / 2**31 - 1).float().view(1, _NOISE_PLANES, _NOISE_SIDE, _NOISE_SIDE)


def _extend(x: Tensor, margin: int) -> Tensor:
    """Pad `x` by `margin` on each side, and at the right and bottom to a multiple of the deepest reduction.

    The result has at least two positions per side at the bottleneck: reflection and instance norm need them.
    """
    height, width = x.shape[-2:]
    right, bottom = (
        margin + max(-side % _DEEPEST, 2 * _DEEPEST - side) for side in (width + 2 * margin, height + 2 * margin)
    )
    mode = "reflect" if height > max(margin, bottom) and width > max(margin, right) else "replicate"
    return F.pad(x, (margin, right, margin, bottom), mode=mode)


def _init_icnr(conv: nn.Conv2d, factor: int) -> None:
    """Give the sub-pixels of each output channel equal weights, so that there is no checkerboard at the start."""
    with torch.no_grad():
        conv.weight.copy_(conv.weight[:: factor**2].repeat_interleave(factor**2, dim=0))
        if conv.bias is not None:
            conv.bias.zero_()


def _init_smooth(conv: nn.Conv2d) -> None:
    """Start as a slight blur."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    with torch.no_grad():
        conv.weight.copy_(torch.outer(line, line))
        if conv.bias is not None:
            conv.bias.zero_()


def save_network(path: Path, network: StyleNetwork) -> None:
    """Write a network: convolutions as int8 with the scale of each output channel, the rest in half precision."""
    state: dict[str, Tensor] = dict(network.state_dict())
    for name, part in network.named_modules():
        if isinstance(part, Conv):
            steps = int8_steps(part.weight)
            state[f"{name}.weight"] = (part.weight / steps.view(-1, 1, 1, 1)).round().to(torch.int8)
            state[f"{name}.{_WEIGHT_RANGE}"] = steps * _INT8
    save_weights(path, state, NETWORK, asdict(network.sizes))


def is_style_network(path: Path) -> bool:
    """Whether the file at `path` says that it holds a style network; False for other files and none."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool((file.metadata() or {}).get("network") == NETWORK)
    except (SafetensorError, OSError):
        return False


def load_network(path: Path) -> StyleNetwork:
    """The network stored at `path`: float32, on the CPU, in evaluation mode, without gradients.

    Raises StreamfxError for any other file.
    """
    state, sizes = load_weights(path, NETWORK)
    try:
        network = StyleNetwork(_checked(sizes, sum(tensor.numel() for tensor in state.values())))
    except (TypeError, ValueError) as error:
        raise StreamfxError(f"{path} does not match the style network it describes; fetch or train it again") from error
    for name in [name for name in state if name.endswith(_WEIGHT_RANGE)]:
        ranges, key = state.pop(name), name.replace(_WEIGHT_RANGE, "weight")
        weight = state.get(key, torch.zeros(()))
        if ranges.shape != weight.shape[:1]:
            raise StreamfxError(f"{path}: '{name}' does not fit its weights; fetch or train it again")
        state[key] = weight * (ranges / _INT8).view(-1, *[1] * (weight.ndim - 1))
    load_state(path, network, state)
    return network.eval().requires_grad_(False)


def _checked(sizes: dict[str, int], values: int) -> Sizes:
    """The sizes that a file states, where a network of that size can have as many values as the file holds."""
    checked = Sizes(**sizes)
    c4, c8, c16 = checked.channels4, checked.channels8, checked.channels16
    blocks = (checked.encoder4 + checked.decoder4) * c4**2 + (checked.encoder8 + checked.decoder8) * c8**2
    least = 9 * (2 * (blocks + checked.bottleneck * c16**2) + c4 * c8 + c8 * c16 + 4 * (c16 * c8 + c8 * c4))
    if min(c4, c8, c16) < 1 or least > values:
        raise ValueError(f"a network of {checked} has at least {least} values, not {values}")
    return checked


def blend_networks(parts: Sequence[tuple[Path, float]]) -> StyleNetwork:
    """One network between those in files, by their shares, which sum to 1: weights are interpolated.

    Works for networks fine-tuned from one base (deep network interpolation, Wang et al. 2019).
    """
    loaded = {path: load_network(path) for path, _ in parts}
    first = loaded[parts[0][0]]
    for path, network in loaded.items():
        if network.sizes != first.sizes:
            raise StreamfxError(f"{path} cannot be blended with {parts[0][0]}: the networks differ in size")
    if len(loaded) == 1:
        return first
    states = [(loaded[path].state_dict(), share) for path, share in parts]
    mixed = {name: torch.stack([state[name] * share for state, share in states]).sum(0) for name in states[0][0]}
    network = StyleNetwork(first.sizes).eval().requires_grad_(False)
    network.load_state_dict(mixed)
    return network

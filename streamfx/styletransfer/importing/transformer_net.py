"""The network of PyTorch's example fast_neural_style (TransformerNet), and its files of weights.

https://github.com/pytorch/examples/tree/main/fast_neural_style, after Johnson et al. 2016.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.inference.weights import load_state, load_weights, save_weights

NETWORK = "fast_neural_style"  # the name in the weights file

_MAX_BYTES = 256 << 20  # of a file; the example's have 7 MB
_MAX_CHANNELS, _MAX_BLOCKS = 512, 64
_RUNNING_STATISTICS = re.compile(r"in\d+\.(running_(mean|var)|num_batches_tracked)")  # of PyTorch 0.4, unused
_PARALLEL = "module."  # prefix in the files of nn.DataParallel


class _Conv(nn.Module):
    """A convolution with a reflected border."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, size, stride)

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H / stride, W / stride]
        border = self.conv2d.kernel_size[0] // 2
        result: Tensor = self.conv2d(F.pad(x, (border,) * 4, mode="reflect"))
        return result


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (_Conv(channels, channels, 3, 1) for _ in range(2))
        self.in1, self.in2 = (nn.InstanceNorm2d(channels, affine=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        result: Tensor = x + self.in2(self.conv2(F.relu(self.in1(self.conv1(x)))))
        return result


class TransformerNet(nn.Module):
    """Frame [N, 3, H, W] RGB 0..255, with H and W multiples of 4 -> stylized frame [N, 3, H, W] RGB about 0..255."""

    def __init__(self, first: int = 32, second: int = 64, third: int = 128, blocks: int = 5) -> None:
        """Channels at the full, half and quarter size, and the number of residual blocks."""
        super().__init__()
        self.sizes = {"first": first, "second": second, "third": third, "blocks": blocks}
        self.conv1, self.in1 = _Conv(3, first, 9, 1), nn.InstanceNorm2d(first, affine=True)
        self.conv2, self.in2 = _Conv(first, second, 3, 2), nn.InstanceNorm2d(second, affine=True)
        self.conv3, self.in3 = _Conv(second, third, 3, 2), nn.InstanceNorm2d(third, affine=True)
        self.blocks = [f"res{number}" for number in range(1, blocks + 1)]
        for name in self.blocks:
            self.add_module(name, _Residual(third))
        self.deconv1, self.in4 = _Conv(third, second, 3, 1), nn.InstanceNorm2d(second, affine=True)
        self.deconv2, self.in5 = _Conv(second, first, 3, 1), nn.InstanceNorm2d(first, affine=True)
        self.deconv3 = _Conv(first, 3, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.in1(self.conv1(x)))
        x = F.relu(self.in2(self.conv2(x)))
        x = F.relu(self.in3(self.conv3(x)))
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = F.relu(self.in4(self.deconv1(F.interpolate(x, scale_factor=2.0, mode="nearest"))))
        x = F.relu(self.in5(self.deconv2(F.interpolate(x, scale_factor=2.0, mode="nearest"))))
        result: Tensor = self.deconv3(x)
        return result


def read_pth(file: Path) -> TransformerNet:
    """The network in a file of the example. Nothing in the file is executed. Raises StreamfxError."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise StreamfxError(f"'{file}' has {file.stat().st_size} bytes; weights may have at most {_MAX_BYTES}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StreamfxError(f"cannot read '{file}': {error.strerror or error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StreamfxError(
            f"'{file}' is not a file of PyTorch weights; save them with torch.save(model.state_dict(), FILE)"
        ) from error
    return _build(file, _state(file, loaded))


def _state(file: Path, loaded: object) -> dict[str, Tensor]:
    """The weights by name, without those that the network does not use."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise StreamfxError(f"'{file}' contains no weights by name, as model.state_dict() gives")
    named = {str(name).removeprefix(_PARALLEL): value.float() for name, value in loaded.items()}
    return {name: value for name, value in named.items() if not _RUNNING_STATISTICS.search(name)}


def _build(file: Path, state: Mapping[str, Tensor]) -> TransformerNet:
    widths = [state.get(f"conv{number}.conv2d.weight") for number in (1, 2, 3)]
    if any(weight is None or weight.ndim != 4 for weight in widths):
        raise StreamfxError(
            f"'{file}' is not a network of PyTorch's example fast_neural_style: it has no conv1, conv2 and conv3; "
            "export other networks to ONNX"
        )
    first, second, third = (len(weight) for weight in widths if weight is not None)
    blocks = len({name.split(".")[0] for name in state if re.match(r"res\d+\.", name)})
    if max(first, second, third) > _MAX_CHANNELS or blocks > _MAX_BLOCKS:
        raise StreamfxError(
            f"'{file}' has {first}, {second} and {third} channels and {blocks} blocks; the limits are {_MAX_CHANNELS} "
            f"channels and {_MAX_BLOCKS} blocks"
        )
    return _filled(file, TransformerNet(first, second, third, blocks), state)


def _filled(file: Path, network: TransformerNet, state: Mapping[str, Tensor]) -> TransformerNet:
    load_state(file, network, state)
    return network.eval().requires_grad_(False)


def save_network(file: Path, network: TransformerNet) -> None:
    """Write the weights as safetensors, without loss."""
    save_weights(file, network.state_dict(), NETWORK, network.sizes, torch.float32)


def load_network(file: Path) -> TransformerNet:
    """The network that `save_network` wrote. Raises StreamfxError."""
    state, sizes = load_weights(file, NETWORK)
    try:
        network = TransformerNet(**sizes)
    except (TypeError, RuntimeError, ValueError) as error:
        raise StreamfxError(f"{file} has no valid network sizes; import it again") from error
    return _filled(file, network, state)

"""Run an imported network on frames of any size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.inference.cuda_graph import Engine
from streamfx.inference.engine import build_engine
from streamfx.inference.onnx import Port, build_onnx_engine, read_ports
from streamfx.inference.precision import rates
from streamfx.ops.resize import resize
from streamfx.presets import ImportedNetwork
from streamfx.styletransfer.importing.transformer_net import load_network

log = logging.getLogger("streamfx")

MULTIPLE, SMALLEST = 8, 64  # pixels; frames are extended to sides that most networks take
RANGES = {"0..1": (1.0, 0.0), "0..255": (255.0, 0.0), "-1..1": (2.0, -1.0)}  # factor and offset of 0..1
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class ImportedStylizer:
    """Frame [3, H, W] RGB 0..1 -> stylized frame [3, H, W] RGB 0..1; compiled once for each size of frames.

    ONNX networks run on the CPU, wherever the frames are.
    """

    def __init__(self, file: Path, network: ImportedNetwork, precision: str, device: torch.device) -> None:
        self._file, self._network, self._device = file, network, device
        self._hint = _HINTS.get(precision) or rates().hint if device.type == "cpu" else "f32"
        self._module = load_network(file) if network.kind == "fast_neural_style" else None
        self._style: Tensor | None = None
        self._engines: dict[tuple[int, int], Engine] = {}
        if self._module is None:
            if device.type == "cuda":
                log.warning("'%s' is an ONNX network, which runs on the CPU", network.source or file.name)
            inputs, _ = read_ports(file)
            _, vector = image_and_vector(inputs, file)
            if vector is not None:
                self._style = as_vector(network.style, vector, file)

    def __call__(self, frame: Tensor) -> Tensor:
        height, width = int(frame.shape[1]), int(frame.shape[2])
        size = self._network.size or (_extended(height), _extended(width))
        if self._network.size:
            inside = resize(frame, size)
        else:
            inside = F.pad(frame[None], (0, size[1] - width, 0, size[0] - height), mode="replicate")[0]
        result = from_network(self.run(to_network(inside, self._network)), self._network)
        if self._network.size:
            return resize(result, (height, width)).clamp(0, 1)
        return result[:, :height, :width]

    def run(self, images: Tensor) -> Tensor:
        """The network's own output for its own input, on the frame's device."""
        inputs = [images] if self._style is None else [images, self._style]
        shapes = [tuple(x.shape) for x in inputs]
        height, width = shapes[0][1:3] if self._network.layout == "nhwc" else shapes[0][2:]
        engine = self._engines.get((height, width))
        if engine is None:
            engine = self._engines[height, width] = self._compiled(shapes)
        if self._module is not None:
            return engine(*inputs)
        output = engine(*(x.cpu() for x in inputs)).to(images.device)
        if output.shape != images.shape:
            raise StreamfxError(
                f"'{self._network.source or self._file}' changes the picture from {list(images.shape)} to "
                f"{list(output.shape)}; a style network keeps its shape"
            )
        return output

    def _compiled(self, shapes: Sequence[tuple[int, ...]]) -> Engine:
        if self._module is not None:
            return build_engine(self._module, shapes, self._device, hint=self._hint)
        return build_onnx_engine(self._file, shapes, self._hint)


def to_network(frame: Tensor, network: ImportedNetwork) -> Tensor:
    """A frame [3, H, W] RGB 0..1 in the layout, channels and range of the network: [1, 3, H, W] or [1, H, W, 3]."""
    factor, offset = RANGES[network.input_range]
    image = frame.flip(0) if network.channels == "bgr" else frame
    image = (image * factor + offset)[None]
    return image.permute(0, 2, 3, 1).contiguous() if network.layout == "nhwc" else image


def from_network(output: Tensor, network: ImportedNetwork) -> Tensor:
    """The inverse of `to_network`, in the network's output range, clipped to 0..1."""
    factor, offset = RANGES[network.output_range]
    image = output.permute(0, 3, 1, 2)[0] if network.layout == "nhwc" else output[0]
    image = ((image - offset) / factor).nan_to_num(0.0).clamp(0, 1)
    return (image.flip(0) if network.channels == "bgr" else image).contiguous()


def image_and_vector(inputs: Sequence[Port], file: Path) -> tuple[Port, Port | None]:
    """The input that takes a picture, and the one that takes numbers, if there is one. Raises StreamfxError."""
    images = [port for port in inputs if len(port.shape) == 4 and 3 in (port.shape[1], port.shape[3])]
    others = [port for port in inputs if port not in images]
    if len(images) != 1 or len(others) > 1:
        shown = "; ".join(f"{port.name} {_shape(port)}" for port in inputs)
        raise StreamfxError(
            f"'{file}' takes {shown}; a style network takes one picture, [N, 3, H, W] or [N, H, W, 3], and at most one "
            "list of numbers"
        )
    return images[0], others[0] if others else None


def as_vector(style: Sequence[float], port: Port, file: Path) -> Tensor:
    """The numbers of a style in the shape of the input. Raises StreamfxError if there are too few or too many."""
    shape = tuple(1 if length is None and number == 0 else length for number, length in enumerate(port.shape))
    known = [length for length in shape if length is not None]
    count = int(torch.tensor(known).prod()) if len(known) == len(shape) else len(style)
    if len(style) != count or count == 0:
        raise StreamfxError(f"'{file}' takes a style of {count} numbers, but the preset has {len(style)}")
    return torch.tensor(style, dtype=torch.float32).reshape([-1 if length is None else length for length in shape])


def _shape(port: Port) -> str:
    return "[" + ", ".join("any" if length is None else str(length) for length in port.shape) + "]"


def _extended(side: int) -> int:
    return max(SMALLEST, -(-side // MULTIPLE) * MULTIPLE)

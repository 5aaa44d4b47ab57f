"""Temporal coherence of a processed video, compared with its source."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from streamfx.errors import StreamfxError
from streamfx.evaluation.flow_files import load_flow
from streamfx.frame import Frame
from streamfx.ops.color import luma
from streamfx.ops.warp import warp

if TYPE_CHECKING:
    from fractions import Fraction

    from streamfx.motion.occlusion import Estimate

FAR = 10  # frames between the frames of a far pair
ALPHA = 50.0  # of Lai et al. 2018: sensitivity to occlusions

Distance: TypeAlias = Callable[[Tensor, Tensor], float]  # of two images [3, H, W]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a whole video; None if no pair of frames could be measured. Lower is steadier."""

    warp_near: float | None  # E_warp of consecutive frames
    warp_far: float | None  # E_warp of frames FAR apart
    stab: float | None  # e_stab
    tlp: float | None
    drift_largest: float  # of the mean color, in /255
    drift_last: float
    sharpness: float  # in /255 per pixel


@dataclass(frozen=True, slots=True)
class Curves:
    """One value per frame of a video; None if the frame has no partner, or all of its confidence is 0."""

    warp_near: list[float | None] = field(default_factory=list)  # `warp_error` to the previous frame
    warp_far: list[float | None] = field(default_factory=list)  # to the frame FAR before
    stab: list[float | None] = field(default_factory=list)  # `stab_error`
    tlp: list[float | None] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)

    def metrics(self) -> Metrics:
        """Means over the pairs; e_stab is the root of its mean."""
        stab = _mean(self.stab)
        return Metrics(
            _mean(self.warp_near),
            _mean(self.warp_far),
            None if stab is None else math.sqrt(stab),
            _mean(self.tlp),
            max(self.drift),
            self.drift[-1],
            fmean(self.sharpness),
        )


def _mean(numbers: Iterable[float | None]) -> float | None:
    valid = [number for number in numbers if number is not None]
    return fmean(valid) if valid else None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Curves of a processed video, and of its source as a baseline, whose tLP and drift are 0."""

    frames: int
    source: Curves
    processed: Curves


def measure(
    source: Iterable[Frame],
    processed: Iterable[Frame],
    motion: Estimate,
    *,
    flows: Sequence[Path] | None = None,
    distance: Distance | None = None,
    names: tuple[str, str] = ("the source", "the processed video"),
    progress: Callable[[Fraction], None] | None = None,
) -> Measurement:
    """Compare `processed` with `source` frame by frame; only the last FAR frames of both are kept in memory.

    Motion and its confidence are estimated from the source. `flows` are .flo files of the true flow from each frame to
    the next, used for consecutive frames with the weights of `visibility`. `distance` is LPIPS, for tLP.
    Pairs across a cut are skipped, and color drift is relative to the first frame of the shot.
    Raises StreamfxError if the frames differ in size or number; `names` are the names of the videos in its message.
    """
    comparison = _Comparison(motion, distance)
    frames = 0
    with torch.inference_mode():
        pairs = _paired(source, processed, names)
        for source_frame, processed_frame in pairs:
            if flows is not None and frames > len(flows):
                raise _flow_count_error(flows, names[0], frames + 1 + sum(1 for _ in pairs))
            comparison.add(source_frame, processed_frame, flows[frames - 1] if flows and frames else None)
            frames += 1
            if progress:
                progress(source_frame.pts + source_frame.duration)
    if flows is not None and len(flows) != frames - 1:
        raise _flow_count_error(flows, names[0], frames)
    return Measurement(frames, *comparison.curves)


class _Comparison:
    """The curves of the source and of the processed video, pair of frames by pair."""

    def __init__(self, motion: Estimate, distance: Distance | None) -> None:
        self.motion, self.distance = motion, distance
        self.curves = Curves(), Curves()
        self._past: deque[tuple[Tensor, Tensor]] = deque(maxlen=FAR)  # of this shot, in half precision: 8 to 10 bits
        self._offset: Tensor | None = None  # [3] of the shot's first frame: mean color of processed minus source

    def add(self, source: Frame, processed: Frame, flow: Path | None) -> None:
        """Compare a pair with the ones before it; `flow` is the true flow from the previous source frame."""
        if source.cut:
            self._past.clear()
            self._offset = None
        halves = source.image.half(), processed.image.half()
        pair = halves[0].float(), halves[1].float()
        previous = [image.float() for image in self._past[-1]] if self._past else None
        true = None if flow is None or previous is None else load_flow(flow).to(pair[0].device)
        _compare_near(self.curves, pair, previous, self.motion, true)
        _compare_far(self.curves, pair, self._past[0] if len(self._past) == FAR else None, self.motion)
        _compare_perceived(self.curves, pair, previous, self.distance)
        offset = mean_color(pair[1]) - mean_color(pair[0])
        self._offset = offset if self._offset is None else self._offset
        self.curves[0].drift.append(0.0)
        self.curves[1].drift.append(255 * float((offset - self._offset).norm()))
        for curve, image in zip(self.curves, pair):
            curve.sharpness.append(sharpness(image))
        self._past.append(halves)


def warp_error(target: Tensor, warped: Tensor, confidence: Tensor) -> float | None:
    """E_warp of a pair: the mean of |target - warped|^2 weighted by `confidence`; None if all weights are 0.

    `target` and `warped` are RGB [3, H, W] in 0..1, `confidence` is [1, H, W] 0..1; squares are averaged over channels.
    Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018; for a video, the mean over its pairs.
    """
    total = float(confidence.sum())
    return float((confidence * _squares(target, warped)).sum()) / total if total else None


def stab_error(target: Tensor, warped: Tensor, confidence: Tensor) -> float:
    """Square of e_stab for a pair: confidence * |target - warped|^2, averaged over all pixels.

    Shapes as in `warp_error`. Gao et al., ReCoNet: Real-time Coherent Video Style Transfer Network, ACCV 2018.
    """
    return float((confidence * _squares(target, warped)).mean())


def _squares(target: Tensor, warped: Tensor) -> Tensor:
    return (target - warped).square().mean(dim=0, keepdim=True)  # [1, H, W]


def visibility(previous: Tensor, current: Tensor, flow: Tensor) -> Tensor:
    """Confidence [1, H, W] 0..1 of the true flow [2, H, W] from `previous` to `current`.

    The true flow in one direction does not reveal occlusions. So this is the training weight of Lai et al. 2018:
    exp(-ALPHA |I(t-1) - warp(I(t))|^2) on the source's RGB; 0 where the flow leaves the frame or is unknown (NaN).
    The previous frame is the target; the current one is warped back onto it.
    """
    height, width = flow.shape[1:]
    across = torch.arange(width, device=flow.device) + flow[0]  # [H, W] pixels
    down = torch.arange(height, device=flow.device)[:, None] + flow[1]
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)  # False for NaN
    difference = (previous - warp(current, flow.nan_to_num(0.0))).square().sum(dim=0)
    return (torch.exp(-ALPHA * difference) * inside).unsqueeze(0)


def mean_color(image: Tensor) -> Tensor:
    """Mean R, G and B [3], float64, of an image [3, H, W]. Drift is its change over time relative to the source."""
    return image.mean(dim=(1, 2), dtype=torch.float64)


def sharpness(image: Tensor) -> float:
    """Mean magnitude of the luma gradient in /255 per pixel, by forward differences.

    `image` is RGB [3, H, W] in 0..1. Blur lowers all other metrics, so compare them at equal sharpness.
    """
    y = luma(image)[0] * 255
    across, down = y.diff(dim=1), y.diff(dim=0)
    if not across.numel() or not down.numel():  # a line of pixels
        return float(torch.cat([across.flatten(), down.flatten(), y.new_zeros(1)]).abs().mean())
    return float(torch.hypot(across[:-1], down[:, :-1]).mean())


def build_lpips(device: torch.device) -> Distance:
    """LPIPS with AlexNet of two RGB images [3, H, W] in 0..1: Zhang et al., The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric, CVPR 2018.

    Needs the optional lpips package; raises StreamfxError if it or its weights are missing.
    """
    if find_spec("lpips") is None:
        raise StreamfxError("tLP needs LPIPS, which is not installed: pip install lpips")
    if not list(Path(torch.hub.get_dir(), "checkpoints").glob("alexnet-*.pth")):
        command = """python -c 'import lpips; lpips.LPIPS(net="alex")'"""
        raise StreamfxError(f"tLP needs AlexNet's weights for LPIPS; download them (233 MB) once with: {command}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips uses a deprecated torchvision argument
        network = import_module("lpips").LPIPS(net="alex", verbose=False).to(device).eval()

    def distance(one: Tensor, other: Tensor) -> float:
        return float(network(one[None], other[None], normalize=True))

    return distance


def _compare_near(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    previous: Sequence[Tensor] | None,
    motion: Estimate,
    true: Tensor | None,
) -> None:
    """E_warp and e_stab to the previous frame, along the true flow if it is given."""
    if previous is None:
        for curve in curves:
            curve.warp_near.append(None)
            curve.stab.append(None)
        return
    if true is None:
        estimated = motion(previous[0], pair[0])
        flow, confidence, images = estimated.flow, estimated.confidence, zip(pair, previous)
    else:
        flow, confidence = true.nan_to_num(0.0), visibility(previous[0], pair[0], true)
        images = zip(previous, pair)
    for curve, (target, other) in zip(curves, images):
        warped = warp(other, flow)
        curve.warp_near.append(warp_error(target, warped, confidence))
        curve.stab.append(stab_error(target, warped, confidence))


def _compare_far(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    earlier: tuple[Tensor, Tensor] | None,
    motion: Estimate,
) -> None:
    """E_warp to the frame FAR before, along the motion estimated between the two."""
    estimated = None if earlier is None else motion(earlier[0].float(), pair[0])
    for number, curve in enumerate(curves):
        if estimated is None or earlier is None:
            curve.warp_far.append(None)
        else:
            warped = warp(earlier[number].float(), estimated.flow)
            curve.warp_far.append(warp_error(pair[number], warped, estimated.confidence))


def _compare_perceived(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    previous: Sequence[Tensor] | None,
    distance: Distance | None,
) -> None:
    """tLP = 100 |LPIPS(O(t-1), O(t)) - LPIPS(I(t-1), I(t))|: Chu et al., Learning Temporal Coherence via
    Self-Supervision for GAN-based Video Generation, 2020."""
    if previous is None or distance is None:
        tlp = None
    else:
        tlp = 100 * abs(distance(previous[1], pair[1]) - distance(previous[0], pair[0]))
    curves[0].tlp.append(None if tlp is None else 0.0)
    curves[1].tlp.append(tlp)


def _paired(
    source: Iterable[Frame], processed: Iterable[Frame], names: tuple[str, str]
) -> Iterator[tuple[Frame, Frame]]:
    """Pairs of frames. Raises StreamfxError if the videos differ in size or number of frames."""
    iterators = iter(source), iter(processed)
    for number, (first, second) in enumerate(zip_longest(*iterators)):
        if first is None or second is None:
            longer = number + 1 + sum(1 for frames in iterators for _ in frames)
            counts = (longer, number) if second is None else (number, longer)
            raise StreamfxError(
                f"'{names[0]}' has {counts[0]} frames, but '{names[1]}' has {counts[1]}; "
                "process all frames at the source's frame rate, or cut both to the same range"
            )
        sizes = [f"{frame.image.shape[2]}x{frame.image.shape[1]}" for frame in (first, second)]
        if sizes[0] != sizes[1]:
            raise StreamfxError(
                f"'{names[0]}' is {sizes[0]}, but '{names[1]}' is {sizes[1]}; "
                f"resize one first: streamfx run IN OUT --size {sizes[0]}"
            )
        yield first, second


def _flow_count_error(flows: Sequence[Path], name: str, frames: int) -> StreamfxError:
    return StreamfxError(
        f"there are {len(flows)} .flo files, but '{name}' has {frames} frames; "
        "give one for each frame except the last: its flow to the next frame"
    )

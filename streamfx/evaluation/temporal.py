"""How coherent in time a processed video is, measured beside its source."""

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

    from streamfx.motion.flow import Estimate

FAR = 10  # frames between the two of a far pair
VISIBLE = 50.0  # alpha of Lai et al. 2018: how soon a difference in the source is taken for an occlusion

Distance: TypeAlias = Callable[[Tensor, Tensor], float]  # of two pictures [3, H, W]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said of a whole video; None where no pair of frames could be measured. Lower is steadier."""

    warp_near: float | None  # E_warp of neighbours
    warp_far: float | None  # E_warp of frames FAR apart
    stab: float | None  # e_stab
    tlp: float | None
    drift_largest: float  # of the colour, in /255
    drift_last: float
    sharpness: float  # in /255 a pixel


@dataclass(frozen=True, slots=True)
class Curves:
    """One number for each frame of a video; None where a frame has no partner, or no pixel of it can be trusted."""

    warp_near: list[float | None] = field(default_factory=list)  # `warp_error` to the frame before
    warp_far: list[float | None] = field(default_factory=list)  # to the frame FAR before
    stab: list[float | None] = field(default_factory=list)  # `stab_error`
    tlp: list[float | None] = field(default_factory=list)
    drift: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)

    def figures(self) -> Figures:
        """Means over the pairs, e_stab as the root of its mean."""
        stab = _mean(self.stab)
        return Figures(
            _mean(self.warp_near),
            _mean(self.warp_far),
            None if stab is None else math.sqrt(stab),
            _mean(self.tlp),
            max(self.drift),
            self.drift[-1],
            fmean(self.sharpness),
        )


def _mean(numbers: Iterable[float | None]) -> float | None:
    there = [number for number in numbers if number is not None]
    return fmean(there) if there else None


@dataclass(frozen=True, slots=True)
class Measured:
    """A processed video, and its source as if it were one: what the film itself costs. Its tLP and drift are 0."""

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
) -> Measured:
    """Measure `processed` beside `source`, frame by frame; the last FAR frames of both are kept, nothing else.

    Motion, and where it can be trusted, are taken from the source. `flows` are .flo files of the true motion from each
    frame to the next; neighbours are then compared by it, as `visible` tells. `distance` is LPIPS, for tLP.
    Pairs over a cut do not count, and the colour drifts from the first frame of its shot.
    Raises StreamfxError where frames differ in size or number; `names` are what it calls the two.
    """
    curves = Curves(), Curves()
    past: deque[tuple[Tensor, Tensor]] = deque(maxlen=FAR)  # in this shot; half precision, as a film has 8 or 10 bits
    first: Tensor | None = None  # [3] of the shot's first frame: mean colour of the processed less the source's
    frames = 0
    with torch.inference_mode():
        pairs = _paired(source, processed, names)
        for shown, made in pairs:
            if flows is not None and frames > len(flows):
                raise _uneven(flows, names[0], frames + 1 + sum(1 for _ in pairs))
            if shown.cut:
                past.clear()
                first = None
            halves = shown.image.half(), made.image.half()
            pair = halves[0].float(), halves[1].float()
            before = [image.float() for image in past[-1]] if past else None
            true = None if flows is None or before is None else load_flow(flows[frames - 1]).to(pair[0].device)
            _compare_near(curves, pair, before, motion, true)
            _compare_far(curves, pair, past[0] if len(past) == FAR else None, motion)
            _compare_seen(curves, pair, before, distance)
            offset = mean_color(pair[1]) - mean_color(pair[0])
            first = offset if first is None else first
            curves[0].drift.append(0.0)
            curves[1].drift.append(255 * float((offset - first).norm()))
            for curve, image in zip(curves, pair):
                curve.sharpness.append(sharpness(image))
            past.append(halves)
            frames += 1
            if progress:
                progress(shown.pts + shown.duration)
    if flows is not None and len(flows) != frames - 1:
        raise _uneven(flows, names[0], frames)
    return Measured(frames, *curves)


def warp_error(target: Tensor, moved: Tensor, trust: Tensor) -> float | None:
    """E_warp of a pair: the mean of |target - moved|^2 over trusted pixels, None where none is.

    `target` and `moved` are RGB [3, H, W] in 0..1, `trust` [1, H, W] is 0..1; squares are averaged over the channels.
    Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018; a video's is the mean over its pairs.
    """
    total = float(trust.sum())
    return float((trust * _squares(target, moved)).sum()) / total if total else None


def stab_error(target: Tensor, moved: Tensor, trust: Tensor) -> float:
    """What e_stab averages over the pairs, before its root: |target - moved|^2 where trusted, over all pixels.

    Shapes as for `warp_error`. Gao et al., ReCoNet: Real-time Coherent Video Style Transfer Network, ACCV 2018.
    """
    return float((trust * _squares(target, moved)).mean())


def _squares(target: Tensor, moved: Tensor) -> Tensor:
    return (target - moved).square().mean(dim=0, keepdim=True)  # [1, H, W]


def visible(previous: Tensor, current: Tensor, flow: Tensor) -> Tensor:
    """How far to trust the true motion `flow` [2, H, W] from `previous` to `current`, as a weight [1, H, W] 0..1.

    True motion in one direction says nothing of occlusions. So this is the weight by which Lai et al. 2018 train:
    exp(-alpha |I(t-1) - warp(I(t))|^2) on the source's RGB, alpha 50; 0 where the motion leaves the picture or is
    not known (NaN). The frame before is the target, the next one is warped back onto it.
    """
    height, width = flow.shape[1:]
    across = torch.arange(width, device=flow.device) + flow[0]  # [H, W] pixels
    down = torch.arange(height, device=flow.device)[:, None] + flow[1]
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)  # False for NaN
    difference = (previous - warp(current, flow.nan_to_num(0.0))).square().sum(dim=0)
    return (torch.exp(-VISIBLE * difference) * inside).unsqueeze(0)


def mean_color(image: Tensor) -> Tensor:
    """The mean R, G and B [3], float64, of an image [3, H, W]; drift is how far it goes from the source's over time."""
    return image.mean(dim=(1, 2), dtype=torch.float64)


def sharpness(image: Tensor) -> float:
    """The mean length of the gradient of luma, in /255 a pixel, by differences to the right and below.

    `image` is RGB [3, H, W] in 0..1. Blurring lowers all other figures, so this one is to be read beside them.
    """
    light = luma(image)[0] * 255
    across, down = light.diff(dim=1), light.diff(dim=0)
    if not across.numel() or not down.numel():  # a line of pixels
        return float(torch.cat([across.flatten(), down.flatten(), light.new_zeros(1)]).abs().mean())
    return float(torch.hypot(across[:-1], down[:, :-1]).mean())


def build_lpips(device: torch.device) -> Distance:
    """LPIPS with AlexNet of two RGB pictures [3, H, W] in 0..1: Zhang et al., The Unreasonable Effectiveness of Deep
    Features as a Perceptual Metric, CVPR 2018.

    It takes the lpips package, which this one does not depend on; raises StreamfxError that says what is missing.
    """
    if find_spec("lpips") is None:
        raise StreamfxError("tLP needs LPIPS, which is not installed: pip install lpips")
    if not list(Path(torch.hub.get_dir(), "checkpoints").glob("alexnet-*.pth")):
        fetch = """python -c 'import lpips; lpips.LPIPS(net="alex")'"""
        raise StreamfxError(f"tLP needs AlexNet's weights for LPIPS; fetch them (233 MB) once with: {fetch}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, for lpips's old way to ask for weights
        network = import_module("lpips").LPIPS(net="alex", verbose=False).to(device).eval()

    def distance(one: Tensor, other: Tensor) -> float:
        return float(network(one[None], other[None], normalize=True))

    return distance


def _compare_near(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    before: Sequence[Tensor] | None,
    motion: Estimate,
    true: Tensor | None,
) -> None:
    """E_warp and e_stab to the frame before, along the true motion where it is given."""
    if before is None:
        for curve in curves:
            curve.warp_near.append(None)
            curve.stab.append(None)
        return
    if true is None:
        found = motion(before[0], pair[0])
        flow, trust, shown = found.flow, found.trust, zip(pair, before)
    else:
        flow, trust, shown = true.nan_to_num(0.0), visible(before[0], pair[0], true), zip(before, pair)
    for curve, (target, other) in zip(curves, shown):
        moved = warp(other, flow)
        curve.warp_near.append(warp_error(target, moved, trust))
        curve.stab.append(stab_error(target, moved, trust))


def _compare_far(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    before: tuple[Tensor, Tensor] | None,
    motion: Estimate,
) -> None:
    """E_warp to the frame FAR before, along the motion estimated between the two."""
    found = None if before is None else motion(before[0].float(), pair[0])
    for number, curve in enumerate(curves):
        if found is None or before is None:
            curve.warp_far.append(None)
        else:
            moved = warp(before[number].float(), found.flow)
            curve.warp_far.append(warp_error(pair[number], moved, found.trust))


def _compare_seen(
    curves: tuple[Curves, Curves],
    pair: tuple[Tensor, Tensor],
    before: Sequence[Tensor] | None,
    distance: Distance | None,
) -> None:
    """tLP = 100 |LPIPS(O(t-1), O(t)) - LPIPS(I(t-1), I(t))|: Chu et al., Learning Temporal Coherence via
    Self-Supervision for GAN-based Video Generation, 2020."""
    if before is None or distance is None:
        found = None
    else:
        found = 100 * abs(distance(before[1], pair[1]) - distance(before[0], pair[0]))
    curves[0].tlp.append(None if found is None else 0.0)
    curves[1].tlp.append(found)


def _paired(
    source: Iterable[Frame], processed: Iterable[Frame], names: tuple[str, str]
) -> Iterator[tuple[Frame, Frame]]:
    """The frames of both, two by two; an error where they differ in size or number."""
    iterators = iter(source), iter(processed)
    for number, (shown, made) in enumerate(zip_longest(*iterators)):
        if shown is None or made is None:
            more = number + 1 + sum(1 for frames in iterators for _ in frames)
            counts = (more, number) if made is None else (number, more)
            raise StreamfxError(
                f"'{names[0]}' has {counts[0]} frames, but '{names[1]}' has {counts[1]}; "
                "process all frames at the source's rate, or cut both alike"
            )
        sizes = [f"{frame.image.shape[2]}x{frame.image.shape[1]}" for frame in (shown, made)]
        if sizes[0] != sizes[1]:
            raise StreamfxError(
                f"'{names[0]}' is {sizes[0]}, but '{names[1]}' is {sizes[1]}; "
                f"bring them to one size first: streamfx run IN OUT --size {sizes[0]}"
            )
        yield shown, made


def _uneven(flows: Sequence[Path], name: str, frames: int) -> StreamfxError:
    return StreamfxError(
        f"there are {len(flows)} .flo files, but '{name}' has {frames} frames; "
        "give one for each frame but the last: the motion to the next one"
    )

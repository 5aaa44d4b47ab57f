"""Motion by dense inverse search on the CPU; imported only where it is asked for, because OpenCV is slow to load."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from streamfx.motion.flow import OUTSIDE, SIGMA, Motion, check
from streamfx.ops.color import LUMA

Array: TypeAlias = NDArray[Any]  # float32
Mask: TypeAlias = NDArray[np.bool_]

AREA = 320 * 180  # pixels, about as many as motion is searched and judged with; pixels below are of that small size
SMALLEST = 16  # pixels: what the search needs of each side
SPREAD, WIDENING = 0.1, 7  # see `_trust`; pixels of the widening
APART, EDGE, BENT = 0.125, 0.04, 0.002  # thresholds of `trust_mask` with these pixels
BLOCK = 8  # pixels of the blocks that are judged still or moving, 3 by 3 of them at a time
_REPEAT = cv2.BORDER_REPLICATE


def build_dis() -> Callable[[Tensor, Tensor], Motion]:
    """See `streamfx.motion.flow.build_motion`."""
    backwards = _estimator(stride=5, descents=5, refinements=3)
    forwards = _estimator(stride=5, descents=5, refinements=0)  # only checks the other: a median will do
    beside = ThreadPoolExecutor(1, thread_name_prefix="flow")
    kept: tuple[Tensor, Array] | None = None  # the last image and its luma, for it is the next one's previous

    def estimate(previous: Tensor, current: Tensor) -> Motion:
        nonlocal kept
        check(previous, current)
        halvings = _halvings(*current.shape[-2:])
        before = kept[1] if kept is not None and kept[0] is previous else _small_luma(previous, halvings)
        after = _small_luma(current, halvings)
        kept = current, after
        if min(after.shape) < SMALLEST:
            return _zero_motion(before, after, current)
        light = float(np.median((after - before)[::4, ::4]))
        lit = before + np.float32(light)  # else what is only brighter would be sought elsewhere
        forward = beside.submit(_roughly, forwards, lit, after)
        backward = _search(backwards, after, lit)
        outside = OUTSIDE / 2**halvings  # as soon as any of the large pixels has left
        return _enlarged(*_judged(lit, after, backward, forward.result(), light, outside), current)

    return estimate


def _estimator(stride: int, descents: int, refinements: int) -> cv2.DISOpticalFlow:
    """OpenCV's estimator, in patches of 8 pixels, `stride` apart."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(0)
    estimator.setPatchSize(8)
    estimator.setPatchStride(stride)
    estimator.setGradientDescentIterations(descents)
    estimator.setVariationalRefinementIterations(refinements)
    estimator.setUseMeanNormalization(True)  # without it, one step of light in 255 gives errors of 6 to 12 pixels
    return estimator


def _search(estimator: cv2.DISOpticalFlow, image: Array, other: Array) -> Array:
    """[h, w, 2] where each pixel of `image` is in `other`, relative to it."""
    eight = [np.rint(luma).clip(0, 255).astype(np.uint8) for luma in (image, other)]
    return np.asarray(estimator.calc(eight[0], eight[1], None))  # type: ignore[call-overload]


def _roughly(estimator: cv2.DISOpticalFlow, image: Array, other: Array) -> Sequence[Array]:
    """The same across and down, [h, w] each, without the single patches that went astray."""
    return [cv2.medianBlur(part, 5) for part in cv2.split(_search(estimator, image, other))]


def _judged(
    lit: Array, after: Array, backward: Array, forward: Sequence[Array], light: float, outside: float
) -> tuple[Array, Array]:
    """The backward flow [2, h, w] with what stands still set to 0, and its trust [h, w].

    From lumas [h, w] 0..255, the previous one already as light as the other by adding `light`, and flows, [h, w, 2] and
    across and down.
    """
    flow = np.stack(cv2.split(backward))
    was, *back = _at_sources([lit, *forward], flow)
    moved, stood = _low_pass(after - was), _low_pass(after - lit)
    motion = _moving(stood, moved, after, flow)
    flow *= motion
    residual = stood + (moved - stood) * motion + light
    return flow, _trust(flow, np.stack(back) * motion, outside) * _explained(residual)


def _moving(stood: Array, moved: Array, after: Array, flow: Array) -> Array:
    """[h, w] 0..1: 0 where standing still explains the picture as well as `flow` [2, h, w] does.

    `stood` and `moved` [h, w] are what each leaves unexplained, `after` the luma. Where nothing can be seen of either,
    as in a clear sky, the greater part of what can be seen decides.
    """
    height, width = after.shape
    blocks = -(-width // BLOCK), -(-height // BLOCK)

    def mean(values: Array) -> Array:
        return cv2.blur(cv2.resize(values, blocks, interpolation=cv2.INTER_AREA), (3, 3), borderType=_REPEAT)

    slope_x, slope_y = _slopes(_low_pass(after))
    still_error, error = mean(stood * stood), mean(moved * moved)
    better = still_error > 1.3 * error + 0.05  # in noise alone, 1.25 is seldom passed
    shows = 0.0056 * mean(slope_x * slope_x + slope_y * slope_y) > 0.3 * error + 0.05  # 0.075 pixels would be noticed
    keeps = better if np.sum(shows & ~better) >= np.sum(shows & better) else better | ~shows
    keeps |= np.hypot(mean(flow[0]), mean(flow[1])) > 0.5  # a bare patch of something that goes along
    return np.asarray(cv2.resize(keeps.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _trust(flow: Array, back: Array, outside: float) -> Array:
    """The formula of `trust_mask`, and a wider band where it finds things apart or drawing apart; [h, w] 0 or 1.

    `back` is the forward flow where `flow` leads, both [2, h, w]. Where something is uncovered, motion found by patches
    goes on beyond its edge for half a patch, and the forward motion agrees. So the band where the motion into the
    current image spreads by more than SPREAD pixels a pixel is widened to reach that edge. (So a zoom by SPREAD / 2 or
    more a frame is not trusted at all.)
    """
    doubt, apart, spread = _doubts(flow, back, outside)
    grain = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDENING, WIDENING))
    wide = cv2.dilate((apart | (spread > SPREAD)).astype(np.uint8), grain)
    return np.asarray(~doubt & (wide == 0), np.float32)


def _doubts(flow: Array, back: Array, outside: float) -> tuple[Mask, Mask, Array]:
    """Where `trust_mask` does not trust, where that is for disagreement; and how the motion spreads. All [h, w]."""
    square, back_square = _square(flow), _square(back)
    apart = _square(flow + back) >= 0.01 * (square + back_square) + APART
    (x, y), (height, width) = _sources(flow), square.shape
    left = (x < -outside) | (x > width - 1 + outside) | (y < -outside) | (y > height - 1 + outside)
    (xx, xy), (yx, yy) = _slopes(flow[0]), _slopes(flow[1])
    edge = xx * xx + xy * xy + yx * yx + yy * yy > EDGE * square + BENT
    return apart | left | edge, apart, -(xx + yy)


def _sources(flow: Array) -> tuple[Array, Array]:
    """Across and down [h, w]: the points that the pixels come from."""
    height, width = flow.shape[1:]
    return flow[0] + np.arange(width, dtype=np.float32), flow[1] + np.arange(height, dtype=np.float32)[:, None]


def _at_sources(planes: Sequence[Array], flow: Array) -> Sequence[Array]:
    """The planes [h, w], each seen through the flow [2, h, w]."""
    return cv2.split(cv2.remap(cv2.merge(planes), *_sources(flow), cv2.INTER_LINEAR, borderMode=_REPEAT))


def _slopes(values: Array) -> tuple[Array, Array]:
    """Central differences [h, w] across and down."""
    kernel = np.array([[-0.5, 0, 0.5]], np.float32)
    across, down = (cv2.filter2D(values, -1, each, borderType=_REPEAT) for each in (kernel, kernel.T))
    return across, down


def _square(vectors: Array) -> Array:
    return np.asarray(vectors[0] * vectors[0] + vectors[1] * vectors[1])


def _low_pass(values: Array) -> Array:
    """[h, w] without most of what is sensor noise."""
    smooth: Array = cv2.blur(values, (3, 3), borderType=_REPEAT)
    return smooth


def _explained(residual: Array) -> Array:
    return np.exp(-np.square(residual / np.float32(SIGMA)))


def _halvings(height: int, width: int) -> int:
    """How often a picture is halved for the search."""
    return max(0, int(math.log2(height * width / AREA) / 2 + 0.3))


def _small_luma(image: Tensor, halvings: int) -> Array:
    """BT.709 luma [h, w] 0..255 of an image [3, H, W], halved so often; odd sides are rounded up."""
    if image.is_cuda:
        size = [-(-side // 2**halvings) for side in image.shape[-2:]]
        return _small_luma(F.interpolate(image[None], size=size, mode="area")[0].cpu(), 0)
    planes = [_halved(plane) if halvings else plane for plane in image.detach().float().numpy()]
    red, green, blue = (plane * np.float32(255 * weight) for plane, weight in zip(planes, LUMA))
    luma: Array = red + green + blue
    for _ in range(1, halvings):
        luma = _halved(luma)
    return luma.clip(0, 255, out=luma)


def _halved(plane: Array) -> Array:
    height, width = plane.shape
    return np.asarray(cv2.resize(plane, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA))


def _enlarged(flow: Array, trust: Array, like: Tensor) -> Motion:
    """The Motion, from the small flow [2, h, w] and trust [h, w], at the size and on the device of the image `like`."""
    size = like.shape[-2:]
    scales = size[1] / trust.shape[1], size[0] / trust.shape[0]
    planes = np.stack([flow[0] * np.float32(scales[0]), flow[1] * np.float32(scales[1]), trust])
    if like.is_cuda:
        large = F.interpolate(torch.from_numpy(planes).to(like.device)[None], size=size, mode="bilinear")[0]
    else:
        large = torch.empty(3, *size)
        for plane, out in zip(planes, large.numpy()):
            cv2.resize(plane, size[::-1], dst=out, interpolation=cv2.INTER_LINEAR)
    return Motion(large[:2], large[2:])


def _zero_motion(before: Array, after: Array, like: Tensor) -> Motion:
    return _enlarged(np.zeros((2, *after.shape), np.float32), _explained(_low_pass(after - before)), like)

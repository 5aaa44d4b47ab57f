"""Optical flow by dense inverse search on the CPU; imported lazily because OpenCV is slow to load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamfx.motion.assessment import (
    BETTER,
    BLOCK,
    DISTINCT,
    FAST,
    FLOOR,
    MAX_ERROR,
    MAX_SLOPE,
    MIN_SLOPE,
    SMALLEST,
    SPREAD,
    VISIBLE,
    WIDENING,
    halvings_of,
)
from streamfx.motion.occlusion import OUTSIDE, SIGMA, Motion, check_pair
from streamfx.ops.color import LUMA

Array: TypeAlias = NDArray[Any]  # float32
Mask: TypeAlias = NDArray[np.bool_]

_REPEAT = cv2.BORDER_REPLICATE


def build_dis() -> Callable[[Tensor, Tensor], Motion]:
    """See `streamfx.motion.flow.build_motion`."""
    backward_search = _estimator(stride=5, descents=5, refinements=3)
    forward_search = _estimator(stride=5, descents=5, refinements=0)  # for the consistency check; a median is enough
    executor = ThreadPoolExecutor(1, thread_name_prefix="flow")
    cached: tuple[Tensor, Array] | None = None  # last image and its luma, usually the next call's `previous`

    def estimate(previous: Tensor, current: Tensor) -> Motion:
        nonlocal cached
        check_pair(previous, current)
        halvings = halvings_of(*current.shape[-2:])
        before = cached[1] if cached is not None and cached[0] is previous else _small_luma(previous, halvings)
        after = _small_luma(current, halvings)
        cached = current, after
        if min(after.shape) < SMALLEST:
            return _zero_motion(before, after, current)
        brightness = float(np.median((after - before)[::4, ::4]))
        adjusted = before + np.float32(brightness)  # otherwise a brightness change would look like motion
        forward = executor.submit(_search_median, forward_search, adjusted, after)
        backward = _search(backward_search, after, adjusted)
        outside = OUTSIDE / 2**halvings
        return _enlarged(*_assess(adjusted, after, backward, forward.result(), brightness, outside), current)

    return estimate


def _estimator(stride: int, descents: int, refinements: int) -> cv2.DISOpticalFlow:
    """OpenCV's estimator with patches of 8 pixels every `stride` pixels."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    estimator.setFinestScale(0)
    estimator.setPatchSize(8)
    estimator.setPatchStride(stride)
    estimator.setGradientDescentIterations(descents)
    estimator.setVariationalRefinementIterations(refinements)
    estimator.setUseMeanNormalization(True)  # without it, a brightness change of 1/255 causes errors of 6 to 12 pixels
    return estimator


def _search(estimator: cv2.DISOpticalFlow, image: Array, other: Array) -> Array:
    """Flow [h, w, 2] from `image` to `other` in pixels."""
    bytes_ = [np.rint(luma).clip(0, 255).astype(np.uint8) for luma in (image, other)]
    return np.asarray(estimator.calc(bytes_[0], bytes_[1], None))  # type: ignore[call-overload]


def _search_median(estimator: cv2.DISOpticalFlow, image: Array, other: Array) -> Sequence[Array]:
    """Horizontal and vertical flow, [h, w] each; the median removes single outlier patches."""
    return [cv2.medianBlur(part, 5) for part in cv2.split(_search(estimator, image, other))]


def _assess(
    before: Array, after: Array, backward: Array, forward: Sequence[Array], brightness: float, outside: float
) -> tuple[Array, Array]:
    """The backward flow [2, h, w], zeroed in still areas, and its confidence [h, w].

    `before` and `after` are lumas [h, w] 0..255; `brightness` has been added to `before`. `backward` is [h, w, 2],
    `forward` the horizontal and vertical flow.
    """
    flow = np.stack(cv2.split(backward))
    warped, *back = _at_sources([before, *forward], flow)
    moving_residual, still_residual = _low_pass(after - warped), _low_pass(after - before)
    motion = _moving(still_residual, moving_residual, after, flow)
    flow *= motion
    residual = still_residual + (moving_residual - still_residual) * motion + brightness
    return flow, _consistency(flow, np.stack(back) * motion, outside) * _photometric_confidence(residual)


def _moving(still_residual: Array, moving_residual: Array, after: Array, flow: Array) -> Array:
    """[h, w] 0..1: 0 where no motion explains the frame as well as `flow` [2, h, w] does.

    The residuals [h, w] are the differences without and with motion, `after` the luma. Areas without texture, such as a
    clear sky, follow the majority of the textured areas.
    """
    height, width = after.shape
    blocks = -(-width // BLOCK), -(-height // BLOCK)

    def mean(values: Array) -> Array:
        return cv2.blur(cv2.resize(values, blocks, interpolation=cv2.INTER_AREA), (3, 3), borderType=_REPEAT)

    slope_x, slope_y = _slopes(_low_pass(after))
    still_error, error = mean(still_residual * still_residual), mean(moving_residual * moving_residual)
    better = still_error > BETTER * error + FLOOR
    textured = VISIBLE**2 * mean(slope_x * slope_x + slope_y * slope_y) > DISTINCT * error + FLOOR
    moving = better if np.sum(textured & ~better) >= np.sum(textured & better) else better | ~textured
    moving |= np.hypot(mean(flow[0]), mean(flow[1])) > FAST  # untextured part of a moving object
    return np.asarray(cv2.resize(moving.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def _consistency(flow: Array, back: Array, outside: float) -> Array:
    """`consistency_mask`, also 0 in a wider band around inconsistent or diverging flow; [h, w] 0 or 1.

    `back` is the forward flow sampled where `flow` points, both [2, h, w]. At disocclusions, patches extend the motion
    half a patch beyond the edge of an object, and the forward flow agrees. So areas where the flow diverges by more
    than SPREAD pixels per pixel are dilated to reach that edge. (A zoom of SPREAD / 2 or more per frame therefore has
    confidence 0 everywhere.)
    """
    invalid, inconsistent, spread = _checks(flow, back, outside)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDENING, WIDENING))
    dilated = cv2.dilate((inconsistent | (spread > SPREAD)).astype(np.uint8), kernel)
    return np.asarray(~invalid & (dilated == 0), np.float32)


def _checks(flow: Array, back: Array, outside: float) -> tuple[Mask, Mask, Array]:
    """(where `consistency_mask` is 0, where the two flows disagree, divergence of the flow), all [h, w]."""
    square, back_square = _square(flow), _square(back)
    inconsistent = _square(flow + back) >= 0.01 * (square + back_square) + MAX_ERROR
    (x, y), (height, width) = _sources(flow), square.shape
    left = (x < -outside) | (x > width - 1 + outside) | (y < -outside) | (y > height - 1 + outside)
    (xx, xy), (yx, yy) = _slopes(flow[0]), _slopes(flow[1])
    edge = xx * xx + xy * xy + yx * yx + yy * yy > MAX_SLOPE * square + MIN_SLOPE
    return inconsistent | left | edge, inconsistent, -(xx + yy)


def _sources(flow: Array) -> tuple[Array, Array]:
    """x and y [h, w] of the points that `flow` [2, h, w] leads to."""
    height, width = flow.shape[1:]
    return flow[0] + np.arange(width, dtype=np.float32), flow[1] + np.arange(height, dtype=np.float32)[:, None]


def _at_sources(planes: Sequence[Array], flow: Array) -> Sequence[Array]:
    """The planes [h, w], each warped by `flow` [2, h, w]."""
    return cv2.split(cv2.remap(cv2.merge(planes), *_sources(flow), cv2.INTER_LINEAR, borderMode=_REPEAT))


def _slopes(values: Array) -> tuple[Array, Array]:
    """Horizontal and vertical central differences [h, w]."""
    kernel = np.array([[-0.5, 0, 0.5]], np.float32)
    across, down = (cv2.filter2D(values, -1, k, borderType=_REPEAT) for k in (kernel, kernel.T))
    return across, down


def _square(vectors: Array) -> Array:
    return np.asarray(vectors[0] * vectors[0] + vectors[1] * vectors[1])


def _low_pass(values: Array) -> Array:
    """[h, w] with most sensor noise removed."""
    smooth: Array = cv2.blur(values, (3, 3), borderType=_REPEAT)
    return smooth


def _photometric_confidence(residual: Array) -> Array:
    return np.exp(-np.square(residual / np.float32(SIGMA)))


def _small_luma(image: Tensor, halvings: int) -> Array:
    """BT.709 luma [h, w] 0..255 of an image [3, H, W], halved `halvings` times; odd sides are rounded up."""
    planes = [_halved(plane) if halvings else plane for plane in image.detach().float().numpy()]
    red, green, blue = (plane * np.float32(255 * weight) for plane, weight in zip(planes, LUMA))
    luma: Array = red + green + blue
    for _ in range(1, halvings):
        luma = _halved(luma)
    return luma.clip(0, 255, out=luma)


def _halved(plane: Array) -> Array:
    height, width = plane.shape
    return np.asarray(cv2.resize(plane, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA))


def _enlarged(flow: Array, confidence: Array, like: Tensor) -> Motion:
    """The Motion from flow [2, h, w] and confidence [h, w], resized to the image `like`."""
    size = like.shape[-2:]
    scales = size[1] / confidence.shape[1], size[0] / confidence.shape[0]
    planes = np.stack([flow[0] * np.float32(scales[0]), flow[1] * np.float32(scales[1]), confidence])
    large = torch.empty(3, *size)
    for plane, out in zip(planes, large.numpy()):
        cv2.resize(plane, size[::-1], dst=out, interpolation=cv2.INTER_LINEAR)
    return Motion(large[:2], large[2:])


def _zero_motion(before: Array, after: Array, like: Tensor) -> Motion:
    return _enlarged(np.zeros((2, *after.shape), np.float32), _photometric_confidence(_low_pass(after - before)), like)

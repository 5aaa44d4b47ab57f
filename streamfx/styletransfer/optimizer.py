"""Stylize by optimizing pixels: Adam lowers the losses of the image itself, from coarse to fine."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamfx.motion.temporal import WarpedFrame
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.artifact_losses import flicker_loss
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import StyleLoss, content_target
from streamfx.styletransfer.targets import StyleTargets, mix_targets

log = logging.getLogger("streamfx.iterations")

_RATE = 0.08  # of Adam, on the logits of the pixels; falls to a tenth
_RANGE = 0.02  # distance kept from 0 and 1, whose logits are infinite
_PYRAMID = ((2, 0.4), (1, 0.35), (0, 0.25))  # octaves below full size, and their shares of the iterations
_PASS_SHARE = 0.5  # share of the previous stylized frame, where it is valid, at the start of a further pass
_FOLLOWING = 0.5  # share of the iterations that suffices where the whole previous stylized frame is valid
_MULTIPLE = 64  # pixels; the sides of the image are padded to multiples of it
_WEIGHTS = {  # of the losses: hardly any content, no light, since no network has to generalize
    "gram_weight": 30.0,
    "wasserstein_weight": 15.0,
    "content_weight": 1.0,
    "palette_weight": 20.0,
    "light_weight": 0.0,
    "grid_weight": 0.0,
    "smooth_weight": 0.1,
    "per_image": 1.0,
}


class PixelOptimizer:
    """Stylizes images after Gatys et al. 2016, and videos after Ruder et al. 2016, with the losses of our networks.

    The pixels start from the frame, or where it is valid from the warped previous stylized frame, and are optimized
    on a pyramid: large shapes at a quarter of the size, strokes at half and full size.
    """

    def __init__(
        self,
        parts: Sequence[tuple[StyleTargets, float]],
        settings: TrainingSettings,
        iterations: int,
        device: torch.device,
    ) -> None:
        """`parts`: targets and their shares, which sum to 1."""
        self.settings = settings.model_copy(update=_WEIGHTS)
        self.iterations, self.detail = iterations, 0.0
        self.extractors = [FeatureExtractor(self.settings, name, device) for name in settings.style_layers]
        self.loss = StyleLoss(mix_targets(parts).to(device), self.settings)

    def __call__(self, frame: Tensor, previous: WarpedFrame | None, current: Tensor | None = None) -> Tensor:
        """The stylized frame [3, H, W] of `frame` [3, H, W], close to `previous` where that is valid.

        `current` is the stylized frame of an earlier pass to start from.
        """
        height, width = frame.shape[1:]
        below, beside = (max(0, 2 * _MULTIPLE - side, -side % _MULTIPLE) for side in (height, width))

        def whole(image: Tensor) -> Tensor:
            return F.pad(image[None], (0, beside, 0, below), mode="replicate")

        photo = whole(frame)
        start = photo if current is None else whole(current)
        if previous is None and current is None:
            image = self._optimize_pyramid(photo)
        elif previous is None:
            image = self._optimize(photo, start, None, None, 0, self.iterations)
        else:
            warped, valid = whole(previous.warped), whole(previous.confidence)
            start = torch.lerp(start, warped, valid if current is None else valid * _PASS_SHARE)
            known = _FOLLOWING * valid.mean().item() if current is None else 0.0
            count = max(1, round(self.iterations * (1 - known)))
            image = self._optimize(photo, start, warped, valid, 0, count)
        return image[0, :, :height, :width]

    def _optimize_pyramid(self, photo: Tensor) -> Tensor:
        image = F.avg_pool2d(photo, 1 << _PYRAMID[0][0])
        for octave, share in _PYRAMID:
            reduced = F.avg_pool2d(photo, 1 << octave)
            image = F.interpolate(image, reduced.shape[-2:], mode="bicubic").clamp(0, 1)
            image = self._optimize(reduced, image, None, None, octave, max(1, round(self.iterations * share)))
        return image

    def _optimize(
        self, photo: Tensor, start: Tensor, warped: Tensor | None, valid: Tensor | None, octave: int, count: int
    ) -> Tensor:
        generator = torch.random.get_rng_state()
        torch.manual_seed(self.settings.seed)  # the same result each time
        contents = [content_target(photo, extractor) for extractor in self.extractors]
        with torch.enable_grad():
            pixels = nn.Parameter(torch.logit(start.clamp(_RANGE, 1 - _RANGE)))
            unchanged = photo.new_zeros(())
            adam = torch.optim.Adam([pixels], lr=_RATE)
            for number in range(count):
                adam.param_groups[0]["lr"] = _RATE * (1 - 0.9 * number / count)
                image = torch.sigmoid(pixels)
                turn = number % len(self.extractors)
                losses = self.loss(image, photo, contents[turn], self.extractors[turn], octave)
                if warped is not None and valid is not None:
                    losses["flicker"] = flicker_loss(image, warped, unchanged, valid)
                adam.zero_grad()
                self.loss.total(losses, self.detail).backward()  # type: ignore[no-untyped-call]
                adam.step()
                log.info("iteration %d of %d at 1/%d of the size", number + 1, count, 1 << octave)
        torch.random.set_rng_state(generator)
        return torch.sigmoid(pixels.detach())

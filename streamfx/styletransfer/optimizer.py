"""Paint by iteration: the pixels themselves go to where the losses are low, as the first neural painters did."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from streamfx.motion.temporal import Prior
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.painting_losses import Eye, PaintingLoss, Targets, flicker_loss, mix_targets

log = logging.getLogger("streamfx.iterations")

_RATE = 0.05  # of Adam, on the logits of the pixels
_RANGE = 0.02  # of 0..1, kept from the ends: their logits are infinite
_TURN = 0.5  # share of the last painting, where it is trusted, in what a further pass starts from
_FAMILIAR = 0.5  # of the iterations suffice where most of the picture was painted before
_MULTIPLE = 8  # pixels; the sides that the losses take are whole numbers of these


class PixelPainter:
    """Paints by Gatys et al. 2016 and, in clips, Ruder et al. 2016, on our features and with our losses.

    Adam moves the pixels from the frame, or where that is to be trusted from the warped last painting, towards the
    style of the paintings, the content of the frame and, as `flicker_weight` says, that warped painting.
    """

    def __init__(
        self, parts: Sequence[tuple[Targets, float]], settings: TrainingSettings, iterations: int, device: torch.device
    ) -> None:
        """`parts`: targets and their shares, which sum to 1."""
        self.settings, self.iterations = settings, iterations
        self.eyes = [Eye(settings, network, device) for network in settings.style_layers]
        self.loss = PaintingLoss(mix_targets(parts).to(device), settings)

    def __call__(self, seen: Tensor, prior: Prior | None, own: Tensor | None = None) -> Tensor:
        """The painting [3, H, W] of the frame `seen` [3, H, W], to follow `prior`; goes on from its `own` of before."""
        height, width = seen.shape[1:]
        below, beside = (max(0, 4 * _MULTIPLE - side, -side % _MULTIPLE) for side in (height, width))

        def whole(image: Tensor) -> Tensor:
            return nn.functional.pad(image[None], (0, beside, 0, below), mode="replicate")

        frame = whole(seen)
        begun = frame if own is None else whole(own)
        if prior is None:
            painted = self._paint(frame, begun, None, None, self.iterations)
        else:
            warped, trust = whole(prior.warped), whole(prior.trust)
            start = torch.lerp(begun, warped, trust if own is None else trust * _TURN)
            known = _FAMILIAR * trust.mean().item() if own is None else 0.0
            painted = self._paint(frame, start, warped, trust, max(1, round(self.iterations * (1 - known))))
        return painted[0, :, :height, :width]

    def _paint(self, frame: Tensor, start: Tensor, warped: Tensor | None, trust: Tensor | None, count: int) -> Tensor:
        generator = torch.random.get_rng_state()
        torch.manual_seed(self.settings.seed)  # the same pixels each time
        with torch.enable_grad():
            pixels = nn.Parameter(torch.logit(start.clamp(_RANGE, 1 - _RANGE)))
            nothing = frame.new_zeros(())  # it makes no borders, and knows of no change of light
            adam = torch.optim.Adam([pixels], lr=_RATE)
            for number in range(count):
                painted = torch.sigmoid(pixels)
                losses = self.loss(self.eyes[number % len(self.eyes)].compare(painted, frame))
                losses["border"] = losses["flicker"] = nothing
                if warped is not None and trust is not None:
                    losses["flicker"] = flicker_loss(painted, warped, nothing, trust)
                adam.zero_grad()
                self.loss.total(losses).backward()  # type: ignore[no-untyped-call]
                adam.step()
                log.info("iteration %d of %d", number + 1, count)
        torch.random.set_rng_state(generator)
        return torch.sigmoid(pixels.detach())

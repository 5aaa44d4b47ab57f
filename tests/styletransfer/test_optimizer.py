"""Pixel optimization approaches the style, reproducibly, and stays close to a previous stylized frame."""

import logging

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from streamfx.motion import temporal
from streamfx.presets import TrainingSettings
from streamfx.resources import resource
from streamfx.styletransfer.losses import StyleLoss, content_target
from streamfx.styletransfer.optimizer import PixelOptimizer
from streamfx.styletransfer.targets import load_targets

CPU = torch.device("cpu")
SETTINGS = TrainingSettings()


@pytest.fixture(scope="module")
def targets():
    return load_targets(resource("presets") / "targets.safetensors", "vangogh")


@pytest.fixture(scope="module")
def optimizer(targets):
    return PixelOptimizer([(targets, 1.0)], SETTINGS, 12, CPU)


@pytest.fixture(scope="module")
def photo():
    image = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (161, 190), mode="bilinear", antialias=True)[0]  # no multiple of eight


@pytest.fixture(scope="module")
def stylized(optimizer, photo):
    return optimizer(photo, None)


def test_optimization_approaches_the_style(optimizer, targets, photo, stylized):
    @torch.no_grad()
    def style_of(image):
        image, extractor = image[None, :, :160, :160], optimizer.extractors[0]
        return StyleLoss(targets, SETTINGS)(image, image, content_target(image, extractor), extractor)["gram"]

    assert stylized.shape == photo.shape
    assert 0 <= stylized.min() < stylized.max() <= 1
    assert style_of(stylized) < 0.8 * style_of(photo)


def test_runs_are_reproducible(optimizer, photo, stylized):
    torch.rand(1)
    before = torch.random.get_rng_state()
    assert torch.equal(optimizer(photo, None), stylized)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_valid_areas_stay_close_to_the_previous_frame(optimizer, photo, stylized):
    valid = torch.zeros(1, 161, 190)
    valid[..., :95] = 1
    warped = stylized.flip(-2)
    previous = temporal.WarpedFrame
    image = optimizer(photo, previous(warped, valid, valid, valid[:, ::4, ::4]))
    off = (image - warped).abs().mean((0, 1))
    assert off[:80].mean() < 0.5 * off[110:].mean()


def test_iterations_are_logged(optimizer, photo, caplog):
    with caplog.at_level(logging.INFO, "streamfx.iterations"):
        optimizer(photo, None)
    assert caplog.messages[0] == "iteration 1 of 5 at 1/4 of the size"
    assert caplog.messages[-1] == "iteration 3 of 3 at 1/1 of the size"

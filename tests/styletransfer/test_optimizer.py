"""Painting by iteration comes nearer to the style, the same way every time, and follows what was painted before."""

import logging

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from streamfx.motion.temporal import Prior
from streamfx.presets import TrainingSettings
from streamfx.resources import resource
from streamfx.styletransfer.optimizer import PixelPainter
from streamfx.styletransfer.painting_losses import PaintingLoss, load_targets

CPU = torch.device("cpu")
SETTINGS = TrainingSettings()


@pytest.fixture(scope="module")
def targets():
    return load_targets(resource("presets") / "targets.safetensors", "vangogh")


@pytest.fixture(scope="module")
def painter(targets):
    return PixelPainter([(targets, 1.0)], SETTINGS, 12, CPU)


@pytest.fixture(scope="module")
def photo():
    image = torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (61, 90), mode="bilinear", antialias=True)[0]  # no whole number of eights


@pytest.fixture(scope="module")
def painting(painter, photo):
    return painter(photo, None)


def test_it_comes_nearer_to_the_style(painter, targets, photo, painting):
    def style_of(image):
        image = image[None, :, :56, :88]
        return PaintingLoss(targets, SETTINGS)(painter.eyes[0].compare(image, image))["style"]

    assert painting.shape == photo.shape
    assert 0 <= painting.min() < painting.max() <= 1
    assert style_of(painting) < 0.8 * style_of(photo)


def test_the_same_pixels_every_time(painter, photo, painting):
    torch.rand(1)
    before = torch.random.get_rng_state()
    assert torch.equal(painter(photo, None), painting)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_follows_what_was_painted_before_where_that_is_trusted(painter, photo, painting):
    trust = torch.zeros(1, 61, 90)
    trust[..., :45] = 1
    warped = painting.flip(-2)
    followed = painter(photo, Prior(warped, trust, trust, trust[:, ::4, ::4]))
    off = (followed - warped).abs().mean((0, 1))
    assert off[:40].mean() < 0.5 * off[50:].mean()


def test_iterations_are_told(painter, photo, caplog):
    with caplog.at_level(logging.INFO, "streamfx.iterations"):
        painter(photo, None)
    assert caplog.messages[0] == "iteration 1 of 12"
    assert caplog.messages[-1] == "iteration 12 of 12"

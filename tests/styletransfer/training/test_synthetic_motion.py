"""Clips to practise on: their motion is exact, what is hidden is known, and what is still is still."""

import random

import pytest
import torch
from skimage import data

from streamfx.ops.warp import warp
from streamfx.styletransfer.training.synthetic_motion import as_measured, build_clip


@pytest.fixture(scope="module")
def clip():
    photos = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in (data.chelsea(), data.coffee())]
    return build_clip(photos, 96, 16, 4, random.Random(5))


def test_the_motion_explains_every_frame_by_any_before_it(clip):
    for at, before in ((1, 0), (3, 2), (3, 0)):
        flow, visible = clip.motion(at, before)
        moved = warp(clip.wanted[before], flow, "bicubic") + clip.brightened(at, before)
        wrong = ((moved - clip.wanted[at]) * visible).square().mean((1, 2, 3))
        changed = (clip.wanted[before] - clip.wanted[at]).square().mean((1, 2, 3))
        assert wrong.mean() < 0.1 * changed.mean()
        assert (visible.mean((1, 2, 3)) > 0.5).all()


def test_clips_differ_some_are_still_some_are_crossed_some_are_lit(clip):
    flow, visible = clip.motion(3, 0)
    still = flow.abs().amax((1, 2, 3)) == 0
    assert 0 < still.sum() < 16
    assert (visible[still] == 1).all()
    crossed = clip.shape.amax((1, 2, 3)) > 0
    assert 0 < crossed.sum() < 16
    assert (visible[crossed].mean((1, 2, 3)) < 1).any()
    assert 0 < ((clip.light[3] - clip.light[0]).abs().flatten() > 0.001).sum() < 16


def test_measured_motion_is_off_by_little_and_still_pictures_stay_still(clip):
    exact, visible = clip.motion(2, 1)
    flow, trust = as_measured(exact, visible, random.Random(1))
    still = exact.abs().amax((1, 2, 3)) == 0
    assert (flow[still] == 0).all()
    assert 0 < (flow - exact)[~still].abs().mean() < 0.5
    assert trust.min() >= 0
    assert trust.max() <= 1
    assert (trust <= visible).all()  # the rims of what moves are not trusted either


def test_a_clip_of_one_frame_is_a_photo_with_noise(clip):
    photos = [torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)]
    single = build_clip(photos, 32, 2, 1, random.Random(5))
    assert len(single.given) == len(single.wanted) == 1
    assert single.given[0].shape == (2, 3, 32, 32)

"""Synthetic training clips: flow and occlusions are exact, and still clips stay still."""

import random

import pytest
import torch
from skimage import data

from streamfx.ops.warp import warp
from streamfx.styletransfer.training.synthetic_motion import build_clip


@pytest.fixture(scope="module")
def clip():
    photos = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in (data.chelsea(), data.coffee())]
    return build_clip(photos, 96, 16, 4, random.Random(5))


def test_flow_warps_each_frame_onto_any_later_one(clip):
    for current, previous in ((1, 0), (3, 2), (3, 0)):
        flow, visible = clip.motion(current, previous)
        warped = warp(clip.targets[previous], flow, "bicubic") + clip.luma_change(current, previous)
        error = ((warped - clip.targets[current]) * visible).square().mean((1, 2, 3))
        change = (clip.targets[previous] - clip.targets[current]).square().mean((1, 2, 3))
        assert error.mean() < 0.1 * change.mean()
        assert (visible.mean((1, 2, 3)) > 0.5).all()


def test_some_clips_are_still_some_have_an_object_and_some_flicker(clip):
    flow, visible = clip.motion(3, 0)
    still = flow.abs().amax((1, 2, 3)) == 0
    assert 0 < still.sum() < 16
    assert (visible[still] == 1).all()
    has_object = clip.object_mask.amax((1, 2, 3)) > 0
    assert 0 < has_object.sum() < 16
    assert (visible[has_object].mean((1, 2, 3)) < 1).any()
    assert 0 < ((clip.gain[3] - clip.gain[0]).abs().flatten() > 0.001).sum() < 16


def test_clips_of_one_frame():
    photos = [torch.from_numpy(data.chelsea().copy()).permute(2, 0, 1)]
    single = build_clip(photos, 32, 2, 1, random.Random(5))
    assert len(single.inputs) == len(single.targets) == 1
    assert single.inputs[0].shape == (2, 3, 32, 32)

"""Frames are immutable; copies keep everything but the image."""

from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest
import torch

from streamfx.frame import Frame, memory_tensor


def test_a_copy_with_another_image_keeps_the_rest():
    alpha = torch.zeros(1, 4, 6)
    frame = Frame(torch.zeros(3, 4, 6), Fraction(1001, 30000), Fraction(1, 30), cut=True, alpha=alpha)
    image = torch.ones(3, 2, 3)
    copy = frame.with_image(image)
    assert copy.image is image
    assert (copy.pts, copy.duration, copy.cut) == (Fraction(1001, 30000), Fraction(1, 30), True)
    assert copy.alpha is alpha
    assert frame.image.shape == (3, 4, 6)


def test_frames_cannot_be_changed():
    frame = Frame(torch.zeros(3, 4, 6), Fraction(0), Fraction(1, 25))
    with pytest.raises(FrozenInstanceError):
        frame.pts = Fraction(1)
    assert (frame.cut, frame.alpha) == (False, None)


def test_tensors_in_memory():
    canvas = torch.zeros(3, 4, 6)
    assert memory_tensor({"canvas": canvas, "number": 3}, "canvas") is canvas
    with pytest.raises(AssertionError):
        memory_tensor({"canvas": canvas, "number": 3}, "number")

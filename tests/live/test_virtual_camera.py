"""A virtual camera where there is none."""

import importlib.util
from fractions import Fraction

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.live.virtual_camera import VirtualCamera


def test_clear_errors():
    installed = importlib.util.find_spec("pyvirtualcam") is not None
    message = "no virtual camera" if installed else r"pip install 'streamfx\[virtual-camera\]'"
    with pytest.raises(StreamfxError, match=message):
        VirtualCamera("/dev/video97", Fraction(25)).show(torch.zeros(3, 48, 64))

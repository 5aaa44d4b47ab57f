"""The live picture as JPEG."""

import io
import threading

import numpy as np
import torch
from PIL import Image

from streamfx.live.preview import Preview, to_jpeg


def test_jpeg():
    image = torch.zeros(3, 16, 24)
    image[0] = 1.0
    pixels = np.asarray(Image.open(io.BytesIO(to_jpeg(image))))
    assert pixels.shape == (16, 24, 3)
    assert abs(pixels.reshape(-1, 3).mean(0) - [254, 0, 0]).max() < 6


def test_the_newest_picture_is_shown():
    preview = Preview()
    for level in (0.0, 1.0):
        preview.show(torch.full((3, 8, 8), level))
    pictures = preview.pictures()
    assert np.asarray(Image.open(io.BytesIO(next(pictures)))).min() > 250
    threading.Timer(0.05, preview.show, [torch.zeros(3, 8, 8)]).start()
    assert np.asarray(Image.open(io.BytesIO(next(pictures)))).max() < 5
    preview.close()
    assert list(pictures) == []


def test_viewers_share_a_jpeg():
    preview = Preview()
    preview.show(torch.rand(3, 8, 8))
    assert next(preview.pictures()) is next(preview.pictures())

"""The live picture as JPEG files for any number of viewers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUALITY = 80  # of JPEG
_REPEAT = 5.0  # seconds without a new picture after which the last one is sent again


class Preview:
    """Keeps the newest picture; each is encoded once, and only if somebody watches. Thread-safe."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._image: Tensor | None = None
        self._number = 0  # of the newest picture
        self._encoded = 0, b""  # number and JPEG
        self._closed = False

    def show(self, image: Tensor) -> None:
        """Take a picture [3, H, W] RGB 0..1."""
        with self._condition:
            self._image, self._number = image, self._number + 1
            self._condition.notify_all()

    def close(self) -> None:
        """End all iterations over `pictures`."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def pictures(self) -> Iterator[bytes]:
        """Yield the newest picture, then each new one that the consumer is fast enough for, as JPEG."""
        last = 0
        while True:
            with self._condition:
                self._condition.wait_for(lambda last=last: self._closed or self._number > last, _REPEAT)  # type: ignore[misc]
                if self._closed:
                    return
                image, last = self._image, self._number
            if image is not None:
                yield self._jpeg(image, last)

    def _jpeg(self, image: Tensor, number: int) -> bytes:
        if self._encoded[0] != number:
            self._encoded = number, to_jpeg(image)
        return self._encoded[1]


def to_jpeg(image: Tensor) -> bytes:
    """An image [3, H, W] RGB 0..1 as a JPEG file."""
    import torch
    from PIL import Image

    pixels = image.mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(buffer := io.BytesIO(), "JPEG", quality=QUALITY)
    return buffer.getvalue()

"""A virtual camera that video calls and OBS can choose as their input."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from torch import Tensor


class VirtualCamera:
    """Shows pictures in a virtual camera, which is opened at the first one."""

    def __init__(self, device: str, rate: Fraction) -> None:
        """`device` is such as /dev/video2, "" for the first one. Raises StreamfxError."""
        self._device, self._rate = device, rate
        self._camera: Any = None
        self._module = _import_pyvirtualcam()

    def show(self, image: Tensor) -> None:
        """Take a picture [3, H, W] RGB 0..1. Raises StreamfxError if there is no virtual camera."""
        import torch

        if self._camera is None:
            self._camera = self._open(image.shape[2], image.shape[1])
        pixels = image.mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        self._camera.send(pixels)

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()

    def _open(self, width: int, height: int) -> Any:
        try:
            return self._module.Camera(width, height, float(self._rate), device=self._device or None)
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise StreamfxError(
                f"no virtual camera: {reason}; install v4l2loopback on Linux, or OBS on Windows and macOS"
            ) from error


def _import_pyvirtualcam() -> Any:
    try:
        import pyvirtualcam
    except ImportError as error:
        raise StreamfxError(
            "a virtual camera needs pyvirtualcam; install it with: pip install 'streamfx[virtual-camera]'"
        ) from error
    return pyvirtualcam

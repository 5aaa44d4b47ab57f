"""Jobs without a source video: frames that an effect generates by itself, with an audio file as the soundtrack."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from streamfx.frame import Frame
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.jobs.manifest import MANIFEST
from streamfx.media.standard_streams import descriptor_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AudioInput:
    """An audio file, and where in it to start."""

    path: str
    start: Fraction = Fraction(0)  # seconds


@dataclass(frozen=True, slots=True)
class StillSource:
    """A still image, repeated as the input of an effect that generates a video from it."""

    image: Tensor  # [3, H, W] float, RGB, 0..1
    count: int  # input frames
    length: Fraction  # seconds
    files: Sequence[str] = ()  # that the video depends on
    audio: AudioInput | None = None

    def frames(self, begin: int = 0) -> Iterable[Frame]:
        """The frames from number `begin` on."""
        duration = self.length / self.count
        return (Frame(self.image, number * duration, duration) for number in range(begin, self.count))


def load_image(name: str) -> Tensor:
    """Load an image, or the first frame of a video, as [3, H, W]; transparent parts become black."""
    from streamfx.media.input.reader import Reader

    with Reader(name) as reader:
        frame = next(iter(reader))
    return frame.image if frame.alpha is None else frame.image * frame.alpha


@contextmanager
def frame_store(target: str) -> Iterator[Path]:
    """A folder for intermediate frames that do not fit in memory: in the work folder of `target`, or a temporary one.

    It is removed at the end unless the job can be resumed.
    """
    folder = work_folder_of(Path(target))
    if descriptor_of(target) is not None or "://" in target or not folder.parent.is_dir():
        with tempfile.TemporaryDirectory(prefix="streamfx-") as temporary:
            yield Path(temporary, "frames")
        return
    try:
        yield folder / "frames"
    finally:
        if not (folder / MANIFEST).exists():
            shutil.rmtree(folder / "frames", ignore_errors=True)
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

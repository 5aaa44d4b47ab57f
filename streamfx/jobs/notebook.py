"""Previews and progress in Jupyter notebooks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamfx.chain import build_chain
from streamfx.effects.defaults import resolve
from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame
from streamfx.jobs.compare import Compare
from streamfx.media.input.reader import Reader
from streamfx.pipeline import find_device, run

if TYPE_CHECKING:
    from streamfx.jobs.status import Progress

_UPDATE_EVERY = 0.3  # seconds


@dataclass(frozen=True)
class Preview:
    """A frame of a source before and after a chain; notebooks show both side by side."""

    both: Frame  # the source at the left, the result at the right

    @property
    def before(self) -> Frame:
        """The frame of the source, at the size of the result."""
        return self._part(0)

    @property
    def after(self) -> Frame:
        """The frame that the chain made."""
        return self._part(1)

    def _part(self, number: int) -> Frame:
        both = self.both
        alpha = None if both.alpha is None else both.alpha.tensor_split(2, dim=2)[number]
        return replace(both, image=both.image.tensor_split(2, dim=2)[number], alpha=alpha)

    def _repr_png_(self) -> bytes:
        return self.both._repr_png_()


def preview(
    source: str | Path,
    chain: str | Sequence[Effect],
    at: float | Fraction = 0,
    *,
    frames: int = 1,
    size: tuple[int, int] | None = None,
    device: str = "auto",
) -> Preview:
    """A frame of `source` before and after `chain`, `at` seconds from its start.

    The chain runs on the last `frames` frames up to there; effects that look back, such as trails, need several. `size`
    is the width and height to scale the source to; -1 or -2 keeps the aspect ratio. Raises StreamfxError.
    """
    if frames < 1:
        raise StreamfxError(f"frames is {frames}, but must be 1 or more")
    effects = build_chain(chain) if isinstance(chain, str) else list(chain)
    torch_device = find_device(device)
    start = Fraction(at).limit_denominator(1_000_000)
    effects = [resolve(effect, torch_device, start) for effect in effects]
    scaled = build_chain("scale={}:{}:flags=lanczos".format(*size)) if size else []
    results: list[Frame] = []
    with Reader(source) as probe:
        rate = probe.rate or Fraction(25)
    begin = max(Fraction(0), start - (frames - 1) / rate)
    with Reader(source, start=begin) as reader:
        run(_Few(reader, frames, scaled), [Compare(tuple(effects))], _Collect(results), device=torch_device)
    if not results:
        raise StreamfxError(f"the chain returned no frame for the {frames} frames up to {float(start):g} s; give more")
    return Preview(results[-1])


class _Few:
    """The first frames of a reader, after filters."""

    def __init__(self, reader: Reader, count: int, filters: Iterable[Any]) -> None:
        self._reader, self._count = reader, count
        self._filters = [node for each in filters for node in each.nodes]

    def __iter__(self) -> Iterator[Frame]:
        for _, frame in zip(range(self._count), self._reader.frames(self._filters)):
            yield frame


class _Collect:
    """A sink that keeps the frames."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames

    def write(self, frame: Frame) -> None:
        self._frames.append(frame)


def notebook_progress() -> Callable[[Progress], None] | None:
    """A callback that shows the progress of a job below the cell of a notebook; None outside of notebooks."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handle = display({"text/plain": "starting"}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    updated = 0.0

    def show(progress: Progress) -> None:
        nonlocal updated
        now = time.monotonic()
        if now - updated < _UPDATE_EVERY and progress.frames != progress.total:
            return
        updated = now
        share = f'value="{progress.frames}" max="{progress.total}"' if progress.total else ""
        html = f"<progress {share}></progress> {progress}"
        handle.update({"text/plain": str(progress), "text/html": html}, raw=True)

    return show

"""Schedules drawn over their song: what will move when, before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.animation.audio_track import Music

Array: TypeAlias = NDArray[np.float64]

_MOST = 24  # panels that can still be told apart
_INK, _WAVE, _BEAT, _PART = "#1f5fa8", "#d9d5cb", "#b9b4a8", "#c0392b"
_COLUMNS = 1600  # of the waveform


def draw(values: Mapping[str, Array], fps: float, music: Music | None = None) -> Tensor:
    """A picture [3, H, W] 0..1: a panel for each name with its value for each frame, over the song's waveform.

    Beats are fine lines, where there are not too many to be seen; the beginnings of parts are dashed ones.
    """
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 0 < len(values) <= _MOST:
        raise StreamfxError(f"{len(values)} schedules are to be drawn; give 1 to {_MOST}")
    figure = Figure(figsize=(12, 0.8 + 1.5 * len(values)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)  # without pyplot, which looks for a screen
    axes = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, track) in zip(axes, values.items()):
        if music is not None:
            _draw_song(axis, music, fps, len(track))
        axis.plot(np.arange(len(track)), track, color=_INK, linewidth=1.3, zorder=3)
        axis.set_ylabel(name)
        axis.margins(y=0.12)
        axis.set_xlim(0, max(1, len(track) - 1))
        axis.ticklabel_format(axis="y", useOffset=False)
    axes[-1].set_xlabel("frame")
    axes[0].secondary_xaxis("top", functions=(lambda x: x / fps, lambda x: x * fps)).set_xlabel("seconds")
    figure.savefig(drawn := BytesIO(), format="rgba", dpi=100)
    width, height = canvas.get_width_height()
    pixels = torch.frombuffer(bytearray(drawn.getvalue()), dtype=torch.uint8).view(height, width, 4)
    return pixels[..., :3].permute(2, 0, 1).float() / 255


def _draw_song(axis: Any, music: Music, fps: float, count: int) -> None:
    """The waveform, beats and parts behind a panel's curve, on a scale of their own."""
    behind = axis.twinx()
    behind.set_zorder(0)
    axis.set_zorder(1)
    axis.patch.set_visible(False)
    behind.set_ylim(-1.05, 1.05)
    behind.set_yticks([])
    wave = music.wave[: round(count / fps * music.grid)]
    step = max(1, len(wave) // _COLUMNS)
    starts = np.arange(0, len(wave), step)
    if len(starts):
        tops = np.maximum.reduceat(wave, starts)
        behind.fill_between(starts / music.grid * fps, -tops, tops, color=_WAVE, linewidth=0)
    beats = music.beats[music.beats * fps < count] * fps
    if len(beats) <= _COLUMNS // 8:
        behind.vlines(beats, -1.05, 1.05, color=_BEAT, linewidth=0.5)
    behind.vlines(music.sections[music.sections * fps < count][1:] * fps, -1.05, 1.05, color=_PART, linestyle="--")


def save_plot(
    path: Path, values: Mapping[str, Array], fps: float, music: Music | None = None, *, overwrite: bool = False
) -> None:
    """Write what `draw` draws to a PNG, whole or not at all.

    Raises StreamfxError for another ending, a place that cannot be written, and, unless `overwrite`, for a file there.
    """
    from streamfx.frame import Frame
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if path.suffix.lower() != ".png" or not format_of(str(path), None).one_picture:
        raise StreamfxError(f"the plot is one picture; '{path}' must end in .png")
    with Writer(path, None, Output(overwrite=overwrite)) as writer:
        writer.write(Frame(draw(values, fps, music), Fraction(0), Fraction(1, 25)))

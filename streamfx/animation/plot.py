"""Plots of schedules over the waveform of their audio, drawn before anything is rendered."""

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

    from streamfx.animation.audio_track import AudioAnalysis

Array: TypeAlias = NDArray[np.float64]

_MAX_PANELS = 24  # more are hard to tell apart
_CURVE, _WAVE, _BEAT, _SECTION = "#1f5fa8", "#d9d5cb", "#b9b4a8", "#c0392b"
_COLUMNS = 1600  # of the waveform


def draw_plot(values: Mapping[str, Array], fps: float, audio: AudioAnalysis | None = None) -> Tensor:
    """An image [3, H, W] 0..1 with one panel per schedule: its value in each frame, over the waveform.

    Thin lines mark the beats, unless there are too many to see; dashed lines mark where sections start.
    """
    import torch
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not 0 < len(values) <= _MAX_PANELS:
        raise StreamfxError(f"cannot plot {len(values)} schedules; give 1 to {_MAX_PANELS}")
    figure = Figure(figsize=(12, 0.8 + 1.5 * len(values)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)  # pyplot would look for a display
    axes = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (name, track) in zip(axes, values.items()):
        if audio is not None:
            _draw_audio(axis, audio, fps, len(track))
        axis.plot(np.arange(len(track)), track, color=_CURVE, linewidth=1.3, zorder=3)
        axis.set_ylabel(name)
        axis.margins(y=0.12)
        axis.set_xlim(0, max(1, len(track) - 1))
        axis.ticklabel_format(axis="y", useOffset=False)
    axes[-1].set_xlabel("frame")
    axes[0].secondary_xaxis("top", functions=(lambda x: x / fps, lambda x: x * fps)).set_xlabel("seconds")
    figure.savefig(buffer := BytesIO(), format="rgba", dpi=100)
    width, height = canvas.get_width_height()
    pixels = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8).view(height, width, 4)
    return pixels[..., :3].permute(2, 0, 1).float() / 255


def _draw_audio(axis: Any, audio: AudioAnalysis, fps: float, count: int) -> None:
    """Draw the waveform, beats and sections behind a panel's curve, on their own scale."""
    background = axis.twinx()
    background.set_zorder(0)
    axis.set_zorder(1)
    axis.patch.set_visible(False)
    background.set_ylim(-1.05, 1.05)
    background.set_yticks([])
    wave = audio.wave[: round(count / fps * audio.feature_rate)]
    step = max(1, len(wave) // _COLUMNS)
    starts = np.arange(0, len(wave), step)
    if len(starts):
        peaks = np.maximum.reduceat(wave, starts)
        background.fill_between(starts / audio.feature_rate * fps, -peaks, peaks, color=_WAVE, linewidth=0)
    beats = audio.beats[audio.beats * fps < count] * fps
    if len(beats) <= _COLUMNS // 8:
        background.vlines(beats, -1.05, 1.05, color=_BEAT, linewidth=0.5)
    sections = audio.sections[audio.sections * fps < count][1:] * fps
    background.vlines(sections, -1.05, 1.05, color=_SECTION, linestyle="--")


def save_plot(
    path: Path, values: Mapping[str, Array], fps: float, audio: AudioAnalysis | None = None, *, overwrite: bool = False
) -> None:
    """Write the plot of `draw_plot` to a PNG file, atomically.

    Raises StreamfxError for another extension, an unwritable path and, unless `overwrite`, an existing file.
    """
    from streamfx.frame import Frame
    from streamfx.media.encoding import Output
    from streamfx.media.output.formats import format_of
    from streamfx.media.output.writer import Writer

    if path.suffix.lower() != ".png" or not format_of(str(path), None).single_frame:
        raise StreamfxError(f"cannot write the plot to '{path}'; give the name of one image, ending in .png")
    with Writer(path, None, Output(overwrite=overwrite)) as writer:
        writer.write(Frame(draw_plot(values, fps, audio), Fraction(0), Fraction(1, 25)))

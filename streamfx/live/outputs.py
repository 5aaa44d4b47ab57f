"""Open the encoder, the target and the recording of a live run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.live.options import LiveOptions
from streamfx.live.stats import Stats
from streamfx.live.writer import OutputWriter, PictureTarget
from streamfx.media.live.address import LiveTarget
from streamfx.media.live.encoder import LiveEncoder
from streamfx.media.live.sender import Sender
from streamfx.media.output.formats import format_of
from streamfx.media.output.paths import check_target

RECORDING_MUXERS = ("mp4", "mov", "matroska", "mpegts", "flv", "nut")


def open_outputs(
    options: LiveOptions,
    size: tuple[int, int],
    rate: Fraction,
    pictures: Sequence[PictureTarget],
    stats: Stats,
    audio: bool,
) -> tuple[OutputWriter, LiveEncoder | None, tuple[Path, Path] | None]:
    """The writer, its encoder, and the temporary and final name of the recording. `size` is height and width.

    Nothing is encoded if all targets take pictures.
    """
    targets = [options.target] if options.target.kind in ("stream", "hls") else []
    recording = None
    if options.record is not None:
        recording = _part_of(options.record), options.record
        targets.append(_recording_target(*recording))
    if not targets:
        return OutputWriter(None, [], pictures, stats), None, recording
    encoder = LiveEncoder(size, rate, audio=audio, bitrate=options.bitrate)

    def request_key_frame() -> None:
        encoder.force_key = True

    recorded = len(targets) - 1 if options.record is not None else None
    limits = [None if number == recorded else options.latency for number in range(len(targets))]
    senders = [Sender(target, encoder, request_key_frame, limit) for target, limit in zip(targets, limits)]
    return OutputWriter(encoder, senders, pictures, stats), encoder, recording


def check_recording(path: Path, overwrite: bool) -> None:
    """Raise StreamfxError if a recording cannot be written to `path`."""
    if check_target(str(path), None, overwrite) is None:
        raise StreamfxError(f"'{path}' is not a file; give a name such as show.mkv to --record")
    muxer = format_of(str(path), None).muxer
    if muxer not in RECORDING_MUXERS:
        raise StreamfxError(f"cannot record '{path}': live recordings are .mkv, .mp4, .mov, .ts or .flv")


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _recording_target(temporary: Path, final: Path) -> LiveTarget:
    return LiveTarget(str(final), str(temporary), "stream", format_of(str(final), None).muxer)

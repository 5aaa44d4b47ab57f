"""A live run: threads that read, paint and write, and what happens when the source or the target goes away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from streamfx.errors import StreamfxError
from streamfx.frame import Effect, Frame
from streamfx.live.adaptation import Adaptation, levels_for
from streamfx.live.audio_follower import VARIABLES, AudioFollower
from streamfx.live.controls import Controls
from streamfx.live.options import LiveOptions
from streamfx.live.reader import Arrival, SourceReader
from streamfx.live.stats import Snapshot, Stats
from streamfx.live.timing import Timeline
from streamfx.live.writer import Output, OutputWriter, PictureTarget
from streamfx.media.live.hls import prepare_folder
from streamfx.media.live.receiver import AudioBlock

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from streamfx.live.painter import LivePainter

log = logging.getLogger("streamfx")

HOLD_AFTER = 0.5  # seconds without a frame after which the last one is repeated
SLATE_AFTER = 2.0  # seconds without a frame after which the slate replaces it
_POLL = 0.1  # seconds between two looks at whether to stop


class LiveSession:
    """Reads `options.source`, paints its frames, and sends them to `options.target`.

    `start` returns at once; `stop` ends the run and closes targets and recording properly. `finished` is set when the
    source has ended or something failed; `error` is what failed. Change settings through `controls`, from any thread.
    """

    def __init__(self, options: LiveOptions) -> None:
        """Raises StreamfxError for a target that cannot be written."""
        if options.target.kind == "hls":
            options = replace(options, target=prepare_folder(options.target))
        self.options = options
        self.controls = Controls(options.effects, options.fade)
        self.stats = Stats()
        self.finished = Event()
        self._timeline = Timeline()
        self._reader = SourceReader(options, self._timeline, self.stats, self._take_audio)
        self._pictures: list[PictureTarget] = []
        self._follower = AudioFollower() if _uses_audio(options.effects) else None
        self._writer: OutputWriter | None = None
        self._recording: tuple[Path, Path] | None = None  # temporary file, final name
        self._encoder_audio: Callable[[AudioBlock], None] | None = None
        self._stop = Event()
        self.error: BaseException | None = None
        self._thread = Thread(target=self._run, name="paint", daemon=True)
        self._last: Tensor | None = None
        self._slate: Tensor | None = None

    def add_picture_target(self, target: PictureTarget) -> None:
        """Show the output in another target; call it before `start`."""
        self._pictures.append(target)

    def start(self) -> None:
        self._reader.start()
        self._thread.start()

    def stop(self) -> None:
        """End the run and wait until everything is closed."""
        self._stop.set()
        self._thread.join()

    def snapshot(self) -> Snapshot:
        """The counters now."""
        senders = self._writer.senders if self._writer else ()
        return self.stats.snapshot(
            target_connected=all(sender.connected for sender in senders),
            target_dropped=sum(sender.dropped for sender in senders),
        )

    def _run(self) -> None:
        try:
            self._wait_for_source()
            if self._reader.opened.is_set() and not self._stop.is_set():
                self._paint_until_stopped()
        except BaseException as error:
            self.error = error
        finally:
            self._reader.stop()
            try:
                self._close_outputs()
            except BaseException as error:
                self.error = self.error or error
            self.error = self.error or self._reader.error
            self.stats.state = "ended"
            self.finished.set()

    def _wait_for_source(self) -> None:
        while not self._reader.opened.wait(_POLL):
            if self._stop.is_set():
                return
        if self._reader.error is not None:
            raise self._reader.error

    def _paint_until_stopped(self) -> None:
        from streamfx.live.outputs import open_outputs
        from streamfx.pipeline import find_device

        options, reader = self.options, self._reader
        size = output_size(reader.size, options.size)
        audio = options.audio and reader.has_audio
        if options.target.kind == "camera":
            from streamfx.live.virtual_camera import VirtualCamera

            self._pictures.append(VirtualCamera(options.target.url, reader.rate))
        self._writer, encoder, self._recording = open_outputs(
            options, size, reader.rate, self._pictures, self.stats, audio
        )
        self._encoder_audio = encoder.push_audio if encoder and audio else None
        painter = self._build_painter(find_device(options.device), reader.rate)
        painter.prepare(size)
        reader.start_frames.set()
        period = float(1 / reader.rate)
        last_frame = time.monotonic()
        try:
            while not self._stop.is_set():
                if self._writer.error is not None:
                    raise self._writer.error
                arrival = reader.newest.take(min(period, _POLL))
                if arrival is not None:
                    self._paint(painter, arrival, size)
                    last_frame = time.monotonic()
                elif reader.ended.is_set():
                    return
                elif self._last is not None and time.monotonic() - last_frame > HOLD_AFTER:
                    self._hold(time.monotonic() - last_frame, size)
        finally:
            painter.close()

    def _build_painter(self, device: torch.device, rate: Fraction) -> LivePainter:
        from streamfx.effects import EFFECTS
        from streamfx.live.painter import LivePainter

        style: Any = next((effect for effect in self.options.effects if isinstance(effect, EFFECTS["style"])), None)
        adaptation = None
        if style is not None and self.options.adapt:
            levels = levels_for(style.quality, style.working)
            adaptation = Adaptation(levels, min(float(1 / rate), self.options.latency / 2))
        return LivePainter(self.controls, device, 1 / rate, self.audio_values, adaptation)

    def audio_values(self) -> dict[str, float]:
        """The current values of the variables of the live audio that schedules may use."""
        return self._follower.values() if self._follower else {}

    def _paint(self, painter: LivePainter, arrival: Arrival, size: tuple[int, int]) -> None:
        started = time.monotonic()
        self.stats.state = "live"
        image = arrival.picture.image(size)
        frame = Frame(image, arrival.time, painter.period)
        for output in painter.paint(frame, started):
            self.stats.frame_painted(time.monotonic() - started)
            self._last = output.image
            assert self._writer is not None
            self._writer.put(Output(output.image, output.pts, arrival.arrived))
        self.stats.level = "" if painter.level is None else str(painter.level)
        self.stats.size = painter.working_size(size)

    def _hold(self, seconds: float, size: tuple[int, int]) -> None:
        """Repeat the last frame, or show the slate after a while."""
        assert self._writer is not None
        self.stats.state = "holding"
        image = self._last
        if self.options.slate is not None and seconds > SLATE_AFTER:
            self._slate = _read_slate(self.options.slate, size) if self._slate is None else self._slate
            image = self._slate
        assert image is not None
        self._writer.put(Output(image, self._timeline.held(), None), wait=False)

    def _take_audio(self, block: AudioBlock) -> None:
        if self._follower:
            self._follower.feed(block.samples)
        if self._encoder_audio:
            self._encoder_audio(block)

    def _close_outputs(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if self._recording:
            from streamfx.media.output.paths import replace_durably

            temporary, final = self._recording
            if temporary.exists() and temporary.stat().st_size:
                replace_durably(temporary, final)
        if self._writer.error is not None:
            raise self._writer.error


def _uses_audio(effects: Sequence[Effect]) -> bool:
    """Whether a schedule uses a variable of the audio."""
    schedules = [schedule for effect in effects for _, schedule in getattr(effect, "schedules", ())]
    return any(schedule.names & set(VARIABLES) for schedule in schedules)


def output_size(source: tuple[int, int], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the output, even: `wanted` is width and height, one of which may be -1 or -2."""
    height, width = source
    if wanted is not None:
        given_width, given_height = wanted
        if given_width < 0:
            width, height = round(width * given_height / height), given_height
        elif given_height < 0:
            width, height = given_width, round(height * given_width / width)
        else:
            width, height = given_width, given_height
    return max(2, height // 2 * 2), max(2, width // 2 * 2)


def _read_slate(path: Path, size: tuple[int, int]) -> Tensor:
    """The picture in a file, scaled to `size`, height and width."""
    import numpy as np
    import torch
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((size[1], size[0])))
    except OSError as error:
        raise StreamfxError(f"cannot read the slate '{path}': {error}") from error
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255

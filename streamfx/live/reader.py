"""The thread that reads a live source: hands over the newest frame and all audio, and reconnects."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from threading import Condition, Event, Thread

from streamfx.live.options import LiveOptions
from streamfx.live.stats import Stats
from streamfx.live.timing import Pacer, RateLimit, Timeline
from streamfx.media.input.captions import Captions
from streamfx.media.live.receiver import AudioBlock, Picture, Receiver, SourceLostError

log = logging.getLogger("streamfx")

BACKOFF = 0.25, 4.0  # seconds before the first attempt to reconnect, and at most
DEFAULT_RATE = Fraction(25)  # frames per second, of a source that does not say


@dataclass(frozen=True, slots=True)
class Arrival:
    """A decoded frame."""

    picture: Picture
    time: Fraction  # output time in seconds
    arrived: float  # on the monotonic clock


class Newest:
    """A place for one frame: a newer one replaces it. Thread-safe."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._arrival: Arrival | None = None

    def put(self, arrival: Arrival) -> bool:
        """Leave a frame; returns whether it replaced one that nobody took."""
        with self._condition:
            replaced = self._arrival is not None
            self._arrival = arrival
            self._condition.notify()
            return replaced

    def take(self, timeout: float) -> Arrival | None:
        """Wait for a frame and take it; None if none came within `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._arrival is not None, timeout)
            arrival, self._arrival = self._arrival, None
            return arrival


class SourceReader:
    """Reads `options.source` in a thread. `opened` is set when the source is known; `ended` when it is over.

    Nothing is handed over before `start_frames` is set: files and pipes wait, what other sources send is skipped.
    `error` is why it ended, if it did not end by itself.
    """

    def __init__(
        self, options: LiveOptions, timeline: Timeline, stats: Stats, on_audio: Callable[[AudioBlock], None]
    ) -> None:
        self.newest = Newest()
        self.opened, self.start_frames, self.ended = Event(), Event(), Event()
        self.connected = False
        self.rate = DEFAULT_RATE  # frames per second, after `options.rate`
        self.size = (0, 0)  # height, width
        self.has_audio = False
        self.error: BaseException | None = None
        self._options, self._timeline, self._stats, self._on_audio = options, timeline, stats, on_audio
        self._limit = RateLimit(options.rate)
        self._captions: Captions | None = None  # watched only to report that they are lost
        self._stop = Event()
        self._thread = Thread(target=self._run, name="read", daemon=True)  # may wait in FFmpeg

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        except BaseException as error:
            self.error = error
        finally:
            self.connected = False
            self.ended.set()
            self.opened.set()

    def _read_until_stopped(self) -> None:
        wait = BACKOFF[0]
        while not self._stop.is_set():
            try:
                self._read_once()
                wait = BACKOFF[0]
                if not self._continues():
                    return
            except SourceLostError as error:
                if not self._options.reconnect:
                    raise
                if self.connected or wait == BACKOFF[0]:
                    log.warning("%s; reconnecting", error)
                wait = BACKOFF[0] if self.connected else min(2 * wait, BACKOFF[1])
            self.connected = False
            self._timeline.disconnected()
            self._stop.wait(0 if self._options.loop and self._options.source.kind == "file" else wait)

    def _continues(self) -> bool:
        """Whether to open the source again after its end."""
        options = self._options
        if options.source.kind == "file":
            return options.loop
        if options.source.reconnects and options.reconnect:
            log.warning("'%s' ended; reconnecting", options.source.name)
            return True
        return False

    def _read_once(self) -> None:
        receiver = Receiver(self._options.source)
        try:
            self._describe(receiver)
            pacer = Pacer(sleep=self._stop.wait) if self._options.paced else None
            for arrival in receiver.arrivals():
                if self._stop.is_set():
                    return
                if not self._may_start():
                    continue
                if not self.connected:
                    self._connected()
                self._hand_over(arrival, pacer)
        finally:
            receiver.close()

    def _may_start(self) -> bool:
        if self._options.source.kind in ("file", "pipe"):
            while not self.start_frames.wait(0.1) and not self._stop.is_set():
                continue
        return self.start_frames.is_set()

    def _describe(self, receiver: Receiver) -> None:
        if self.opened.is_set():
            return
        rate = receiver.rate or DEFAULT_RATE
        self.rate = min(rate, self._options.rate) if self._options.rate else rate
        self.size, self.has_audio = receiver.size, receiver.has_audio
        self._captions = Captions(receiver.name) if receiver.may_have_captions else None
        if receiver.omitted:
            log.warning("live streams hold one video and one audio stream; omitted: %s", receiver.omitted)
        self.opened.set()

    def _connected(self) -> None:
        self.connected = True
        self._stats.count(source_connections=1)
        if self._stats.source_connections > 1 and self._options.source.reconnects:
            log.warning("'%s' is connected again", self._options.source.name)

    def _hand_over(self, arrival: Picture | AudioBlock, pacer: Pacer | None) -> None:
        if pacer:
            pacer.wait(arrival.time)
        output = self._timeline.output(arrival.time)
        if output is None:
            return
        if isinstance(arrival, AudioBlock):
            self._on_audio(AudioBlock(arrival.samples, output))
            return
        if self._captions:
            self._captions.lose_those_of(arrival.frame, "live streams are encoded without them")
        if self._limit.passes(output):
            replaced = self.newest.put(Arrival(arrival, output, time.monotonic()))
            self._stats.count(received=1, dropped=int(replaced))

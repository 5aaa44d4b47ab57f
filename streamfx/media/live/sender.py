"""Send encoded packets to a stream or file from a thread of its own, which reconnects."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING

import av
import av.error
from av import Packet

from streamfx.media.live.address import LiveTarget
from streamfx.media.live.encoder import EncodedPacket

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream

    from streamfx.media.live.encoder import LiveEncoder

log = logging.getLogger("streamfx")

QUEUED = 240  # packets that may wait for a slow target: about three seconds of video and audio
STUCK = 6.0  # seconds in one call after which a connection is given up
BACKOFF = 0.5, 5.0  # seconds before the first attempt to reconnect, and at most
_CLOSE = 5.0  # seconds to wait for the last packets


class Sender:
    """Muxes packets into `target`, from the first key frame on.

    When the target is lost, packets are dropped until it is back. Packets that wait longer than `latency` seconds are
    dropped up to the next key frame, which `request_key_frame` should cause. A target that blocks does not block the
    caller.
    """

    def __init__(
        self,
        target: LiveTarget,
        encoder: LiveEncoder,
        request_key_frame: Callable[[], None],
        latency: float | None = None,
    ) -> None:
        self.name = target.name
        self.dropped = 0  # packets
        self.connected = self.lost = False  # lost: an attempt to connect or to write failed
        self.connections = 0
        self.written = 0  # video packets
        self._target, self._encoder = target, encoder
        self._request_key_frame, self._latency = request_key_frame, latency
        self._closing = Event()
        self._connection = _Connection(self)

    def send(self, packet: EncodedPacket) -> None:
        """Queue a packet; it is dropped if too many are waiting."""
        if self._connection.stuck:
            log.warning("'%s' does not accept data; reconnecting", self.name)
            self._connection.abandoned = True
            self._connection = _Connection(self)
        try:
            self._connection.queue.put_nowait(packet)
        except Full:
            self.dropped += 1
            self._connection.skip_to_key = True

    def close(self) -> None:
        """Write the packets that wait, then close the target properly; gives up on a target that blocks."""
        self._closing.set()
        self._connection.thread.join(_CLOSE)


class _Connection:
    """The thread that opens a target and writes to it, and its queue."""

    def __init__(self, sender: Sender) -> None:
        self.queue: Queue[EncodedPacket] = Queue(QUEUED)
        self.abandoned = False  # another connection has taken over
        self.skip_to_key = True
        self._sender = sender
        self._busy_since: float | None = None
        self._container: OutputContainer | None = None
        self._streams: dict[bool, Stream] = {}
        self._last: dict[bool, int] = {}  # dts of the last packet of each stream
        self.thread = Thread(target=self._run, name="send", daemon=True)  # may hang in a blocked connection
        self.thread.start()

    @property
    def stuck(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > STUCK

    def _run(self) -> None:
        wait = BACKOFF[0]
        while not self._finished():
            try:
                self._open()
                wait = BACKOFF[0]
                self._write()
            except (av.error.FFmpegError, OSError) as error:
                self._lost(error)
                self._drop_until(time.monotonic() + wait)
                wait = min(2 * wait, BACKOFF[1])
        self._close()

    def _finished(self) -> bool:
        return self.abandoned or (self._sender._closing.is_set() and self.queue.empty())

    def _open(self) -> None:
        target = self._sender._target
        self._busy_since = time.monotonic()
        try:
            options = dict(target.options)
            self._container = av.open(target.url, "w", format=target.format, options=options)
            self._streams = self._sender._encoder.add_streams(self._container)
            self._container.start_encoding()
        finally:
            self._busy_since = None
        self._last, self.skip_to_key = {}, True
        if self._sender.lost:
            log.warning("'%s' is connected again", self._sender.name)
        self._sender.connected, self._sender.lost = True, False
        self._sender.connections += 1
        self._sender._request_key_frame()

    def _write(self) -> None:
        while not self._finished():
            try:
                packet = self.queue.get(timeout=0.2)
            except Empty:
                continue
            if self._is_late(packet):
                self.skip_to_key = True
                self._sender._request_key_frame()
            if self.skip_to_key and not (packet.video and packet.key):
                self._sender.dropped += 1
                continue
            self.skip_to_key = False
            self._busy_since = time.monotonic()
            try:
                self._mux(packet)
            finally:
                self._busy_since = None

    def _is_late(self, packet: EncodedPacket) -> bool:
        limit = self._sender._latency
        late = limit is not None and not self.skip_to_key and time.monotonic() - packet.encoded > limit
        return late and self.queue.qsize() > 1  # newer packets wait

    def _mux(self, packet: EncodedPacket) -> None:
        assert self._container is not None
        stream = self._streams[packet.video]
        dts = round(packet.dts * packet.time_base / stream.time_base) if stream.time_base else packet.dts
        if dts <= self._last.get(packet.video, dts - 1):  # coarse ticks, such as those of FLV, may coincide
            dts = self._last[packet.video] + 1
        copy = Packet(packet.data)
        base = stream.time_base or packet.time_base
        copy.dts, copy.pts = dts, dts + round((packet.pts - packet.dts) * packet.time_base / base)
        copy.duration = round(packet.duration * packet.time_base / base)
        copy.time_base, copy.is_keyframe, copy.stream = base, packet.key, stream
        self._container.mux_one(copy)
        self._last[packet.video] = dts
        self._sender.written += packet.video

    def _lost(self, error: Exception) -> None:
        sender = self._sender
        if not sender.lost:
            reason = getattr(error, "strerror", None) or str(error)
            log.warning("lost the target '%s' (%s); reconnecting", sender.name, str(reason).lower())
        sender.connected, sender.lost = False, True
        self._close()

    def _drop_until(self, until: float) -> None:
        while time.monotonic() < until and not self._finished():
            try:
                self._sender.dropped += self.queue.get(timeout=0.1).video
            except Empty:
                continue

    def _close(self) -> None:
        container, self._container = self._container, None
        if container is None:
            return
        try:
            container.close()
        except (av.error.FFmpegError, OSError) as error:
            log.info("closing '%s': %s", self._sender.name, error)

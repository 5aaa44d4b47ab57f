"""The thread that encodes painted frames and hands them to the target, the recording and the previews."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING, Protocol

from streamfx.live.stats import Stats

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.media.live.encoder import EncodedPacket, LiveEncoder
    from streamfx.media.live.sender import Sender

QUEUED = 2  # painted frames that may wait for the encoder


class PictureTarget(Protocol):
    """A target that takes pictures instead of packets. It must return at once."""

    def show(self, image: Tensor) -> None:
        """Take an image [3, H, W] RGB 0..1."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Output:
    """A painted frame on its way to the encoder."""

    image: Tensor  # [3, H, W] RGB 0..1
    time: Fraction  # output time in seconds
    arrived: float | None  # when the source frame arrived, on the monotonic clock; None for a repeated frame


class OutputWriter:
    """Encodes and sends in a thread. Without senders nothing is encoded.

    `error` is what stopped it; frames are dropped from then on.
    """

    def __init__(
        self, encoder: LiveEncoder | None, senders: Sequence[Sender], pictures: Sequence[PictureTarget], stats: Stats
    ) -> None:
        self.error: BaseException | None = None
        self.senders = senders
        self._encoder, self._pictures, self._stats = encoder, pictures, stats
        self._queue: Queue[Output | None] = Queue(QUEUED)
        self._thread = Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def put(self, output: Output, *, wait: bool = True) -> bool:
        """Queue a frame; with `wait`, as long as the queue is full. Returns whether it was queued."""
        try:
            self._queue.put(output, block=wait, timeout=5.0 if wait else None)
        except Full:
            return False
        return True

    def close(self) -> None:
        """Encode what waits, close the targets properly."""
        self._queue.put(None)
        self._thread.join()
        for sender in self.senders:
            sender.close()
        for picture in self._pictures:
            picture.close()

    def _run(self) -> None:
        while (output := self._queue.get()) is not None:
            if self.error is None:
                try:
                    self._write(output)
                except BaseException as error:
                    self.error = error
        if self._encoder and self.error is None:
            self._send(self._encoder.finish())

    def _write(self, output: Output) -> None:
        image = output.image.cpu()
        for picture in self._pictures:
            picture.show(image)
        if self._encoder is not None:
            self._send(self._encoder.encode(image, output.time))
            self._stats.av_offset = float(self._encoder.audio_offset)
        arrived = output.arrived
        self._stats.frame_written(None if arrived is None else time.monotonic() - arrived)

    def _send(self, packets: Iterable[EncodedPacket]) -> None:
        for packet in packets:
            for sender in self.senders:
                sender.send(packet)

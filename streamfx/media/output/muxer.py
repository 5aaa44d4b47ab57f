"""Muxer: encodes frames and writes them to a file or pipe with the streams copied from the source."""

from __future__ import annotations

import logging
from fractions import Fraction

import av
import av.error
from av import Packet, VideoFrame
from av.video.stream import VideoStream

from streamfx.media.file_names import file_name
from streamfx.media.input.reader import Reader
from streamfx.media.output import timecode
from streamfx.media.output.encoder import Layout, VideoEncoder
from streamfx.media.output.formats import Format
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.stream_copy import StreamCopy
from streamfx.media.probe import TAG_ERRORS
from streamfx.media.standard_streams import descriptor_of

log = logging.getLogger("streamfx")

VIDEO_TAGS = ("title", "language", "handler_name", "creation_time")  # that stay valid after re-encoding


class Muxer:
    """Opens `target` (a path, or '-') and writes its header. Not thread-safe.

    It takes either frames to encode, or packets from another instance of the same encoder.
    """

    def __init__(
        self,
        target: str,
        form: Format,
        layout: Layout,
        source: Reader | None,
        soundtrack: Soundtrack | None = None,
        *,
        audio: bool,
        comment: str,
    ) -> None:
        self._form = form
        descriptor = descriptor_of(target)
        if descriptor is not None:
            target = f"pipe:{descriptor}"
        elif "://" not in target:
            target = file_name(target)
        self._container = av.open(target, "w", format=form.muxer, options=form.options, metadata_errors=TAG_ERRORS)
        self._encoder = VideoEncoder(self._container, form, layout.encoding, layout.shape)
        self._copy_source = soundtrack or source
        self._soundtrack, copied = soundtrack, self._copy_source
        self._stream_copy = StreamCopy(self._container, form.muxer, copied, audio=audio) if copied else None
        if comment:
            copied_comment = self._container.metadata.get("comment")
            self._container.metadata["comment"] = f"{copied_comment}\n{comment}" if copied_comment else comment
        if source and source.input:
            tags = source.input.streams[source.video_index].metadata
            self._encoder.stream.metadata.update({key: value for key, value in tags.items() if key in VIDEO_TAGS})
            self._keep_timecode(source, layout.shape.rate)
        self._container.start_encoding()

    def _keep_timecode(self, source: Reader, rate: Fraction) -> None:
        """Write the timecode of the first frame, if the source has one. FFmpeg makes a track of it in mov and mp4."""
        assert source.input is not None
        groups = [*(stream.metadata for stream in source.input.streams), source.input.metadata]
        found = next((text for tags in groups for name, text in tags.items() if name.lower() == "timecode"), None)
        if found is None:
            return
        self._container.metadata.pop("timecode", None)
        if self._form.muxer in timecode.MUXERS:
            start = source.offset - Fraction(source.input.start_time or 0, av.time_base)
            self._encoder.stream.metadata["timecode"] = timecode.shifted(found, start, source.info.rate or rate)
        else:
            log.warning("%s does not support timecodes: omitted", self._form.muxer)

    @property
    def written(self) -> int:
        """Frames encoded so far."""
        return self._encoder.written

    @property
    def header(self) -> bytes:
        """The encoder's global header (SPS, PPS and the like)."""
        return self._encoder.stream.codec_context.extradata or b""

    def encode(self, frame: VideoFrame) -> None:
        """Encode a frame in the encoding's pixel format and color."""
        for packet in self._encoder.encode(frame):
            self._container.mux(packet)
        if self._soundtrack and frame.pts is not None and frame.time_base:
            self._soundtrack.read_until((frame.pts + frame.duration) * frame.time_base)
        if self._stream_copy:
            self._stream_copy.copy()

    def copy(self, packet: Packet[VideoStream]) -> None:
        """Mux an encoded video packet, and the copied streams up to its time."""
        assert packet.pts is not None
        time = Fraction(packet.pts) * packet.time_base
        packet.stream = self._encoder.stream
        self._container.mux(packet)
        self._copy_until(time)

    def close(self) -> None:
        """Flush the encoder and finish the file."""
        for packet in self._encoder.finish():
            self._container.mux(packet)
        if self._soundtrack:
            self._soundtrack.read_until(None)
        if self._stream_copy:
            self._stream_copy.finish()
        self.warn_if_count_changed(self._encoder.received, self._encoder.written)
        self._container.close()

    def close_copied(self) -> None:
        """Finish a file whose video packets were copied."""
        self._copy_until(None)
        if self._stream_copy:
            self._stream_copy.finish()
        self._container.close()

    def abandon(self) -> None:
        """Close the file in any state, without flushing."""
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError):
            log.info("could not close the output")

    def warn_if_count_changed(self, received: int, written: int) -> None:
        """Warn if frames were dropped or repeated for the format."""
        limit = "supports only a constant frame rate" if self._form.constant_rate else ""
        if self._form.min_duration:
            limit = f"is limited to {1 / self._form.min_duration} frames per second"
        if limit and received != written:
            log.warning("%s %s: %d frames became %d", self._container.format.name, limit, received, written)

    def _copy_until(self, time: Fraction | None) -> None:
        if self._copy_source and self._stream_copy:
            self._copy_source.read_until(time)
            self._stream_copy.copy()

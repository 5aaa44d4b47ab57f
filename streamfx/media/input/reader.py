"""Read frames from files, pipes, network streams, cameras, still images and image sequences."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from av import VideoFrame
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideDataType

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.filters.graph import Filter, FilterGraph, prepend_filters
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import decoder_mismatch, downscaled_luma, find_decoder, to_host, to_image
from streamfx.media.input.captions import CODECS as CAPTION_CODECS
from streamfx.media.input.captions import Captions
from streamfx.media.input.deinterlacing import deinterlaced
from streamfx.media.input.demuxer import Demuxer
from streamfx.media.input.image_sequence import ImageSequence, check_rate, files_of, is_pattern
from streamfx.media.input.resume_points import ResumePoint, digest, find_by_index, find_by_time, pts_of, stateful_filter
from streamfx.media.input.shot_detection import HEIGHT, WIDTH, CutDetector
from streamfx.media.input.side_data import side_data, upright_filters
from streamfx.media.input.tiled_image import is_tiled
from streamfx.media.pixel_formats import coding_of, match_first_frame
from streamfx.media.probe import VideoInfo

if TYPE_CHECKING:
    import torch
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

log = logging.getLogger("streamfx")

SEQUENCE_RATE = Fraction(25)  # default frames per second of image sequences


class Reader:
    """An opened source: an iterable of Frames, for a single pass, with metadata in `info`.

    Frames come upright, deinterlaced and in one size. Not thread-safe: iterate in one thread. `input` is FFmpeg's
    container, from which a writer copies audio and other streams, or None for an image sequence. `rate` and
    `sample_aspect_ratio` are those of the output, after filters.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        input_format: str | None = None,
        input_rate: Fraction | None = None,
        start: Fraction = Fraction(0),
        end: Fraction | None = None,
    ) -> None:
        self.name = str(source)
        self._keep_packets = False
        self.captions: Captions | None = None  # collects those of `frames`, if a writer sets it
        self.cuts = CutDetector()
        self.resume_interval = 0  # frames between resume points; 0 for none
        self.resume_points: dict[int, ResumePoint] = {}  # number of the next frame -> resume point
        self._resume_point: ResumePoint | None = None
        self._open_options = input_format, input_rate, start, end
        _check_range(start, end)
        rate = None if input_rate is None else check_rate(input_rate)
        self._source: Demuxer | ImageSequence
        if input_format is None and (is_pattern(self.name) or is_tiled(self.name)):
            files = [Path(self.name)] if is_tiled(self.name) else files_of(self.name)
            self._source = ImageSequence(files, rate=rate or SEQUENCE_RATE, start=start, end=end)
        else:
            self._source = Demuxer(self.name, input_format=input_format, rate=rate, start=start, end=end)
        self._frames = self._source.video_frames()
        self._first = next(self._frames, None)
        if self._first is None:
            self.close()
            where = f" after {float(start):g} s" if start else ""
            raise StreamfxError(f"no frame of '{self.name}'{where} can be decoded")
        self._pix_fmt = self._first.format.name
        self._driver: Driver | None = None  # of the GPU that decodes
        self._upright_filters = upright_filters(self._first) if self.input else ()  # sequences are upright
        self.info = self._describe(self._first)
        self.rate, self.sample_aspect_ratio = self.info.rate, self.info.sample_aspect_ratio  # after filters

    @property
    def input(self) -> InputContainer | None:
        return self._source.input

    @property
    def streams(self) -> Sequence[Stream]:
        """All streams in `input`."""
        return list(self.input.streams) if self.input else []

    @property
    def video_index(self) -> int:
        """Index of the video stream in `input`."""
        return self._source.stream.index if self._source.stream else 0

    @property
    def may_have_captions(self) -> bool:
        """Whether frames may have closed captions, because the codec supports them."""
        stream = self._source.stream
        return stream is not None and stream.codec_context.codec.canonical_name in CAPTION_CODECS

    @property
    def offset(self) -> Fraction:
        """Start time on the source's clock, in seconds; it is subtracted from all times."""
        return self._source.offset

    @property
    def damaged_at(self) -> Fraction | None:
        """Seconds from the start at which the source is damaged or truncated, None if intact; final at the end."""
        return self._source.damaged_at

    @property
    def constant_frame_rate(self) -> bool:
        """Whether all frames of the source appear to have the same duration."""
        return self._source.constant_frame_rate

    @property
    def length(self) -> Fraction | None:
        """Seconds from the start to the requested end; None without one."""
        return self._source.length

    @property
    def covers(self) -> dict[int, bytes]:
        """Cover art: stream index in `input` -> image file."""
        return self._source.covers

    @property
    def channel_orders(self) -> dict[int, tuple[str, ...]]:
        """Stream index in `input` -> channels of the audio in stream order, if that is not the native order."""
        return self._source.channel_orders

    def keep_packets(self, *, keep: bool = True) -> None:
        """Collect packets of other streams while frames are read, for `take_packets`; by default they are dropped."""
        self._keep_packets = keep

    def take_packets(self) -> Iterator[Packet[Stream]]:
        """Yield and remove the packets collected from other streams, in file order, times shifted by the offset."""
        while self._source.packets:
            yield self._source.packets.popleft()

    def read_until(self, time: Fraction | None) -> None:
        """Collect packets of other streams up to `time`, in seconds, without decoding; None reads to the end."""
        self._source.read_until(time)

    def reopen(self, length: Fraction | None = None) -> Reader:
        """Open the same source again, ending `length` seconds after its start if given."""
        form, rate, start, end = self._open_options
        end = end if length is None else start + length
        again = Reader(self.name, input_format=form, input_rate=rate, start=start, end=end)
        again._source.warns_of_jumps = False  # this one did
        return again

    def resume_at(self, point: ResumePoint) -> None:
        """Make `video_frames` and `frames` start at a resume point from an earlier pass over the same source."""
        self._resume_point = point
        self.cuts = CutDetector(point.cuts)
        if point.damaged_at is not None:
            self._source.damaged_at = point.damaged_at

    def video_frames(self, filters: Sequence[Filter] = ()) -> Iterator[VideoFrame]:
        """Yield upright frames in the decoder's format, through FFmpeg filters, with pts and time base."""
        self._source.disable_restart()
        if not self._keep_packets:
            self._source.collects_packets = False
            self._source.packets.clear()
        graph = prepend_filters(self._source_filters(), filters)
        point = self._resume_point
        frames = self._filtered(graph) if point is None else self._resumed(point, graph)
        for number, frame in enumerate(frames, point.number if point else 0):
            if self.resume_interval and number % self.resume_interval == 0:
                driver = self._driver
                sha256 = digest(to_host(frame, driver) if driver and driver.holds(frame) else frame)
                time, state = pts_of(frame), self.cuts.state()
                self.resume_points[number] = ResumePoint(number, time, sha256, state, self.damaged_at)
            yield frame

    def _resumed(self, point: ResumePoint, graph: Sequence[Filter]) -> Iterator[VideoFrame]:
        """Yield frames from a resume point on: seek if that finds the same frame, else decode from the start."""
        if not stateful_filter(graph):
            first = self._first
            if self._seek(point):
                frames = self._filtered(graph, first)
                if (frame := find_by_time(frames, point)) is not None:
                    yield frame
                    yield from frames
                    return
            log.info("cannot seek to frame %d of '%s'; decoding from the start", point.number, self.name)
            self._reopen_source()
        frames = self._filtered(graph)
        yield find_by_index(self.name, frames, point)
        yield from frames

    def _seek(self, point: ResumePoint) -> bool:
        """Seek to or before the frame of a resume point; return whether that worked."""
        self._frames.close()
        if not self._source.seek(point.time):
            return False
        self._frames = self._source.video_frames()
        return True

    def _reopen_source(self) -> None:
        """Open the source again, at its first frame."""
        fresh = self.reopen()
        fresh._source.collects_packets, fresh._source.damaged_at = self._keep_packets, self._source.damaged_at
        self._source.close()
        self._source, self._frames, self._first = fresh._source, fresh._frames, fresh._first

    def _filtered(self, graph: Sequence[Filter], like: VideoFrame | None = None) -> Iterator[VideoFrame]:
        """Yield filtered frames; all are converted to the size and format of `like`, or of the first frame if None."""
        first = like or self._first
        assert first is not None
        frames = self._frames if like else chain([first], self._frames)
        uniform = match_first_frame(self.name, frames, first, self._pix_fmt)
        if not self.info.interlaced:
            uniform = deinterlaced(self.name, uniform, self._source.tick)
        self._first = None
        if not graph:
            yield from uniform
            return
        aspect = self._source.stream.sample_aspect_ratio if self._source.stream else None
        filtering = FilterGraph(graph, time_base=self._source.tick, rate=self._source.rate, sar=aspect or None)
        for frame in chain(uniform, [None]):
            for filtered in filtering.push(frame):
                filtered.time_base = filtering.time_base
                self.rate = filtering.rate or self.rate
                self.sample_aspect_ratio = filtering.sar or self.sample_aspect_ratio
                yield filtered
            if filtering.finished:
                self._source.read_to_end()
                return

    def frames(self, filters: Sequence[Filter] = (), device: torch.device | None = None) -> Iterator[Frame]:
        """Yield Frames on `device` (CPU if None), with durations that last until the next frame.

        Cuts are detected after the filters. The GPU decodes if it can and if no FFmpeg filter has to run on the CPU.
        """
        pending: Frame | None = None
        driver = driver_of(device)
        reason = self._decode_on(driver, filters) if driver else ""
        decoder = driver.device if driver and not reason else "the CPU"
        log.info("'%s' is decoded on %s", self.name, f"{decoder}: {reason}" if reason else decoder)
        captions = self.captions if self.may_have_captions and not self._driver else None
        for decoded in self.video_frames(filters):
            if driver and driver.holds(decoded):
                cut = self.cuts.begins_shot(downscaled_luma(decoded, driver, HEIGHT, WIDTH))
            else:
                cut = self.cuts.is_cut(decoded)
            image, alpha = to_image(decoded, device)
            base = decoded.time_base or self._source.tick
            pts = (decoded.pts or 0) * base
            if captions:
                captions.add(decoded, pts)
            length = decoded.duration * base if decoded.duration else 1 / (self.info.rate or SEQUENCE_RATE)
            frame = Frame(image, pts, length, cut, alpha)
            if pending is not None:
                yield _ending_at(pending, pts)
            pending = frame
        if pending is not None:
            yield pending

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Close the source, unless another thread is blocked reading it (a stalled pipe or camera)."""
        try:
            self._frames.close()
        except ValueError:  # another thread is running the generator
            return
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _decode_on(self, driver: Driver, filters: Sequence[Filter]) -> str:
        """Restart with the GPU's decoder if its first frame is correct; return why not, or "" on success."""
        source, first = self._source, self._first
        assert first is not None
        if self._resume_point:
            return "resumed runs use the CPU decoder"
        if filters or self._upright_filters or self.info.interlaced:
            return "FFmpeg filters run on the CPU"
        if self.info.captions:
            return "closed captions need the CPU decoder"
        if isinstance(source, ImageSequence) or not source.can_restart:
            return "image sequences, alpha and a late first frame need the CPU decoder"
        decode = find_decoder(driver, source.stream, first)
        if isinstance(decode, str):
            return decode
        self._frames.close()
        self._frames = source.restart(decode)
        try:
            self._first = next(self._frames, None)
            reason = decoder_mismatch(self._first, first, driver)
        except (FFmpegError, RuntimeError) as error:
            reason = str(error)
        if reason:
            self._frames.close()
            self._frames = source.restart(None)
            self._first = next(self._frames, None)
        else:
            self._driver = driver
        return reason

    def _source_filters(self) -> list[Filter]:
        """Return the filters that deinterlace and rotate the source."""
        if self.info.interlaced:
            log.warning("'%s' is interlaced: deinterlaced with bwdif", self.name)
            return [Filter("bwdif", "mode=send_frame"), *self._upright_filters]
        return list(self._upright_filters)

    def _describe(self, first: VideoFrame) -> VideoInfo:
        stream = self._source.stream
        height, width = first.height, first.width
        aspect = (stream.sample_aspect_ratio if stream else None) or Fraction(1)
        if any(node.name == "transpose" for node in self._upright_filters):
            height, width, aspect = width, height, 1 / aspect
        return VideoInfo(
            height=height,
            width=width,
            rate=self._source.rate,
            time_base=self._source.tick,
            duration=self._source.duration,
            coding=coding_of(first),
            sample_aspect_ratio=aspect,
            interlaced=first.interlaced_frame,
            mastering=side_data(first, SideDataType.MASTERING_DISPLAY_METADATA),
            light_level=side_data(first, SideDataType.CONTENT_LIGHT_LEVEL),
            captions=side_data(first, SideDataType.A53_CC) is not None,
        )


def open(
    source: str | Path,
    *,
    input_format: str | None = None,
    input_rate: Fraction | None = None,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
) -> Reader:
    """Open anything that FFmpeg can read: a file, an image, '-' for stdin, a URL, a device, or an image pattern.

    `input_format` names FFmpeg's demuxer if it cannot be guessed (devices); `input_rate` sets the frames per second of
    image sequences and cameras; `start` and `end` trim, in seconds from the start. Raises StreamfxError.
    """
    return Reader(source, input_format=input_format, input_rate=input_rate, start=start, end=end)


def _check_range(start: Fraction, end: Fraction | None) -> None:
    if start < 0:
        raise StreamfxError(f"start {float(start):g} s is negative; give 0 or more")
    if end is not None and end <= start:
        raise StreamfxError(f"end {float(end):g} s is not after start {float(start):g} s; give a later end")


def _ending_at(frame: Frame, time: Fraction) -> Frame:
    """Return the frame with its duration set to end at `time`, if that is after its start."""
    return replace(frame, duration=time - frame.pts) if time > frame.pts else frame

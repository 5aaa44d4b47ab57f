"""Sources of frames: files, pipes, network streams, cameras, stills and numbered pictures."""

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
from streamfx.media.filters.graph import Filter, FilterGraph, joined
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import differs, find_decoder, small_luma, to_host, to_image
from streamfx.media.input.demuxer import Container
from streamfx.media.input.image_sequence import Numbered, check_rate, is_pattern
from streamfx.media.input.resume_points import Mark, counted_to, digest, found_in, moment_of, what_remembers
from streamfx.media.input.shot_detection import HEIGHT, WIDTH, CutDetector
from streamfx.media.pixel_formats import alike, coding_of
from streamfx.media.probe import VideoInfo
from streamfx.media.side_data import side_data, turn_of

if TYPE_CHECKING:
    import torch
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

log = logging.getLogger("streamfx")

SEQUENCE_RATE = Fraction(25)  # frames a second of numbered pictures, where the user names no other


class Reader:
    """An opened source: an iterable of Frames, to be gone through once, and what it says about itself (`info`).

    Pictures come upright, deinterlaced and in one size. Not thread-safe: one thread iterates. `input` is FFmpeg's
    container, from which a writer copies sound and the rest, or None for numbered pictures. `rate` and
    `sample_aspect_ratio` are those of the pictures as they come out, behind filters.
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
        self._keeps = False
        self.cuts = CutDetector()
        self.every = 0  # pictures from one mark to the next; 0 for no marks
        self.marks: dict[int, Mark] = {}  # by the number of the picture that comes next
        self._begins_at: Mark | None = None
        self._how = input_format, input_rate, start, end
        _check_span(start, end)
        rate = None if input_rate is None else check_rate(input_rate)
        self._source: Container | Numbered
        if input_format is None and is_pattern(self.name):
            self._source = Numbered(self.name, rate=rate or SEQUENCE_RATE, start=start, end=end)
        else:
            self._source = Container(self.name, input_format=input_format, rate=rate, start=start, end=end)
        self._raw = self._source.pictures()
        self._first = next(self._raw, None)
        if self._first is None:
            self.close()
            span = f" from {float(start):g} s on" if start else ""
            raise StreamfxError(f"'{self.name}' has no picture{span} that can be decoded")
        self._pix_fmt = self._first.format.name
        self._driver: Driver | None = None  # of the device that decodes
        self._turn = turn_of(self._first) if self.input else ()  # numbered pictures come upright
        self.info = self._describe(self._first)
        self.rate, self.sample_aspect_ratio = self.info.rate, self.info.sample_aspect_ratio  # as pictures come out

    @property
    def input(self) -> InputContainer | None:
        return self._source.input

    @property
    def streams(self) -> Sequence[Stream]:
        """All streams in `input`."""
        return list(self.input.streams) if self.input else []

    @property
    def picture_index(self) -> int:
        """The number of the picture stream in `input`."""
        return self._source.stream.index if self._source.stream else 0

    @property
    def offset(self) -> Fraction:
        """Seconds on the source's clock where the film starts: what has been taken off all times."""
        return self._source.offset

    @property
    def broken(self) -> Fraction | None:
        """Seconds from its start where the source broke off or is damaged; known for sure once it has been read."""
        return self._source.broken

    @property
    def constant(self) -> bool:
        """Whether every picture of the source seems to last as long as the others."""
        return self._source.constant

    @property
    def length(self) -> Fraction | None:
        """Seconds until the cut at the end that was asked for; None without one."""
        return self._source.length

    @property
    def covers(self) -> dict[int, bytes]:
        """Cover art: number of its stream in `input` -> the picture as a file."""
        return self._source.covers

    def keep_packets(self, *, keep: bool = True) -> None:
        """Gather the packets of other streams while pictures are read, for `take_packets`; else they are dropped."""
        self._keeps = keep

    def take_packets(self) -> Iterator[Packet[Stream]]:
        """Packets of the streams that are no pictures, read so far, in file order, times shifted by the offset."""
        while self._source.packets:
            yield self._source.packets.popleft()

    def read_until(self, moment: Fraction | None) -> None:
        """Read on without decoding, for the packets of other streams, up to `moment`, in seconds; None: to the end."""
        self._source.read_until(moment)

    def again(self, length: Fraction | None = None) -> Reader:
        """The same source, opened anew; cut at `length` seconds from its start if that is given."""
        form, rate, start, end = self._how
        end = end if length is None else start + length
        return Reader(self.name, input_format=form, input_rate=rate, start=start, end=end)

    def begin_at(self, mark: Mark) -> None:
        """Have `pictures` and `frames` begin at a mark that was left when the same source was read before."""
        self._begins_at = mark
        self.cuts = CutDetector(mark.cuts)
        if mark.broken is not None:
            self._source.broken = mark.broken

    def pictures(self, filters: Sequence[Filter] = ()) -> Iterator[VideoFrame]:
        """Upright pictures in the decoder's own format, through FFmpeg filters; each with its pts and time base."""
        self._source.forget()
        if not self._keeps:
            self._source.gathers = False
            self._source.packets.clear()
        graph = joined(self._repairs(), filters)
        mark = self._begins_at
        made = self._through(graph) if mark is None else self._from(mark, graph)
        for number, picture in enumerate(made, mark.number if mark else 0):
            if self.every and number % self.every == 0:
                driver = self._driver
                seen = digest(to_host(picture, driver) if driver and driver.holds(picture) else picture)
                self.marks[number] = Mark(number, moment_of(picture), seen, self.cuts.remembered(), self.broken)
            yield picture

    def _from(self, mark: Mark, graph: Sequence[Filter]) -> Iterator[VideoFrame]:
        """Pictures from a mark on: sought where that leads to the same picture, else counted from the beginning."""
        if not what_remembers(graph):
            first = self._first
            if self._jump(mark):
                made = self._through(graph, first)
                if (found := found_in(made, mark)) is not None:
                    yield found
                    yield from made
                    return
            log.info("'%s' cannot be searched for frame %d: read from its start", self.name, mark.number)
            self._rewind()
        made = self._through(graph)
        yield counted_to(self.name, made, mark)
        yield from made

    def _jump(self, mark: Mark) -> bool:
        """Go to the picture of a mark, or somewhere before it; whether that can be."""
        self._raw.close()
        if not self._source.go_to(mark.moment):
            return False
        self._raw = self._source.pictures()
        return True

    def _rewind(self) -> None:
        """Open the source anew, at its first picture."""
        fresh = self.again()
        fresh._source.gathers, fresh._source.broken = self._keeps, self._source.broken
        self._source.close()
        self._source, self._raw, self._first = fresh._source, fresh._raw, fresh._first

    def _through(self, graph: Sequence[Filter], like: VideoFrame | None = None) -> Iterator[VideoFrame]:
        """Pictures through the filters; `like` is the one whose size and format all get, if not the first."""
        first = like or self._first
        assert first is not None
        upright = alike(self.name, chain([first] if like is None else [], self._raw), first, self._pix_fmt)
        self._first = None
        if not graph:
            yield from upright
            return
        aspect = self._source.stream.sample_aspect_ratio if self._source.stream else None
        work = FilterGraph(graph, time_base=self._source.tick, rate=self._source.rate, sar=aspect or None)
        for picture in chain(upright, [None]):
            for done in work.push(picture):
                done.time_base = work.time_base
                self.rate, self.sample_aspect_ratio = work.rate or self.rate, work.sar or self.sample_aspect_ratio
                yield done
            if work.finished:
                self._source.drain()
                return

    def frames(self, filters: Sequence[Filter] = (), device: torch.device | None = None) -> Iterator[Frame]:
        """The pictures as Frames on `device` (CPU if None); each lasts until the next one starts.

        Cuts are looked for behind the filters. A GPU decodes them itself, where it can and no filter wants them.
        """
        held: Frame | None = None
        driver = driver_of(device)
        why = self._decode_on(driver, filters) if driver else ""
        there = driver.device if driver and not why else "the CPU"
        log.info("'%s' is decoded on %s", self.name, f"{there}: {why}" if why else there)
        for picture in self.pictures(filters):
            if driver and driver.holds(picture):
                cut = self.cuts.begins_shot(small_luma(picture, driver, HEIGHT, WIDTH))
            else:
                cut = self.cuts.is_cut(picture)
            image, alpha = to_image(picture, device)
            base = picture.time_base or self._source.tick
            pts = (picture.pts or 0) * base
            length = picture.duration * base if picture.duration else 1 / (self.info.rate or SEQUENCE_RATE)
            frame = Frame(image, pts, length, cut, alpha)
            if held is not None:
                yield _until(held, pts)
            held = frame
        if held is not None:
            yield held

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def close(self) -> None:
        """Close the file; one that another thread still waits on (a silent pipe or camera) is left to the system."""
        try:
            self._raw.close()
        except ValueError:  # it is running
            return
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _decode_on(self, driver: Driver, filters: Sequence[Filter]) -> str:
        """Begin again with the device's decoder, if its first picture is right; or why the CPU goes on decoding."""
        source, first = self._source, self._first
        assert first is not None
        if self._begins_at:
            return "it is gone on with from a mark"
        if filters or self._turn or self.info.interlaced:
            return "FFmpeg's filters come first, which work there"
        if isinstance(source, Numbered) or not source.plain:
            return "it comes in pieces that only the CPU's decoder knows"
        decode = find_decoder(driver, source.stream, first)
        if isinstance(decode, str):
            return decode
        self._raw.close()
        self._raw = source.pictures_again(decode)
        try:
            self._first = next(self._raw, None)
            why = differs(self._first, first, driver)
        except (FFmpegError, RuntimeError) as error:
            why = str(error)
        if why:
            self._raw.close()
            self._raw = source.pictures_again(None)
            self._first = next(self._raw, None)
        else:
            self._driver = driver
        return why

    def _repairs(self) -> list[Filter]:
        """What makes pictures upright and whole before anyone sees them."""
        if self.info.interlaced:
            log.warning("'%s' is interlaced: deinterlaced with bwdif", self.name)
            return [Filter("bwdif", "mode=send_frame"), *self._turn]
        return list(self._turn)

    def _describe(self, first: VideoFrame) -> VideoInfo:
        stream = self._source.stream
        height, width = first.height, first.width
        aspect = (stream.sample_aspect_ratio if stream else None) or Fraction(1)
        if any(turn.name == "transpose" for turn in self._turn):
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
        )


def open(
    source: str | Path,
    *,
    input_format: str | None = None,
    input_rate: Fraction | None = None,
    start: Fraction = Fraction(0),
    end: Fraction | None = None,
) -> Reader:
    """Open anything that FFmpeg can read: a file, a still, '-' for stdin, a URL, a device, or a pattern of pictures.

    `input_format` names FFmpeg's demuxer where it cannot be guessed (devices); `input_rate` sets the frames a second of
    numbered pictures and cameras; `start` and `end` cut, in seconds from the source's start. Raises StreamfxError.
    """
    return Reader(source, input_format=input_format, input_rate=input_rate, start=start, end=end)


def _check_span(start: Fraction, end: Fraction | None) -> None:
    if start < 0:
        raise StreamfxError(f"start {float(start):g} s is before the beginning; give 0 or more")
    if end is not None and end <= start:
        raise StreamfxError(f"the cut ends at {float(end):g} s, which is not behind its start at {float(start):g} s")


def _until(frame: Frame, moment: Fraction) -> Frame:
    """The frame, lasting until `moment` where that lies behind its start."""
    return replace(frame, duration=moment - frame.pts) if moment > frame.pts else frame

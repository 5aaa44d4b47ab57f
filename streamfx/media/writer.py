"""Frames -> a film in a file or pipe, with everything else of the source copied beside them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
from av import VideoFrame

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.driver import Driver, driver_of
from streamfx.media.encoding import Encoding, Output, choose_encoding
from streamfx.media.filtergraph import Filter, FilterGraph
from streamfx.media.formats import format_of
from streamfx.media.hardware import to_picture
from streamfx.media.muxer import Muxer, Shape
from streamfx.media.pixels import coding_of, convertible, family, over_black, rearranged, to_image
from streamfx.media.pixels import to_picture as to_host_picture
from streamfx.media.probe import Coding
from streamfx.media.reader import Reader
from streamfx.media.sequence import NUMBER, is_numbered
from streamfx.media.song import Song

log = logging.getLogger("streamfx")

LONGEST_BASE = 1 << 30  # ticks a second that every container can count
JITTER = Fraction(1, 10)  # share of a frame by which containers that round times may move it
DEFAULT_RATE = Fraction(25)  # frames a second, where nothing says how long a frame lasts


class Writer:
    """A sink that encodes frames and muxes them with the sound and the rest of `source`, or with a `song`.

    The film grows under a temporary name and takes its own when `finish` is called. As a context manager it finishes
    when the block ends well; after an interrupt it keeps what is there as 'NAME.partial.EXT', after an error it removes
    it. `filters` run on the frames before they are encoded; set them before the first frame.
    """

    def __init__(
        self,
        target: str | Path,
        source: Reader | None = None,
        output: Output | None = None,
        song: Song | None = None,
    ) -> None:
        self.name = str(target)
        self.output = output or Output()
        self.filters: Sequence[Filter] = ()
        self.kept: Path | None = None  # where an interrupted film was left
        self.encoder: str | None = None  # FFmpeg's name; known from the first frame on
        self._source, self._song = source, song
        self._path = _check_target(self.name, source, self.output.overwrite)
        self._form = format_of(self.name, self.output.format)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part") if self._path else None
        self._muxer: Muxer | None = None
        self._encoding: Encoding | None = None
        self._graph: FilterGraph | None = None
        self._base = Fraction(0)  # seconds a tick, of frames that come as tensors
        self._size = (0, 0)  # height and width of the film
        self._flattened = False
        self._driver: Driver | None = None  # of the device that frames come on
        if source is not None:
            source.keep_packets()

    @property
    def whole(self) -> bool:
        """Whether the film shows up when it is finished; pipes, devices and numbered pictures grow where they are."""
        return self._temporary is not None

    @property
    def _stays(self) -> bool:
        """Whether pictures stay on the frames' device, to be encoded there."""
        return self._encoding is not None and self._encoding.device is not None

    @property
    def written(self) -> int:
        """Frames encoded so far."""
        return self._muxer.written if self._muxer else 0

    def write(self, frame: Frame) -> None:
        """Encode a frame; all frames of a film have one size."""
        self._base = self._base or _time_base(self._source, frame.duration)
        coding = self._coding_of(frame)
        self._driver = driver_of(frame.image.device)
        if not self.filters:
            height, width = int(frame.image.shape[1]), int(frame.image.shape[2])
            coding = self._open(coding, (height, width), self._base, self._changed_rate(frame))
        image, alpha = frame.image, frame.alpha
        if alpha is not None and not coding.has_alpha:
            self._say_flattened(bool(alpha.min() < 1))
            image, alpha = over_black(image, alpha), None
        picture = to_picture(image, alpha, coding, self._stays)
        picture.pts, picture.time_base = round(frame.pts / self._base), self._base
        picture.duration = round(frame.duration / self._base)
        self.write_picture(picture)

    def write_picture(self, picture: VideoFrame) -> None:
        """Encode a picture as FFmpeg's decoder or filters made it, with pts, time base and duration."""
        for filtered in self._filtered(picture):
            self._encode(filtered)

    def finish(self) -> None:
        """Encode what is held back, write the end of the file and give it its name."""
        for filtered in self._filtered(None):
            self._encode(filtered)
        if self._muxer is None:
            raise StreamfxError(f"no picture came out of the chain: '{self.name}' was not written")
        with self._write_errors():
            self._muxer.close()
            if self._temporary and self._path:
                os.replace(self._temporary, self._path)

    def abandon(self, *, keep: bool = False) -> None:
        """Stop in the middle: remove what is there, or with `keep` finish it, a file as 'NAME.partial.EXT'."""
        if self._muxer is not None:
            if keep and self.written:
                with suppress(av.error.FFmpegError, OSError):
                    self._muxer.close()
                    self.kept = self._keep()
            self._muxer.abandon()
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def _keep(self) -> Path | None:
        """Give what was made so far a name of its own; None where it has one, or none at all."""
        if self._path is None or self._temporary is None:
            return None
        partial = self._path.with_name(f"{self._path.stem}.partial{self._path.suffix}")
        os.replace(self._temporary, partial)
        return partial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            try:
                self.finish()
            except BaseException:
                self.abandon()
                raise
        else:
            self.abandon(keep=issubclass(kind, KeyboardInterrupt))

    def _filtered(self, picture: VideoFrame | None) -> Iterator[VideoFrame]:
        """The picture through the trailing FFmpeg filters; None empties them."""
        if not self.filters:
            yield from [picture] if picture is not None else []
            return
        if self._graph is None:
            if picture is None:
                return
            source = self._source
            self._graph = FilterGraph(
                self.filters,
                time_base=picture.time_base or Fraction(1, 1000),
                rate=_rate_of(picture) or (source.rate if source else None),
                sar=source.sample_aspect_ratio if source else None,
            )
        for filtered in self._graph.push(picture):
            filtered.time_base = self._graph.time_base
            yield filtered

    def _encode(self, picture: VideoFrame) -> None:
        rate = self._graph.rate if self._graph else None
        base = picture.time_base or Fraction(1, 1000)
        target = self._open(coding_of(picture), (picture.height, picture.width), base, rate)
        with self._write_errors():
            assert self._muxer is not None
            self._muxer.encode(picture if self._stays else self._converted(picture, target))

    def _converted(self, picture: VideoFrame, target: Coding) -> VideoFrame:
        """The picture in the encoder's coding; through RGB only where colour itself must change."""
        source = coding_of(picture)
        if source == target:
            return picture
        if convertible(source, target) and (target.has_alpha or not source.has_alpha):
            return rearranged(picture, target.pix_fmt)
        image, alpha = to_image(picture)
        if alpha is not None and not target.has_alpha:
            self._say_flattened(bool(alpha.min() < 1))
            image, alpha = over_black(image, alpha), None
        converted = to_host_picture(image, alpha, target)
        converted.pts, converted.time_base, converted.duration = picture.pts, picture.time_base, picture.duration
        return converted

    def _open(self, coding: Coding, size: tuple[int, int], base: Fraction, rate: Fraction | None) -> Coding:
        """Choose the encoder and open the output, at the first picture; the coding that the encoder takes."""
        if self._encoding is None:
            source = self._source
            info = source.info if source else None
            aspect = source.sample_aspect_ratio if source else Fraction(1)
            if self._graph and self._graph.sar:
                aspect = self._graph.sar
            rate = rate or (source.rate if source else None) or DEFAULT_RATE
            shape = Shape(*size, rate, base, aspect)
            driver = None if self.filters else self._driver
            if self._driver and not driver:
                log.info("encoding on the CPU: FFmpeg's filters come last, which work there")
            self._encoding = choose_encoding(self.name, self._form, self.output, coding, info, size, driver)
            self.encoder = self._encoding.encoder
            with self._write_errors():
                target = str(self._temporary or self.name)
                settings, audio = self.output.settings, self.output.audio
                self._muxer = Muxer(
                    target, self._form, self._encoding, shape, source, self._song, audio=audio, settings=settings
                )
            self._size = size
        elif size != self._size:
            shapes = [f"{width}x{height}" for height, width in (self._size, size)]
            raise StreamfxError(f"the frames of a film have one size; these change from {shapes[0]} to {shapes[1]}")
        elif self._form.one_picture and self.written:
            raise StreamfxError(
                f"'{self.name}' holds one picture, the chain makes more: name a film, or a pattern like 'out_%05d.png'"
            )
        return self._encoding.coding

    def _changed_rate(self, frame: Frame) -> Fraction | None:
        """Frames a second by the frame's duration, where that tells of another rate than the source's."""
        if not frame.duration:
            return None
        source = self._source
        if source is not None and source.rate and self._base == source.info.time_base:
            told = abs(frame.duration * source.rate - 1) > JITTER if source.constant else False
            return 1 / frame.duration if told else None
        return 1 / frame.duration

    def _coding_of(self, frame: Frame) -> Coding:
        """The coding that a frame is best kept in: the source's, where it can show what the frame shows."""
        own = self._source.info.coding if self._source else Coding("gbrp")
        if family(own.pix_fmt) == "gray":  # an effect may have painted it
            own = Coding("gbrp" if own.depth == 8 else "gbrp10le")
        if self._form.muxer == "gif":  # its palette is made of RGB; filters before that need not halve the colour
            own = Coding("gbrp")
        if frame.alpha is not None and not own.has_alpha:
            own = Coding("gbrap" if own.depth == 8 else "gbrap10le")
        return own

    def _say_flattened(self, transparent: bool) -> None:
        if transparent and not self._flattened:
            log.warning("'%s' holds no transparency: flattened on black", self.name)
            self._flattened = True

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Turn the system's errors at writing into ours; a reader that went away stays a BrokenPipeError."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (OSError, av.error.FFmpegError) as error:
            reason = error.strerror or str(error)
            kept = "; nothing was kept of it" if self._temporary else ""
            raise StreamfxError(f"cannot write '{self.name}': {reason}{kept}") from error


def create(target: str | Path, source: Reader | None = None, output: Output | None = None) -> Writer:
    """A sink for frames: a film, still or numbered pictures by the ending of `target`, or '-' for stdout.

    Sound, subtitles, chapters and tags are copied from `source`. Raises StreamfxError where it cannot be written.
    """
    return Writer(target, source, output)


def _check_target(name: str, source: Reader | None, overwrite: bool) -> Path | None:
    """The path of a file that is to be written whole; None for pipes, devices, patterns and URLs."""
    if name == "-":
        if sys.stdout.isatty():
            raise StreamfxError("stdout is a terminal: send it to a file or a program, or name an output file")
        return None
    if "://" in name:
        return None
    path = Path(name)
    if path.is_dir():
        raise StreamfxError(f"'{name}' is a folder; give a file in it, like '{path / 'out.mp4'}'")
    if not path.parent.is_dir():
        raise StreamfxError(f"there is no folder '{path.parent}' to write '{path.name}' into; make it first")
    if path.exists() and not path.is_file():
        return None
    if source is not None and (name == source.name or _same_file(path, Path(source.name))):
        raise StreamfxError(f"'{name}' is the input itself; give another name for the output")
    numbered = is_numbered(name)
    first = Path(NUMBER.sub(lambda digits: f"{1:0{digits[1] or 1}d}", name)) if numbered else path
    if first.exists() and not overwrite:
        raise StreamfxError(f"'{first}' exists; give -y to overwrite it, or another name")
    if not os.access(path.parent, os.W_OK):
        raise StreamfxError(f"the folder '{path.parent}' may not be written; choose another or change its permissions")
    return None if numbered else path


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _rate_of(picture: VideoFrame) -> Fraction | None:
    """Frames a second by the picture's own duration."""
    return 1 / (picture.duration * picture.time_base) if picture.duration and picture.time_base else None


def _time_base(source: Reader | None, duration: Fraction) -> Fraction:
    """Ticks that hold the source's times exactly, and frames of `duration` too where an effect changed the rate."""
    base = source.info.time_base if source else Fraction(1, 90000)
    if duration and (duration / base).denominator != 1:
        finer = Fraction(1, lcm(base.denominator, duration.denominator))
        base = finer if finer.denominator <= LONGEST_BASE else base
    return base

"""Frames -> a film in a file or pipe, with everything else of the source copied beside them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
from av import VideoFrame

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.filters.graph import Filter, FilterGraph
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import to_picture
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder_selection import Encoding, Output, choose_encoding
from streamfx.media.output.formats import format_of
from streamfx.media.output.muxer import Muxer, Shape
from streamfx.media.output.paths import check_target, put
from streamfx.media.output.segments import Layout, Segment, Segments, join, unheard
from streamfx.media.output.soundtrack import Song
from streamfx.media.output.timestamps import changed_rate, rate_of, time_base
from streamfx.media.pixel_formats import coding_of, convertible, family, over_black, rearranged, to_image
from streamfx.media.pixel_formats import to_picture as to_host_picture
from streamfx.media.probe import Coding

log = logging.getLogger("streamfx")

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
        self._path = check_target(self.name, source, self.output.overwrite)
        self._form = format_of(self.name, self.output.format)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part") if self._path else None
        self._muxer: Muxer | Segments | None = None
        self._encoding: Encoding | None = None
        self._graph: FilterGraph | None = None
        self._base = Fraction(0)  # seconds a tick, of frames that come as tensors
        self._size = (0, 0)  # height and width of the film
        self._segments: Segments | None = None
        self._ended = False
        self._flattened = False
        self._driver: Driver | None = None  # of the device that frames come on
        if source is not None:
            source.keep_packets()

    def record(self, segments: Segments) -> None:
        """Encode into segments, which go on where these are, and join them in the end; before the first picture."""
        self._segments = segments
        self._temporary = segments.folder / "film.part"
        if self._source is not None:
            self._source.keep_packets(keep=False)  # they are read again when the segments are joined
        if segments.layout is not None:
            self._take(segments.layout)

    @property
    def whole(self) -> bool:
        """Whether the film shows up when it is finished; pipes, devices and numbered pictures grow where they are."""
        return self._temporary is not None

    @property
    def _stays(self) -> bool:
        """Whether pictures stay on the frames' device, to be encoded there."""
        return self._encoding is not None and bool(self._encoding.device)

    @property
    def written(self) -> int:
        """Frames encoded so far."""
        return self._muxer.written if self._muxer else 0

    def write(self, frame: Frame) -> None:
        """Encode a frame; all frames of a film have one size."""
        self._base = self._base or time_base(self._source, frame.duration)
        coding = self._coding_of(frame)
        self._driver = driver_of(frame.image.device)
        if not self.filters:
            height, width = int(frame.image.shape[1]), int(frame.image.shape[2])
            coding = self._open(coding, (height, width), self._base, changed_rate(self._source, frame, self._base))
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

    def close_segment(self, *, last: bool = False) -> Segment | None:
        """Close the segment that is recorded, the `last` one with what filters hold back; None if it has no picture."""
        assert self._segments is not None
        if last:
            self._end()
        with self._write_errors():
            return self._segments.cut()

    def finish(self) -> None:
        """Encode what is held back, write the end of the file and give it its name."""
        self._end()
        if self._muxer is None:
            raise StreamfxError(f"no picture came out of the chain: '{self.name}' was not written")
        with self._write_errors():
            if isinstance(self._muxer, Muxer):
                self._muxer.close()
            else:
                self._muxer.cut()
                self._join(None)
            if self._temporary and self._path:
                put(self._temporary, self._path)

    def join_partial(self) -> Path | None:
        """Make 'NAME.partial.EXT' of the segments that are there, cut where they end; None where there is none."""
        if self._segments is None or not self._segments.closed:
            return None
        with self._write_errors():
            self._join(Fraction(self._segments.closed[-1].end))
            return self._keep()

    def abandon(self, *, keep: bool = False) -> None:
        """Stop in the middle: remove what is there, or with `keep` finish it, a file as 'NAME.partial.EXT'.

        Closed segments stay as they are.
        """
        if self._muxer is not None:
            if keep and self.written:
                with suppress(av.error.FFmpegError, OSError):
                    self.kept = self._kept()
            self._muxer.abandon()
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def _kept(self) -> Path | None:
        if isinstance(self._muxer, Muxer):
            self._muxer.close()
            return self._keep()
        assert self._segments is not None
        if self._segments.closed:
            return None
        self._segments.cut()
        return self.join_partial()

    def _end(self) -> None:
        """Encode what the filters hold back."""
        if not self._ended:
            self._ended = True
            for filtered in self._filtered(None):
                self._encode(filtered)

    def _join(self, end: Fraction | None) -> None:
        """Make the film of the segments, with what else is in the source or song until `end`, in seconds."""
        assert self._segments is not None
        with ExitStack() as stack, unheard():
            source = stack.enter_context(self._source.again(end)) if self._source else None
            song = stack.enter_context(self._song.again(end)) if self._song else None
            if source is not None:
                source.keep_packets()
            audio, settings = self.output.audio, self.output.settings
            join(str(self._temporary), self._form, self._segments, source, song, audio=audio, settings=settings)

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
                rate=rate_of(picture) or (source.rate if source else None),
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
            encoding = choose_encoding(self.name, self._form, self.output, coding, info, size, driver)
            muxer = self._opened(encoding, shape)
            if self._segments is None:
                self._muxer = muxer
            else:  # was but to see, now and not in the end, what goes into the film
                muxer.abandon()
            self._encoding = self._take(Layout(encoding, shape, self._base))
        elif size != self._size:
            shapes = [f"{width}x{height}" for height, width in (self._size, size)]
            raise StreamfxError(f"the frames of a film have one size; these change from {shapes[0]} to {shapes[1]}")
        elif self._form.one_picture and self.written:
            raise StreamfxError(
                f"'{self.name}' holds one picture, the chain makes more: name a film, or a pattern like 'out_%05d.png'"
            )
        return self._encoding.coding

    def _opened(self, encoding: Encoding, shape: Shape) -> Muxer:
        target, output = str(self._temporary or self.name), self.output
        with self._write_errors():
            return Muxer(
                target,
                self._form,
                encoding,
                shape,
                self._source,
                self._song,
                audio=output.audio,
                settings=output.settings,
            )

    def _take(self, layout: Layout) -> Encoding:
        """Encode pictures in this way from now on."""
        self._encoding, self.encoder = layout.encoding, layout.encoding.encoder
        self._size, self._base = (layout.shape.height, layout.shape.width), layout.base
        if self._segments is not None:
            self._segments.begin(self._form, layout)
            self._muxer = self._segments
        return layout.encoding

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
            kept = "; nothing was kept of it" if self._temporary and not self._segments else ""
            raise StreamfxError(f"cannot write '{self.name}': {reason}{kept}") from error


def create(target: str | Path, source: Reader | None = None, output: Output | None = None) -> Writer:
    """A sink for frames: a film, still or numbered pictures by the ending of `target`, or '-' for stdout.

    Sound, subtitles, chapters and tags are copied from `source`. Raises StreamfxError where it cannot be written.
    """
    return Writer(target, source, output)

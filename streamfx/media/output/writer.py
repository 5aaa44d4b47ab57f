"""Writer: frames -> a video file or pipe, with audio, subtitles and metadata copied from the source."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av.error
from av import VideoFrame

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.encoding import Encoding, Output
from streamfx.media.filters.graph import Filter, FilterGraph
from streamfx.media.gpu.nvidia import Driver, driver_of
from streamfx.media.gpu.surfaces import to_video_frame
from streamfx.media.input.captions import CaptionPainter, Captions
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder import Layout, Shape
from streamfx.media.output.encoder_selection import choose_encoding, keeps_captions
from streamfx.media.output.formats import format_of
from streamfx.media.output.muxer import Muxer
from streamfx.media.output.paths import (
    check_target,
    keep_permissions,
    partial_of,
    remove_partial,
    replace_durably,
    reserve,
    temporary_of,
)
from streamfx.media.output.segments import Segment, Segments, join, warnings_muted
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.timestamps import changed_rate, rate_of, time_base
from streamfx.media.pixel_formats import (
    coding_of,
    convert_pixel_format,
    convertible,
    family,
    over_black,
    planar_name,
    to_image,
)
from streamfx.media.pixel_formats import to_video_frame as to_host_frame
from streamfx.media.probe import Coding

log = logging.getLogger("streamfx")

DEFAULT_RATE = Fraction(25)  # frames per second, if the duration of frames is unknown


class Writer:
    """Encodes frames and muxes them with the other streams of `source`, or with a `soundtrack`.

    A file is written under a temporary name and renamed by `finish`. As a context manager, the writer finishes when the
    block succeeds, keeps the frames written so far as 'NAME.partial.EXT' on an interrupt, and deletes them on an error.
    `filters` run on the frames before encoding; set them before the first frame.
    """

    def __init__(
        self,
        target: str | Path,
        source: Reader | None = None,
        output: Output | None = None,
        soundtrack: Soundtrack | None = None,
    ) -> None:
        self.name = str(target)
        self.output = output or Output()
        self.filters: Sequence[Filter] = ()
        self.begin = Fraction(0)  # seconds; earlier frames only warm up the effects and are not written
        self.partial_path: Path | None = None  # the file kept after an interrupt
        self.encoder: str | None = None  # FFmpeg's name; set at the first frame
        self._source, self._soundtrack = source, soundtrack
        self._path = check_target(self.name, source, self.output.overwrite)
        self._form = format_of(self.name, self.output.format)
        self._temporary = temporary_of(self._path) if self._path else None
        self._muxer: Muxer | Segments | None = None
        self._encoding: Encoding | None = None
        self._graph: FilterGraph | None = None
        self._base = Fraction(0)  # time base of frames that come as tensors
        self._size = (0, 0)  # height, width
        self._segments: Segments | None = None
        self._ended = False
        self._flattened = False
        self._driver: Driver | None = None  # of the device that holds the frames
        self._captions, self._caption_painter = Captions(source.name if source else ""), CaptionPainter()
        self._drops_captions = False  # whether the encoder cannot write those that the source may have
        if source is not None:
            source.keep_packets()
            source.captions = self._captions

    def use_segments(self, segments: Segments) -> None:
        """Append to `segments` and join them when finished; call it before the first frame."""
        self._segments = segments
        self._temporary = segments.folder / "video.part"
        if self._source is not None:
            self._source.keep_packets(keep=False)  # they are read when the segments are joined
        if segments.layout is not None:
            self._apply_layout(segments.layout)

    @property
    def atomic(self) -> bool:
        """Whether the output appears only when complete, unlike pipes, devices and numbered images."""
        return self._temporary is not None

    @property
    def _encodes_on_device(self) -> bool:
        """Whether frames are encoded on the device that holds them."""
        return self._encoding is not None and bool(self._encoding.device)

    @property
    def written(self) -> int:
        """Frames encoded so far."""
        return self._muxer.written if self._muxer else 0

    def write(self, frame: Frame) -> None:
        """Encode a frame; all frames must have the same size."""
        carrier = self._captions.take(frame.pts)
        if frame.pts < self.begin:
            return
        self._base = self._base or time_base(self._source, frame.duration)
        coding = self._coding_of(frame)
        self._driver = driver_of(frame.image.device)
        if not self.filters:
            height, width = int(frame.image.shape[1]), int(frame.image.shape[2])
            coding = self._open(coding, (height, width), self._base, changed_rate(self._source, frame, self._base))
        image, alpha = frame.image, frame.alpha
        if alpha is not None and not coding.has_alpha:
            self._warn_flattened(bool(alpha.min() < 1))
            image, alpha = over_black(image, alpha), None
        video_frame = to_video_frame(image, alpha, coding, self._encodes_on_device)
        video_frame.pts, video_frame.time_base = round(frame.pts / self._base), self._base
        video_frame.duration = round(frame.duration / self._base)
        if carrier and self._encodes_on_device:
            self._captions.lose("the GPU encodes without them; --device cpu keeps them")
        elif carrier:
            video_frame = self._caption_painter.with_captions(video_frame, carrier)
        self.write_video_frame(video_frame)

    def write_video_frame(self, video_frame: VideoFrame) -> None:
        """Encode a frame from FFmpeg's decoder or filters, with pts, time base and duration."""
        for filtered in self._filtered(video_frame):
            self._encode(filtered)

    def close_segment(self, *, last: bool = False) -> Segment | None:
        """Close the open segment, after flushing the filters if it is the `last`; None if it has no frames."""
        assert self._segments is not None
        if last:
            self._end()
        with self._write_errors():
            return self._segments.close_segment()

    def finish(self) -> None:
        """Flush the filters and the encoder, finish the file and rename it."""
        self._end()
        if self._muxer is None:
            raise StreamfxError(f"the chain produced no frames; '{self.name}' was not written")
        with self._write_errors():
            if isinstance(self._muxer, Muxer):
                self._muxer.close()
            else:
                self._muxer.close_segment()
                self._join(None)
            if self._temporary and self._path:
                replace_durably(self._temporary, self._path)
                remove_partial(self._path)

    def join_partial(self) -> Path | None:
        """Join the closed segments into 'NAME.partial.EXT'; None if there are none."""
        if self._segments is None or not self._segments.closed:
            return None
        with self._write_errors():
            self._join(Fraction(self._segments.closed[-1].end))
            return self._rename_partial()

    def abandon(self, *, keep: bool = False) -> None:
        """Stop early: delete the output, or with `keep` finish it, renaming a file to 'NAME.partial.EXT'.

        Closed segments are kept.
        """
        if self._muxer is not None:
            if keep and self.written:
                with suppress(av.error.FFmpegError, OSError):
                    self.partial_path = self._finish_partial()
            self._muxer.abandon()
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def _finish_partial(self) -> Path | None:
        if isinstance(self._muxer, Muxer):
            self._muxer.close()
            return self._rename_partial()
        assert self._segments is not None
        if self._segments.closed:
            return None
        self._segments.close_segment()
        return self.join_partial()

    def _end(self) -> None:
        """Flush the filters."""
        if not self._ended:
            self._ended = True
            for filtered in self._filtered(None):
                self._encode(filtered)

    def _join(self, end: Fraction | None) -> None:
        """Join the segments, with the other streams of the source or soundtrack until `end`, in seconds."""
        assert self._segments is not None
        with ExitStack() as stack:
            with warnings_muted():
                source = stack.enter_context(self._source.reopen(end)) if self._source else None
                soundtrack = stack.enter_context(self._soundtrack.reopen(end)) if self._soundtrack else None
            if source is not None:
                source.keep_packets()
            audio, comment = self.output.audio, self.output.comment
            join(str(self._temporary), self._form, self._segments, source, soundtrack, audio=audio, comment=comment)

    def _rename_partial(self) -> Path | None:
        """Rename the temporary file to 'NAME.partial.EXT'; None if the output is not a regular file."""
        if self._path is None or self._temporary is None:
            return None
        partial = partial_of(self._path)
        keep_permissions(self._temporary, self._path)
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

    def _filtered(self, video_frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Apply the trailing FFmpeg filters; None flushes them."""
        if not self.filters:
            yield from [video_frame] if video_frame is not None else []
            return
        if self._graph is None:
            if video_frame is None:
                return
            source = self._source
            self._graph = FilterGraph(
                self.filters,
                time_base=video_frame.time_base or Fraction(1, 1000),
                rate=rate_of(video_frame) or (source.rate if source else None),
                sar=source.sample_aspect_ratio if source else None,
            )
        for filtered in self._graph.push(video_frame):
            filtered.time_base = self._graph.time_base
            yield filtered

    def _encode(self, video_frame: VideoFrame) -> None:
        rate = self._graph.rate if self._graph else None
        base = video_frame.time_base or Fraction(1, 1000)
        target = self._open(coding_of(video_frame), (video_frame.height, video_frame.width), base, rate)
        if self._drops_captions:
            self._captions.lose_those_of(video_frame, f"{self.encoder} cannot write them")
        with self._write_errors():
            assert self._muxer is not None
            self._muxer.encode(video_frame if self._encodes_on_device else self._converted(video_frame, target))

    def _converted(self, video_frame: VideoFrame, target: Coding) -> VideoFrame:
        """The frame in the encoder's coding; converted through RGB only if the colors must change."""
        source = coding_of(video_frame)
        if source == target:
            return video_frame
        if convertible(source, target) and (target.has_alpha or not source.has_alpha):
            return convert_pixel_format(video_frame, target.pix_fmt)
        image, alpha = to_image(video_frame)
        if alpha is not None and not target.has_alpha:
            self._warn_flattened(bool(alpha.min() < 1))
            image, alpha = over_black(image, alpha), None
        converted = to_host_frame(image, alpha, target)
        converted.pts, converted.time_base = video_frame.pts, video_frame.time_base
        converted.duration = video_frame.duration
        captioned = self._source is not None and self._source.may_have_captions
        return self._caption_painter.with_captions(converted, video_frame) if captioned else converted

    def _open(self, coding: Coding, size: tuple[int, int], base: Fraction, rate: Fraction | None) -> Coding:
        """Choose the encoder and open the output at the first frame; returns the coding of the encoder's input."""
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
                log.info("encoding on the CPU: the chain ends with FFmpeg filters, which run there")
            encoding = choose_encoding(self.name, self._form, self.output, coding, info, size, driver)
            muxer = self._opened(Layout(encoding, shape, self._base))
            if self._segments is None:
                self._muxer = muxer
            else:  # opened only so that warnings and errors appear now
                muxer.abandon()
            self._encoding = self._apply_layout(Layout(encoding, shape, self._base))
            captioned = source is not None and source.may_have_captions
            self._drops_captions = captioned and not keeps_captions(encoding.encoder)
        elif size != self._size:
            old, new = (f"{width}x{height}" for height, width in (self._size, size))
            raise StreamfxError(f"the frame size changed from {old} to {new}; scale all frames to one size")
        elif self._form.single_frame and self.written:
            raise StreamfxError(
                f"'{self.name}' is a still image, but the chain produced more frames; "
                f"give a video or 'out_%05d{Path(self.name).suffix}'"
            )
        return self._encoding.coding

    def _opened(self, layout: Layout) -> Muxer:
        target, output = str(self._temporary or self.name), self.output
        with self._write_errors():
            if self._temporary and self._path:
                reserve(self._temporary, self._path)
            inputs = self._source, self._soundtrack
            return Muxer(target, self._form, layout, *inputs, audio=output.audio, comment=output.comment)

    def _apply_layout(self, layout: Layout) -> Encoding:
        """Use the layout for all following frames."""
        self._encoding, self.encoder = layout.encoding, layout.encoding.encoder
        self._size, self._base = (layout.shape.height, layout.shape.width), layout.base
        if self._segments is not None:
            self._segments.configure(self._form, layout)
            self._muxer = self._segments
        return layout.encoding

    def _coding_of(self, frame: Frame) -> Coding:
        """The preferred coding of a frame: the source's, with color and alpha added if the frame may need them."""
        coding = self._source.info.coding if self._source else Coding("gbrp")
        if family(coding.pix_fmt) == "gray":  # effects may add color
            coding = Coding("gbrp" if coding.depth == 8 else "gbrp10le")
        if self._form.muxer == "gif":  # the palette needs RGB; no need to subsample chroma first
            coding = Coding("gbrp")
        if frame.alpha is not None and not coding.has_alpha:
            coding = Coding("gbrap" if coding.depth == 8 else "gbrap10le")
        if self._form.pix_fmts:  # trailing filters must not lose precision
            coding = replace(coding, pix_fmt=planar_name(family(coding.pix_fmt), 16, coding.has_alpha))
        return coding

    def _warn_flattened(self, transparent: bool) -> None:
        if transparent and not self._flattened:
            log.warning("'%s' does not support transparency: flattened on black", self.name)
            self._flattened = True

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Turn write errors into StreamfxErrors, except BrokenPipeError (the reading program exited)."""
        try:
            yield
        except BrokenPipeError:
            raise
        except (OSError, av.error.FFmpegError) as error:
            reason = error.strerror or str(error)
            deleted = "; nothing was kept" if self._temporary and not self._segments else ""
            raise StreamfxError(f"cannot write '{self.name}': {reason}{deleted}") from error


def create(target: str | Path, source: Reader | None = None, output: Output | None = None) -> Writer:
    """A sink for frames: a video, image or numbered images, by the extension of `target`; '-' is stdout.

    Audio, subtitles, chapters and tags are copied from `source`. Raises StreamfxError if it cannot be written.
    """
    return Writer(target, source, output)

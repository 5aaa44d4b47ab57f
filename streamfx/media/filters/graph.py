"""FFmpeg filter graphs that run on decoded frames (av.VideoFrame)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import av
import av.error
import av.filter
import av.logging

from streamfx.errors import StreamfxError
from streamfx.media.ffmpeg_log import ffmpeg_messages

if TYPE_CHECKING:
    from av.filter.context import FilterContext

    Pad = tuple[FilterContext, int]

# change timestamps, so that audio copied unchanged may go out of sync
TIME_FILTERS = frozenset(("setpts", "trim", "reverse", "loop", "tpad", "shuffleframes", "random", "freezeframes"))
# buffer the clip, or a set number of frames, in memory
BUFFERING_FILTERS = frozenset(("reverse", "loop"))

# of this and older FFmpeg versions; PyAV does not expose the media type of a filter's pads
_AUDIO_NAMES = """
    aap abench abuffer abuffersink acompressor acontrast acopy acrossfade acrossover acrusher acue adeclick adeclip
    adecorrelate adelay adenorm aderivative adrc adynamicequalizer adynamicsmooth aecho aemphasis aeval aevalsrc
    aexciter afade afdelaysrc afftdn afftfilt afifo afir afireqsrc afirsrc aformat afreqshift afwtdn agate aiir
    aintegral ainterleave alatency alimiter allpass aloop amerge ametadata amix amovie amultiply anequalizer anlmdn
    anlmf anlms anoisesrc anull anullsink anullsrc apad aperms aphasemeter aphaser aphaseshift apsnr apsyclip
    apulsator arealtime aresample areverse arls arnndn asdr asegment aselect asendcmd asetnsamples asetpts asetrate
    asettb ashowinfo asidedata asisdr asoftclip aspectralstats asplit asr astats astreamselect asubboost asubcut
    asupercut asuperpass asuperstop atempo atilt atrim avsynctest axcorrelate azmq bandpass bandreject bass biquad
    bs2b channelmap channelsplit chorus compand compensationdelay crossfeed crystalizer dcshift deesser
    dialoguenhance drmeter dynaudnorm earwax ebur128 equalizer extrastereo firequalizer flanger flite haas hdcd
    headphone highpass highshelf hilbert join ladspa loudnorm lowpass lowshelf lv2 mcompand pan replaygain
    rubberband sidechaincompress sidechaingate silencedetect silenceremove sinc sine sofalizer spectrumsynth
    speechnorm stereotools stereowiden superequalizer surround tiltshelf treble tremolo vibrato virtualbass volume
    volumedetect
"""
AUDIO_FILTERS = frozenset(_AUDIO_NAMES.split())
_PLUMBING = frozenset(("buffer", "buffersink"))  # the ends of a graph, which FilterGraph adds


@cache
def available_filters() -> frozenset[str]:
    """Names of the video filters in this build of FFmpeg."""
    return frozenset(av.filter.filters_available) - AUDIO_FILTERS - _PLUMBING


def filter_descriptions() -> dict[str, str]:
    """The video filters in this build of FFmpeg by name, each with FFmpeg's one-line description."""
    return {name: av.filter.Filter(name).description or "" for name in sorted(available_filters())}


@dataclass(frozen=True, slots=True)
class Filter:
    """One FFmpeg filter as written in a filter graph."""

    name: str
    options: str = ""  # "key=value:key=value", quoted for the filter but not for the graph
    inputs: tuple[str, ...] = ()  # labels before it
    outputs: tuple[str, ...] = ()  # labels after it
    id: str = ""  # of name@id
    starts_chain: bool = False  # follows a ";": not linked to the previous filter

    def __str__(self) -> str:
        before, after = ("".join(f"[{_quoted(label)}]" for label in labels) for labels in (self.inputs, self.outputs))
        name = f"{self.name}@{self.id}" if self.id else self.name
        return f"{before}{name}{f'={_quoted(self.options)}' if self.options else ''}{after}"


def _quoted(text: str) -> str:
    """`text`, quoted if it has graph syntax or leading or trailing space."""
    if not re.search(r"[\\'\[\],;]|^\s|\s$", text):
        return text
    return "'" + text.replace("'", r"'\''") + "'"


def graph_text(filters: Iterable[Filter]) -> str:
    """The filters in FFmpeg's syntax, such as "split[a][b];[a]hflip[c];[b][c]hstack"."""
    text = ""
    for node in filters:
        text += f"{(';' if node.starts_chain else ',') if text else ''}{node}"
    return text


def prepend_filters(first: Sequence[Filter], then: Sequence[Filter]) -> tuple[Filter, ...]:
    """Links the output of `first`, a chain without labels, to the open input of `then`."""
    outputs = {label for node in then for label in node.outputs}
    open_inputs = [label for node in then for label in node.inputs if label not in outputs]
    if not first or not open_inputs:
        return (*first, *then)
    return (*first[:-1], replace(first[-1], outputs=(open_inputs[0],)), replace(then[0], starts_chain=True), *then[1:])


def append_filters(first: Sequence[Filter], then: Sequence[Filter]) -> tuple[Filter, ...]:
    """Links the open output of `first` to the input of `then`, a chain without labels."""
    inputs = {label for node in first for label in node.inputs}
    open_outputs = [label for node in first for label in node.outputs if label not in inputs]
    if not first or not then or not open_outputs:
        return (*first, *then)
    return (*first, replace(then[0], inputs=(open_outputs[0],), starts_chain=True), *then[1:])


class _LinkError(Exception):
    """Filters that do not exist or cannot be linked as written."""


class FilterGraph:
    """Runs filters on decoded frames (av.VideoFrame) with timestamps in `time_base`.

    The constructor creates and links the filters, so wrong names, options and links raise here. The first frame
    configures the graph with its size, format, color matrix and range. Output frames have one of `pix_fmts` (any
    format if empty). Errors are StreamfxErrors with FFmpeg's reason.
    """

    time_base: Fraction  # of output frames; valid after the first push
    rate: Fraction | None = None  # output frames per second, if known; valid after the first push
    sar: Fraction | None = None  # sample aspect ratio of output frames; valid after the first push
    finished: bool = False  # the filters accept no more frames (for example, "trim" is done)

    def __init__(
        self,
        filters: Sequence[Filter],
        *,
        time_base: Fraction,
        rate: Fraction | None = None,
        sar: Fraction | None = None,
        pix_fmts: Sequence[str] = (),
    ) -> None:
        self._filters = tuple(filters) or (Filter("null"),)
        self.time_base = self._ticks = time_base
        self._rate_and_sar = (rate, sar)
        self._graph = av.filter.Graph()
        self._shape: tuple[int, int, str] | None = None  # height, width, pixel format; None until configured
        self._copier: FilterGraph | None = None
        with self._ffmpeg_errors():
            for name in [node.name for node in self._filters]:
                if name not in av.filter.filters_available:
                    raise _LinkError(f"no filter {name}")
            nodes = [self._graph.add(node.name, node.options or None, **_named(node)) for node in self._filters]
            self._input, exit_ = _link(self._filters, nodes)
            # PyAV does not expose a graph's rate and aspect ratio; setsar and showinfo log them and change nothing
            tail = [("setsar", "r=sar:max=65535"), ("showinfo", "checksum=0"), ("buffersink", None)]
            for name, options in [("format", "|".join(pix_fmts)), *tail] if pix_fmts else tail:
                node = self._graph.add(name, options)
                exit_[0].link_to(node, exit_[1], 0)
                exit_ = (node, 0)
            self._sink = exit_[0]

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Push a frame (None flushes) right away; returns an iterator over the frames that are ready."""
        if frame is not None:
            shape = (frame.height, frame.width, frame.format.name)
            if self._shape is None:
                with self._ffmpeg_errors(av.logging.VERBOSE) as messages:
                    self._configure(frame)
                self._read_messages(messages)
                self._shape = shape
            elif shape != self._shape:
                old, new = (f"{w}x{h} {pix_fmt}" for h, w, pix_fmt in (self._shape, shape))
                raise self._error(f"frames changed from {old} to {new}; scale all frames to one size first")
            if not frame.duration and self._rate_and_sar[0]:
                # without a duration, fps ends the clip at the start of the last frame
                frame.duration = round(1 / (self._rate_and_sar[0] * self._ticks))
        if self._shape is not None and not self.finished:
            try:
                self._source.push(frame)
            except av.error.EOFError:
                self.finished = True
            except av.error.FFmpegError as error:
                raise self._error(error.strerror or str(error)) from error
        return self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while self._shape is not None:
            try:
                frame = self._sink.pull()
            except av.error.BlockingIOError:
                return
            except av.error.EOFError:
                self.finished = True
                return
            except av.error.FFmpegError as error:
                raise self._error(error.strerror or str(error)) from error
            assert isinstance(frame, av.VideoFrame)
            yield self._top_down(frame) if any(plane.line_size < 0 for plane in frame.planes) else frame

    def _top_down(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A copy with rows stored top to bottom; vflip only negates the line size, which plane readers ignore."""
        if self._copier is None:
            self._copier = FilterGraph([Filter("copy")], time_base=self.time_base)
        return next(self._copier.push(frame))

    def _configure(self, frame: av.VideoFrame) -> None:
        rate, sar = self._rate_and_sar
        options = {
            "video_size": f"{frame.width}x{frame.height}",
            "pix_fmt": frame.format.name,
            "time_base": str(self._ticks),
            "pixel_aspect": str(sar or "0/1"),
            "frame_rate": str(rate or "0/1"),
            "colorspace": str(int(frame.colorspace)),
            "range": str(int(frame.color_range)),
        }
        self._source = self._graph.add("buffer", None, **options)
        self._source.link_to(self._input[0], 0, self._input[1])
        self._graph.configure()

    def _read_messages(self, messages: Iterable[tuple[int, str, str]]) -> None:
        """Set the time base, rate and aspect ratio from log messages; the last filters log last."""
        for _, component, text in messages:
            if match := re.search(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)", text):
                base, per, frames, seconds = map(int, match.groups())
                self.time_base = Fraction(base, per)
                self.rate = Fraction(frames, seconds) if frames and seconds else None
            elif component == "setsar" and (match := re.search(r"-> sar:(\d+)/(\d+)", text)):
                self.sar = Fraction(int(match[1]), int(match[2])) if int(match[1]) and int(match[2]) else None

    @contextmanager
    def _ffmpeg_errors(self, level: int = av.logging.ERROR) -> Iterator[list[tuple[int, str, str]]]:
        """Turn FFmpeg's setup errors into StreamfxErrors with the reason that it logged."""
        with ffmpeg_messages(level) as messages:
            try:
                yield messages
            except _LinkError as error:
                raise self._error(str(error)) from error
            except av.error.FFmpegError as error:
                errors = [text.strip().rstrip(".") for severity, _, text in messages if severity <= av.logging.ERROR]
                errors = [text for text in errors if not text.startswith(("Failed to configure", "Error "))] or errors
                reason = errors[-1] if errors else error.strerror or str(error)
                raise self._error(reason) from error

    def _error(self, reason: str) -> StreamfxError:
        return StreamfxError(f"filters '{self}': {' '.join(reason.split())}")

    def __str__(self) -> str:
        return graph_text(self._filters)


def _named(node: Filter) -> dict[str, str]:
    """The filter's name in the graph, used by sendcmd and zmq."""
    return {"name": f"{node.name}@{node.id}"} if node.id else {}


def _link(filters: Sequence[Filter], nodes: Sequence[FilterContext]) -> tuple[Pad, Pad]:
    """Link filters by label and by order, as FFmpeg's parser does; returns the one open input and output."""
    pads = zip(filters, nodes)
    labels = [[*f.inputs, *[""] * (_pads(f, node, "inputs") - len(f.inputs))] for f, node in pads]  # per input pad
    linked: set[tuple[int, int]] = set()
    exits: list[tuple[str, Pad]] = []

    def find(label: str, among: Iterable[int]) -> tuple[int, int] | None:
        free = ((i, k) for i in among for k, name in enumerate(labels[i]) if name == label and (i, k) not in linked)
        return next(free, None)

    for i, (node, context) in enumerate(zip(filters, nodes)):
        for k in range(_pads(node, context, "outputs")):
            label = node.outputs[k] if k < len(node.outputs) else ""
            following = range(i + 1, i + 2) if i + 1 < len(filters) and not filters[i + 1].starts_chain else range(0)
            pad = find(label, range(len(filters)) if label else following)
            if pad is None:
                exits.append((label, (context, k)))
            else:
                linked.add(pad)
                context.link_to(nodes[pad[0]], k, pad[1])
    entries = [
        (label, (node, k)) for i, node in enumerate(nodes) for k, label in enumerate(labels[i]) if (i, k) not in linked
    ]
    return _single_pad("input", entries), _single_pad("output", exits)


def _pads(node: Filter, context: FilterContext, side: str) -> int:
    number = len(getattr(context, side))
    labels: tuple[str, ...] = getattr(node, side)
    if len(labels) > number:
        raise _LinkError(f"{node.name} has {number} {side}, not {len(labels)} as labeled")
    return number


def _single_pad(side: str, pads: list[tuple[str, Pad]]) -> Pad:
    if len(pads) != 1:
        names = ", ".join(f"[{label}]" if label else pad[0].name or "" for label, pad in pads) or "none"
        raise _LinkError(f"a chain has one open {side}, but this has {len(pads)}: {names}")
    return pads[0][1]

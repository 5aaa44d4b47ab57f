"""FFmpeg filter graphs at work on the decoder's own frames."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import av
import av.error
import av.filter
import av.logging

from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    from av.filter.context import FilterContext

    Pad = tuple[FilterContext, int]

# move pictures in time, so that sound which is left alone no longer fits them
TIME_FILTERS = frozenset(("setpts", "trim", "reverse", "loop", "tpad", "shuffleframes", "random", "freezeframes"))
# keep the clip, or as much of it as they are told, in memory
HOLDING_FILTERS = frozenset(("reverse", "loop"))

# of this and older FFmpegs; the bindings don't tell what kind a filter's pads are
_SOUND_NAMES = """
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
SOUND_FILTERS = frozenset(_SOUND_NAMES.split())
_PLUMBING = frozenset(("buffer", "buffersink"))  # the ends of a graph, which are ours to make


@cache
def available_filters() -> frozenset[str]:
    """Names of this build's filters that take or make pictures."""
    return frozenset(av.filter.filters_available) - SOUND_FILTERS - _PLUMBING


@dataclass(frozen=True, slots=True)
class Filter:
    """One FFmpeg filter as written in a filter graph."""

    name: str
    options: str = ""  # "key=value:key=value" with FFmpeg's quoting of this level
    inputs: tuple[str, ...] = ()  # labels written before it
    outputs: tuple[str, ...] = ()  # labels written behind it
    id: str = ""  # of name@id
    apart: bool = False  # written behind a ";": not linked to the filter before it

    def __str__(self) -> str:
        before, behind = ("".join(f"[{_quoted(label)}]" for label in labels) for labels in (self.inputs, self.outputs))
        name = f"{self.name}@{self.id}" if self.id else self.name
        return f"{before}{name}{f'={_quoted(self.options)}' if self.options else ''}{behind}"


def _quoted(text: str) -> str:
    """`text` in quotes, where a graph's own marks or space at an end need them."""
    if not re.search(r"[\\'\[\],;]|^\s|\s$", text):
        return text
    return "'" + text.replace("'", r"'\''") + "'"


def graph_text(filters: Iterable[Filter]) -> str:
    """The filters as one would write them: "split[a][b];[a]hflip[c];[b][c]hstack"."""
    text = ""
    for node in filters:
        text += f"{(';' if node.apart else ',') if text else ''}{node}"
    return text


def joined(first: Sequence[Filter], then: Sequence[Filter]) -> tuple[Filter, ...]:
    """The chain `first`, written without labels, and the chain `then` behind it, wherever that has its open input."""
    made = {label for node in then for label in node.outputs}
    wanted = [label for node in then for label in node.inputs if label not in made]
    if not first or not wanted:
        return (*first, *then)
    return (*first[:-1], replace(first[-1], outputs=(wanted[0],)), replace(then[0], apart=True), *then[1:])


def followed(first: Sequence[Filter], then: Sequence[Filter]) -> tuple[Filter, ...]:
    """The chain `first`, wherever it has its open output, and behind it the chain `then`, written without labels."""
    taken = {label for node in first for label in node.inputs}
    made = [label for node in first for label in node.outputs if label not in taken]
    if not first or not then or not made:
        return (*first, *then)
    return (*first, replace(then[0], inputs=(made[0],), apart=True), *then[1:])


_listening = Lock()
_SILENT = -8  # AV_LOG_QUIET
_BREATH = 0.01  # seconds, in which those who speak already come to an end
_silenced: int | None = None  # the bindings' level at which `_silence` left them
logging.getLogger("libav").addHandler(logging.NullHandler())  # else what comes late would reach stderr


@contextmanager
def ffmpeg_messages(level: int = av.logging.ERROR) -> Iterator[list[tuple[int, str, str]]]:
    """Collect what FFmpeg says in this thread, as (level, speaker, text); nothing of it reaches stderr."""
    with _listening:
        before, repeated = av.logging.get_level(), av.logging.get_skip_repeated()
        silent = before is None or before == _silenced
        av.logging.set_skip_repeated(False)
        av.logging.set_level(level)
        try:
            # the outer one swallows what other threads say meanwhile
            with av.logging.Capture(local=False), av.logging.Capture() as messages:
                yield messages
        finally:
            if silent:
                _silence(level)
            else:
                av.logging.set_level(before)
            av.logging.set_skip_repeated(repeated)


def _silence(level: int) -> None:
    """Let FFmpeg say nothing, by its own means: the bindings' stumble over threads that speak just then."""
    global _silenced
    _silenced = level
    av.logging.set_libav_level(_SILENT)
    av.logging.restore_default_callback()


def hush() -> None:
    """To be called before a decoder is let go, which waits for its threads: one that speaks waits for this one."""
    with _listening:
        if _silenced is not None:
            _silence(_silenced)
    time.sleep(_BREATH)


class FilterGraph:
    """Filters at work on the decoder's own frames (av.VideoFrame).

    The filters are made and linked at once, so that wrong names, options and links show here; the graph is configured
    at the first frame, from its size, format, colour matrix and range, and yields frames in one of `pix_fmts` (any, if
    none is given). Frames come in ticks of `time_base`. Errors are StreamfxErrors with FFmpeg's own reason.
    """

    time_base: Fraction  # of the frames that come out; valid after the first push
    rate: Fraction | None = None  # frames a second that come out, where known; valid after the first push
    sar: Fraction | None = None  # sample aspect ratio of the frames that come out; valid after the first push
    finished: bool = False  # the filters want no more frames ("trim" has reached its end)

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
        self._wanted = (rate, sar)
        self._graph = av.filter.Graph()
        self._shape: tuple[int, int, str] | None = None  # height, width, pixel format; None until configured
        self._straightener: FilterGraph | None = None
        with self._reasons():
            nodes = [self._graph.add(node.name, node.options or None, **_named(node)) for node in self._filters]
            self._entry, exit_ = _link(self._filters, nodes)
            # the bindings don't tell a graph's rate and aspect ratio; setsar and showinfo log them, and change nothing
            tail = [("setsar", "r=sar:max=65535"), ("showinfo", "checksum=0"), ("buffersink", None)]
            for name, options in [("format", "|".join(pix_fmts)), *tail] if pix_fmts else tail:
                node = self._graph.add(name, options)
                exit_[0].link_to(node, exit_[1], 0)
                exit_ = (node, 0)
            self._sink = exit_[0]

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Hand in a frame (None: the end), and get the frames that are ready; `frame` is taken at the call."""
        if frame is not None:
            shape = (frame.height, frame.width, frame.format.name)
            if self._shape is None:
                with self._reasons(av.logging.VERBOSE) as messages:
                    self._configure(frame)
                self._hear(messages)
                self._shape = shape
            elif shape != self._shape:
                old, new = (f"{w}x{h} {pix_fmt}" for h, w, pix_fmt in (self._shape, shape))
                raise self._error(f"frames change from {old} to {new}; scale them to one size first")
            if not frame.duration and self._wanted[0]:
                # without one, fps takes the time at which the last frame starts for the end of the clip
                frame.duration = round(1 / (self._wanted[0] * self._ticks))
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
            yield self._straight(frame) if any(plane.line_size < 0 for plane in frame.planes) else frame

    def _straight(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A copy with rows stored from top to bottom: vflip only turns their order, which a reader of planes misses."""
        if self._straightener is None:
            self._straightener = FilterGraph([Filter("copy")], time_base=self.time_base)
        return next(self._straightener.push(frame))

    def _configure(self, frame: av.VideoFrame) -> None:
        rate, sar = self._wanted
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
        self._source.link_to(self._entry[0], 0, self._entry[1])
        self._graph.configure()

    def _hear(self, messages: Iterable[tuple[int, str, str]]) -> None:
        """Take over what the filters at the end say; theirs are the last words."""
        for _, speaker, text in messages:
            if found := re.search(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)", text):
                base, per, frames, seconds = map(int, found.groups())
                self.time_base = Fraction(base, per)
                self.rate = Fraction(frames, seconds) if frames and seconds else None
            elif speaker == "setsar" and (found := re.search(r"-> sar:(\d+)/(\d+)", text)):
                self.sar = Fraction(int(found[1]), int(found[2])) if int(found[1]) and int(found[2]) else None

    @contextmanager
    def _reasons(self, level: int = av.logging.ERROR) -> Iterator[list[tuple[int, str, str]]]:
        """Turn FFmpeg's errors at setting up into ours, with the reason that it logs."""
        with ffmpeg_messages(level) as messages:
            try:
                yield messages
            except (av.error.FFmpegError, ValueError) as error:
                said = [text.strip().rstrip(".") for at, _, text in messages if at <= av.logging.ERROR]
                said = [text for text in said if not text.startswith(("Failed to configure", "Error "))] or said
                reason = said[-1] if said else getattr(error, "strerror", None) or str(error)
                raise self._error(reason) from error

    def _error(self, reason: str) -> StreamfxError:
        return StreamfxError(f"filters '{self}': {' '.join(reason.split())}")

    def __str__(self) -> str:
        return graph_text(self._filters)


def _named(node: Filter) -> dict[str, str]:
    """Its own name in the graph, by which sendcmd and zmq reach it."""
    return {"name": f"{node.name}@{node.id}"} if node.id else {}


def _link(filters: Sequence[Filter], nodes: Sequence[FilterContext]) -> tuple[Pad, Pad]:
    """Link filters by label and by neighbourhood, as FFmpeg's parser does; returns the one open input and output."""
    pads = zip(filters, nodes)
    labels = [[*f.inputs, *[""] * (_pads(f, node, "inputs") - len(f.inputs))] for f, node in pads]  # of each input
    taken: set[tuple[int, int]] = set()
    exits: list[tuple[str, Pad]] = []

    def find(label: str, among: Iterable[int]) -> tuple[int, int] | None:
        free = ((i, k) for i in among for k, name in enumerate(labels[i]) if name == label and (i, k) not in taken)
        return next(free, None)

    for i, (node, context) in enumerate(zip(filters, nodes)):
        for k in range(_pads(node, context, "outputs")):
            label = node.outputs[k] if k < len(node.outputs) else ""
            after = range(i + 1, i + 2) if i + 1 < len(filters) and not filters[i + 1].apart else range(0)
            pad = find(label, range(len(filters)) if label else after)
            if pad is None:
                exits.append((label, (context, k)))
            else:
                taken.add(pad)
                context.link_to(nodes[pad[0]], k, pad[1])
    entries = [
        (label, (node, k)) for i, node in enumerate(nodes) for k, label in enumerate(labels[i]) if (i, k) not in taken
    ]
    return _only("input", entries), _only("output", exits)


def _pads(node: Filter, context: FilterContext, side: str) -> int:
    number = len(getattr(context, side))
    labels: tuple[str, ...] = getattr(node, side)
    if len(labels) > number:
        raise ValueError(f"{node.name} has {number} {side}, not {len(labels)} as labelled")
    return number


def _only(side: str, found: list[tuple[str, Pad]]) -> Pad:
    if len(found) != 1:
        names = ", ".join(f"[{label}]" if label else pad[0].name or "" for label, pad in found) or "none"
        raise ValueError(f"a chain has one open {side}, but this has {len(found)}: {names}")
    return found[0][1]

"""Render plans of timelines: the frames of each section, which are shown, and the order of the work."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.audio_track import AudioAnalysis
from streamfx.animation.context import Context
from streamfx.animation.loop import crossfade_frames
from streamfx.animation.schedule import parse_schedule
from streamfx.animation.timeline.loader import Timeline
from streamfx.animation.timeline.schema import DreamSection, MergeSection, Section, StillSection
from streamfx.animation.timeline.timing import find_section_frames, find_shown_frames
from streamfx.errors import StreamfxError, unknown


@dataclass(frozen=True, slots=True)
class Pass:
    """Consecutive frames of a section that are rendered or replayed; each frame is one unit of work."""

    kind: str  # dream, still, forward and backward (merge by passes), blend (other merges), replay, preroll (loop)
    section: int
    frames: range  # in the order of the work
    shown: range = range(0)  # frames that are output as soon as they are rendered
    cached: range = range(0)  # frames that are cached on disk
    cache: str = ""  # name of the cache that they are written to; a replay reads it
    round: int = 0  # of a merge, from 1


@dataclass(frozen=True, eq=False)
class Plan:
    """The work to render a video."""

    timeline: Timeline
    context: Context  # of the schedules, for the whole video
    section_frames: tuple[range, ...]  # all frames of each section
    shown: tuple[tuple[int, range], ...]  # (section, its frames in the video), in order
    passes: tuple[Pass, ...]
    stride: int  # render only every stride-th frame

    @property
    def first(self) -> int:
        """The first frame that is shown."""
        return self.shown[0][1].start

    @property
    def stop(self) -> int:
        return self.shown[-1][1].stop

    @cached_property
    def ends(self) -> list[int]:
        """For each pass, the number of the unit after its last one."""
        return list(accumulate(len(work.frames) for work in self.passes))

    @property
    def units(self) -> int:
        return self.ends[-1]

    @property
    def count(self) -> int:
        """Number of frames in the output."""
        return len(rendered_frames(range(self.first, self.stop), self.stride))

    def find(self, unit: int) -> tuple[Pass, int]:
        """The pass of a unit of work, and the unit's index in it."""
        number = bisect_right(self.ends, unit)
        return self.passes[number], unit - (self.ends[number - 1] if number else 0)

    def start_of(self, section: DreamSection) -> str:
        """The picture or section whose last canvas a section starts from, skipping sections without rendered frames."""
        rendered = {self.timeline.sections[work.section].name for work in self.passes}
        start = section.start
        while start not in self.timeline.document.pictures and start not in rendered:
            number = self.timeline.section_number(start)
            assert number is not None
            source = self.timeline.sections[number]
            assert isinstance(source, DreamSection)
            start = source.start
        return start

    def writer_of(self, cache: str) -> Pass:
        """The pass that writes the frames in `cache`."""
        return next(work for work in self.passes if work.cache == cache and work.kind != "replay")


def merge_cache(number: int, kind: str, index: int) -> str:
    """The cache of a merge's pass `index`, counted from 1, of kind "forward" or "backward"."""
    return f"{number}-{kind}-{index}"


def rendered_frames(frames: range, stride: int) -> range:
    """The frames whose number is a multiple of `stride`."""
    return range(-(-frames.start // stride) * stride, frames.stop, stride)


def build_plan(
    timeline: Timeline,
    audio: AudioAnalysis | None,
    seed: int = 0,
    *,
    stride: int = 1,
    only: str = "",
    loop: bool = False,
) -> Plan:
    """The plan of a video, or of only one section; with `loop`, its end crossfades into its start.

    Raises StreamfxError for gaps, overlaps, circular references and invalid positions.
    """
    section_frames = find_section_frames(timeline, audio)
    shown = find_shown_frames(timeline, section_frames)
    length = shown[-1][1].stop
    fps = float(timeline.document.fps)
    context = Context(length - 1, fps, seed) if audio is None else audio.context(fps, length, seed)
    if only:
        number = timeline.section_number(only)
        if number is None:
            raise unknown("section", only, [section.name for section in timeline.sections])
        shown = [(number, section_frames[number])]
    plan = Plan(timeline, context, tuple(section_frames), tuple(shown), (), stride)
    passes = tuple(work for work in _PassOrder(plan).passes() if len(work.frames))
    if not plan.count:
        raise StreamfxError(f"'{timeline.path.name}' has no frames left to render; use more frames, or no --preview")
    if loop:
        passes = (_preroll(plan), *passes)
    return replace(plan, passes=passes)


def _preroll(plan: Plan) -> Pass:
    """The frames before the first one that the end crossfades into, numbered like the frames at the end."""
    (first, _), (last, frames) = plan.shown[0], plan.shown[-1]
    for number in (first, last):
        section = plan.timeline.sections[number]
        invalid = not isinstance(section, DreamSection) or section.direction != "forward"
        if invalid or (number == first and getattr(section, "start", "") not in plan.timeline.document.pictures):
            reason = f"'{section.name}' cannot be looped; a loop must start and end with forward dream sections"
            raise plan.timeline.error(("section", number), f"{reason}, the first one from a picture")
    rendered = rendered_frames(frames, plan.stride)
    if not rendered:
        reason = f"'{plan.timeline.sections[last].name}' has no frames left to loop; use more frames, or no --preview"
        raise plan.timeline.error(("section", last), reason)
    end = rendered[-crossfade_frames(plan.timeline.document.fps / plan.stride, len(rendered)) :]
    return Pass("preroll", last, end[::-1], cached=range(end.start, frames.stop), cache="loop")


class _PassOrder:
    """Orders the passes so that each one comes after those it depends on."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.timeline = plan, plan.timeline
        self._passes: list[Pass] = []
        self._done: set[int] = set()
        self._in_progress: list[int] = []

    def passes(self) -> list[Pass]:
        for number, frames in self.plan.shown:
            section = self.timeline.sections[number]
            live = self._in_display_order(section) and number not in self._done
            self._require(number, frames if live else range(0))
            if not live:
                cache = self._cache_name(number)
                self._passes.append(self._with_stride(Pass("replay", number, frames, shown=frames, cache=cache)))
        return self._passes

    def _in_display_order(self, section: Section) -> bool:
        """Whether its frames can be shown as they are rendered."""
        if isinstance(section, MergeSection):
            return section.method != "passes"
        return isinstance(section, StillSection) or section.direction == "forward"

    def _cache_name(self, number: int) -> str:
        section = self.timeline.sections[number]
        if isinstance(section, MergeSection):
            return merge_cache(number, "backward", len(section.passes))
        return str(number)

    def _require(self, number: int, shown: range) -> None:
        """Add the passes of a section after those it depends on; its `shown` frames are output immediately."""
        if number in self._done:
            return
        section = self.timeline.sections[number]
        if number in self._in_progress:
            cycle = " -> ".join(self.timeline.sections[index].name for index in [*self._in_progress, number])
            reason = f"these sections start from each other: {cycle}; start one of them from a picture"
            raise self.timeline.error(("section", number, "start"), reason)
        self._in_progress.append(number)
        for dependency in self._dependencies(section):
            self._require(dependency, range(0))
        self._in_progress.pop()
        self._done.add(number)
        self._passes.extend(self._with_stride(work) for work in self._section_passes(number, section, shown))

    def _dependencies(self, section: Section) -> Iterator[int]:
        if isinstance(section, StillSection):
            return
        for name in section.of if isinstance(section, MergeSection) else (section.start,):
            number = self.timeline.section_number(name)
            if number is not None:
                yield number

    def _section_passes(self, number: int, section: Section, shown: range) -> Iterator[Pass]:
        frames = self.plan.section_frames[number]
        cached = range(0) if shown else frames
        if isinstance(section, StillSection):
            yield Pass("still", number, frames, shown=shown, cached=cached, cache=str(number))
        elif isinstance(section, DreamSection):
            order = frames if section.direction == "forward" else frames[::-1]
            yield Pass("dream", number, order, shown=shown, cached=self._needed_later(number, shown), cache=str(number))
        elif section.method == "passes":
            last = len(section.passes)
            for index in range(1, last + 1):
                if index < last:
                    cache = merge_cache(number, "forward", index)
                    yield Pass("forward", number, frames, cached=frames, cache=cache, round=index)
                cache = merge_cache(number, "backward", index)
                yield Pass("backward", number, frames[::-1], cached=frames, cache=cache, round=index)
        else:
            yield Pass("blend", number, frames, shown=shown, cached=cached, cache=str(number))

    def _needed_later(self, number: int, shown: range) -> range:
        """The frames of a section that are needed later: shown afterwards, or joined with another section."""
        needed = [frames for index, frames in self.plan.shown if index == number and not len(shown)]
        for index, section in enumerate(self.timeline.sections):
            if isinstance(section, MergeSection) and self.timeline.sections[number].name in section.of:
                frames = self.plan.section_frames[index]
                needed.append(range(frames.start - self.plan.stride, frames.stop + self.plan.stride))
        needed = [frames for frames in needed if len(frames)]
        if not needed:
            return range(0)
        own = self.plan.section_frames[number]
        start, stop = min(frames.start for frames in needed), max(frames.stop for frames in needed)
        return range(max(own.start, start), min(own.stop, stop))

    def _with_stride(self, work: Pass) -> Pass:
        frames = work.frames
        if frames.step < 0:
            return replace(work, frames=rendered_frames(range(frames[-1], frames[0] + 1), self.plan.stride)[::-1])
        return replace(work, frames=rendered_frames(frames, self.plan.stride))


def schedule_tracks(plan: Plan) -> dict[str, NDArray[np.float64]]:
    """Name -> the values of the camera and step schedules of the shown sections, for each frame of the video."""
    names = ("zoom", "angle", "shift_x", "shift_y", "step")
    defaults = {"zoom": 1.0}
    tracks: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for number, frames in plan.shown:
        section = plan.timeline.sections[number]
        for name in names:
            value = getattr(section, name, defaults.get(name, 0.0))
            try:
                track = parse_schedule(value, name).between(frames.start, frames.stop, plan.context)
            except StreamfxError as error:
                raise plan.timeline.error(("section", number, name), str(error)) from error
            tracks[name].append(track)
    return {name: np.concatenate(parts) for name, parts in tracks.items()}

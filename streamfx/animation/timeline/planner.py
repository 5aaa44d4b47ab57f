"""From a timeline to what has to be done: which frames each section has, what is shown of it, and in which order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from streamfx.animation.audio_track import Music
from streamfx.animation.loop import turning_frames
from streamfx.animation.schedule import Context, parse_schedule
from streamfx.animation.timeline.loader import Timeline
from streamfx.animation.timeline.schema import Dreamed, Merge, Section, Still
from streamfx.animation.timeline.timing import find_shows, find_spans
from streamfx.errors import StreamfxError, unknown


@dataclass(frozen=True, slots=True)
class Pass:
    """Frames of a section that are made, or shown, one after the other; a unit of work for each."""

    work: str  # dream, still, forth, back (of a merge), mix (of a merge), play, before (what a loop runs into)
    section: int
    frames: range  # in the order of the work
    shown: range = range(0)  # of them, those that go into the film as they are made
    kept: range = range(0)  # of them, those that are put by
    store: str = ""  # where they are put by; of play, where they lie
    round: int = 0  # of a merge, from 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What has to be done for a film."""

    timeline: Timeline
    context: Context  # of the whole film: what its schedules speak of
    spans: tuple[range, ...]  # frames of each section, all of them
    shows: tuple[tuple[int, range], ...]  # (section, frames of the film), in the film's order
    passes: tuple[Pass, ...]
    every: int  # only each so many-th frame is made

    @property
    def first(self) -> int:
        """The first frame that is shown."""
        return self.shows[0][1].start

    @property
    def stop(self) -> int:
        return self.shows[-1][1].stop

    @cached_property
    def ends(self) -> list[int]:
        """For each pass the number of the unit behind its last one."""
        return list(accumulate(len(each.frames) for each in self.passes))

    @property
    def units(self) -> int:
        return self.ends[-1]

    @property
    def count(self) -> int:
        """Frames of the film that is made."""
        return len(grid(range(self.first, self.stop), self.every))

    def find(self, unit: int) -> tuple[Pass, int]:
        """The pass of a unit of work, and its number there."""
        number = bisect_right(self.ends, unit)
        return self.passes[number], unit - (self.ends[number - 1] if number else 0)

    def pass_of(self, store: str) -> Pass:
        """The one that puts frames by in `store`."""
        return next(each for each in self.passes if each.store == store and each.work != "play")


def grid(frames: range, every: int) -> range:
    """Those that are made: whose number is a multiple of `every`."""
    return range(-(-frames.start // every) * every, frames.stop, every)


def build_plan(
    timeline: Timeline, music: Music | None, seed: int = 0, *, every: int = 1, only: str = "", loop: bool = False
) -> Plan:
    """The plan of a film, or of one of its sections; with `loop` its end runs into its start.

    Raises StreamfxError for gaps, overlaps, circles and bad times.
    """
    spans = find_spans(timeline, music)
    shows = find_shows(timeline, spans)
    length = shows[-1][1].stop
    fps = float(timeline.script.fps)
    context = Context(length - 1, fps, seed) if music is None else music.context(fps, length, seed)
    if only:
        number = timeline.number(only)
        if number is None:
            raise unknown("section", only, [each.name for each in timeline.sections])
        shows = [(number, spans[number])]
    plan = Plan(timeline, context, tuple(spans), tuple(shows), (), every)
    made = tuple(each for each in _Order(plan).passes() if len(each.frames))
    if not plan.count:
        raise StreamfxError(f"no frame is left of '{timeline.path.name}'; give more frames, or do without --preview")
    if loop:
        made = (_before(plan), *made)
    return replace(plan, passes=made)


def _before(plan: Plan) -> Pass:
    """Frames before the first one, as many as the end needs to run into them: numbered as those of the end."""
    (first, _), (last, frames) = plan.shows[0], plan.shows[-1]
    for number in (first, last):
        section = plan.timeline.sections[number]
        wrong = not isinstance(section, Dreamed) or section.direction != "forward"
        if wrong or (number == first and getattr(section, "start", "") not in plan.timeline.script.pictures):
            raise plan.timeline.error(
                ("section", number),
                f"'{section.name}' cannot be looped; a loop begins with a picture that is dreamed on, and ends so",
            )
    made = grid(frames, plan.every)
    span = made[-turning_frames(plan.timeline.script.fps / plan.every, len(made)) :]
    return Pass("before", last, span[::-1], kept=range(span.start, frames.stop), store="loop")


class _Order:
    """Puts what has to be done into an order in which everything comes behind what it needs."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.timeline = plan, plan.timeline
        self.made: list[Pass] = []
        self._rendered: set[int] = set()
        self._under_way: list[int] = []

    def passes(self) -> list[Pass]:
        for number, frames in self.plan.shows:
            section = self.timeline.sections[number]
            live = self._is_live(section) and number not in self._rendered
            self.need(number, frames if live else range(0))
            if not live:
                self._add(Pass("play", number, frames, shown=frames, store=self._store(number)))
        return self.made

    def _is_live(self, section: Section) -> bool:
        """Whether its frames can be shown as they are made."""
        if isinstance(section, Merge):
            return section.method != "passes"
        return isinstance(section, Still) or section.direction == "forward"

    def _store(self, number: int) -> str:
        section = self.timeline.sections[number]
        if isinstance(section, Merge):
            return f"{number}-back-{len(section.passes)}"
        return str(number)

    def need(self, number: int, shown: range) -> None:
        """Have a section made, with all that it needs; `shown` of its frames go into the film at once."""
        if number in self._rendered:
            return
        section = self.timeline.sections[number]
        if number in self._under_way:
            circle = " -> ".join(self.timeline.sections[each].name for each in [*self._under_way, number])
            raise self.timeline.error(("section", number, "start"), f"these sections go on from each other: {circle}")
        self._under_way.append(number)
        for other in self._needs(section):
            self.need(other, range(0))
        self._under_way.pop()
        self._rendered.add(number)
        self.made.extend(self._on_grid(each) for each in self._work(number, section, shown))

    def _needs(self, section: Section) -> Iterator[int]:
        names = section.of if isinstance(section, Merge) else [section.start] if isinstance(section, Dreamed) else []
        for name in names:
            number = self.timeline.number(name)
            if number is not None:
                yield number

    def _work(self, number: int, section: Section, shown: range) -> Iterator[Pass]:
        span = self.plan.spans[number]
        if isinstance(section, Still):
            yield Pass("still", number, span, shown=shown, kept=range(0) if shown else span, store=str(number))
        elif isinstance(section, Dreamed):
            frames = span if section.direction == "forward" else span[::-1]
            yield Pass("dream", number, frames, shown=shown, kept=self._kept(number, shown), store=str(number))
        elif section.method == "passes":
            last = len(section.passes)
            for each in range(1, last + 1):
                if each < last:
                    yield Pass("forth", number, span, kept=span, store=f"{number}-forth-{each}", round=each)
                yield Pass("back", number, span[::-1], kept=span, store=f"{number}-back-{each}", round=each)
        else:
            yield Pass("mix", number, span, shown=shown, kept=range(0) if shown else span, store=str(number))

    def _kept(self, number: int, shown: range) -> range:
        """The frames of a section that have to be put by: shown later, or joined with another's."""
        wanted = [frames for each, frames in self.plan.shows if each == number and not len(shown)]
        for each, section in enumerate(self.timeline.sections):
            if isinstance(section, Merge) and self.timeline.sections[number].name in section.of:
                span = self.plan.spans[each]
                wanted.append(range(span.start - self.plan.every, span.stop + self.plan.every))
        wanted = [each for each in wanted if len(each)]
        if not wanted:
            return range(0)
        own = self.plan.spans[number]
        start, stop = min(each.start for each in wanted), max(each.stop for each in wanted)
        return range(max(own.start, start), min(own.stop, stop))

    def _add(self, work: Pass) -> None:
        self.made.append(self._on_grid(work))

    def _on_grid(self, work: Pass) -> Pass:
        frames = work.frames
        if frames.step < 0:
            return replace(work, frames=grid(range(frames[-1], frames[0] + 1), self.plan.every)[::-1])
        return replace(work, frames=grid(frames, self.plan.every))


def shown_tracks(plan: Plan) -> dict[str, NDArray[np.float64]]:
    """Name -> what the moves and steps of the sections shown come to, for each frame of the film."""
    names = ("zoom", "angle", "shift_x", "shift_y", "step")
    still = {"zoom": 1.0}
    made: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    for number, frames in plan.shows:
        section = plan.timeline.sections[number]
        for name in names:
            value = getattr(section, name, still.get(name, 0.0))
            try:
                track = parse_schedule(value, name).between(frames.start, frames.stop, plan.context)
            except StreamfxError as error:
                raise plan.timeline.error(("section", number, name), str(error)) from error
            made[name].append(track)
    return {name: np.concatenate(tracks) for name, tracks in made.items()}

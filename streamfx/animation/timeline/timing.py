"""When the sections of a timeline are: frames from times, beats and bars, and which of them is shown."""

from __future__ import annotations

import re

import numpy as np

from streamfx.animation.audio_track import Music
from streamfx.animation.schedule import Context, parse_schedule
from streamfx.animation.timeline.loader import Timeline
from streamfx.animation.timeline.schema import Merge, Position
from streamfx.animation.timeline.source_location import Place
from streamfx.errors import StreamfxError

LONGEST = 10**6  # frames
_BARS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*bars?\s*", re.ASCII)
_CLOCK = re.compile(r"\s*(\d+):(\d{1,2}(?:\.\d+)?)\s*", re.ASCII)


def find_spans(timeline: Timeline, music: Music | None) -> list[range]:
    """The frames of each section. Raises StreamfxError for times that cannot be read, or that are none."""
    fps = float(timeline.script.fps)
    count = 1 if music is None else max(1, round(music.duration * fps))
    context = Context(count - 1, fps) if music is None else music.context(fps, count)
    spans: list[range] = []
    for number, section in enumerate(timeline.sections):
        place: Place = ("section", number)
        before = spans[-1].stop if spans else 0

        def at(key: str, position: Position, place: Place = place) -> int:
            return frame_of(timeline, (*place, key), position, context, music is not None)

        start = before if section.start_at is None else at("from", section.start_at)
        if section.end_at is not None:
            stop = at("to", section.end_at)
        elif section.length is not None:
            stop = start + at("length", section.length)
        elif music is not None and number == len(timeline.sections) - 1:
            stop = count
        else:
            raise timeline.error((*place, "to"), "give 'to' or 'length': frames, seconds as '4s', or '8b', '2 bars'")
        if not 0 <= start < stop <= LONGEST:
            raise timeline.error(
                (*place, "to"),
                f"'{section.name}' goes from frame {start} to {stop}; give at least one, below {LONGEST}",
            )
        spans.append(range(start, stop))
    return spans


def frame_of(timeline: Timeline, place: Place, position: Position, context: Context, song: bool) -> int:
    """The frame that a position stands for."""
    if isinstance(position, int):
        return position
    text = position
    if found := _BARS.fullmatch(text):
        text = f"{float(found[1]) * timeline.script.bar:g}b"
    elif found := _CLOCK.fullmatch(text):
        text = f"{60 * int(found[1]) + float(found[2]):.6f}s"
    try:
        schedule = parse_schedule(f"{text}: (0)", f"'{position}'")
        if "max_f" in schedule.names and not song:
            raise StreamfxError(f"'{position}': max_f is known with a song only; give frames or seconds")
        schedule.check(context)
        return round(float(schedule.evaluated(schedule.keys[0].frame, np.zeros(1), context)[0]))
    except StreamfxError as error:
        raise timeline.error(place, str(error)) from error


def find_shows(timeline: Timeline, spans: list[range]) -> list[tuple[int, range]]:
    """Which section is shown when: of two that overlap, a merge that joins them, and they on either side of it."""
    sections = timeline.sections
    shown = {number: spans[number] for number in range(len(sections)) if not isinstance(sections[number], Merge)}
    for number, section in enumerate(sections):
        if isinstance(section, Merge):
            _join(timeline, spans, number, section, shown)
    order = sorted((each.start, each.stop, number) for number, each in shown.items() if len(each))
    reached, last = 0, -1
    for start, stop, number in order:
        name = sections[number].name
        if start > reached:
            after = f" behind '{sections[last].name}'" if last >= 0 else ""
            reason = f"frames {reached} to {start - 1} are in no section; begin '{name}' at {reached}{after}"
            raise timeline.error(("section", number, "from"), reason)
        if start < reached:
            both = f"'{sections[last].name}' and '{name}' both have frames {start} to {min(stop, reached) - 1}"
            raise timeline.error(("section", number, "from"), f"{both}; shorten one, or join them by a merge")
        reached, last = stop, number
    return [(number, range(start, stop)) for start, stop, number in order]


def _join(timeline: Timeline, spans: list[range], number: int, merge: Merge, shown: dict[int, range]) -> None:
    """Show the merge between its two sections, and them up to it and from it on."""
    first, second = (timeline.number(name) for name in merge.of)
    assert first is not None
    assert second is not None
    span = spans[number]
    for key, which in enumerate((first, second)):
        missing = not (spans[which].start <= span.start and span.stop <= spans[which].stop)
        if missing or which not in shown:
            have = spans[which]
            reason = f"'{merge.name}' joins frames {span.start} to {span.stop - 1}, but '{merge.of[key]}' has "
            reason += f"{have.start} to {have.stop - 1}" if missing else "none left to show"
            raise timeline.error(("section", number, "of", key), reason)
    if first == second:
        raise timeline.error(("section", number, "of"), "a merge joins two sections; these are one")
    shown[first] = range(shown[first].start, min(shown[first].stop, span.start))
    shown[second] = range(max(shown[second].start, span.stop), shown[second].stop)
    shown[number] = span

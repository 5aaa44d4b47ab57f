"""The frames of a timeline's sections: positions in time, beats and bars as frames, and which section is shown when."""

from __future__ import annotations

import re

import numpy as np

from streamfx.animation.audio_track import AudioAnalysis
from streamfx.animation.context import Context
from streamfx.animation.schedule import parse_schedule
from streamfx.animation.timeline.loader import Timeline
from streamfx.animation.timeline.schema import MergeSection, Position
from streamfx.animation.timeline.source_location import SourceLocation
from streamfx.errors import StreamfxError

MAX_FRAMES = 10**6
_BARS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*bars?\s*", re.ASCII)
_CLOCK = re.compile(r"\s*(\d+):(\d{1,2}(?:\.\d+)?)\s*", re.ASCII)


def find_section_frames(timeline: Timeline, audio: AudioAnalysis | None) -> list[range]:
    """The frames of each section. Raises StreamfxError for invalid positions and empty sections."""
    fps = float(timeline.document.fps)
    count = 1 if audio is None else max(1, round(audio.duration * fps))
    context = Context(count - 1, fps) if audio is None else audio.context(fps, count)
    ranges: list[range] = []
    for number, section in enumerate(timeline.sections):
        location: SourceLocation = ("section", number)
        previous_stop = ranges[-1].stop if ranges else 0

        def frame(key: str, position: Position, location: SourceLocation = location) -> int:
            return frame_at(timeline, (*location, key), position, context, audio is not None)

        start = previous_stop if section.start_at is None else frame("from", section.start_at)
        if section.end_at is not None:
            stop = frame("to", section.end_at)
        elif section.length is not None:
            stop = start + frame("length", section.length)
        elif audio is not None and number == len(timeline.sections) - 1:
            stop = count
        else:
            reason = "give 'to' or 'length' in frames, seconds ('4s'), beats ('8b') or bars ('2 bars')"
            raise timeline.error((*location, "to"), reason)
        if not 0 <= start < stop <= MAX_FRAMES:
            reason = f"'{section.name}' goes from frame {start} to {stop}; give at least one frame, below {MAX_FRAMES}"
            raise timeline.error((*location, "to"), reason)
        ranges.append(range(start, stop))
    return ranges


def frame_at(timeline: Timeline, location: SourceLocation, position: Position, context: Context, audio: bool) -> int:
    """The frame of a position: a frame number, or a text in seconds, beats, bars or an expression."""
    if isinstance(position, int):
        return position
    text = position
    if match := _BARS.fullmatch(text):
        text = f"{float(match[1]) * timeline.document.bar:g}b"
    elif match := _CLOCK.fullmatch(text):
        text = f"{60 * int(match[1]) + float(match[2]):.6f}s"
    try:
        schedule = parse_schedule(f"{text}: (0)", f"'{position}'")
        if len(schedule.keys) > 1:
            raise StreamfxError(f"'{position}' is a schedule; give a single position")
        if "max_f" in schedule.names and not audio:
            raise StreamfxError(f"'{position}': max_f needs audio; give frames or seconds, or a file with --audio")
        schedule.check(context)
        return round(float(schedule.evaluate(schedule.keys[0].frame, np.zeros(1), context)[0]))
    except StreamfxError as error:
        raise timeline.error(location, str(error)) from error


def find_shown_frames(timeline: Timeline, ranges: list[range]) -> list[tuple[int, range]]:
    """(section number, frames of it in the video), in order; a merge replaces the overlap of the sections it joins."""
    sections = timeline.sections
    shown = {number: ranges[number] for number, section in enumerate(sections) if not isinstance(section, MergeSection)}
    for number, section in enumerate(sections):
        if isinstance(section, MergeSection):
            _add_merge(timeline, ranges, number, section, shown)
    order = sorted((frames.start, frames.stop, number) for number, frames in shown.items() if len(frames))
    end, last = 0, -1
    for start, stop, number in order:
        name = sections[number].name
        if start > end:
            after = f", after '{sections[last].name}'" if last >= 0 else ""
            reason = f"no section covers frames {end} to {start - 1}; start '{name}' at frame {end}{after}"
            raise timeline.error(("section", number, "from"), reason)
        if start < end:
            overlap = f"'{sections[last].name}' and '{name}' both cover frames {start} to {min(stop, end) - 1}"
            reason = f"{overlap}; shorten one, or join them with a merge"
            raise timeline.error(("section", number, "from"), reason)
        end, last = stop, number
    return [(number, range(start, stop)) for start, stop, number in order]


def _add_merge(
    timeline: Timeline, ranges: list[range], number: int, merge: MergeSection, shown: dict[int, range]
) -> None:
    """Show the merge between its two sections: the first up to its start, the second from its end."""
    first, second = (timeline.section_number(name) for name in merge.of)
    assert first is not None
    assert second is not None
    frames = ranges[number]
    for index, joined in enumerate((first, second)):
        available = ranges[joined]
        missing = not (available.start <= frames.start and frames.stop <= available.stop)
        if missing or joined not in shown:
            reason = f"'{merge.name}' joins frames {frames.start} to {frames.stop - 1}, but '{merge.of[index]}' has "
            reason += f"frames {available.start} to {available.stop - 1}" if missing else "no frames left to show"
            raise timeline.error(("section", number, "of", index), reason)
    if first == second:
        raise timeline.error(("section", number, "of"), "a merge must join two different sections")
    shown[first] = range(shown[first].start, min(shown[first].stop, frames.start))
    shown[second] = range(max(shown[second].start, frames.stop), shown[second].stop)
    shown[number] = frames

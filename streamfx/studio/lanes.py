"""A timeline file as lanes: its sections over time, the still pictures, and the audio."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from streamfx.errors import ParseError, StreamfxError
from streamfx.studio.chain_edit import Problem

if TYPE_CHECKING:
    from streamfx.animation.audio_track import AudioAnalysis
    from streamfx.animation.timeline.loader import Timeline

Lane: TypeAlias = Literal["dream", "merge", "still"]
LANES: tuple[Lane, ...] = ("dream", "merge", "still")


@dataclass(frozen=True, slots=True)
class Block:
    """A section on its lane."""

    name: str
    lane: Lane
    start: float  # seconds
    seconds: float
    picture: str  # path of the picture that it starts from or shows; "" if it starts from another section
    line: int  # in the file, counted from 1
    text: str  # its part of the file


@dataclass(frozen=True, slots=True)
class Lanes:
    """A timeline over time."""

    seconds: float
    fps: int
    blocks: tuple[Block, ...]
    audio: str  # path of the audio file; "" without one
    analysis: AudioAnalysis | None
    timeline: Timeline


def read_lanes(path: Path, text: str | None = None) -> Lanes | Problem:
    """The lanes of a timeline file, or of other `text` for it; or what is wrong, with the offset in the text.

    Analyzing new audio takes seconds.
    """
    from streamfx.animation.timeline.loader import load_timeline

    draft = path
    try:
        if text is not None:
            draft = path.with_name(f".{path.stem}.draft.toml")  # next to it, because its files are relative
            draft.write_text(text, encoding="utf-8")
        return _lanes(load_timeline(draft))
    except ParseError as error:
        return Problem(str(error).replace(draft.name, path.name), error.offset)
    except StreamfxError as error:
        return Problem(str(error).replace(draft.name, path.name), _line_offset(text or "", str(error)))
    except OSError as error:
        return Problem(f"cannot write '{draft}': {error.strerror}", None)
    finally:
        if draft != path:
            draft.unlink(missing_ok=True)


def save_text(path: Path, text: str) -> None:
    """Replace a timeline file, atomically. Raises StreamfxError."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StreamfxError(f"cannot save '{path.name}': {error.strerror}") from error


def _lanes(timeline: Timeline) -> Lanes:
    from streamfx.animation.audio_track import analyze_audio
    from streamfx.animation.timeline.timing import find_section_frames

    document = timeline.document
    audio = "" if document.audio is None else timeline.find_file(document.audio, ("audio",))
    analysis = analyze_audio(audio) if audio else None
    ranges = find_section_frames(timeline, analysis)
    starts = [timeline.lines.get(("section", number), 1) for number in range(len(timeline.sections))]
    lines = timeline.text.splitlines(keepends=True)
    blocks = []
    for number, (section, frames) in enumerate(zip(timeline.sections, ranges)):
        stop = starts[number + 1] - 1 if number + 1 < len(starts) else len(lines)
        own = "".join(lines[starts[number] - 1 : stop]).strip()
        start, seconds = frames.start / document.fps, len(frames) / document.fps
        picture = _picture(timeline, getattr(section, "picture", "") or getattr(section, "start", ""))
        blocks.append(Block(section.name, section.kind, start, seconds, picture, starts[number], own))
    end = max(frames.stop for frames in ranges) / document.fps
    return Lanes(end, document.fps, tuple(blocks), audio, analysis, timeline)


def _picture(timeline: Timeline, name: str) -> str:
    """The path of a picture of the timeline; "" for a section's name."""
    from streamfx.animation.timeline.scene import picture_file

    return picture_file(timeline, name) if name in timeline.document.pictures else ""


def _line_offset(text: str, message: str) -> int | None:
    """The offset of "line N, column M" in a message of the TOML parser."""
    import re

    found = re.search(r"line (\d+), column (\d+)", message)
    if not found:
        return None
    before = text.splitlines(keepends=True)[: int(found[1]) - 1]
    return min(len(text), sum(map(len, before)) + int(found[2]) - 1)

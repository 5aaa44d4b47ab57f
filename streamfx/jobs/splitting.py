"""Decides whether a job can be split into pieces, and plans them after one fast pass over its source."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from streamfx.chain import build_chain, chain_text
from streamfx.effects.defaults import segment_length
from streamfx.effects.mirror import Mirror
from streamfx.errors import StreamfxError
from streamfx.frame import Effect
from streamfx.jobs.piece_files import Plan
from streamfx.jobs.planner import GRID, plan_pieces, warm_up_of
from streamfx.jobs.preparation import Task, reason_not_resumable
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import Filter
from streamfx.media.input.resume_points import stateful_filter
from streamfx.media.input.scan import scan_source
from streamfx.media.output.encoder import Layout
from streamfx.media.output.segments import Segments
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

MIN_LENGTH = 100  # frames of a piece by default: loading networks and the warm-up should cost at most a tenth
PIECES_PER_SLOT = 4  # so that no worker waits long for the last one


def why_not_split(task: Task) -> str:
    """Why a job must run from its first frame to its last; empty if it can be split."""
    if task.reader is None:
        return "each frame of a video from an image depends on the one before"
    if task.files is None and "://" not in task.reader.name:
        return f"{'stdin' if task.reader.name == '-' else task.reader.name} can be read only once"
    if task.files is not None and (reason := reason_not_resumable(task)):
        return reason
    try:
        same = build_chain(chain_text(task.chain)) == list(task.chain)
    except StreamfxError:
        same = False
    if not same:
        return "an effect of the chain has no name in EFFECTS, so other processes cannot build it"
    if warm_up_of(task.chain) is None:
        return "an effect of the chain needs the frames of a whole shot, also later ones"
    if all(isinstance(effect, Filters) for effect in task.chain) and (name := stateful_filter(leading_filters(task))):
        return f"the filter {name} depends on earlier frames"
    return ""


def leading_filters(task: Task) -> Sequence[Filter]:
    """The FFmpeg filters in front of the effects, which run while the source is read."""
    first = task.chain[0] if task.chain else None
    return first.nodes if isinstance(first, Filters) else ()


def make_plan(task: Task, slots: int, *, exact: bool, progress: Callable[[Fraction], None]) -> Plan:
    """Read the source once and split the job for `slots` simultaneous tasks.

    `progress` is called after each frame, with its end in seconds.
    """
    assert task.reader is not None
    warm_up = warm_up_of(task.chain)
    assert warm_up is not None
    with task.reader.reopen() as reader:
        scan = scan_source(reader, leading_filters(task), GRID, cuts=warm_up > 0, progress=progress)
        damaged_at = reader.damaged_at
    if not scan.frames:
        raise StreamfxError(f"the chain produced no frames; '{task.target}' was not written")
    length = task.job.segment or _default_length(task.chain, scan.frames, slots)
    pieces = plan_pieces(scan, math.inf if exact and warm_up else warm_up, length)
    rate = 1 / scan.duration if scan.duration else Fraction(25)
    return Plan(task.fingerprint, length, exact, first_layout(task), rate, damaged_at, tuple(pieces))


def why_one_piece(task: Task, *, exact: bool) -> str:
    """Why the plan of a job has only one piece."""
    warm_up = warm_up_of(task.chain)
    if warm_up == math.inf:
        return "it is one shot, and this effect can be split only at cuts"
    if exact and warm_up:
        return "it is one shot, and --exact splits only at cuts"
    return "it is short; a smaller --segment splits it"


def _default_length(chain: Sequence[Effect], frames: int, slots: int) -> int:
    longest = min((segment_length(effect) for effect in chain), default=MIN_LENGTH)
    return min(longest, max(MIN_LENGTH, math.ceil(frames / (PIECES_PER_SLOT * slots))))


def first_layout(task: Task) -> Layout:
    """How the video is encoded, by its first frame.

    The effects are replaced by one that is fast: those that can be split change neither size nor time.
    """
    assert task.reader is not None
    chain = [effect if isinstance(effect, Filters) else Mirror() for effect in task.chain]
    with tempfile.TemporaryDirectory(prefix="streamfx-") as folder, task.reader.reopen() as reader:
        writer = Writer(task.target, reader, replace(task.output, overwrite=True))
        segments = Segments(Path(folder))
        writer.use_segments(segments)
        try:
            run(reader, chain, writer, device=task.job.device, stop=1)
            writer.close_segment(last=True)
        finally:
            writer.abandon()
    if segments.layout is None:
        raise StreamfxError(f"the chain produced no frames; '{task.target}' was not written")
    return segments.layout

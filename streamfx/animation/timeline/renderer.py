"""Timelines as an effect: each input frame triggers one unit of work, and output frames follow as they are rendered."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from streamfx.animation.loop import crossfade_weight
from streamfx.animation.timeline.merge import MergeRenderer
from streamfx.animation.timeline.planner import Pass, Plan, merge_cache
from streamfx.animation.timeline.scene import Scene
from streamfx.animation.timeline.schema import DreamSection, MergeSection, StillSection
from streamfx.animation.timeline.section import DREAM_KEYS, DreamRenderer, OutputFades
from streamfx.deepdream.networks import Network
from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step, memory_tensor
from streamfx.media.frame_cache import read_chunk, write_chunk

CHUNK_FRAMES = 16  # frames per cache file
_OPEN_CHUNKS = 3  # cache files held in memory


@dataclass(frozen=True, slots=True, eq=False)
class Render:
    """Renders a plan: takes `plan.units` frames, whose content is ignored, and returns `plan.count`.

    Its memory holds the canvas, the state of sections that later ones start from, and up to CHUNK_FRAMES frames not yet
    written to the cache. `folder` caches frames that are needed later; keep its contents until the run is done.
    """

    plan: Plan
    size: tuple[int, int]  # height and width of the video, pixels
    network: Network
    folder: Path
    weights: str = ""
    seed: int = 0
    natural_colors: bool = True  # see `streamfx.deepdream.ascent.with_natural_colors`

    segment_length: ClassVar = 60
    uses_all_cores: ClassVar = True

    def describe(self) -> str:
        """The settings of the video, for its comment."""
        plan = self.plan
        timeline = plan.timeline
        digest = sha256(timeline.text.encode()).hexdigest()[:16]
        free = "" if self.natural_colors else " colors=free"
        loop = " loop" if plan.passes[0].kind == "preroll" else ""
        return (
            f"render {timeline.path.name} ({digest}) model={self.network.name} seed={self.seed} stride={plan.stride} "
            f"from={plan.first} frames={plan.count}{loop}{free}"
        )

    def build(self, device: torch.device) -> Step:
        """The step that renders the video; pictures and networks are loaded on first use."""
        renderer = _UnitRenderer(self, device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            unit = _count(memory, "unit")
            if unit == 0:
                shutil.rmtree(self.folder, ignore_errors=True)  # left over from another video
            if unit < self.plan.units:
                yield from renderer.render(unit, memory)
            memory["unit"] = unit + 1

        return step


class _UnitRenderer:
    """Renders units of work. All state that it keeps between them can be computed or read again."""

    def __init__(self, effect: Render, device: torch.device) -> None:
        self.effect, self.plan = effect, effect.plan
        self.scene = Scene(
            *(effect.plan, effect.size, effect.network, effect.weights, effect.seed, effect.natural_colors), device
        )
        self.dreams: dict[int, DreamRenderer] = {}
        self.merges: dict[int, MergeRenderer] = {}
        self.fades: dict[int, OutputFades] = {}
        self.sections = effect.plan.timeline.sections
        for number in {work.section for work in effect.plan.passes}:  # reports invalid schedules before rendering
            section = self.sections[number]
            self.fades[number] = OutputFades(self.scene, number, section)
            if isinstance(section, DreamSection):
                self.dreams[number] = DreamRenderer(self.scene, number, section)
            elif isinstance(section, MergeSection):
                self.merges[number] = MergeRenderer(self.scene, number, section)
        self._chunks: dict[Path, Tensor] = {}
        self._indices: dict[str, dict[int, int]] = {}

    def render(self, unit: int, memory: Memory) -> Iterator[Frame]:
        """Render one unit; yields its frame if it is shown."""
        work, index = self.plan.find(unit)
        frame, replay = work.frames[index], work.kind == "replay"
        canvas = self._cached(work.cache, frame) if replay else self._canvas(work, index, memory)
        if frame in work.cached and not replay:
            self._cache(work, canvas, memory)
        if frame in work.shown:
            yield self._output_frame(work, frame, canvas)
        if index == len(work.frames) - 1:
            self._finish(work, memory)

    def _canvas(self, work: Pass, index: int, memory: Memory) -> Tensor:
        """The newly rendered canvas of the frame at `index` in a pass."""
        section, frame = self.sections[work.section], work.frames[index]
        if isinstance(section, StillSection):
            return self.scene.picture(section.picture)
        if isinstance(section, MergeSection):
            return self._merged_canvas(work, index, memory, section)
        dream = self.dreams[work.section]
        if index == 0:
            self._start(work, memory, section)
        starts_from_picture = self.plan.start_of(section) in self.plan.timeline.document.pictures
        if index > 0 or work.kind == "preroll" or not starts_from_picture:
            previous = work.frames[index - 1] if index else frame - work.frames.step
            dream.advance(memory, previous, frame, *self._loop_goal(work, index))
        return memory_tensor(memory, "canvas")

    def _loop_goal(self, work: Pass, index: int) -> tuple[Tensor | None, float]:
        """The preroll canvas that a loop crossfades into, and its weight 0..1 in this frame."""
        preroll, last = self.plan.passes[0], self.plan.shown[-1][0]
        if preroll.kind != "preroll" or work.kind == "preroll" or work.section != last:
            return None, 0.0
        weight = crossfade_weight(len(work.frames) - index, len(preroll.frames))
        return (self._cached("loop", work.frames[index]), weight) if weight else (None, 0.0)

    def _start(self, work: Pass, memory: Memory, section: DreamSection) -> None:
        """Set the canvas that a section starts from; a copy is kept if a merge needs it."""
        if work.kind == "preroll":
            first = self.sections[self.plan.shown[0][0]]
            assert isinstance(first, DreamSection)
            self.dreams[work.section].start(memory, self.scene.picture(first.start))
            return
        start = self.plan.start_of(section)
        if start in self.plan.timeline.document.pictures:
            self.dreams[work.section].start(memory, self.scene.picture(start))
        else:
            number = self.plan.timeline.section_number(start)
            for key in DREAM_KEYS:
                memory[key] = memory[f"end.{number}.{key}"]
            self._release(number, work, memory)
        if any(isinstance(other, MergeSection) and section.name in other.of for other in self.sections):
            memory[f"start.{work.section}"] = memory_tensor(memory, "canvas")

    def _release(self, number: int | None, work: Pass, memory: Memory) -> None:
        """Delete the state at the end of a section if no pass after `work` starts from it."""
        later = [self.sections[other.section] for other in self.plan.passes[self.plan.passes.index(work) + 1 :]]
        name = None if number is None else self.sections[number].name
        if not any(isinstance(other, DreamSection) and self.plan.start_of(other) == name for other in later):
            for key in DREAM_KEYS:
                del memory[f"end.{number}.{key}"]

    def _merged_canvas(self, work: Pass, index: int, memory: Memory, section: MergeSection) -> Tensor:
        merge, frame = self.merges[work.section], work.frames[index]
        first, second = (self.plan.timeline.section_number(name) for name in section.of)
        assert first is not None
        assert second is not None
        if work.kind == "blend":
            return merge.blend(self._cached(str(first), frame), self._cached(str(second), frame), frame)
        forward = work.kind == "forward"
        previous = frame - work.frames.step
        if index == 0:
            memory["canvas"] = self._adjacent(first if forward else second, previous, memory)
        if work.round == 1:
            opposite = str(second if forward else first)
        else:
            opposite = merge_cache(work.section, "backward" if forward else "forward", work.round - 1)
        canvas = memory_tensor(memory, "canvas")
        canvas = merge.advance(canvas, self._cached(opposite, frame), previous, frame, work.round)
        memory["canvas"] = canvas
        return canvas

    def _adjacent(self, number: int, frame: int, memory: Memory) -> Tensor:
        """The canvas of a section next to a merge; where the section has no frame there, the canvas it starts from."""
        if frame in self.plan.writer_of(str(number)).cached:
            return self._cached(str(number), frame)
        return memory_tensor(memory, f"start.{number}")

    def _finish(self, work: Pass, memory: Memory) -> None:
        """After the last frame of a pass, write its pending frames, and keep the state that later sections need."""
        if work.cached and work.kind != "replay":
            self._write(work, _count(memory, "cached"), memory)
            memory["cached"] = 0
        if work.kind == "dream":
            name = self.sections[work.section].name
            rendered = (self.sections[other.section] for other in self.plan.passes)
            if any(isinstance(other, DreamSection) and self.plan.start_of(other) == name for other in rendered):
                for key in DREAM_KEYS:
                    memory[f"end.{work.section}.{key}"] = memory[key]

    def _output_frame(self, work: Pass, frame: int, canvas: Tensor) -> Frame:
        plan = self.plan
        duration = Fraction(plan.stride, plan.timeline.document.fps)
        first = -(-plan.first // plan.stride)
        number = frame // plan.stride - first
        image = self.fades[work.section].apply(canvas, frame)
        return Frame(image.clamp(0, 1), number * duration, duration)

    # the disk cache: chunks of frames in the order in which they are rendered

    def _cache(self, work: Pass, canvas: Tensor, memory: Memory) -> None:
        count = _count(memory, "cached")
        memory[f"pending.{count % CHUNK_FRAMES}"] = (canvas.clamp(0, 1) * 255).round_().byte().cpu()
        memory["cached"] = count + 1
        if (count + 1) % CHUNK_FRAMES == 0:
            self._write(work, count + 1, memory)

    def _write(self, work: Pass, count: int, memory: Memory) -> None:
        """Write the pending frames; `count` frames of the pass have been rendered for the cache."""
        keys = [f"pending.{index}" for index in range(CHUNK_FRAMES) if f"pending.{index}" in memory]
        if not keys:
            return
        path = self._chunk_path(work.cache, (count - 1) // CHUNK_FRAMES)
        write_chunk(path, torch.stack([memory_tensor(memory, key) for key in keys]))
        for key in keys:
            del memory[key]

    def _chunk_path(self, cache: str, chunk: int) -> Path:
        return self.effect.folder / f"{cache}-{chunk:05}.nut"

    def _cached(self, cache: str, frame: int) -> Tensor:
        """A canvas from the cache."""
        index = self._cache_indices(cache).get(frame)
        if index is None:
            raise StreamfxError(f"no cached frame {frame} in '{self.effect.folder}'; start the run over")
        path = self._chunk_path(cache, index // CHUNK_FRAMES)
        if path not in self._chunks:
            while len(self._chunks) >= _OPEN_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
            self._chunks[path] = read_chunk(path)
        return self._chunks[path][index % CHUNK_FRAMES].to(self.scene.device).float().div_(255)

    def _cache_indices(self, cache: str) -> dict[int, int]:
        """Frame -> its index among the frames in `cache`."""
        if cache not in self._indices:
            work = self.plan.writer_of(cache)
            cached = (frame for frame in work.frames if frame in work.cached)
            self._indices[cache] = {frame: index for index, frame in enumerate(cached)}
        return self._indices[cache]


def _count(memory: Memory, key: str) -> int:
    value = memory.get(key, 0)
    assert isinstance(value, int)
    return value

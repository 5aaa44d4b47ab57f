"""A timeline as one effect: each frame that comes in is a unit of work, those of the film go out as they are made."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from streamfx.animation.loop import pull
from streamfx.animation.timeline.merge import Merger
from streamfx.animation.timeline.planner import Pass, Plan
from streamfx.animation.timeline.scene import Studio
from streamfx.animation.timeline.schema import Dreamed, Merge, Still
from streamfx.animation.timeline.section import Dreamer, Fader, tensor
from streamfx.deepdream.networks import Network
from streamfx.errors import StreamfxError
from streamfx.frame import Frame, Memory, Step
from streamfx.media.frame_cache import read_chunk, write_chunk

CHUNK = 16  # pictures in a file


@dataclass(frozen=True, slots=True, eq=False)
class Render:
    """Makes the film of a plan; takes `plan.units` frames, whatever is on them, and gives `plan.count`.

    It remembers its canvas, what later sections go on from, and up to CHUNK pictures that are not put by yet. Pictures
    that are needed out of their order lie in `folder`; what is in it has to stay until the film is done.
    """

    plan: Plan
    size: tuple[int, int]  # height and width of the film, pixels
    network: Network
    folder: Path
    weights: str = ""
    seed: int = 0

    def build(self, device: torch.device) -> Step:
        """The step that makes the film; reads pictures and networks when they are needed."""
        work = _Work(self, device)

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            unit = _number(memory, "unit")
            if unit == 0:
                shutil.rmtree(self.folder, ignore_errors=True)  # of another film
            if unit < self.plan.units:
                yield from work.do(unit, memory)
            memory["unit"] = unit + 1

        return step


class _Work:
    """Does units of work. All that it keeps between them is what can be made or read again."""

    def __init__(self, render: Render, device: torch.device) -> None:
        self.render, self.plan = render, render.plan
        self.studio = Studio(render.plan, render.size, render.network, render.weights, render.seed, device)
        self.dreamers: dict[int, Dreamer] = {}
        self.mergers: dict[int, Merger] = {}
        self.faders: dict[int, Fader] = {}
        self.sections = render.plan.timeline.sections
        for number in {each.section for each in render.plan.passes}:  # their mistakes are told before anything is made
            section = self.sections[number]
            self.faders[number] = Fader(self.studio, number, section)
            if isinstance(section, Dreamed):
                self.dreamers[number] = Dreamer(self.studio, number, section)
            elif isinstance(section, Merge):
                self.mergers[number] = Merger(self.studio, number, section)
        self._read: dict[Path, Tensor] = {}
        self._orders: dict[str, dict[int, int]] = {}

    def do(self, unit: int, memory: Memory) -> Iterator[Frame]:
        """One unit; what of the film is done by it."""
        work, at = self.plan.find(unit)
        frame = work.frames[at]
        canvas = self._play(work, frame) if work.work == "play" else self._made(work, at, memory)
        if frame in work.kept and work.work != "play":
            self._keep(work, frame, canvas, memory)
        if frame in work.shown:
            yield self._shown(work, frame, canvas)
        if at == len(work.frames) - 1:
            self._end(work, memory)

    def _made(self, work: Pass, at: int, memory: Memory) -> Tensor:
        """The canvas of a frame that is made now."""
        section, frame = self.sections[work.section], work.frames[at]
        if isinstance(section, Still):
            return self.studio.picture(section.picture)
        if isinstance(section, Merge):
            return self._merged(work, at, memory, section)
        dreamer = self.dreamers[work.section]
        if at == 0:
            self._begin(work, memory, section)
        if at > 0 or work.work == "before" or section.start not in self.plan.timeline.script.pictures:
            before = work.frames[at - 1] if at else frame - work.frames.step
            dreamer.advance(memory, before, frame, *self._goal(work, at))
        return tensor(memory, "canvas")

    def _goal(self, work: Pass, at: int) -> tuple[Tensor | None, float]:
        """What a film that loops runs into, and how far it does so in this frame."""
        first, last = self.plan.passes[0], self.plan.shows[-1][0]
        if first.work != "before" or work.work == "before" or work.section != last:
            return None, 0.0
        share = pull(len(work.frames) - at, len(first.frames))
        return (self._put_by("loop", work.frames[at]), share) if share else (None, 0.0)

    def _begin(self, work: Pass, memory: Memory, section: Dreamed) -> None:
        """The canvas from which a section starts; where it is joined with another one, that is kept."""
        if work.work == "before":
            first = self.sections[self.plan.shows[0][0]]
            assert isinstance(first, Dreamed)
            self.dreamers[work.section].begin(memory, self.studio.picture(first.start))
            return
        if section.start in self.plan.timeline.script.pictures:
            self.dreamers[work.section].begin(memory, self.studio.picture(section.start))
        else:
            number = self.plan.timeline.number(section.start)
            for name in ("canvas", "still", "moved", "aim"):
                memory[name] = memory[f"end.{number}.{name}"]
            self._forget(number, work, memory)
        if any(isinstance(each, Merge) and section.name in each.of for each in self.sections):
            memory[f"begin.{work.section}"] = tensor(memory, "canvas")

    def _forget(self, number: int | None, now: Pass, memory: Memory) -> None:
        """Let go of a section's end from which no later one goes on."""
        later = self.plan.passes[self.plan.passes.index(now) + 1 :]
        name = None if number is None else self.sections[number].name
        if not any(getattr(self.sections[each.section], "start", None) == name for each in later):
            for key in ("canvas", "still", "moved", "aim"):
                del memory[f"end.{number}.{key}"]

    def _merged(self, work: Pass, at: int, memory: Memory, merge: Merge) -> Tensor:
        merger, frame = self.mergers[work.section], work.frames[at]
        first, second = (self.plan.timeline.number(name) for name in merge.of)
        assert first is not None
        assert second is not None
        if work.work == "mix":
            return merger.mixed(self._put_by(str(first), frame), self._put_by(str(second), frame), frame)
        forth = work.work == "forth"
        before = frame - work.frames.step
        if at == 0:
            memory["canvas"] = self._beside(first if forth else second, before, memory)
        if work.round == 1:
            other = str(second if forth else first)
        else:
            other = f"{work.section}-{'back' if forth else 'forth'}-{work.round - 1}"
        canvas = merger.advance(tensor(memory, "canvas"), self._put_by(other, frame), before, frame, work.round)
        memory["canvas"] = canvas
        return canvas

    def _beside(self, number: int, frame: int, memory: Memory) -> Tensor:
        """The canvas of a section beside a merge; where it begins there, that from which it started."""
        if frame in self.plan.pass_of(str(number)).kept:
            return self._put_by(str(number), frame)
        return tensor(memory, f"begin.{number}")

    def _end(self, work: Pass, memory: Memory) -> None:
        """After the last frame of a pass: put by what is pending, keep what later ones go on from, drop the rest."""
        if work.kept and work.work != "play":
            self._write(work, _number(memory, "kept"), memory)
            memory["kept"] = 0
        if work.work == "dream":
            name = self.sections[work.section].name
            if any(isinstance(each, Dreamed) and each.start == name for each in self.sections):
                for key in ("canvas", "still", "moved", "aim"):
                    memory[f"end.{work.section}.{key}"] = memory[key]

    def _shown(self, work: Pass, frame: int, canvas: Tensor) -> Frame:
        plan = self.plan
        each = Fraction(plan.every, plan.timeline.script.fps)
        first = -(-plan.first // plan.every)
        number = frame // plan.every - first
        picture = self.faders[work.section].show(canvas, frame)
        return Frame(picture.clamp(0, 1), number * each, each)

    # pictures that are put by: in chunks, in the order in which they are made

    def _keep(self, work: Pass, frame: int, canvas: Tensor, memory: Memory) -> None:
        count = _number(memory, "kept")
        memory[f"pending.{count % CHUNK}"] = (canvas.clamp(0, 1) * 255).round_().byte().cpu()
        memory["kept"] = count + 1
        if (count + 1) % CHUNK == 0:
            self._write(work, count + 1, memory)

    def _write(self, work: Pass, count: int, memory: Memory) -> None:
        names = [f"pending.{at}" for at in range(CHUNK) if f"pending.{at}" in memory]
        if not names:
            return
        write_chunk(self._file(work.store, (count - 1) // CHUNK), torch.stack([tensor(memory, name) for name in names]))
        for name in names:
            del memory[name]

    def _file(self, store: str, chunk: int) -> Path:
        return self.render.folder / f"{store}-{chunk:05}.nut"

    def _put_by(self, store: str, frame: int) -> Tensor:
        """A canvas that was put by."""
        at = self._order(store).get(frame)
        if at is None:
            raise StreamfxError(f"frame {frame} was not put by in '{self.render.folder}'; start the film anew")
        file = self._file(store, at // CHUNK)
        if file not in self._read:
            while len(self._read) > 2:
                del self._read[next(iter(self._read))]
            self._read[file] = read_chunk(file)
        return self._read[file][at % CHUNK].to(self.studio.device).float().div_(255)

    def _order(self, store: str) -> dict[int, int]:
        """Frame -> its number among those that are put by in `store`."""
        if store not in self._orders:
            work = self.plan.pass_of(store)
            kept = (frame for frame in work.frames if frame in work.kept)
            self._orders[store] = {frame: at for at, frame in enumerate(kept)}
        return self._orders[store]

    def _play(self, work: Pass, frame: int) -> Tensor:
        return self._put_by(work.store, frame)


def _number(memory: Memory, name: str) -> int:
    kept = memory.get(name, 0)
    assert isinstance(kept, int)
    return kept

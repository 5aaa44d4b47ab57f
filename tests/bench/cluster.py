"""Measures rendering in pieces: seams by warm-up, CPU seconds by executor, and a simulation of larger clusters.

python tests/bench/cluster.py seams CLIP ...     difference after a seam in a long shot, by the frames of warm-up
python tests/bench/cluster.py cost CLIP [N ...]  wall clock and CPU seconds with N processes, and in one run
python tests/bench/cluster.py nodes CLIP         the same with a Ray cluster of one and of two nodes, each with one CPU
python tests/bench/cluster.py growth             speedup of 1 to 256 nodes, from measured times
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import resource
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from ray_nodes import SETTINGS, RayNodes

from streamfx.effects.defaults import resolve
from streamfx.effects.style import Style
from streamfx.frame import Frame
from streamfx.jobs.executor import Distribution
from streamfx.jobs.in_process import InProcess
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.processes import LocalProcesses
from streamfx.jobs.ray_cluster import RayCluster
from streamfx.jobs.render_piece import limit_torch
from streamfx.media.encoding import Output
from streamfx.media.filters.graph import Filter
from streamfx.media.input.reader import Reader
from streamfx.media.threads import limit_threads

CPU = torch.device("cpu")
SEAM, AFTER = 60, 10  # frame of the seam; frames after it that are compared
WARM_UPS = 0, 5, 10, 20, 40
SIZE = Filter("scale", "640:360")


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    seams = commands.add_parser("seams")
    seams.add_argument("clips", nargs="+")
    seams.add_argument("--preset", default="vangogh")
    seams.add_argument("--quality", default="fine")
    cost = commands.add_parser("cost")
    cost.add_argument("clip")
    cost.add_argument("workers", nargs="*", type=int, default=[1, 2])
    nodes = commands.add_parser("nodes")
    nodes.add_argument("clip")
    nodes.add_argument("--chain", default="style=preset=vangogh")
    commands.add_parser("growth")
    options = parser.parse_args()
    if options.command == "seams":
        for clip in options.clips:
            print_seams(clip, Style(preset=options.preset, quality=options.quality))
    elif options.command == "cost":
        print_costs(options.clip, options.workers)
    elif options.command == "nodes":
        print_nodes(options.clip, options.chain)
    else:
        print_growth()


def print_seams(clip: str, style: Style) -> None:
    """Print the mean absolute difference to one run, in 8-bit levels, for each frame after a seam."""
    effect = resolve(style, CPU, Fraction(0))  # chooses the precision
    with Reader(clip) as reader:
        frames = [frame for frame, _ in zip(reader.frames((SIZE,)), range(SEAM + AFTER))]
    if any(frame.cut for frame in frames):
        print(f"{clip}: has a cut in its first {len(frames)} frames")
    whole = render(effect, frames)[SEAM:]
    for warm_up in WARM_UPS:
        parts = render(effect, frames[SEAM - warm_up :])[warm_up:]
        levels = [float((a - b).abs().mean()) * 255 for a, b in zip(whole, parts)]
        shown = " ".join(f"{level:.2f}" for level in levels)
        print(f"{Path(clip).name} {style.preset} {style.quality}: warm-up {warm_up:2}: {shown}", flush=True)


def render(effect: Style, frames: list[Frame]) -> list[torch.Tensor]:
    """The stylized images of consecutive frames, from an empty memory."""
    step, memory = effect.build(CPU), {}
    return [output.image for frame in frames for output in step(frame, memory)]


def print_costs(clip: str, workers: list[int]) -> None:
    """Print frames, wall clock and CPU seconds of this process and its children, for one run and for N processes."""
    for count in (0, *workers):
        with tempfile.TemporaryDirectory() as folder:
            job = Job(clip, Path(folder, "out.mp4"), "style", Output(audio=False), size=(640, 360), segment=100)
            began, before = time.monotonic(), cpu_seconds()
            distribution = Distribution(LocalProcesses(count)) if count else None
            frames = run_job(job, distribution=distribution).frames
            wall, cpu = time.monotonic() - began, cpu_seconds() - before
        name = f"{count} processes" if count else "one run"
        print(f"{name}: {frames} frames, {wall:.1f} s, {cpu:.1f} CPU seconds", flush=True)


def print_nodes(clip: str, chain: str) -> None:
    """Print wall clock and CPU seconds of the same pieces in this process, and on one and two nodes of a Ray cluster.

    The processes of Ray have started, and have rendered a short video, before the clock starts.
    """
    os.environ.update(SETTINGS)
    limit_threads(1)
    limit_torch(1)
    with tempfile.TemporaryDirectory() as folder:
        short = Job(clip, Path(folder, "short.mp4"), chain, Output(audio=False), size=(640, 360), segment=10, end=1)
        job = replace(short, target=Path(folder, "out.mp4"), segment=100, end=None)
        run_job(short, distribution=Distribution(InProcess()))
        began, before = time.monotonic(), cpu_seconds()
        frames = run_job(job, distribution=Distribution(InProcess())).frames
        print(f"{frames} frames in this process: {time.monotonic() - began:.1f} s, {cpu_seconds() - before:.1f} CPU s")
        for count in (1, 2):
            began = time.monotonic()
            with RayNodes(count) as nodes, RayCluster(nodes.address, device="cpu") as cluster:
                ready = time.monotonic()
                run_job(replace(short, target=Path(folder, f"short{count}.mp4")), distribution=Distribution(cluster))
                print(f"{count} nodes started in {ready - began:.1f} s, tasks in {time.monotonic() - ready:.1f} s")
                before = [cpu_seconds(), *(nodes.cpu_seconds(number) for number in range(count))]
                began = time.monotonic()
                run_job(replace(job, target=Path(folder, f"{count}.mp4")), distribution=Distribution(cluster))
                wall = time.monotonic() - began
                after = [cpu_seconds(), *(nodes.cpu_seconds(number) for number in range(count))]
            used = [f"{end - start:.1f}" for start, end in zip(before, after)]
            print(f"{count} nodes: {wall:.1f} s; CPU s: command {used[0]}, nodes {', '.join(used[1:])}", flush=True)


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def print_growth(
    frames: int = 172_800, per_frame: float = 0.13, scan: float = 0.0016, join: float = 0.0001, start: float = 0.5
) -> None:
    """Print the hours and the speedup of 1 to 64 nodes with one core on a film, by piece length.

    `per_frame` are seconds of a node for a frame, `scan` and `join` those of the first pass and of joining, `start`
    those until a task renders its first frame.
    """
    for length in (100, 300):
        tasks = [(length + 10) * per_frame + start] * math.ceil(frames / length)
        for nodes in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            wall = frames * (scan + join) + makespan(tasks, nodes)
            print(f"| {length} | {nodes} | {wall / 3600:.2f} | {frames * per_frame / wall:.1f} |")


def makespan(tasks: list[float], nodes: int) -> float:
    """Seconds until all tasks are done, each on the node that is free first."""
    free = [0.0] * nodes
    for seconds in tasks:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


if __name__ == "__main__":
    main()

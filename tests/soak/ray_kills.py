"""Kills parts of a Ray cluster at random moments of a run, and compares the videos.

python tests/soak/ray_kills.py --runs 20 [--only node raylet worker driver disk source]
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from kills import content_hashes
from ray_nodes import SETTINGS, RayNodes

from streamfx.errors import StreamfxError
from streamfx.jobs.executor import Distribution
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.ray_cluster import RayCluster

SEGMENTS = 8
LENGTH = 25  # frames of a segment
CHAINS = "fps=20,trails=0.5,hue=s=2", "style=quality=fast"


class Soak:
    """Runs on a cluster of two nodes; the second one is replaced when it is lost."""

    def __init__(
        self, folder: Path, nodes: RayNodes, cluster: RayCluster, rng: random.Random, chains: list[str]
    ) -> None:
        self.folder, self.nodes, self.cluster, self.rng = folder, nodes, cluster, rng
        self.second = 1  # number of the node that is killed
        self.video = folder / "in.mp4"
        seconds = SEGMENTS * LENGTH / 20
        shown, heard = (
            f"{kind}:duration={seconds}" for kind in ("testsrc2=size=160x120:rate=20", "sine=frequency=440")
        )
        code = ["-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        inputs = ["-f", "lavfi", "-i", shown, "-f", "lavfi", "-i", heard]
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *inputs, *code, self.video], check=True)
        self.hashes = {chain: self.reference(chain) for chain in chains}

    def reference(self, chain: str) -> list[str]:
        """The hashes of the video after a run without faults."""
        out = self.folder / "reference.mp4"
        self.render(self.video, out, chain)
        hashes = content_hashes(out)
        out.unlink()
        return hashes

    def render(self, source: Path, out: Path, chain: str) -> None:
        """Render on the cluster."""
        job = Job(source, out, chain, device="cpu", segment=LENGTH)
        run_job(job, distribution=Distribution(self.cluster))

    def run(self, chain: str, fault: Callable[[Path], bool]) -> str:
        """A run with a fault; how it ended. Raises AssertionError if the video differs or files are left."""
        out = self.folder / "out.mp4"
        work = out.with_name("out.mp4.streamfx")
        struck: list[bool] = []
        strike = Thread(target=lambda: struck.append(self.wait(work) and fault(work)))
        strike.start()
        self.render(self.video, out, chain)
        strike.join()
        self.compare(out, chain)
        return "passed" if struck[0] else "too late"

    def wait(self, work: Path, alive: Callable[[], bool] = lambda: True) -> bool:
        """Wait until a run has some finished segments, and a moment; whether it still runs."""
        segments = self.rng.randint(0, SEGMENTS - 2)
        while not (work / "plan.json").exists() and alive():
            time.sleep(0.01)
        while work.exists() and len(list(work.glob("0*.json"))) < segments and alive():
            time.sleep(0.01)
        time.sleep(self.rng.uniform(0, 0.2))
        return work.exists() and alive()

    def compare(self, out: Path, chain: str) -> None:
        assert content_hashes(out) == self.hashes[chain], "the videos differ"
        assert not list(self.folder.glob("out.mp4.*")), "files are left"
        out.unlink()

    def node(self, work: Path) -> bool:
        """Kill a node with all its processes."""
        self.nodes.kill(self.second)
        self.second = -1
        return True

    def raylet(self, work: Path) -> bool:
        """Kill only the raylet of a node."""
        for raylet in self.nodes.children(self.second, "raylet/raylet"):
            os.kill(raylet, signal.SIGKILL)
        self.second = -1
        return True

    def worker(self, work: Path) -> bool:
        """Kill a process that runs a task."""
        while work.exists():
            nodes = range(len(self.nodes.processes))
            if tasks := [task for node in nodes for task in self.nodes.children(node, "ray::_render")]:
                os.kill(self.rng.choice(tasks), signal.SIGKILL)
                return True
        return False

    def disk(self, work: Path) -> bool:
        """Fill the disk of a node."""
        self.cluster._failed.clear()
        self.nodes.mount(self.second, work, "4k")
        return True

    def hide_source(self, chain: str, number: int) -> str:
        """Hide the source from a node. Raises AssertionError if the error does not name both."""
        folder = self.folder / f"hidden{number}"
        folder.mkdir()
        self.nodes.mount(self.second, folder, "64k")
        source = folder / "in.mp4"
        source.write_bytes(self.video.read_bytes())
        try:
            self.render(source, self.folder / "out.mp4", chain)
        except StreamfxError as error:
            reason = str(error)
        else:
            reason = "it was rendered"
        assert reason == f"node{self.second} does not see '{source}': give paths that all nodes share", reason
        assert not list(self.folder.glob("out*"))
        return "passed"

    def kill_driver(self, chain: str) -> str:
        """Kill the command, and resume it. Raises AssertionError if the video differs or files are left."""
        out = self.folder / "out.mp4"
        options = ["--chain", chain, "--device=cpu", "--segment", LENGTH, "--ray", self.nodes.address]
        process = self.nodes.start("run", self.video, out, *options)
        work = out.with_name("out.mp4.streamfx")
        struck = self.wait(work, lambda: process.poll() is None)
        process.kill()
        _, error = process.communicate()
        assert process.returncode in (0, -9), error
        if process.returncode:
            done = self.nodes.run("run", self.video, out, *options, "--resume")
            assert done.returncode == 0, done.stderr
        self.compare(out, chain)
        return "passed" if struck else "too late"

    def strike(self, fault: str, chain: str, number: int) -> str:
        """A run with the named fault."""
        if fault == "driver":
            return self.kill_driver(chain)
        return self.hide_source(chain, number) if fault == "source" else self.run(chain, getattr(self, fault))


def main() -> None:
    """Run all faults, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    faults = ["node", "raylet", "worker", "driver", "disk", "source"]
    parser.add_argument("--only", nargs="*", default=faults, choices=faults)
    parser.add_argument("--chains", nargs="*", default=CHAINS)
    options = parser.parse_args()
    os.environ.update(SETTINGS)
    logging.basicConfig(format="%(message)s")
    counts: dict[str, Counter[str]] = {fault: Counter() for fault in options.only}
    with tempfile.TemporaryDirectory() as name, RayNodes(2, own_mounts=True) as nodes:
        cluster = RayCluster(nodes.address, device="cpu")
        with cluster:  # for all runs: starting processes takes longer than these runs
            soak = Soak(Path(name), nodes, cluster, random.Random(options.seed), options.chains)
            for number in range(options.runs * len(options.only)):
                fault, chain = (
                    options.only[number % len(options.only)],
                    options.chains[number // len(options.only) % len(options.chains)],
                )
                began = time.monotonic()
                try:
                    ended = soak.strike(fault, chain, number)
                except (AssertionError, StreamfxError) as error:
                    ended = "failed"
                    print(error, file=sys.stderr)
                counts[fault][ended] += 1
                print(
                    f"{number} {fault} {chain}: {ended}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
                )
                if soak.second < 0:
                    soak.second = nodes.add()
    columns = ("passed", "too late", "failed")
    print("| fault | " + " | ".join(columns) + " |")
    for fault, count in counts.items():
        print(f"| {fault} | " + " | ".join(str(count[column]) for column in columns) + " |")
    sys.exit(any(count["failed"] for count in counts.values()))


if __name__ == "__main__":
    main()

"""A Ray cluster of nodes with one CPU each on this machine, for tests and benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

RAY = str(Path(sys.executable).with_name("ray"))
STREAMFX = [sys.executable, "-c", "from streamfx.cli import main; main()"]
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "t" * 32,
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "RAY_worker_niceness": "0",  # the default, 15, starves tasks on a busy machine
    "RAY_health_check_period_ms": "1000",  # of the head: a killed node is found after 5 seconds
}
# Ray replaces 127.0.0.1 by the address of the network card
LOCAL = ["--num-cpus=1", "--node-ip-address=127.0.0.2", "--disable-usage-stats", "--block"]
# a node with its own view of the file system: what is mounted there is not seen by others
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
_START = 180.0  # seconds for a node to start on a busy machine


class RayNodes:
    """Nodes named node0, node1, ..., the first of which is the head; a context manager that ends them."""

    def __init__(self, count: int = 2, *, own_mounts: bool = False) -> None:
        self.count, self.own_mounts = count, own_mounts
        self.environment = os.environ | SETTINGS
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> Self:
        # paths of sockets have at most 107 characters
        self._folder = tempfile.TemporaryDirectory(prefix="r", dir="/tmp")
        try:
            head = ["--head", "--port=0", "--include-dashboard=false", f"--temp-dir={self._folder.name}/ray"]
            self.address = self._start(head)
            while len(self.processes) < self.count:
                self.add()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self) -> int:
        """Start another node; its number."""
        self._start([f"--address={self.address}"])
        return len(self.processes) - 1

    def _start(self, options: list[str]) -> str:
        """Start a node in the foreground, so that killing it takes its children along; the address of the head."""
        number = len(self.processes)
        log = Path(self._folder.name, f"{number}.log")
        mounts = OWN_MOUNTS if self.own_mounts and number else []
        command = [*mounts, RAY, "start", f"--node-name=node{number}", *options, *LOCAL]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self.environment,
                start_new_session=True,
            )
        self.processes.append(process)
        deadline = time.monotonic() + _START
        while "Ray runtime started" not in (text := log.read_text()):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"node {number} did not start: {text}")
            time.sleep(0.1)
        found = re.search(r"--address='([\d.:]+)'", text)
        return found[1] if found else ""

    def mount(self, number: int, folder: Path, size: str) -> None:
        """Hide a folder from a node with its own mounts, behind an empty file system of `size`, such as "64k"."""
        node = self.processes[number].pid
        command = ["nsenter", f"--target={node}", "--user", "--mount", "--preserve-credentials"]
        subprocess.run([*command, "mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)

    def kill(self, number: int) -> None:
        """Kill a node with all its processes, as if its machine were gone."""
        os.killpg(self.processes[number].pid, signal.SIGKILL)
        self.processes[number].wait()

    def children(self, number: int, name: str) -> list[int]:
        """Processes of a node whose command contains `name`: "raylet", or "ray::" for those that run tasks."""
        found = subprocess.run(
            ["pgrep", "--session", str(self.processes[number].pid), "--full", name], capture_output=True, text=True
        )
        return [int(line) for line in found.stdout.split()]

    def cpu_seconds(self, number: int) -> float:
        """CPU time of the processes of a node that run tasks. Ray's own use some percent of a core, busy or idle."""
        ticks = 0
        for process in self.children(number, "ray::(_render|IDLE)"):
            with suppress(FileNotFoundError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
                ticks += int(fields[11]) + int(fields[12])  # in user and in system mode
        return ticks / os.sysconf("SC_CLK_TCK")

    def start(self, *arguments: object, **how: Any) -> subprocess.Popen[str]:
        """Start a command of streamfx on this machine."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            [*STREAMFX, *map(str, arguments)], **(pipes | {"text": True, "env": self.environment} | how)
        )

    def run(self, *arguments: object, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of streamfx on this machine."""
        with self.start(*arguments, **how) as process:
            out, error = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def close(self) -> None:
        """Kill all nodes."""
        for number, process in enumerate(self.processes):
            if process.poll() is None:
                self.kill(number)
        self._folder.cleanup()


def can_mount() -> bool:
    """Whether nodes can have mounts of their own."""
    try:
        return not subprocess.run([*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    except FileNotFoundError:
        return False

"""A cluster of two nodes on this machine: a node and a task are killed, a file is missing, versions differ."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.ray_cluster import RayCluster, check_versions
from streamfx.jobs.ray_task import NodeReport, inspect_node, versions

RAY = str(Path(sys.executable).with_name("ray"))
STREAMFX = [sys.executable, "-c", "from streamfx.cli import main; main()"]
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 32}


class Cluster:
    """Two nodes with one CPU each; their processes end at `close`."""

    def __init__(self, folder):
        self.folder, self.environment = folder, os.environ | SETTINGS | {"PYTHONWARNINGS": "ignore"}
        self.processes = []

    def start(self):
        self.address = self._start("--head", "--port=0", "--include-dashboard=false", f"--temp-dir={self.folder}")
        self._start(f"--address={self.address}")

    def _start(self, *options):
        """Start a node in the foreground, so that killing it takes its children along; returns the address."""
        log = self.folder.with_suffix(f".{len(self.processes)}.log")
        local = ["--num-cpus=1", "--node-ip-address=127.0.0.2", "--block", "--disable-usage-stats"]
        how = {"stdin": subprocess.DEVNULL, "env": self.environment, "start_new_session": True}
        with log.open("wb") as stream:
            process = subprocess.Popen([RAY, "start", *options, *local], stdout=stream, stderr=stream, **how)
        self.processes.append(process)
        deadline = time.monotonic() + 90
        while "Ray runtime started" not in (text := log.read_text()):
            assert time.monotonic() < deadline, text
            assert process.poll() is None, text
            time.sleep(0.1)
        found = re.search(r"--address='([\d.:]+)'", text)
        return found[1] if found else None

    def kill_worker_node(self):
        os.killpg(self.processes[1].pid, signal.SIGKILL)

    def run(self, *arguments, **how):
        how |= {"capture_output": True, "text": True, "env": self.environment, "timeout": 120}
        return subprocess.run([*STREAMFX, *map(str, arguments)], **how)

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster():
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:  # paths of sockets have at most 107 characters
        cluster = Cluster(Path(folder, "ray"))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


def test_reports_of_nodes(tmp_path):
    (tmp_path / "token").touch()
    (tmp_path / "a.mp4").touch()
    report = inspect_node(str(tmp_path), ["a.mp4", "b.mp4", str(tmp_path / "a.mp4")], str(tmp_path), "token")
    assert (report.missing, report.shared, report.versions) == (["b.mp4"], True, versions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "token"]
    assert not inspect_node(str(tmp_path), [], str(tmp_path / "gone"), "token").shared
    check_versions([report])
    other = NodeReport("b", {**versions(), "torch": "1.0"}, 1)
    with pytest.raises(StreamfxError, match=r"b has torch 1\.0, this machine .*; install the same"):
        check_versions([report, other])


def test_an_address_of_a_client_is_an_error():
    with pytest.raises(StreamfxError, match="give HOST:PORT of the head node"):
        RayCluster("ray://127.0.0.1:1").connect()


def test_a_film_is_whole_although_a_node_is_killed(cluster, tmp_path, clip, moving, rgb):
    """The last test with this cluster: one node is left."""
    source = clip("long.mkv", *moving(size="160x120", seconds="20"), "-c:v", "ffv1")
    arguments = ["run", source, "--chain", "hflip", "--encoder", "ffv1", "--device", "cpu"]
    assert cluster.run(*arguments, tmp_path / "whole.mkv", "--segment", "0").returncode == 0
    split = [*arguments, tmp_path / "parts.mkv", "--ray", cluster.address, "--segment", "50"]
    doctor = cluster.run("doctor", "--ray", cluster.address, cwd=tmp_path)
    assert doctor.stdout.count(" yes") == 2, doctor.stderr
    command = [*STREAMFX, *map(str, split)]
    with subprocess.Popen(command, env=cluster.environment, stderr=subprocess.PIPE, text=True) as process:
        work = tmp_path / "parts.mkv.streamfx"
        deadline = time.monotonic() + 100
        while not list(work.glob("0*.json")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        cluster.kill_worker_node()
        _, error = process.communicate(timeout=100)
    assert process.returncode == 0, error
    assert (rgb(tmp_path / "whole.mkv") == rgb(tmp_path / "parts.mkv")).all()
    assert [path.name for path in tmp_path.iterdir() if "streamfx" in path.name] == []

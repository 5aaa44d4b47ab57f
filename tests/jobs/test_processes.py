"""Pieces rendered by real processes: one that is killed, the end of the parent, and what each sees of the GPUs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.executor import Distribution
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.processes import LocalProcesses, visible_gpus
from streamfx.media.encoding import Output


def test_two_processes_render_a_video_although_one_is_killed(clip, moving, tmp_path, rgb):
    source = clip("five.mkv", *moving(seconds="5"), "-c:v", "ffv1")
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    lossless = Output(encoder="ffv1")
    Job(source, whole, "hflip", lossless).run()
    executor, killed = LocalProcesses(2), []

    def kill(progress):
        if not killed and executor.running() == 2:
            worker = next(iter(executor._workers.values()))
            worker.process.send_signal(signal.SIGKILL)
            killed.append(worker.process)

    job = Job(source, parts, "hflip", lossless, segment=20)
    result = run_job(job, distribution=Distribution(executor), on_progress=kill)
    assert result.frames == 125
    assert killed[0].poll() == -signal.SIGKILL
    assert (rgb(whole) == rgb(parts)).all()
    assert executor.running() == 0


def _gpus_of(process):
    """The variable of the GPUs in the environment of a process, which is empty for a moment after its start."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        environment = Path(f"/proc/{process}/environ").read_text().split("\0")
        if any(environment):
            return [line for line in environment if line.startswith("CUDA_VISIBLE_DEVICES")]
    return []


def test_each_process_sees_one_gpu():
    executor = LocalProcesses(3, gpus=["0", "GPU-5f"])
    with executor:
        seen = []
        for index in range(3):
            worker = executor._start_process(index)
            executor._workers[index] = worker
            seen += _gpus_of(worker.process.pid)
    assert seen == [f"CUDA_VISIBLE_DEVICES={gpu}" for gpu in ("0", "GPU-5f", "0")]


def test_the_gpus_of_the_machine(monkeypatch):
    assert visible_gpus("cpu") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    assert visible_gpus("auto") in (None, ["3"], ["3", "4"])


def test_the_number_of_workers_has_a_range():
    with pytest.raises(StreamfxError, match="0 workers are out of range; give 1 to 256"):
        LocalProcesses(0)
    assert LocalProcesses(1).describe() == "1 worker"
    assert LocalProcesses(2).describe() == "2 workers"


def test_workers_end_with_their_parent():
    program = """
import sys, time
from streamfx.jobs.processes import LocalProcesses
executor = LocalProcesses(1)
print(executor._start_process(0).process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")

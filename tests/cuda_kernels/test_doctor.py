"""`streamfx doctor --gpu` on the CPU, with a simulated GPU and kernels compiled by g++."""

import numpy as np
import pytest
import torch
from standin import StandIn, as_nvdec_frame

from streamfx.cli import _gpu as gpu
from streamfx.media.gpu import nvidia as drivers

EVENTS = [
    {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "args": {"bytes": 4}},
    {"cat": "gpu_memcpy", "name": "Memcpy HtoD (Pinned -> Device)", "args": {"bytes": 3110400}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pinned)", "args": {"bytes": 1 << 16}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoH (Device -> Pageable)", "args": {"bytes": 9216}},
    {"cat": "gpu_memcpy", "name": "Memcpy DtoD (Device -> Device)", "args": {"bytes": 3110400}},
    {"cat": "kernel", "name": "nv12_to_rgb", "args": {}},
    {"cat": "cuda_runtime", "name": "cudaStreamSynchronize", "args": {}},
    {"name": "process_name", "args": {"name": "python"}},
]


def test_copies_are_counted_by_direction_and_size():
    assert gpu.count_copies({"traceEvents": EVENTS}) == {"up": 1, "down": 1, "small": 2, "waits": 1}


@pytest.fixture
def examined(device, monkeypatch):
    """examined(stand_in): the table, and its lines that report failures."""

    def examined(stand_in):
        if device.type == "cpu":
            monkeypatch.setitem(drivers.DRIVERS, "cpu", lambda device: stand_in)
        monkeypatch.setattr(gpu, "RUNS", 1)
        monkeypatch.setattr(gpu, "LENGTHS", (2, 6))
        monkeypatch.setattr(gpu, "chains", lambda: {"no effect": lambda: [gpu.Passthrough()]})
        lines = list(gpu.check_gpu(device, (54, 96) if device.type == "cpu" else (540, 960)))
        return "\n".join(line for line, _ in lines), [line for line, passed in lines if not passed]

    return examined


def test_all_checks_pass(examined, device):
    table, failed = examined(StandIn())
    assert failed == []
    assert table.count("| lucas_kanade, whole") == 2
    assert "| nv12_to_rgb, half |" in table
    assert f"decoded on {device}; encoding " in table


@pytest.mark.parametrize("device", [torch.device("cpu")], ids=str)  # only a simulated GPU can be wrong
def test_failed_checks_are_reported(examined, device):
    class Wrong(StandIn):
        """Returns wrong colors after the first frames."""

        def decoded(self, frame, number):
            surface = as_nvdec_frame(frame, self.row_padding)
            if number > 3:
                np.frombuffer(memoryview(surface.planes[1]), np.uint8)[:] = 0
            return surface

    _, failed = examined(Wrong())
    assert len(failed) == 1
    assert "| no effect |" in failed[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")
def test_missing_gpu_is_an_error(streamfx):
    done = streamfx("doctor", "--gpu")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith("streamfx: CUDA is not available: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.needs_cuda
def test_command_on_a_gpu(streamfx):
    done = streamfx("doctor", "--gpu")
    assert done.returncode == 0, done.stderr + done.stdout.decode()

"""The kernels' two places: a real GPU, and the CPU, where g++ compiles the same files with shim.h."""

import ctypes
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from streamfx.ops import cuda

SHIM = Path(__file__).with_name("shim.h")
FLAGS = ["-O2", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
FLAGS += [
    "-fsanitize=alignment,bounds,float-cast-overflow,signed-integer-overflow",
    "-fsanitize-undefined-trap-on-error",
]


class OnCpu:
    """Launches cuda.Call on CPU tensors."""

    def __init__(self, folder: Path) -> None:
        kinds = [(family, half) for family in cuda.FAMILIES for half in (False, True)]
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda kind: _compiled(folder, *kind), kinds)
        self._libraries = {kind: ctypes.CDLL(str(path)) for kind, path in zip(kinds, made)}

    def __call__(self, call: cuda.Call, device: torch.device) -> None:
        values = [_as_c(value) for value in call.arguments]
        sizes = (ctypes.c_int * len(values))(*map(ctypes.sizeof, values))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        sides = [(ctypes.c_int * 3)(*size) for size in (call.grid, call.block)]
        launch = getattr(self._libraries[call.family, call.half], f"launch_{call.kernel}")
        said = launch(*sides, len(values), sizes, pointers)
        assert said != -1, f"{call.kernel} takes other arguments than {call.arguments}"
        assert said != -2, f"the threads of {call.kernel} do not meet at a barrier"


def _as_c(value):
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_int(value) if isinstance(value, int) else ctypes.c_float(value)


def _compiled(folder: Path, family: str, half: bool) -> Path:
    """A library of a family with a `launch_NAME` for each of its cuda."""
    text = cuda.source(family)
    names = re.findall(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(', text)
    parameters = "const int* grid, const int* block, int count, const int* sizes, void** arguments"
    entries = [
        f'extern "C" int launch_{name}({parameters}) {{ return launch({name}, grid, block, count, sizes, arguments); }}'
        for name in names
    ]
    made = folder / f"{family}{'_half' if half else ''}.so"
    code = f'#include "{SHIM}"\n{text}\n' + "\n".join(entries) + "\n"
    command = ["g++", *FLAGS, *(["-DHALF"] if half else []), "-x", "c++", "-", "-o", str(made)]
    done = subprocess.run(command, input=code, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def _on_cpu(tmp_path_factory):
    return OnCpu(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request, _on_cpu):
    """Where the kernels run: while this fixture lives, those of `streamfx.ops.cuda` take CPU tensors as well."""
    if request.param == "cuda":
        yield torch.device("cuda", 0)
        return
    cuda.LAUNCHERS["cpu"] = _on_cpu
    yield torch.device("cpu")
    del cuda.LAUNCHERS["cpu"]


@pytest.fixture(scope="module")
def fenced(device):
    """fenced(tensor): it, on the device, with NaN before and behind it, so that what reads beyond shows it."""

    def fenced(tensor, shift=0):
        """Also moved by `shift` elements from where memory is well aligned."""
        beside = 64 + shift
        held = torch.full((tensor.numel() + 2 * beside,), float("nan"), dtype=tensor.dtype, device=device)
        view = held[beside : beside + tensor.numel()].view(tensor.shape)
        view.copy_(tensor)
        return view

    return fenced


@pytest.fixture(scope="module")
def furthest(request):
    """furthest(kernel, made, wanted, most): asserts that the largest difference is at most `most`, and notes it."""

    def furthest(kernel, made, wanted, most):
        error = float((made.double().cpu() - wanted.double().cpu()).abs().max())
        worst = request.config.stash.setdefault(WORST, {})
        worst[kernel] = max(error, worst.get(kernel, 0.0), key=lambda value: np.nan_to_num(value, nan=np.inf))
        assert error <= most, f"{kernel}: {error} > {most}"

    return furthest


@pytest.fixture(scope="session")
def registers(request):
    """By kernel and GPU: the most registers and bytes of spills; printed at the end."""
    return request.config.stash.setdefault(REGISTERS, {})


WORST = pytest.StashKey[dict]()
REGISTERS = pytest.StashKey[dict]()


def pytest_terminal_summary(terminalreporter, config):
    for kernel, found in sorted(config.stash.get(REGISTERS, {}).items()):
        row = "  ".join(f"{gpu} {taken}/{spilled}" for gpu, (taken, spilled) in found.items())
        terminalreporter.write_line(f"{kernel:20} registers/spills: {row}")
    worst = config.stash.get(WORST, {})
    if worst:
        said = ", ".join(f"{name} {error:.1e}" for name, error in sorted(worst.items()))
        terminalreporter.write_line(f"largest differences of kernels from their twins: {said}")

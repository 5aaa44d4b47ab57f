"""Runs the kernels on a GPU, and on the CPU, where g++ compiles the same files with shim.h."""

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


class CpuLauncher:
    """Launches a cuda.Call on CPU tensors."""

    def __init__(self, folder: Path) -> None:
        kinds = [(family, half) for family in cuda.FAMILIES for half in (False, True)]
        with ThreadPoolExecutor() as pool:
            paths = pool.map(lambda kind: _compiled(folder, *kind), kinds)
        self._libraries = {kind: ctypes.CDLL(str(path)) for kind, path in zip(kinds, paths)}

    def __call__(self, call: cuda.Call, device: torch.device) -> None:
        values = [_as_c(value) for value in call.arguments]
        sizes = (ctypes.c_int * len(values))(*map(ctypes.sizeof, values))
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        sides = [(ctypes.c_int * 3)(*size) for size in (call.grid, call.block)]
        launch = getattr(self._libraries[call.family, call.half], f"launch_{call.kernel}")
        status = launch(*sides, len(values), sizes, pointers)
        assert status != -1, f"{call.kernel} does not accept the arguments {call.arguments}"
        assert status != -2, f"the threads of {call.kernel} diverge at a barrier"


def _as_c(value):
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_int(value) if isinstance(value, int) else ctypes.c_float(value)


def _compiled(folder: Path, family: str, half: bool) -> Path:
    """A library of a family with a function `launch_NAME` for each of its kernels."""
    text = cuda.source(family)
    names = re.findall(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(', text)
    parameters = "const int* grid, const int* block, int count, const int* sizes, void** arguments"
    entries = [
        f'extern "C" int launch_{name}({parameters}) {{ return launch({name}, grid, block, count, sizes, arguments); }}'
        for name in names
    ]
    library = folder / f"{family}{'_half' if half else ''}.so"
    code = f'#include "{SHIM}"\n{text}\n' + "\n".join(entries) + "\n"
    command = ["g++", *FLAGS, *(["-DHALF"] if half else []), "-x", "c++", "-", "-o", str(library)]
    done = subprocess.run(command, input=code, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return library


@pytest.fixture(scope="session")
def _cpu_launcher(tmp_path_factory):
    return CpuLauncher(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request, _cpu_launcher):
    """The device of the kernels. For "cpu", `streamfx.ops.cuda` accepts CPU tensors while the fixture is active."""
    if request.param == "cuda":
        yield torch.device("cuda", 0)
        return
    cuda.LAUNCHERS["cpu"] = _cpu_launcher
    yield torch.device("cpu")
    del cuda.LAUNCHERS["cpu"]


@pytest.fixture(scope="module")
def fenced(device):
    """fenced(tensor): a copy on the device between NaNs, which reveal reads out of bounds."""

    def fenced(tensor, shift=0):
        """`shift`: elements by which the data is off its alignment."""
        margin = 64 + shift
        memory = torch.full((tensor.numel() + 2 * margin,), float("nan"), dtype=tensor.dtype, device=device)
        view = memory[margin : margin + tensor.numel()].view(tensor.shape)
        view.copy_(tensor)
        return view

    return fenced


@pytest.fixture(scope="module")
def check_error(request):
    """check_error(kernel, result, expected, tolerance): checks and records the largest difference."""

    def check_error(kernel, result, expected, tolerance):
        error = float((result.double().cpu() - expected.double().cpu()).abs().max())
        worst = request.config.stash.setdefault(WORST, {})
        worst[kernel] = max(error, worst.get(kernel, 0.0), key=lambda value: np.nan_to_num(value, nan=np.inf))
        assert error <= tolerance, f"{kernel}: {error} > {tolerance}"

    return check_error


@pytest.fixture(scope="session")
def registers(request):
    """{kernel: {GPU: (registers, bytes of spills)}}, maximum; printed at the end."""
    return request.config.stash.setdefault(REGISTERS, {})


WORST = pytest.StashKey[dict]()
REGISTERS = pytest.StashKey[dict]()


def pytest_terminal_summary(terminalreporter, config):
    for kernel, usage in sorted(config.stash.get(REGISTERS, {}).items()):
        row = "  ".join(f"{gpu} {used}/{spilled}" for gpu, (used, spilled) in usage.items())
        terminalreporter.write_line(f"{kernel:20} registers/spills: {row}")
    worst = config.stash.get(WORST, {})
    if worst:
        errors = ", ".join(f"{name} {error:.1e}" for name, error in sorted(worst.items()))
        terminalreporter.write_line(f"largest differences between kernels and reference: {errors}")

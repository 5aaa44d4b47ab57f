"""Every kernel compiles for every GPU architecture without warnings and register spills."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamfx.ops import cuda

GPUS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")  # Turing to Blackwell
REGISTERS = 64  # maximum, so that four blocks of 256 threads fit on every architecture
PROCESSES = 2


def compiled(jobs):
    """(success, log) for each job (text, options)."""
    command = [sys.executable, str(Path(__file__).with_name("nvrtc.py"))]
    return json.loads(
        subprocess.run(command, input=json.dumps(jobs), check=True, text=True, capture_output=True).stdout
    )


@pytest.fixture(scope="module")
def logs():
    """{(family, GPU, half): (success, log)}."""
    keys = [(family, gpu, half) for family in cuda.FAMILIES for gpu in GPUS for half in (False, True)]

    def job(family, gpu, half):
        return cuda.source(family), [*cuda.options(half), f"-arch={gpu}", "-ftz=true", "--ptxas-options=-v"]

    shares = [keys[number::PROCESSES] for number in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        batches = pool.map(lambda share: compiled([job(*key) for key in share]), shares)
        return {key: result for share, results in zip(shares, batches) for key, result in zip(share, results)}


def register_usage(log):
    """{kernel: (registers, bytes of spills)}."""
    parts = re.split(r"Compiling entry function '(\w+)'", log)
    usage = {}
    for name, text in zip(parts[1::2], parts[2::2]):
        (registers,) = re.findall(r"Used (\d+) registers", text)
        usage[name] = int(registers), sum(map(int, re.findall(r"(\d+) bytes spill", text)))
    return usage


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("family", cuda.FAMILIES)
def test_compiles(family, gpu, logs, registers):
    for half in (False, True):
        success, log = logs[family, gpu, half]
        assert success, log
        assert "warning" not in log, log
        usage = register_usage(log)
        assert set(usage) == kernel_names(family)
        for name, (count, spilled) in usage.items():
            assert spilled == 0, f"{name} spills on {gpu}"
            assert count <= REGISTERS, f"{name} needs {count} registers on {gpu}"
            row = registers.setdefault(f"{family}.{name}", {})
            row[gpu] = max(row.get(gpu, (0, 0)), (count, spilled))


def kernel_names(family):
    """The names of the kernels in a file."""
    text = re.sub(r"__launch_bounds__\([^)]*\)", "", cuda.source(family))
    return set(re.findall(r'extern "C" __global__ void\s+(\w+)\(', text))


def test_warnings_and_errors_are_detected():
    text = 'extern "C" __global__ void f(float* x) { int unused; x[0] = 1; }'
    (success, log), (broken_success, _) = compiled([(text, ["-arch=sm_90"]), (text[:-1], ["-arch=sm_90"])])
    assert success
    assert "warning" in log
    assert not broken_success


def test_cupy_can_compile_the_kernels():
    """Uses the NVRTC that CuPy finds, and CuPy's module before it accesses a GPU."""
    import cupy
    from cupy.cuda import compiler

    program = compiler._NVRTCProgram(cuda.source("mix"), "mix.cu", method="cubin")
    cubin, _ = program.compile((*cuda.options(True), "-arch=sm_90", "-ftz=true"))
    assert cubin[:4] == b"\x7fELF"
    assert isinstance(cuda._module("mix", True), cupy.RawModule)

"""Every kernel compiles for every kind of GPU, without a warning and without spilling registers."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamfx.ops import cuda

GPUS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")  # Turing to Blackwell
REGISTERS = 64  # at most, so that four blocks of 256 threads find room everywhere
PROCESSES = 2


def compiled(jobs):
    """Whether each (text, options) compiles, and the log."""
    command = [sys.executable, str(Path(__file__).with_name("nvrtc.py"))]
    return json.loads(
        subprocess.run(command, input=json.dumps(jobs), check=True, text=True, capture_output=True).stdout
    )


@pytest.fixture(scope="module")
def logs():
    """By family, GPU and half: whether it compiles, and what the compiler said."""
    keys = [(family, gpu, half) for family in cuda.FAMILIES for gpu in GPUS for half in (False, True)]

    def job(family, gpu, half):
        return cuda.source(family), [*cuda.options(half), f"-arch={gpu}", "-ftz=true", "--ptxas-options=-v"]

    shares = [keys[number::PROCESSES] for number in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        made = pool.map(lambda share: compiled([job(*key) for key in share]), shares)
        return {key: said for share, results in zip(shares, made) for key, said in zip(share, results)}


def used(log):
    """By kernel: registers and bytes of spills."""
    parts = re.split(r"Compiling entry function '(\w+)'", log)
    found = {}
    for name, text in zip(parts[1::2], parts[2::2]):
        (registers,) = re.findall(r"Used (\d+) registers", text)
        found[name] = int(registers), sum(map(int, re.findall(r"(\d+) bytes spill", text)))
    return found


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("family", cuda.FAMILIES)
def test_compiles(family, gpu, logs, registers):
    for half in (False, True):
        made, log = logs[family, gpu, half]
        assert made, log
        assert "warning" not in log, log
        found = used(log)
        assert set(found) == entries(family)
        for name, (taken, spilled) in found.items():
            assert spilled == 0, f"{name} spills on {gpu}"
            assert taken <= REGISTERS, f"{name} takes {taken} registers on {gpu}"
            row = registers.setdefault(f"{family}.{name}", {})
            row[gpu] = max(row.get(gpu, (0, 0)), (taken, spilled))


def entries(family):
    """The names of a file's cuda."""
    text = re.sub(r"__launch_bounds__\([^)]*\)", "", cuda.source(family))
    return set(re.findall(r'extern "C" __global__ void\s+(\w+)\(', text))


def test_a_warning_is_seen():
    text = 'extern "C" __global__ void f(float* x) { int unused; x[0] = 1; }'
    (made, log), (failed, _) = compiled([(text, ["-arch=sm_90"]), (text[:-1], ["-arch=sm_90"])])
    assert made
    assert "warning" in log
    assert not failed


def test_cupy_s_own_compiler_takes_them():
    """With CuPy's way of finding NVRTC, and its module as it is made before a GPU is asked for."""
    import cupy
    from cupy.cuda import compiler

    program = compiler._NVRTCProgram(cuda.source("mix"), "mix.cu", method="cubin")
    cubin, _ = program.compile((*cuda.options(True), "-arch=sm_90", "-ftz=true"))
    assert cubin[:4] == b"\x7fELF"
    assert isinstance(cuda._module("mix", True), cupy.RawModule)

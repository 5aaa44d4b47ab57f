"""Compiles CUDA C++ with NVRTC, the compiler that CuPy uses: reads jobs as JSON from stdin, writes results to stdout.

This is a separate program because NVRTC compiles only one source at a time per process.
"""

import json
import sys

from cuda.bindings import nvrtc


def compiled(text: str, options: list[str]) -> tuple[bool, str]:
    """(whether a cubin was built, the log)."""
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    _, length = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytes(length)
    nvrtc.nvrtcGetProgramLog(program, log)
    success = result == nvrtc.nvrtcResult.NVRTC_SUCCESS and nvrtc.nvrtcGetCUBINSize(program)[1] > 0
    nvrtc.nvrtcDestroyProgram(program)
    return success, log.decode().rstrip("\0")


if __name__ == "__main__":
    json.dump([compiled(*job) for job in json.load(sys.stdin)], sys.stdout)

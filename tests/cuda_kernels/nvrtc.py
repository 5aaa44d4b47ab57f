"""Compiles CUDA C++ with NVRTC, the compiler that CuPy uses: jobs as JSON on stdin, what came of them on stdout.

A process of its own, as one process compiles one text at a time.
"""

import json
import sys

from cuda.bindings import nvrtc


def compiled(text: str, options: list[str]) -> tuple[bool, str]:
    """Whether a cubin was made, and the log."""
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
    _, length = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytes(length)
    nvrtc.nvrtcGetProgramLog(program, log)
    made = result == nvrtc.nvrtcResult.NVRTC_SUCCESS and nvrtc.nvrtcGetCUBINSize(program)[1] > 0
    nvrtc.nvrtcDestroyProgram(program)
    return made, log.decode().rstrip("\0")


if __name__ == "__main__":
    json.dump([compiled(*job) for job in json.load(sys.stdin)], sys.stdout)

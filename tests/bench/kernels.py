"""Each CUDA kernel beside its twin in torch on a GPU: python tests/bench/kernels.py [--size 3840x2160] [--half]

The share is that of the card's copy bandwidth, which is measured by copying 1 GiB from one place on it to another: the
bytes that a kernel must read and write at the least (each once, what it fetches from neighbours not counted), divided
by the time. Times are medians of CUDA events around a CUDA graph of the work, so that what Python takes to launch it is
not in them, with the cache overwritten before each. In them are 2 us or so that a graph takes to begin; the larger the
pictures, the less they count.
"""

import argparse
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from streamfx.evaluation.kernel_checks import comparisons

RUNS = 30


def recorded(job: Callable[[], object]) -> Callable[[], object]:
    """What runs the job's kernels again; the job itself where it asks the CPU for something."""
    aside, ours = torch.cuda.Stream(), torch.cuda.current_stream()
    with torch.cuda.stream(aside):
        for _ in range(3):
            job()
    aside.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with warnings.catch_warnings(action="ignore"), torch.cuda.graph(graph, stream=aside):
            job()
    except RuntimeError:
        torch.cuda.set_stream(ours)
        return job
    return graph.replay


def seconds(job: Callable[[], object], cache: Tensor) -> float:
    times = []
    for number in range(RUNS + 3):
        cache.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        job()
        end.record()
        end.synchronize()
        if number >= 3:
            times.append(start.elapsed_time(end) / 1000)
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time each CUDA kernel beside its twin.")
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--half", action="store_true", help="float16 pixels")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU that CUDA works on")
    width, height = map(int, asked.size.split("x"))
    cache = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * len(source) / seconds(lambda: target.copy_(source), cache)
    kind = "float16" if asked.half else "float32"
    print(f"{torch.cuda.get_device_name()}, {width}x{height}, {kind}, copies at {bandwidth / 1e9:.0f} GB/s\n")
    print("| kernel | us | twin, us | times as quick | GB/s | share of copying |\n|:--|--:|--:|--:|--:|--:|")
    for row in comparisons(height, width, torch.float16 if asked.half else torch.float32, torch.device("cuda")):
        time, twin = (seconds(recorded(job), cache) for job in (row.kernel, row.reference))
        rate = row.bytes / time
        told = f"{rate / 1e9:.0f} | {100 * rate / bandwidth:.0f} %" if row.bytes else " | "
        print(f"| {row.name} | {1e6 * time:.1f} | {1e6 * twin:.1f} | {twin / time:.1f} | {told} |", flush=True)


if __name__ == "__main__":
    main()

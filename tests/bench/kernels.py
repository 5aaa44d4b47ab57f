"""Times of each CUDA kernel and its torch reference on a GPU: python tests/bench/kernels.py [--size 3840x2160] [--half]

The bandwidth is the minimum number of bytes that a kernel must read and write, divided by its time; the share compares
it with the bandwidth of copying 1 GiB within the GPU's memory. Times are medians of CUDA events around a CUDA graph of
the work, which excludes the time that Python takes to launch it; the cache is overwritten before each run. They include
the start of a graph, about 2 us, which matters less for larger images.
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
    """A function that replays the job's kernels as a CUDA graph; the job itself if it needs the CPU."""
    capture_stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    with torch.cuda.stream(capture_stream):
        for _ in range(3):
            job()
    capture_stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with warnings.catch_warnings(action="ignore"), torch.cuda.graph(graph, stream=capture_stream):
            job()
    except RuntimeError:
        torch.cuda.set_stream(current)
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
    parser = argparse.ArgumentParser(description="Time each CUDA kernel and its torch reference.")
    parser.add_argument("--size", default="3840x2160")
    parser.add_argument("--half", action="store_true", help="float16 pixels")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU with CUDA")
    width, height = map(int, options.size.split("x"))
    cache = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * len(source) / seconds(lambda: target.copy_(source), cache)
    kind = "float16" if options.half else "float32"
    print(f"{torch.cuda.get_device_name()}, {width}x{height}, {kind}, copies at {bandwidth / 1e9:.0f} GB/s\n")
    print("| kernel | us | reference, us | speedup | GB/s | share of copy bandwidth |\n|:--|--:|--:|--:|--:|--:|")
    for row in comparisons(height, width, torch.float16 if options.half else torch.float32, torch.device("cuda")):
        time, reference = (seconds(recorded(job), cache) for job in (row.kernel, row.reference))
        rate = row.bytes / time
        throughput = f"{rate / 1e9:.0f} | {100 * rate / bandwidth:.0f} %" if row.bytes else " | "
        print(
            f"| {row.name} | {1e6 * time:.1f} | {1e6 * reference:.1f} | {reference / time:.1f} | {throughput} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

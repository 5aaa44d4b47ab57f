"""`streamfx doctor`: versions, devices and encoders of this machine, and how to install what is missing."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from streamfx.cli._ray_report import report_cluster
from streamfx.errors import StreamfxError

ENCODERS = {  # name -> use
    "libx264": "H.264, mp4 and most others; the default",
    "libx265": "HEVC, 10 bit",
    "libsvtav1": "AV1",
    "libvpx-vp9": "VP9, webm",
    "prores_ks": "ProRes, mov for editing",
    "ffv1": "lossless archives",
    "gif": "GIF",
    "apng": "animated PNG",
    "h264_nvenc": "H.264 on an NVIDIA GPU",
    "hevc_nvenc": "HEVC on an NVIDIA GPU",
    "av1_nvenc": "AV1 on an NVIDIA GPU",
    "aac": "audio in mp4",
    "libopus": "audio in webm and mkv",
    "flac": "lossless audio",
}
LIBRARIES = ("torch", "torchvision", "openvino", "timm", "numpy", "cupy-cuda13x")


def doctor(
    report: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Check all GPU code on this GPU; prints a table.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|local|HOST:PORT", help="Check the nodes of a Ray cluster; prints a table."),
    ] = None,
) -> None:
    """Show versions, devices and encoders, and how to install what is missing."""
    if ray is not None:
        report_cluster(ray)
        return
    if gpu:
        _check_gpu()
        return
    facts = inspect_machine()
    if report:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)


def _check_gpu() -> None:
    """Print the results of the GPU checks. Raises StreamfxError if there is no GPU or a check fails."""
    import torch

    from streamfx.cli._gpu import check_gpu

    cuda = _cuda()
    if not cuda["works"]:
        raise StreamfxError(f"CUDA is not available: {cuda['why']}; 'streamfx doctor' shows how to install it")
    failures = 0
    for line, passed in check_gpu(torch.device("cuda", torch.cuda.current_device())):
        print(line if passed else f"{line} **failed**", flush=True)
        failures += not passed
    if failures:
        raise StreamfxError(f"{failures} checks failed; see the lines marked failed")


def inspect_machine() -> dict[str, Any]:
    """Everything that `doctor` shows, for JSON."""
    from streamfx.media.filters.graph import available_filters
    from streamfx.media.probe import decoders, encoders, versions
    from streamfx.presets import preset_files, user_presets
    from streamfx.resources import cache_folder
    from streamfx.version import __version__, package_version

    available = encoders("video") | encoders("audio")
    facts: dict[str, Any] = {
        "versions": {"streamfx": __version__, "python": platform.python_version()}
        | {name: package_version(name) for name in LIBRARIES}
        | versions(),
        "devices": {"cpu": _cpu(), "cuda": _cuda()},
        "encoders": {name: _encoder_state(name, name in available) for name in ENCODERS},
        "counts": {
            "video encoders": len(encoders("video")),
            "video decoders": len(decoders("video")),
            "filters": len(available_filters()),
            "presets": len(preset_files()),
        },
        "folders": {"cache": str(cache_folder()), "your presets": str(user_presets() or "")},
    }
    facts["missing"] = _missing(facts)
    return facts


def _cpu() -> dict[str, Any]:
    import torch

    from streamfx.inference.precision import rates
    from streamfx.media.threads import available_threads

    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return {"name": name, "cores": available_threads(), "gflops": asdict(rates()), "precision": rates().best}


def _cuda() -> dict[str, Any]:
    """Name and memory of the GPU, or why CUDA cannot be used."""
    import torch

    if torch.version.cuda is None:
        return {"works": False, "why": "torch is installed without CUDA"}
    if not torch.cuda.is_available():
        return {"works": False, "why": "no NVIDIA GPU or driver found"}
    properties = torch.cuda.get_device_properties(0)
    memory = round(properties.total_memory / 2**30, 1)
    return {
        "works": True,
        "name": properties.name,
        "memory_gib": memory,
        "cuda": torch.version.cuda,
        "encoders": _device_encoders(),
    }


def _device_encoders() -> dict[str, str]:
    """Name and bit depth of the GPU's encoders -> why one does not work, or ''."""
    import torch

    from streamfx.media.output.encoder_selection import try_encoders

    return try_encoders(torch.device("cuda", torch.cuda.current_device()))


def _encoder_state(name: str, available: bool) -> str:
    """ "missing" or "built in"; for encoders that need hardware "works", or "built in, but: " and a reason."""
    if not available or not name.endswith("_nvenc"):
        return "built in" if available else "missing"
    from streamfx.media.output.encoder_selection import hardware_problem

    problem = hardware_problem(name)
    return f"built in, but: {problem}" if problem else "works"


def _missing(facts: dict[str, Any]) -> list[dict[str, str]]:
    """What is missing, and how to install or fix it."""
    missing = []

    def add(what: str, how: str) -> None:
        missing.append({"what": what, "how": how})

    cuda = facts["devices"]["cuda"]
    if not cuda["works"] and "without CUDA" in cuda["why"]:
        add("CUDA in torch", "with an NVIDIA GPU: pip install torch --index-url https://download.pytorch.org/whl/cu130")
    elif not cuda["works"]:
        add(
            "a GPU", "everything runs on the CPU; with an NVIDIA GPU, install its driver and check that nvidia-smi runs"
        )
    if cuda["works"] and facts["versions"]["cupy-cuda13x"] is None:
        add("CUDA kernels", "pip install '.[cuda]'")
    absent = [name for name, state in facts["encoders"].items() if state == "missing"]
    if absent:
        add(f"encoders {', '.join(absent)}", "pip install --force-reinstall av: its wheels include FFmpeg")
    if not facts["counts"]["presets"]:
        add("presets", "pip install --force-reinstall streamfx, or train one: streamfx train PAINTING")
    folder = facts["folders"]["cache"]
    if not _writable(folder):
        add("a cache", f"make {folder} writable; without it, networks are compiled at every start")
    return missing


def _writable(folder: str) -> bool:
    """Whether the folder is writable or can be created."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK)


def _print(facts: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    cpu, cuda = facts["devices"]["cpu"], facts["devices"]["cuda"]
    _print_table(console, "Versions", {name: number or "not installed" for name, number in facts["versions"].items()})
    gpu = f"{cuda['name']}, {cuda['memory_gib']} GiB" if cuda["works"] else f"no: {cuda['why']}"
    measured = ", ".join(f"{name} {rate:.0f}" for name, rate in cpu["gflops"].items() if rate)
    devices = {
        "cpu": f"{cpu['name']}, {cpu['cores']} cores",
        "convolutions": f"{measured} GFLOP/s; networks run in {cpu['precision']}",
        "cuda": gpu,
    }
    for name, why in cuda.get("encoders", {}).items():
        devices[name] = f"no: {why}" if why else "encodes from GPU memory"
    _print_table(console, "Devices", devices)
    encoders = {name: f"{ENCODERS[name]}: {state}" for name, state in facts["encoders"].items()}
    _print_table(console, "Encoders", encoders)
    _print_table(console, "Counts", {name: str(number) for name, number in facts["counts"].items()})
    _print_table(console, "Folders", facts["folders"])
    _print_table(console, "Missing", {item["what"]: item["how"] for item in facts["missing"]} or {"nothing": ""})


def _print_table(console: Console, title: str, rows: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(f"[bold]{title}[/bold]")
    console.print(table)

"""`streamfx doctor`: versions, devices and encoders of this machine, and how to get what is missing."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from streamfx.errors import StreamfxError

ENCODERS = {  # what each is for
    "libx264": "H.264, mp4 and most others; the default",
    "libx265": "HEVC, 10 bit",
    "libsvtav1": "AV1",
    "libvpx-vp9": "VP9, webm",
    "prores_ks": "ProRes, mov for editing",
    "ffv1": "lossless archives",
    "gif": "gif",
    "apng": "animated png",
    "h264_nvenc": "H.264 on an NVIDIA GPU",
    "hevc_nvenc": "HEVC on an NVIDIA GPU",
    "av1_nvenc": "AV1 on an NVIDIA GPU",
    "aac": "audio in mp4",
    "libopus": "audio in webm and mkv",
    "flac": "lossless audio",
}
LIBRARIES = ("torch", "torchvision", "openvino", "timm", "numpy", "cupy-cuda13x")


def doctor(
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    gpu: Annotated[bool, typer.Option("--gpu", help="Check everything that runs on a GPU; prints a table.")] = False,
) -> None:
    """Show versions, devices and encoders, and how to get what is missing."""
    if gpu:
        _try_gpu()
        return
    found = examine()
    if report:
        print(json.dumps(found, indent=2))
    else:
        _print(found)


def _try_gpu() -> None:
    """Print the checks of the GPU. Raises StreamfxError where there is none or a check fails."""
    import torch

    from streamfx.cli._gpu import examine as examine_gpu

    cuda = _cuda()
    if not cuda["works"]:
        raise StreamfxError(f"CUDA does not work here: {cuda['why']}; 'streamfx doctor' shows how to get it")
    wrong = 0
    for line, right in examine_gpu(torch.device("cuda", torch.cuda.current_device())):
        print(line if right else f"{line} **wrong**", flush=True)
        wrong += not right
    if wrong:
        raise StreamfxError(f"{wrong} checks failed; see the lines marked wrong")


def examine() -> dict[str, Any]:
    """Everything that `doctor` shows, as plain data."""
    from platformdirs import user_cache_dir

    from streamfx import __version__
    from streamfx.media.filters.graph import available_filters
    from streamfx.media.probe import decoders, encoders, versions
    from streamfx.presets import preset_files, user_presets

    media = versions()
    coders = encoders("video") | encoders("audio")
    found: dict[str, Any] = {
        "versions": {"streamfx": __version__, "python": platform.python_version()}
        | {name: package_version(name) for name in LIBRARIES}
        | media,
        "devices": {"cpu": _cpu(), "cuda": _cuda()},
        "encoders": {name: name in coders for name in ENCODERS},
        "counts": {
            "video encoders": len(encoders("video")),
            "video decoders": len(decoders("video")),
            "filters": len(available_filters()),
            "presets": len(preset_files()),
        },
        "folders": {"cache": user_cache_dir("streamfx", appauthor=False), "your presets": str(user_presets())},
    }
    found["missing"] = _missing(found)
    return found


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> dict[str, Any]:
    import torch

    from streamfx.inference.openvino import available_threads
    from streamfx.inference.precision import rates

    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return {"name": name, "cores": available_threads(), "gflops": asdict(rates()), "precision": rates().best}


def _cuda() -> dict[str, Any]:
    """Name and memory of the GPU, or why there is none."""
    import torch

    if torch.version.cuda is None:
        return {"works": False, "why": "this torch was built without CUDA"}
    if not torch.cuda.is_available():
        return {"works": False, "why": "no NVIDIA GPU and driver was found"}
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
    """The GPU's encoders by name and bit depth, with the reason why one does not work, or ''."""
    import torch

    from streamfx.media.output.encoder_selection import try_encoders

    return try_encoders(torch.device("cuda", torch.cuda.current_device()))


def _missing(found: dict[str, Any]) -> list[dict[str, str]]:
    """What is missing, and how to get it."""
    missing = []

    def lacks(what: str, how: str) -> None:
        missing.append({"what": what, "how": how})

    cuda = found["devices"]["cuda"]
    if not cuda["works"] and "built without" in cuda["why"]:
        lacks(
            "CUDA in torch", "with an NVIDIA GPU: pip install torch --index-url https://download.pytorch.org/whl/cu130"
        )
    elif not cuda["works"]:
        lacks(
            "a GPU", "everything runs on the CPU; with an NVIDIA GPU, install its driver and see that nvidia-smi runs"
        )
    if cuda["works"] and found["versions"]["cupy-cuda13x"] is None:
        lacks("CUDA kernels", "pip install 'streamfx[cuda]'")
    absent = [name for name, there in found["encoders"].items() if not there]
    if absent:
        lacks(
            f"encoders {', '.join(absent)}", "pip install --force-reinstall av: its own wheels carry FFmpeg with them"
        )
    if not found["counts"]["presets"]:
        lacks("presets", "pip install --force-reinstall streamfx, or make one: streamfx train PAINTING")
    folder = found["folders"]["cache"]
    if not _writable(folder):
        lacks("a cache", f"make {folder} writable: without it networks are compiled at every start")
    return missing


def _writable(folder: str) -> bool:
    """Whether the folder can be written or created."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return os.access(folder, os.W_OK)


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    cpu, cuda = found["devices"]["cpu"], found["devices"]["cuda"]
    _print_table(console, "Versions", {name: text or "not installed" for name, text in found["versions"].items()})
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
    marks = {name: f"{'yes' if there else 'no '}  {ENCODERS[name]}" for name, there in found["encoders"].items()}
    _print_table(console, "Encoders", marks)
    _print_table(console, "Counts", {name: str(number) for name, number in found["counts"].items()})
    _print_table(console, "Folders", found["folders"])
    _print_table(console, "Missing", {each["what"]: each["how"] for each in found["missing"]} or {"nothing": ""})


def _print_table(console: Console, title: str, rows: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(f"[bold]{title}[/bold]")
    console.print(table)

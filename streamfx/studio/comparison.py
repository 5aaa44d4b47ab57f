"""Two seconds of a clip rendered both ways, with coherence off and on, and their flicker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from streamfx.errors import StreamfxError
from streamfx.settings import settings
from streamfx.studio.chain_edit import parts_of, with_settings

SECONDS = 2.0
WIDTH = 640  # pixels
_LIMIT = 1800  # seconds that one step may take


@dataclass(frozen=True, slots=True)
class Side:
    """One way to render the clip."""

    title: str
    file: Path
    warp_error: float | None  # E_warp at a lag of one frame (Lai 2018); lower is steadier
    sharpness: float | None  # mean gradient in /255; blur lowers E_warp as well


def variants(chain: str) -> list[tuple[str, str]]:
    """Title and chain of both ways. Raises StreamfxError if no effect of the chain has coherence."""
    off = on = chain
    found = False
    for index, part in enumerate(parts_of(chain)):
        if any(setting.name == "coherence" for setting in settings(type(part.effect))) if part.name else False:
            found = True
            off = with_settings(off, index, {"coherence": "off"})
            if getattr(part.effect, "coherence", "") == "off":
                on = with_settings(on, index, {"coherence": "warp"})
    if not found:
        raise StreamfxError("the chain has no effect with coherence; choose a look or add a dream first")
    return [("each frame alone", off), ("with coherence", on)]


def compare_flicker(
    source: str, start: float, chain: str, folder: Path, cwd: Path, report: Callable[[str], object]
) -> list[Side]:
    """Render SECONDS of `source` from `start` on both ways into a new folder below `folder`, and measure them.

    Earlier results are removed. `report` gets what is being done. Raises StreamfxError.
    """
    pairs = variants(chain)
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / uuid4().hex[:12]  # a new address for the browser
    work.mkdir(parents=True)
    span = ["--from", f"{start:.3f}", "--to", f"{start + SECONDS:.3f}", "--width", str(WIDTH), "--no-audio"]
    files = [work / f"{name}.mp4" for name in ("source", "off", "on")]
    chains = ["null", *(text for _, text in pairs)]
    for file, text, title in zip(files, chains, ("the source", *(title for title, _ in pairs))):
        report(f"rendering {title} …")
        _run(["run", source, str(file), "--chain", text, *span, "-q"], cwd)
    sides = []
    for file, (title, _) in zip(files[1:], pairs):
        report(f"measuring {title} …")
        values = json.loads(_run(["measure", str(files[0]), str(file), "--json", "-q"], cwd))["processed"]
        sides.append(Side(title, file, values.get("warp_near"), values.get("sharpness")))
    return sides


def _run(arguments: list[str], cwd: Path) -> str:
    """The output of a `streamfx` command. Raises StreamfxError with its message."""
    command = [sys.executable, "-m", "streamfx", *arguments]
    try:
        done = subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT
        )
    except subprocess.TimeoutExpired as error:
        raise StreamfxError(f"streamfx {arguments[0]} took longer than {_LIMIT} seconds") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise StreamfxError(lines[-1].removeprefix("streamfx: ") if lines else f"streamfx {arguments[0]} failed")
    return done.stdout

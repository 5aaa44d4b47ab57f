"""File names in a form that FFmpeg does not take for URLs."""

from __future__ import annotations

import os
from pathlib import Path


def file_name(path: str | Path) -> str:
    """The path; with './' before it if FFmpeg would take its start for a protocol, as in '12:30.mp4'."""
    name = str(path)
    return os.path.join(".", name) if ":" in name and not os.path.isabs(name) else name

"""--workers: what renders the segments of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamfx.errors import Misuse

if TYPE_CHECKING:
    from streamfx.cli._options import VideoOptions
    from streamfx.jobs.executor import Distribution


def distribution_of(options: VideoOptions) -> Distribution | None:
    """How to render a video in pieces; None if the options do not ask for it."""
    if options.workers is None:
        if options.exact:
            raise Misuse("--exact is for videos that are split; give --workers N as well")
        return None
    from streamfx.jobs.executor import Distribution
    from streamfx.jobs.processes import LocalProcesses, visible_gpus

    return Distribution(LocalProcesses(options.workers, visible_gpus(options.device)), options.exact)

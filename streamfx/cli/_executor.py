"""--workers and --ray: what renders the segments of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamfx.errors import Misuse

if TYPE_CHECKING:
    from streamfx.cli._options import VideoOptions
    from streamfx.jobs.executor import Distribution


def distribution_of(options: VideoOptions) -> Distribution | None:
    """How to render a video in pieces; None if the options do not ask for it."""
    if options.ray is not None and options.workers is not None:
        raise Misuse("give --workers for processes on this machine, or --ray for a cluster, not both")
    for option, value in (("--ray-cpus", options.ray_cpus), ("--ray-gpus", options.ray_gpus)):
        if value is not None and options.ray is None:
            raise Misuse(f"{option} is for segments on a cluster; give --ray auto, local or HOST:PORT as well")
    if options.exact and options.ray is None and options.workers is None:
        raise Misuse("--exact is for videos that are split; give --workers N or --ray as well")
    if options.ray is not None:
        from streamfx.jobs.executor import Distribution
        from streamfx.jobs.ray_cluster import RayCluster

        cluster = RayCluster(options.ray, options.ray_cpus, options.ray_gpus, options.device)
        return Distribution(cluster, options.exact)
    if options.workers is not None:
        from streamfx.jobs.executor import Distribution
        from streamfx.jobs.processes import LocalProcesses, visible_gpus

        return Distribution(LocalProcesses(options.workers, visible_gpus(options.device)), options.exact)
    return None

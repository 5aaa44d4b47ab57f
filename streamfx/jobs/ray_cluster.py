"""Renders pieces on the nodes of a Ray cluster. The only module that imports Ray, and only when a cluster is used."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from streamfx.errors import StreamfxError
from streamfx.jobs.ray_task import NodeReport, inspect_node, render, versions
from streamfx.jobs.render_piece import Outcome, PieceRequest

MAX_RETRIES = 3  # by Ray, if a node is lost; our own tries come after that
CPUS = 4  # of a task by default; fewer if no node has as many
_ANSWER = 60.0  # seconds for a node to answer before the work


@dataclass
class RayCluster:
    """An executor on a Ray cluster: "auto" finds a running one, "local" starts one, else HOST:PORT.

    A task gets `cpus` cores and `gpus` GPUs; None chooses by the nodes. Raises StreamfxError if there is no cluster.
    """

    address: str
    cpus: int | None = None
    gpus: float | None = None
    device: str = "auto"
    _ray: Any = field(default=None, init=False)
    _tasks: dict[Any, PieceRequest] = field(default_factory=dict, init=False)
    _nodes_failed: dict[int, str] = field(default_factory=dict, init=False)  # piece -> name of the machine

    def connect(self) -> None:
        """Connect, or start a cluster on this machine that only it can reach."""
        if self._ray is None:
            self._ray = _connect(self.address)

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        self.connect()
        return max(1, int(self._ray.cluster_resources().get("CPU", 1) // self._cpus()))

    def nodes(self) -> list[Mapping[str, Any]]:
        """The nodes that can run tasks, as Ray describes them."""
        self.connect()
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def inspect(self, current_folder: str, files: list[str], folder: str, token: str) -> list[NodeReport]:
        """What each node has, as `inspect_node` says. Raises StreamfxError if one does not answer."""
        nodes = self.nodes()
        task = self._ray.remote(inspect_node)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        answers = [
            task.options(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(
                current_folder, files, folder, token
            )
            for node in nodes
        ]
        try:
            reports: list[NodeReport] = self._ray.get(answers, timeout=_ANSWER)
        except self._ray.exceptions.GetTimeoutError:
            raise StreamfxError(f"a node of the cluster did not answer within {_ANSWER:.0f} s") from None
        except self._ray.exceptions.RayError as error:
            raise StreamfxError(f"a node of the cluster cannot run streamfx: {_first_line(error)}") from None
        return reports

    def check(self, request: PieceRequest, files: list[str]) -> None:
        """Raise StreamfxError if a node lacks a file, does not share the work folder, or has other versions."""
        token = f"shared-{secrets.token_hex(4)}"
        (request.folder / token).touch()
        try:
            reports = self.inspect(request.current_folder, files, str(request.folder), token)
        finally:
            (request.folder / token).unlink(missing_ok=True)
        if not reports:
            raise StreamfxError("the cluster has no node with a CPU; start one: ray start --address HOST:PORT")
        check_versions(reports)
        problems = [f"{report.name} does not see {_quoted(report.missing)}" for report in reports if report.missing]
        problems += [f"{report.name} cannot write to '{request.folder}'" for report in reports if not report.shared]
        if problems:
            raise StreamfxError(f"{'; '.join(problems)}: give paths that all nodes share")

    def free(self) -> bool:
        """Always: Ray queues the tasks."""
        return True

    def running(self) -> int:
        """Number of tasks that have not ended."""
        return len(self._tasks)

    def start(self, request: PieceRequest) -> None:
        """Queue a task."""
        self.connect()
        options: dict[str, Any] = {"num_cpus": self._cpus(), "num_gpus": self._gpus(), "max_retries": MAX_RETRIES}
        failed = self._nodes_failed.get(request.piece.number)
        other = next((node["NodeID"] for node in self.nodes() if node["NodeManagerHostname"] != failed), None)
        if failed and other:
            strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            options["scheduling_strategy"] = strategy(other, soft=True)
        task = self._ray.remote(render).options(**options)
        self._tasks[task.remote(request, self._cpus())] = request

    def wait(self, seconds: float) -> list[Outcome]:
        """The tasks that have ended; waits for one, up to `seconds`."""
        if not self._tasks:
            return []
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=seconds)
        return [self._outcome(reference) for reference in ready]

    def describe(self) -> str:
        """The number of nodes."""
        count = len(self.nodes())
        return f"{count} node{'s' if count != 1 else ''}"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._tasks.clear()
        self.disconnect()

    def disconnect(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _outcome(self, reference: Any) -> Outcome:
        request = self._tasks.pop(reference)
        number = request.piece.number
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(number, "a node", _first_line(error), retry=True)
        assert isinstance(outcome, Outcome)
        if outcome.retry:
            self._nodes_failed[number] = outcome.worker
        return outcome

    def _cpus(self) -> int:
        largest = max((int(node["Resources"]["CPU"]) for node in self.nodes()), default=1)
        return self.cpus or min(CPUS, largest)

    def _gpus(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1 if self.device != "cpu" and self._ray.cluster_resources().get("GPU", 0) >= 1 else 0


def check_versions(reports: list[NodeReport]) -> None:
    """Raise StreamfxError if a node has other versions than this machine."""
    ours = versions()
    for report in reports:
        for name, number in ours.items():
            if report.versions.get(name) != number:
                raise StreamfxError(
                    f"{report.name} has {name} {report.versions.get(name)}, this machine {number}; "
                    "install the same versions on all nodes"
                )


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing to Ray's makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address.startswith("ray://"):
        raise StreamfxError(f"'{address}' is for Ray's client; give HOST:PORT of the head node, from one of the nodes")
    options: dict[str, Any] = {"address": address}
    if address == "local":
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
        # Ray replaces 127.0.0.1 by the address of the network card
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.2"}
        options |= {"_temp_dir": folder} if (folder := os.environ.get("RAY_TMPDIR")) else {}
    try:
        import ray
    except ImportError:
        raise StreamfxError("--ray needs the package ray: pip install 'streamfx[ray]'") from None
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise StreamfxError(
            f"cannot connect to the Ray cluster '{address}': {_first_line(error)}; "
            "start one with 'ray start --head --node-ip-address=127.0.0.1', or give --ray local"
        ) from None
    return ray


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)

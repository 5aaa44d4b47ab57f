"""Renders pieces on the nodes of a Ray cluster. The only module that imports Ray, and only when a cluster is used."""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeAlias

from streamfx.errors import StreamfxError
from streamfx.jobs.ray_task import NodeReport, inspect_node, quoted, render, version_difference, versions
from streamfx.jobs.render_piece import JobRequest, Outcome, PieceRequest

MAX_RETRIES = 3  # by Ray, if a node is lost; our own tries come after that
CPUS = 4  # of a task by default; fewer if no node has as many
QUEUED = 2  # tasks per slot that Ray knows of, so that a cluster that can grow does
_ANSWER = 60.0  # seconds for a node to answer before the work

log = logging.getLogger("streamfx")

Node: TypeAlias = Mapping[str, Any]  # as Ray describes it
Request: TypeAlias = PieceRequest | JobRequest


@dataclass
class RayCluster:
    """An executor on a Ray cluster: "auto" finds a running one, "local" starts one, else HOST:PORT.

    A task gets `cpus` cores and `gpus` GPUs; None chooses by the nodes. Raises StreamfxError if there is no cluster.
    """

    has_other_machines = True
    address: str
    cpus: int | None = None
    gpus: float | None = None  # below 1, several tasks share a GPU
    device: str = "auto"
    _ray: Any = field(default=None, init=False)
    _remote: Any = field(default=None, init=False)
    _tasks: dict[Any, tuple[Request, str]] = field(default_factory=dict, init=False)  # with the ID of a node or ""
    _entered: int = field(default=0, init=False)  # contexts
    _failed: set[str] = field(default_factory=set, init=False)  # IDs of nodes that had an error of their machine

    def connect(self) -> None:
        """Connect, or start a cluster on this machine that only it can reach."""
        if self._ray is None:
            self._ray = _connect(self.address)
            self._remote = self._ray.remote(_render)  # once: Ray stores each remote function on the head

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        return max(1, sum(_slots(node, self._cpus(), self._gpus()) for node in self.nodes()))

    def nodes(self) -> list[Node]:
        """The nodes that can run tasks."""
        self.connect()
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def inspect(self, current_folder: str, files: list[str], folder: str, token: str) -> list[NodeReport]:
        """What each node has, as `inspect_node` says. Raises StreamfxError if one does not answer."""
        nodes = self.nodes()
        task = self._ray.remote(inspect_node)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        answers = [
            task.options(num_cpus=0, scheduling_strategy=strategy(node["NodeID"], soft=False)).remote(
                _name(node), current_folder, files, folder, token
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

    def check(self, current_folder: str, work_folder: Path, files: list[str]) -> None:
        """Raise StreamfxError if a node lacks a file, does not share the work folder, or has other versions.

        Also if no node has the cores and GPUs that a task gets.
        """
        self._check_size()
        token = work_folder / f"shared-{secrets.token_hex(4)}"
        token.touch()
        try:
            reports = self.inspect(current_folder, files, str(work_folder), token.name)
        finally:
            token.unlink(missing_ok=True)
        check_versions(reports)
        problems = [f"{report.name} does not see {quoted(report.missing)}" for report in reports if report.missing]
        problems += [f"{report.name} cannot write to '{work_folder}'" for report in reports if not report.shared]
        if problems:
            raise StreamfxError(f"{'; '.join(problems)}: give paths that all nodes share")

    def _check_size(self) -> None:
        nodes, cpus, gpus = self.nodes(), self._cpus(), self._gpus()
        if not nodes:
            raise StreamfxError("the cluster has no node with a CPU; start one: ray start --address HOST:PORT")
        if not any(_slots(node, cpus, gpus) for node in nodes):
            largest = max(nodes, key=lambda node: (_amount(node, "GPU"), _amount(node, "CPU")))
            has = f"{_name(largest)} has {_amount(largest, 'CPU'):g} and {_amount(largest, 'GPU'):g}"
            raise StreamfxError(
                f"no node has the {cpus} cores and {gpus:g} GPUs of a segment ({has}); "
                "give a smaller --ray-cpus or --ray-gpus"
            )

    def free(self) -> bool:
        """Whether another task can be queued."""
        return len(self._tasks) < QUEUED * self.slots

    def running(self) -> int:
        """Number of tasks that have not ended."""
        return len(self._tasks)

    def start(self, request: Request) -> None:
        """Queue a task; after an error of a machine, on one of the others."""
        self.connect()
        retries = MAX_RETRIES if isinstance(request, PieceRequest) else 0  # a job that is not split must be resumed
        options: dict[str, Any] = {"num_cpus": self._cpus(), "num_gpus": self._gpus(), "max_retries": retries}
        node = self._healthy_node() if self._failed else ""
        if node:
            strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
            options["scheduling_strategy"] = strategy(node, soft=True)
        task = self._remote.options(**options).remote(request, self._cpus(), versions())
        self._tasks[task] = request, node

    def _healthy_node(self) -> str:
        """The node with the fewest tasks that has had no error of its machine; "" if there is none."""
        count = Counter(node for _, node in self._tasks.values())
        fit = [node["NodeID"] for node in self.nodes() if _slots(node, self._cpus(), self._gpus())]
        return min((node for node in fit if node not in self._failed), key=lambda node: count[node], default="")

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
        self._entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._tasks.clear()
        self._entered -= 1
        if not self._entered:
            self.disconnect()

    def disconnect(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _outcome(self, reference: Any) -> Outcome:
        request, _ = self._tasks.pop(reference)
        try:
            node, outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(request.number, "a node", _first_line(error), retry=True)
        assert isinstance(outcome, Outcome)
        name = next((_name(known) for known in self._ray.nodes() if known["NodeID"] == node), outcome.worker)
        if not outcome.retry:
            return replace(outcome, worker=name)
        self._failed.add(node)
        return replace(outcome, worker=name, error=f"{name}: {outcome.error}")

    def _cpus(self) -> int:
        largest = max((int(node["Resources"]["CPU"]) for node in self.nodes()), default=1)
        return self.cpus or min(CPUS, largest)

    def _gpus(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1 if self.device != "cpu" and any(_amount(node, "GPU") for node in self.nodes()) else 0


def _render(request: Request, threads: int, expected: Mapping[str, str]) -> tuple[str, Outcome]:
    """The task of Ray: render a piece, or run a job; returns the ID of the node as well."""
    import ray

    return ray.get_runtime_context().get_node_id(), render(request, threads, expected)


def _slots(node: Node, cpus: int, gpus: float) -> int:
    """Tasks that a node can run at the same time."""
    slots = int(_amount(node, "CPU") // cpus)
    return min(slots, int(_amount(node, "GPU") / gpus + 1e-6)) if gpus else slots


def _amount(node: Node, resource: str) -> float:
    return float(node["Resources"].get(resource, 0))


def _name(node: Node) -> str:
    """The name given with --node-name, or that of the machine."""
    name = node["NodeName"]
    return str(node["NodeManagerHostname"] if name == node["NodeManagerAddress"] else name)


def check_versions(reports: list[NodeReport]) -> None:
    """Raise StreamfxError if a node has other versions than this machine."""
    for report in reports:
        if difference := version_difference(report.versions, versions()):
            raise StreamfxError(f"{report.name} has {difference}; install the same versions on all nodes")


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
        from ray._private import worker
    except ImportError:
        raise StreamfxError("--ray needs the package ray: pip install 'streamfx[ray]'") from None
    worker.print_to_stdstream = _log_message  # it prints to stdout, where a report or a video may go
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise StreamfxError(
            f"cannot connect to the Ray cluster '{address}': {_first_line(error)}; "
            "start one with 'ray start --head --node-ip-address=127.0.0.1', or give --ray local"
        ) from None
    return ray


def _log_message(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
    for line in data["lines"]:
        log.info("Ray: %s", line.split("\n")[0])


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

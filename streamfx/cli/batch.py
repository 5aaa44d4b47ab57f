"""`streamfx batch`: many videos with one command."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streamfx.cli._batch_options import PassedOn
from streamfx.cli._batch_run import BatchRun, Ended, as_json
from streamfx.cli._console import STDERR
from streamfx.errors import Misuse, StreamfxError

if TYPE_CHECKING:
    from streamfx.jobs.batch_files import BatchItem

MAX_JOBS = 256
_TICK = 0.1  # seconds
_SETTLED = 2.0  # seconds without a change after which a new file is complete


def batch(
    context: typer.Context,
    inputs: Annotated[
        str, typer.Argument(metavar="PATTERN|FOLDER|LIST.toml", help="Videos: 'clips/*.mov', a folder, or a list.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="OUTDIR", help="Folder to write to; created if it is missing.")],
    *,
    dream: Annotated[bool, typer.Option("--dream", help="Dream on the videos, instead of stylizing them.")] = False,
    name: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="Names of the outputs; fields: stem, ext, name, folder, number.")
    ] = "{stem}{ext}",
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=MAX_JOBS, help="Videos to render at a time.")] = 1,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and render files once they have stopped growing.")
    ] = False,
    report: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each video.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Stylize many videos with one command, with the options of style; of dream with --dream; of run with --chain.

    streamfx batch clips/ painted/ --preset munch --jobs 2
    """
    passed = context.obj
    assert isinstance(passed, PassedOn)
    run = BatchRun(passed, jobs, _gpus(passed, jobs))
    find = _finder(inputs, folder, name)
    if watch:
        new: Iterable[list[BatchItem]] = _new_files(inputs, find)
    else:
        items = find()
        if not items:
            raise StreamfxError(f"no video matches '{inputs}'; give a folder, a pattern in quotes, or a LIST.toml")
        new = [items]
    folder.mkdir(parents=True, exist_ok=True)
    results: list[Ended] = []
    with _Display(report=report, quiet=quiet) as display:
        try:
            for ended in _run(run, new, display.show):
                results.append(ended)
                display.end(ended)
        except KeyboardInterrupt:
            stopped = list(run.stop())
            results += stopped
            for ended in stopped:
                display.end(ended)
            if not watch:
                display.summarize(results)
                raise typer.Exit(130) from None
    display.summarize(results)
    if any(ended.state == "failed" for ended in results):
        raise typer.Exit(1)


def _run(run: BatchRun, new: Iterable[list[BatchItem]], show: Callable[[BatchRun, int], None]) -> Iterator[Ended]:
    """Run the videos that come in `new`, until there are no more; yields each as it ends."""
    total = 0
    arriving: Iterator[list[BatchItem]] | None = iter(new)
    while arriving or run.busy:
        if arriving is not None:
            items = next(arriving, None)
            if items is None:
                arriving = None
            else:
                total += len(items)
                for item in items:
                    run.add(item)
        yield from run.step()
        show(run, total)
        if run.busy:
            time.sleep(_TICK)


def _finder(inputs: str, folder: Path, name: str) -> Callable[[], list[BatchItem]]:
    """A function that finds the videos; raises errors in the arguments now."""
    from streamfx.jobs.batch_files import batch_items, check_name

    check_name(name)
    if folder.exists() and not folder.is_dir():
        raise Misuse(f"'{folder}' is not a folder; the second argument is the folder to write to")
    if Path(inputs).is_dir() and folder.exists() and folder.samefile(inputs):
        raise Misuse(f"'{folder}' holds the inputs; give another folder to write to")
    return lambda: batch_items(inputs, folder, name)


def _new_files(inputs: str, find: Callable[[], list[BatchItem]]) -> Iterator[list[BatchItem]]:
    """Lists of new files that have not changed for a moment; never ends."""
    if inputs.lower().endswith(".toml"):
        raise Misuse("--watch needs a folder or a pattern, not a list")
    try:
        from watchfiles import watch
    except ImportError:
        raise StreamfxError("--watch needs the package watchfiles: pip install 'streamfx[watch]'") from None
    place = Path(inputs) if Path(inputs).is_dir() else Path(inputs).parent
    if not place.is_dir():
        raise StreamfxError(f"folder '{place}' not found; create it first")
    return _settled_files(find, watch(place, rust_timeout=500, yield_on_timeout=True, raise_interrupt=True))


def _settled_files(find: Callable[[], list[BatchItem]], ticks: Iterable[object]) -> Iterator[list[BatchItem]]:
    """At each tick, the files that have had the same size and time for _SETTLED seconds, each once."""
    seen: dict[Path, tuple[tuple[int, int], float]] = {}  # size and time of change; since when
    started: set[Path] = set()
    for _ in ticks:
        ready = []
        for item in find():
            if item.source in started:
                continue
            try:
                status = item.source.stat()
            except OSError:
                continue  # renamed or removed
            state = status.st_size, status.st_mtime_ns
            before = seen.get(item.source)
            if before is None or before[0] != state:
                seen[item.source] = state, time.monotonic()
            elif time.monotonic() - before[1] >= _SETTLED:
                started.add(item.source)
                ready.append(item)
        yield ready


def _gpus(passed: PassedOn, jobs: int) -> list[str] | None:
    """The GPUs that the videos share; None if one video runs at a time, or on the CPU."""
    if jobs == 1 or "--device=cpu" in passed.words:
        return None
    from streamfx.jobs.processes import visible_gpus

    return visible_gpus("auto")


class _Display:
    """Shows how far the batch is on stderr, and the results on stdout."""

    def __init__(self, *, report: bool, quiet: bool) -> None:
        self._report, self._quiet = report, quiet
        columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
        self._bar = Progress(*columns, console=STDERR, disable=quiet or not STDERR.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._done = 0

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, run: BatchRun, total: int) -> None:
        """Show the videos that run."""
        names = ", ".join(run.sources[:3]) + (" ..." if len(run.sources) > 3 else "")
        self._bar.update(self._task, description=f"{self._done} of {total}: {names}", completed=self._done, total=total)

    def end(self, ended: Ended) -> None:
        """Report a video that has ended."""
        self._done += 1
        if self._report:
            print(as_json(ended), flush=True)
        elif ended.error:
            where = "" if ended.source in ended.error else f"'{ended.source}': "
            STDERR.print(f"streamfx: {where}{ended.error}", markup=False)
        elif not self._quiet:
            STDERR.print(f"streamfx: {ended.state} '{ended.output}'", markup=False)

    def summarize(self, results: list[Ended]) -> None:
        """Print the table, with the errors, and the counts."""
        if self._report:
            return
        if not self._quiet:
            Console(highlight=False, soft_wrap=True).print(_table(results))
        counts = Counter(ended.state for ended in results)
        text = ", ".join(f"{counts[state]} {state}" for state in ("finished", "skipped", "failed", "stopped"))
        if not self._quiet or counts["failed"]:
            STDERR.print(f"streamfx: {text}", markup=False)


def _table(results: list[Ended]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("video", "state", "frames", "seconds", "output or error"):
        table.add_column(heading, justify="right" if heading in ("frames", "seconds") else "left")
    for ended in results:
        frames = str(ended.frames) if ended.frames else ""
        table.add_row(
            ended.source,
            ended.state,
            frames,
            f"{ended.seconds:.1f}" if ended.seconds else "",
            ended.error or ended.output,
        )
    return table

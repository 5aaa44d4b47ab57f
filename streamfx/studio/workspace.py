"""What all pages of a studio share: files, queue, renders and the reader of command lines."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

from streamfx.errors import StreamfxError
from streamfx.studio.library import Library
from streamfx.studio.previews import Previews
from streamfx.studio.project import Project, load_project, project_files
from streamfx.studio.queue import Entry, RenderQueue
from streamfx.studio.render_command import Read, check_chain, check_command
from streamfx.studio.renders import Renders

log = logging.getLogger("streamfx")

_WARM_UP_DELAY = 0.4  # seconds: the page is sent first


class Workspace:
    """The studio of one folder. Only one process may open it at a time."""

    def __init__(self, folder: Path, output: Path | None, read: Read) -> None:
        """`read` parses command lines. Raises StreamfxError if the folder cannot be used."""
        if not folder.is_dir():
            raise StreamfxError(f"'{folder}' is not a folder; give the folder of your media files")
        self.library = Library(folder, folder / "renders" if output is None else output)
        self._lock = _lock(self.library)
        shutil.rmtree(self.library.uploads, ignore_errors=True)  # of a studio that was killed
        self.library.uploads.mkdir(exist_ok=True)
        self.read = read
        self.queue = RenderQueue(self.library.state / "queue.json")
        self.renders = Renders(self.queue, self.library)
        self.previews = Previews(self.library)
        self.is_engine_ready = False  # whether the engine is imported
        self._warm = False

    def warm_up(self) -> None:
        """Import the engine on another thread, so that the first page does not wait for it; only once."""
        if not self._warm:
            self._warm = True
            Timer(_WARM_UP_DELAY, self._import_engine).start()

    def _import_engine(self) -> None:
        import torch  # noqa: F401

        self.is_engine_ready = True

    @property
    def is_rendering(self) -> bool:
        """Whether a render is running."""
        return any(entry.state == "running" for entry in self.queue.entries)

    def start(self) -> None:
        """Start to render the queue."""
        self.renders.start()

    def close(self) -> bool:
        """Stop the running render so that it can be resumed, and let another process open the folder.

        False if a preview is still being painted.
        """
        self.renders.stop()
        stopped = self.previews.close()
        os.close(self._lock)
        return stopped

    def last_project(self) -> Project:
        """The project saved last, or an empty one."""
        for file in project_files(self.library):
            try:
                project = load_project(file)
                check_chain(project.chain, self.library)
                return project
            except StreamfxError as error:
                log.warning("%s", error)
        return Project()

    def enqueue(self, arguments: Sequence[str]) -> Entry:
        """Check a command and add it to the queue. Raises StreamfxError."""
        _, target = check_command(arguments, self.read, self.library)
        if self.library.resolve(target).exists():
            raise StreamfxError(f"'{target}' exists, and the studio overwrites nothing; give another name")
        return self.queue.add(arguments, target)

    def enqueue_project(self, project: Project) -> Entry:
        """Add the render of a project, under a name that is free. Raises StreamfxError."""
        return self.enqueue(project.arguments(self.target_of(project)))

    def target_of(self, project: Project) -> str:
        """A free name for the render of a project. Raises StreamfxError for an invalid chain."""
        return self.free_target(f"{Path(project.source).stem}-{_label(project.chain)}", project.extension)

    def free_target(self, stem: str, extension: str) -> str:
        """A name in the output folder that neither a file nor a render has."""
        taken = frozenset(entry.target for entry in self.queue.entries)
        return self.library.free_target(stem, extension, taken)


def _label(chain: str) -> str:
    """A short name for the looks of a chain, such as "vangogh" or "mirror-hue"."""
    from streamfx.chain import build_chain
    from streamfx.effects.style import Style
    from streamfx.media.filters.effect import Filters

    names: list[str] = []
    for effect in build_chain(chain):
        if isinstance(effect, Filters):
            names += [node.name for node in effect.nodes]
        else:
            names.append(
                effect.preset.partition(":")[0] if isinstance(effect, Style) else type(effect).__name__.lower()
            )
    return "-".join(names[:3]) or "copy"


def _lock(library: Library) -> int:
    """Lock the studio's folder for this process; the lock ends with it."""
    try:
        library.state.mkdir(exist_ok=True)
        descriptor = os.open(library.state, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StreamfxError(f"cannot write in the folder '{library.folder}': {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StreamfxError(f"another studio has '{library.folder}' open; use its page, or stop it") from None
    return descriptor

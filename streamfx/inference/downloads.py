"""Files that are fetched once, checked, and kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from platformdirs import user_cache_dir

from streamfx.errors import StreamfxError

_CHUNK = 1 << 18  # bytes
_PATIENCE = 30.0  # seconds without an answer

Report = Callable[[int, int], None]  # bytes fetched, bytes in all


@dataclass(frozen=True, slots=True)
class Download:
    """Where a file comes from, and how to know that it is the right one."""

    url: str
    sha256: str  # of what the url gives: all 64 digits, or the first ones where no more are published
    size: int  # bytes of it, about
    member: str = ""  # the file to take out of a zip archive

    @property
    def path(self) -> Path:
        """Where it is kept."""
        name = self.member or self.url.rpartition("/")[2]
        return Path(user_cache_dir("streamfx", appauthor=False)) / "weights" / name

    @property
    def cached(self) -> bool:
        return self.path.is_file()


def fetch(download: Download, report: Report = lambda done, whole: None) -> Path:
    """The file of `download`; where it is not in the cache yet, fetched, checked and put there, whole or not at all."""
    if download.cached:
        return download.path
    path = download.path
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _receive(download, beside, report)
        if not found.startswith(download.sha256):
            raise StreamfxError(
                f"what {download.url} sends is not the file it should be (sha256 {found[:16]}..., expected "
                f"{download.sha256[:16]}...); nothing was kept: try again, or give the file by --weights"
            )
        if download.member:
            _unpack(download, beside)
        beside.replace(path)
    except URLError as error:
        raise StreamfxError(
            f"cannot fetch {download.url} ({error.reason}); go online once, or give the file by --weights"
        ) from error
    except OSError as error:
        raise StreamfxError(f"cannot fetch {download.url} to {path} ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return path


def _receive(download: Download, target: Path, report: Report) -> str:
    """Write what the url gives to `target`; its sha256."""
    digest = hashlib.sha256()
    with urlopen(download.url, timeout=_PATIENCE) as answer, target.open("wb") as file:
        whole = int(answer.headers.get("Content-Length") or download.size)
        done = 0
        while part := answer.read(_CHUNK):
            digest.update(part)
            file.write(part)
            done += len(part)
            report(done, whole)
    return digest.hexdigest()


def _unpack(download: Download, archive: Path) -> None:
    """Put the one member in the archive's place."""
    try:
        with zipfile.ZipFile(archive) as opened:
            content = opened.read(download.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise StreamfxError(f"{download.url} is no zip archive with {download.member} in it ({error})") from error
    archive.write_bytes(content)

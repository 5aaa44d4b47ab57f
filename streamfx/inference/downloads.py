"""Download files, verify them, and cache them in the user's cache folder."""

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

from streamfx.errors import StreamfxError
from streamfx.resources import cache_folder

_CHUNK = 1 << 18  # bytes
_TIMEOUT = 30.0  # seconds without data from the server

Report = Callable[[int, int], None]  # bytes received, total bytes


@dataclass(frozen=True, slots=True)
class Download:
    """A file to download, and its checksum."""

    url: str
    sha256: str  # of the file at the URL: 64 digits, or the leading ones that are published
    size: int  # approximate bytes
    member: str = ""  # file to extract, if the URL is a zip archive

    @property
    def path(self) -> Path:
        """Location in the cache."""
        name = self.member or self.url.rpartition("/")[2]
        return cache_folder() / "weights" / name

    @property
    def cached(self) -> bool:
        return self.path.is_file()


def fetch(download: Download, report: Report = lambda done, total: None) -> Path:
    """The cached file of `download`, downloaded and verified first if it is missing. Writes are atomic."""
    if download.cached:
        return download.path
    path = download.path
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _receive(download, temporary, report)
        if not digest.startswith(download.sha256):
            raise StreamfxError(
                f"wrong checksum for {download.url} (sha256 {digest[:16]}..., expected {download.sha256[:16]}...); "
                "nothing was saved: try again, or give the file with --weights"
            )
        if download.member:
            _unpack(download, temporary)
        temporary.replace(path)
    except URLError as error:
        raise StreamfxError(
            f"cannot download {download.url} ({error.reason}); connect to the internet or give the file with --weights"
        ) from error
    except OSError as error:
        raise StreamfxError(f"cannot download {download.url} to {path} ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _receive(download: Download, target: Path, report: Report) -> str:
    """Download the URL to `target`; returns its sha256."""
    digest = hashlib.sha256()
    with urlopen(download.url, timeout=_TIMEOUT) as response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length") or download.size)
        done = 0
        while chunk := response.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
            done += len(chunk)
            report(done, total)
    return digest.hexdigest()


def _unpack(download: Download, archive: Path) -> None:
    """Replace the archive by its member."""
    try:
        with zipfile.ZipFile(archive) as opened:
            content = opened.read(download.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise StreamfxError(f"{download.url} is not a zip archive that contains {download.member} ({error})") from error
    archive.write_bytes(content)

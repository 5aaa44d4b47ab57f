"""The studio's HTTP routes besides the page: files, frames, thumbnails and uploads."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.requests import ClientDisconnect

from streamfx.errors import StreamfxError
from streamfx.studio import frames
from streamfx.studio.library import Library
from streamfx.studio.workspace import Workspace

UPLOAD = "/studio/upload/"
MAX_UPLOAD = 8 << 30  # bytes
_FREE = 256 << 20  # bytes that an upload leaves free on the disk
# an image that is not there yet: without an address, browsers draw a frame
BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
_SHORT = {"Cache-Control": "private, max-age=60"}


def add_routes(app: FastAPI, workspace: Workspace) -> None:
    """Add the routes to the server. All of them are behind the guard."""
    library = workspace.library

    @app.exception_handler(StreamfxError)
    def explain(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.get("/studio/file/{name:path}")
    def file(name: str) -> Response:
        return FileResponse(library.existing(name), content_disposition_type="inline")

    @app.get("/studio/part/{number}/{name}")
    def part(number: int, name: str) -> Response:
        folder = library.state / "parts" / str(number)
        if Path(name).name != name or not (folder / name).is_file():
            raise StreamfxError(f"'{name}' has not been joined")
        return FileResponse(folder / name, content_disposition_type="inline", headers={"Cache-Control": "no-store"})

    @app.get("/studio/thumbnail/{name:path}")
    def thumbnail(name: str) -> Response:
        content = frames.thumbnail(library.existing(name), library.state / "thumbnails")
        return Response(content, media_type="image/jpeg", headers=_SHORT)

    @app.get("/studio/frame/{name:path}")
    def frame(name: str, t: float = 0.0) -> Response:
        path = library.existing(name)
        time = frames.describe(path).snap(t)
        return Response(frames.jpeg(frames.frame_at(path, time).image), media_type="image/jpeg", headers=_SHORT)

    @app.get("/studio/preview/{name}")
    def preview(name: str) -> Response:
        content = workspace.previews.picture(name)
        return Response(content or b"", 200 if content else 404, media_type="image/jpeg", headers=_SHORT)

    @app.get("/studio/gallery/{name}")
    def gallery(name: str) -> Response:
        file = library.state / "gallery" / name
        return FileResponse(file) if Path(name).name == name and file.is_file() else Response(status_code=404)

    @app.get("/studio/compare/{folder}/{name}")
    def compare(folder: str, name: str) -> Response:
        file = library.state / "compare" / folder / name
        plain = Path(folder).name == folder and Path(name).name == name
        return FileResponse(file) if plain and file.is_file() else Response(status_code=404)

    @app.post(UPLOAD + "{name:path}")
    async def upload(name: str, request: Request) -> Response:
        saved = await _save(request, name, library)
        return JSONResponse({"name": library.name_of(saved)})


async def _save(request: Request, name: str, library: Library) -> Path:
    """Save the body of a request as a file of the library, completely or not at all. Raises StreamfxError."""
    library.upload_target(name)  # checks the name
    length = int(request.headers["content-length"])  # the guard requires it
    if shutil.disk_usage(library.folder).free < length + _FREE:
        raise StreamfxError(f"the disk is too full for '{name}' ({length / 1e6:.0f} MB)")
    part = library.uploads / uuid4().hex
    try:
        with part.open("wb") as stream:
            async for chunk in request.stream():
                stream.write(chunk)
        if part.stat().st_size != length:
            raise ClientDisconnect
        target = library.upload_target(name)  # another upload may have taken the name
        os.replace(part, target)
    except ClientDisconnect as error:
        raise StreamfxError(f"the upload of '{name}' was interrupted") from error
    except OSError as error:
        raise StreamfxError(f"cannot write '{name}': {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink()
    return target


def thumbnail_url(name: str) -> str:
    """The address of a file's thumbnail."""
    return f"/studio/thumbnail/{quote(name)}"


def frame_url(name: str, time: Fraction | float) -> str:
    """The address of the frame of a video at `time` seconds."""
    return f"/studio/frame/{quote(name)}?t={float(time):.6f}"


def file_url(name: str) -> str:
    """The address of a file."""
    return f"/studio/file/{quote(name)}"

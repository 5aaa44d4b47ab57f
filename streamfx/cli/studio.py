"""`streamfx studio`: a page in the browser to preview and render."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from streamfx.cli._line import line_reader
from streamfx.errors import StreamfxError


def studio(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of the media files.")] = Path(),
    output: Annotated[
        Path | None, typer.Option(help="Folder for rendered videos.", show_default="FOLDER/renders")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.", show_default="8420")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this computer need the token.")
    ] = "127.0.0.1",
    token: Annotated[str | None, typer.Option(help="Token of the page's address.", show_default="random")] = None,
    browser: Annotated[
        bool, typer.Option(" /--no-browser", help="Only print the page's address.", show_default=False)
    ] = True,
) -> None:
    """Open a page in the browser to choose looks, preview them on your clips, and render: streamfx studio ~/Videos"""
    if find_spec("nicegui") is None:
        raise StreamfxError("the studio is not installed; run: pip install 'streamfx[studio]'")
    from streamfx.studio.server import serve

    serve(folder, output, host=host, port=port, token=token, browser=browser, read=line_reader(context))

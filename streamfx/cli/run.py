"""`streamfx run`: any chain of effects and FFmpeg filters on a video."""

from __future__ import annotations

from typing import Annotated

import typer

from streamfx.cli._options import VideoOptions, video_command
from streamfx.cli._run import make_video


@video_command
def run(
    source: Annotated[str, typer.Argument(help="Video, image, 'frames/%05d.png', URL, device, or - for stdin.")],
    output: Annotated[str, typer.Argument(help="Video or image to write, by its extension; - for stdout (nut).")],
    *,
    chain: Annotated[str, typer.Option(help="Effects and FFmpeg filters, e.g. 'fps=24,style=vangogh,hue=s=1.2'.")],
    options: VideoOptions,
) -> None:
    """Run a chain of effects and FFmpeg filters on a video."""
    from streamfx.chain import build_chain

    make_video(source, output, build_chain(chain), options, {"chain": chain})

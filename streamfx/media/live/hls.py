"""HLS: the folder of a live playlist, with a page that plays it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.media.live.address import PLAYLIST, LiveTarget

PAGE = "index.html"
_OURS = "streamfx live"  # in the page, to recognize it
_SEGMENT = re.compile(r"live-\d{5,}\.m4s|live-init\.mp4|live\.m3u8(\.tmp)?")
_LISTED = 6  # segments in the playlist


def prepare_folder(target: LiveTarget) -> LiveTarget:
    """Create the folder of an HLS target, remove the segments of an earlier run, and write the page.

    Returns the target with the playlist as its URL. Raises StreamfxError for a folder with another page.
    """
    folder = Path(target.url)
    page = folder / PAGE
    if page.exists() and _OURS not in page.read_text(encoding="utf-8", errors="replace"):
        raise StreamfxError(f"'{folder}' has another {PAGE}; give a folder of its own, as in hls:live")
    try:
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            if _SEGMENT.fullmatch(file.name):
                file.unlink()
        page.write_text(hls_page(), encoding="utf-8")
    except OSError as error:
        raise StreamfxError(f"cannot write to '{folder}': {error.strerror}") from error
    options = {
        "hls_time": "1",
        "hls_list_size": str(_LISTED),
        "hls_segment_type": "fmp4",
        "hls_flags": "delete_segments+independent_segments+temp_file",
        "hls_segment_filename": str(folder / "live-%05d.m4s"),
        "hls_fmp4_init_filename": "live-init.mp4",
    }
    return LiveTarget(target.name, str(folder / PLAYLIST), "hls", "hls", options)


def hls_page() -> str:
    """The page that plays the playlist beside it, in browsers with and without HLS of their own."""
    return files("streamfx.media.live").joinpath("hls.html").read_text(encoding="utf-8")


def is_hls_file(name: str) -> bool:
    """Whether a file name belongs to a playlist folder, so that it may be served."""
    return name == PAGE or (_SEGMENT.fullmatch(name) is not None and not name.endswith(".tmp"))

"""The folder of a live playlist."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.media.live.address import live_target
from streamfx.media.live.hls import is_hls_file, prepare_folder


def test_folder_is_prepared(tmp_path):
    folder = tmp_path / "live"
    target = prepare_folder(live_target(f"hls:{folder}"))
    assert target.url == str(folder / "live.m3u8")
    assert "<video" in (folder / "index.html").read_text()
    (folder / "live-00007.m4s").write_bytes(b"old")
    (folder / "notes.txt").write_text("mine")
    prepare_folder(live_target(f"hls:{folder}"))
    assert sorted(file.name for file in folder.iterdir()) == ["index.html", "notes.txt"]


def test_another_page_is_not_overwritten(tmp_path):
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(StreamfxError, match=r"has another index\.html"):
        prepare_folder(live_target(f"hls:{tmp_path}"))
    assert (tmp_path / "index.html").read_text() == "my own page"


def test_targets(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamfxError, match="is a file"):
        live_target(f"hls:{tmp_path / 'file'}")
    with pytest.raises(StreamfxError, match="create it first"):
        live_target(f"hls:{tmp_path / 'none' / 'live'}")


def test_names():
    assert all(map(is_hls_file, ("index.html", "live.m3u8", "live-init.mp4", "live-00012.m4s")))
    assert not any(map(is_hls_file, ("live.m3u8.tmp", "../live.m3u8", "other.mp4", "live-1.m4s", "")))

"""Files fetched from a url of this machine: checked, kept, or refused in one line."""

import hashlib
import zipfile

import pytest

from streamfx.errors import StreamfxError
from streamfx.inference import downloads
from streamfx.inference.downloads import Download, fetch

CONTENT = bytes(range(256)) * 3000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def download(tmp_path):
    file = tmp_path / "net.pth"
    file.write_bytes(CONTENT)
    return Download(file.as_uri(), hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def test_a_file_comes_whole_and_only_once(download, cache, tmp_path):
    told = []
    assert not download.cached
    path = fetch(download, lambda done, whole: told.append((done, whole)))
    assert path.read_bytes() == CONTENT
    assert path == cache / "net.pth"
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    (tmp_path / "net.pth").unlink()  # it is not asked for again
    assert fetch(download) == path
    assert [each.name for each in cache.iterdir()] == ["net.pth"]


def test_the_beginning_of_a_sha256_is_enough(download):
    short = Download(download.url, download.sha256[:8], 1)
    assert fetch(short).read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(download, cache):
    with pytest.raises(StreamfxError, match="is not the file it should be"):
        fetch(Download(download.url, "0" * 64, 1))
    assert list(cache.iterdir()) == []


def test_what_cannot_be_had_says_how_to_go_on(tmp_path, cache):
    missing = Download((tmp_path / "none.pth").as_uri(), "0", 1)
    with pytest.raises(StreamfxError, match=r"cannot fetch file://.*none\.pth .*--weights"):
        fetch(missing)
    assert list(cache.iterdir()) == []


def test_one_member_of_an_archive(tmp_path, cache):
    archive = tmp_path / "net.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("graph.pb", CONTENT)
        opened.writestr("readme", "hello")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert fetch(Download(archive.as_uri(), digest, 1, "graph.pb")).read_bytes() == CONTENT
    assert [each.name for each in cache.iterdir()] == ["graph.pb"]
    with pytest.raises(StreamfxError, match=r"no zip archive with other\.pb"):
        fetch(Download(archive.as_uri(), digest, 1, "other.pb"))


def test_what_is_no_archive(download):
    with pytest.raises(StreamfxError, match="no zip archive"):
        fetch(Download(download.url, download.sha256, 1, "graph.pb"))


def test_a_cache_that_cannot_be_written(download, cache):
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(StreamfxError, match="cannot fetch"):
        fetch(download)

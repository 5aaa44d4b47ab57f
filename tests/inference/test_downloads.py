"""Downloads from file URLs: verified and cached, or refused with a one-line error."""

import hashlib
import zipfile

import pytest

from streamfx.errors import StreamfxError
from streamfx.inference import downloads
from streamfx.inference.downloads import Download, fetch

CONTENT = bytes(range(256)) * 3000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "weights"


@pytest.fixture
def download(tmp_path):
    file = tmp_path / "net.pth"
    file.write_bytes(CONTENT)
    return Download(file.as_uri(), hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


def test_file_is_downloaded_once(download, cache, tmp_path):
    reports = []
    assert not download.cached
    path = fetch(download, lambda done, total: reports.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path == cache / "net.pth"
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert reports == sorted(reports)
    (tmp_path / "net.pth").unlink()  # not needed again
    assert fetch(download) == path
    assert [file.name for file in cache.iterdir()] == ["net.pth"]


def test_partial_sha256_is_enough(download):
    short = Download(download.url, download.sha256[:8], 1)
    assert fetch(short).read_bytes() == CONTENT


def test_wrong_checksum_is_refused_and_not_cached(download, cache):
    with pytest.raises(StreamfxError, match="wrong checksum"):
        fetch(Download(download.url, "0" * 64, 1))
    assert list(cache.iterdir()) == []


def test_error_of_a_failed_download_suggests_a_solution(tmp_path, cache):
    missing = Download((tmp_path / "none.pth").as_uri(), "0", 1)
    with pytest.raises(StreamfxError, match=r"cannot download file://.*none\.pth .*--weights"):
        fetch(missing)
    assert list(cache.iterdir()) == []


def test_member_of_an_archive_is_extracted(tmp_path, cache):
    archive = tmp_path / "net.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("graph.pb", CONTENT)
        writer.writestr("readme", "hello")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert fetch(Download(archive.as_uri(), digest, 1, "graph.pb")).read_bytes() == CONTENT
    assert [file.name for file in cache.iterdir()] == ["graph.pb"]
    with pytest.raises(StreamfxError, match=r"not a zip archive that contains other\.pb"):
        fetch(Download(archive.as_uri(), digest, 1, "other.pb"))


def test_file_that_is_not_an_archive_is_refused(download):
    with pytest.raises(StreamfxError, match="not a zip archive"):
        fetch(Download(download.url, download.sha256, 1, "graph.pb"))


def test_unwritable_cache_is_an_error(download, cache):
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(StreamfxError, match="cannot download"):
        fetch(download)

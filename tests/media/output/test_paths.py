"""Checks of output paths before writing, and files that appear in one step."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.media.output.paths import MAX_NAME_BYTES, check_target, comment_of, replace_durably, sync_folder


def test_a_regular_file_has_a_path(tmp_path):
    assert check_target(str(tmp_path / "out.mp4"), None, False) == tmp_path / "out.mp4"


@pytest.mark.parametrize("name", ["udp://127.0.0.1:1", "/dev/null", "/dev/full"])
def test_urls_and_devices_have_no_path(name):
    assert check_target(name, None, False) is None


def test_pipes_and_numbered_images_have_no_path(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "%d.png", "out_%05d.jpg"):
        assert check_target(str(tmp_path / name), None, False) is None


def test_stdout_may_not_be_a_terminal(monkeypatch):
    assert check_target("-", None, False) is None  # captured by pytest
    main, terminal = os.openpty()
    with open(main, "rb"), open(terminal, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        with pytest.raises(StreamfxError, match="stdout is a terminal; redirect it"):
            check_target("-", None, False)


@pytest.mark.parametrize("character", ["a", "ä", "火"])
def test_names_may_have_240_bytes(character, tmp_path):
    size = len(character.encode())
    longest = character * (MAX_NAME_BYTES // size)
    assert check_target(str(tmp_path / longest), None, False) == tmp_path / longest
    with pytest.raises(StreamfxError, match=rf"'{character * 20}...' is too long \({MAX_NAME_BYTES + size} bytes\)"):
        check_target(str(tmp_path / (longest + character)), None, False)


def test_folders_are_errors(tmp_path):
    with pytest.raises(StreamfxError, match=r"is a folder; give a file in it, such as '.*/out\.mp4'"):
        check_target(str(tmp_path), None, False)
    with pytest.raises(StreamfxError, match=r"cannot write 'out.mp4': folder '.*/none' not found; create it first"):
        check_target(str(tmp_path / "none" / "out.mp4"), None, False)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_unwritable_folders_are_errors(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    with pytest.raises(StreamfxError, match="is not writable; choose another or change its permissions"):
        check_target(str(closed / "out.mp4"), None, False)


def test_existing_files_need_overwrite(tmp_path):
    target = tmp_path / "out.mp4"
    target.touch()
    with pytest.raises(StreamfxError, match=r"out\.mp4' exists; give -y to overwrite it"):
        check_target(str(target), None, False)
    assert check_target(str(target), None, True) == target


@pytest.mark.parametrize(("pattern", "first"), [("%d.png", "1.png"), ("%04d.png", "0001.png"), ("a%2d.jpg", "a01.jpg")])
def test_the_first_of_numbered_images_may_not_exist(pattern, first, tmp_path):
    (tmp_path / "2.png").touch()
    assert check_target(str(tmp_path / pattern), None, False) is None
    (tmp_path / first).touch()
    with pytest.raises(StreamfxError, match=f"{first}' exists"):
        check_target(str(tmp_path / pattern), None, False)
    assert check_target(str(tmp_path / pattern), None, True) is None


def test_the_input_is_never_overwritten(video, tmp_path, monkeypatch):
    source = tmp_path / "in.mp4"
    source.write_bytes(video.read_bytes())
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    monkeypatch.chdir(tmp_path)
    with Reader(source) as reader:
        for name in (str(source), "in.mp4", "./in.mp4", "link.mp4", "hard.mp4"):
            with pytest.raises(StreamfxError, match="is the input itself; give another output name"):
                check_target(name, reader, True)
        assert check_target("copy.mp4", reader, True) == Path("copy.mp4")


def test_a_file_is_replaced_in_one_step(tmp_path):
    """A reader sees either the old or the new content, never a part."""
    target, part = tmp_path / "out", tmp_path / ".part"
    contents = [bytes([n]) * 100_000 for n in range(2)]
    target.write_bytes(contents[0])
    seen = set()
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(50):
        part.write_bytes(contents[n % 2])
        replace_durably(part, target)
        assert not part.exists()
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert target.read_bytes() == contents[1]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_missing_part_leaves_the_target_unchanged(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        replace_durably(tmp_path / ".part", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"old"


def test_syncing_a_folder_closes_it(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(10):
        sync_folder(tmp_path)
    assert not before or len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.nut", "a.flac"])
def test_the_comment_of_a_file(name, video, clip):
    data = ["-vn"] if name == "a.flac" else ["-c", "copy"]
    assert comment_of(str(clip(name, "-i", video, *data, "-metadata", "comment=made: x=1"))) == "made: x=1"


def test_other_files_have_no_comment(video, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    for target in (video, tmp_path / "a.mp4", tmp_path / "none.mp4", tmp_path, "-", "/dev/null"):
        assert comment_of(str(target)) == ""


@settings(max_examples=50)
@given(content=st.binary(max_size=200))
def test_any_content_gives_a_comment_or_none(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.mkv"
    file.write_bytes(content)
    assert isinstance(comment_of(str(file)), str)

"""Checks of output paths before writing, and files that appear in one step."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.media.output.paths import MAX_NAME_BYTES, check_target, comment_of, replace_durably, reserve, sync_folder


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


def test_links_are_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "new.mp4").symlink_to("disk/new.mp4")
    (tmp_path / "old.mp4").symlink_to(tmp_path / "disk" / "old.mp4")
    (tmp_path / "disk" / "old.mp4").touch()
    (tmp_path / "null.mp4").symlink_to("/dev/null")
    (tmp_path / "lost.mp4").symlink_to("none/out.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert check_target(str(tmp_path / "new.mp4"), None, False) == tmp_path / "disk" / "new.mp4"
    assert check_target(str(tmp_path / "old.mp4"), None, True) == tmp_path / "disk" / "old.mp4"
    assert check_target(str(tmp_path / "null.mp4"), None, False) is None
    for name, reason in (("old", "exists; give -y"), ("lost", "none' not found"), ("loop", "leads to itself")):
        with pytest.raises(StreamfxError, match=reason):
            check_target(str(tmp_path / f"{name}.mp4"), None, False)


def test_the_mode_and_owner_are_kept(tmp_path):
    target, part = tmp_path / "out.mp4", tmp_path / ".part"
    for mode in (0o600, 0o640, 0o664):
        target.touch()
        target.chmod(mode)
        if os.geteuid() == 0:
            os.chown(target, 12345, 12346)
        owner = target.stat().st_uid, target.stat().st_gid
        reserve(part, target)
        assert part.stat().st_mode & 0o777 == 0o600
        replace_durably(part, target)
        assert target.stat().st_mode & 0o7777 == mode
        assert (target.stat().st_uid, target.stat().st_gid) == owner


def test_a_new_file_has_the_default_mode(tmp_path):
    (tmp_path / "other").touch()
    part = tmp_path / ".part"
    reserve(part, tmp_path / "out.mp4")
    assert not part.exists()
    part.touch()
    replace_durably(part, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_files_of_killed_runs_are_removed(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    target = tmp_path / "a[1].mp4"
    kept = {f".a[1].mp4.{os.getppid()}.part", ".a[1].mp4.x.part", f".a1.mp4.{ended.pid}.part", "a[1].mp4.part"}
    for name in (*kept, f".a[1].mp4.{ended.pid}.part", f".a[1].mp4.{10**30}.part"):
        (tmp_path / name).touch()
    reserve(tmp_path / ".part", target)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_mount_point_is_overwritten(tmp_path):
    """As of files that Docker mounts one by one."""
    script = "touch out && mount --bind source out"
    program = (
        "from pathlib import Path as P; from streamfx.media.output.paths import *; replace_durably(P('new'), P('out'))"
    )
    (tmp_path / "source").write_text("old")
    (tmp_path / "new").write_text("new")
    mounted = ["unshare", "-rm", "sh", "-c", f'{script} || exit 77; exec "$@"', "sh", sys.executable, "-c", program]
    done = subprocess.run(mounted, cwd=tmp_path, capture_output=True, check=False)
    if done.returncode in (1, 77) and b"Traceback" not in done.stderr:
        pytest.skip("this system does not allow mounts")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "source").read_text() == "new"
    assert not (tmp_path / "new").exists()


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


def test_the_comment_of_a_file_with_other_tags_that_are_not_utf8(video, clip, tmp_path):
    marked = clip("marked.mkv", "-i", video, "-c", "copy", "-metadata", "comment=made", "-metadata", "title=XXXXXX")
    (tmp_path / "a.mkv").write_bytes(marked.read_bytes().replace(b"XXXXXX", b"S\xfc\xdfer!"))
    assert comment_of(str(tmp_path / "a.mkv")) == "made"


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

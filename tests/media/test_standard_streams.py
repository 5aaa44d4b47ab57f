"""'-' and the paths of file descriptors as targets; streams that are closed."""

import os
import subprocess
import sys

import pytest

from streamfx.errors import StreamfxError
from streamfx.media.standard_streams import check_output, check_stdin, descriptor_of

RESERVE = """
import os, sys
from streamfx.media.standard_streams import check_output, check_stdin, reserve_descriptors
reserve_descriptors()
opened = os.open(sys.argv[1], os.O_RDWR)
results = [opened]
for check in (check_stdin, lambda: check_output(1)):
    try:
        check()
        results.append("open")
    except Exception as error:
        results.append(str(error).split(";")[0].split(":")[0])
os.write(opened, repr(results).encode())
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("-", 1),
        ("/dev/stdout", 1),
        ("/dev/fd/1", 1),
        ("/dev/fd/7", 7),
        ("/proc/self/fd/2", 2),
        ("/dev/fd/../fd/1", 1),
        ("/dev/null", None),
        ("/dev/fd", None),
        ("1", None),
        ("out.mp4", None),
        ("file:///dev/stdout", None),
        ("none/out.mp4", None),
    ],
)
def test_descriptor_of(name, expected):
    assert descriptor_of(name) == expected


def test_links_to_descriptors_are_followed(tmp_path):
    (tmp_path / "one").symlink_to("/dev/stdout")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "folder").symlink_to("/dev/fd")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").symlink_to("out.mp4")
    expected = {"one": 1, "two": 1, "folder/5": 5, "loop": None, "file": None}
    assert {name: descriptor_of(str(tmp_path / name)) for name in expected} == expected


def test_descriptors_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(StreamfxError, match=f"file descriptor {descriptor} is closed; redirect it"):
        check_output(descriptor)
    os.close(descriptor)
    with pytest.raises(StreamfxError, match=f"file descriptor {descriptor} is closed"):
        check_output(descriptor)
    main, terminal = os.openpty()
    with pytest.raises(StreamfxError, match=f"file descriptor {terminal} is a terminal; redirect it"):
        check_output(terminal)
    os.close(main)
    os.close(terminal)


@pytest.mark.parametrize("stream", [None, "terminal"])
def test_stdin_must_be_readable(stream, monkeypatch):
    main, terminal = os.openpty()
    with open(main, "rb"), open(terminal) as opened:
        monkeypatch.setattr("sys.stdin", stream and opened)
        with pytest.raises(StreamfxError, match=r"stdin is (closed|a terminal): pipe a video in, or name an input"):
            check_stdin()


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ("<&- >&- 2>&-", [3, "stdin is closed", "stdout is closed"]),
        ("<&-", [3, "stdin is closed", "open"]),
        (">&-", [3, "open", "stdout is closed"]),
        ("", [3, "open", "open"]),
    ],
)
def test_closed_streams_do_not_become_other_files(closed, expected, tmp_path):
    (tmp_path / "file").touch()
    script = f'exec "$@" {closed}'
    command = ["sh", "-c", script, "sh", sys.executable, "-c", RESERVE, str(tmp_path / "file")]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert (tmp_path / "file").read_text() == repr(expected)

"""Notes that cannot be printed do not stop a run; results that cannot be printed are errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("streamfx"))
CHAIN = ["--chain", "hflip"]


@pytest.fixture
def shell(video, tmp_path):
    """shell(redirections, *arguments): run the command with a shell's redirections; returns the completed process."""

    def shell(redirections, *arguments):
        command = ["sh", "-c", f'"$@" {redirections}', "sh", COMMAND, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return shell


@pytest.mark.parametrize("notes", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
def test_a_video_is_written_without_its_notes(notes, shell, video, tmp_path, probe):
    done = shell(notes, "run", video, "out.gif", *CHAIN)  # with a warning: gif has no audio
    assert done.returncode == 0
    assert done.stderr == ""
    assert probe(tmp_path / "out.gif")["streams"][0]["codec_name"] == "gif"


@pytest.mark.parametrize(("stream", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
@pytest.mark.parametrize("arguments", [["effects"], ["effects", "--json"], ["presets"]])
def test_a_listing_that_cannot_be_printed_is_an_error(stream, reason, arguments, shell):
    done = shell(stream, *arguments)
    assert (done.returncode, done.stderr) == (1, f"streamfx: cannot write to stdout: {reason}\n")


@pytest.mark.parametrize(("stream", "reason"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
def test_a_report_that_cannot_be_printed_leaves_the_video(stream, reason, shell, video, tmp_path, probe):
    done = shell(stream, "run", video, "out.mkv", "--json", *CHAIN)
    assert (done.returncode, done.stderr) == (1, f"streamfx: cannot write to stdout: {reason}\n")
    assert probe(tmp_path / "out.mkv")["streams"][0]["codec_name"] == "h264"


def test_closed_streams_are_no_source_and_no_target(shell, video, tmp_path):
    done = shell("<&-", "run", "-", "out.mp4", *CHAIN)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "stdin is closed" in done.stderr
    done = shell(">&-", "run", video, "-", *CHAIN)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "stdout is closed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_report_goes_to_stderr_if_the_video_goes_to_a_link_to_stdout(shell, video, tmp_path, probe):
    (tmp_path / "link.nut").symlink_to("/dev/stdout")
    done = shell(">out.nut", "run", video, "link.nut", "--json", *CHAIN)
    assert done.returncode == 0
    assert json.loads(done.stderr)["frames"] == 25
    assert (tmp_path / "link.nut").is_symlink()
    assert probe(tmp_path / "out.nut")["format"]["format_name"] == "nut"

"""How a run is shown, stopped and reported: progress, signals, requests of other processes, and --json."""

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import typer

from streamfx.cli._options import VideoOptions
from streamfx.cli._run import ADVICE, run
from streamfx.errors import StreamfxError
from streamfx.jobs.job import Job
from streamfx.jobs.manifest import load
from streamfx.jobs.status import cancel, pause

LOG = logging.getLogger("streamfx")


@dataclass(frozen=True)
class At:
    """An effect that returns frames unchanged, and calls `action` at the frame of this number."""

    number: int
    action: Callable[[], object]

    def __str__(self):
        return f"at={self.number}"

    def build(self, device):
        count = itertools.count(1)

        def step(frame, memory):
            if frame is not None and next(count) == self.number:
                self.action()
            return [] if frame is None else [frame]

        return step


@pytest.fixture
def run_until(work, video, capsys, caplog):
    """run_until(action, segment, **options): run a job of 25 frames that calls `action` at frame 12.

    Returns its exit code, stdout and stderr, and the lines that it logged.
    """
    levels = {log: log.level for log in (LOG, LOG.getChild("iterations"))}

    def run_until(action=lambda: None, segment=5, target="out.mp4", facts=(), **options):
        caplog.clear()
        job = Job(str(video), target, [At(12, action)], segment=segment, device="cpu")
        code = 0
        try:
            run(job, VideoOptions(**options), dict(facts))
        except typer.Exit as end:
            code = end.exit_code
        lines = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
        output = capsys.readouterr()
        return SimpleNamespace(code=code, out=output.out, err=output.err, lines=lines)

    yield run_until
    for log, level in levels.items():
        log.setLevel(level)


SAVED = "10 frames are saved in 'out.mp4.streamfx'"


# --- ends of runs


def test_a_run_that_is_paused_says_how_to_resume(run_until, work):
    done = run_until(lambda: pause("out.mp4"), report=True)
    assert (done.code, done.out, done.err) == (130, "", "")
    assert done.lines == [f"paused: {SAVED}{ADVICE}"]
    assert [path.name for path in work.iterdir()] == ["out.mp4.streamfx"]


def test_a_run_that_is_canceled_leaves_nothing(run_until, work):
    done = run_until(lambda: cancel("out.mp4"))
    assert (done.code, done.out, done.lines) == (130, "", ["canceled: its work is deleted"])
    assert list(work.iterdir()) == []


def test_a_run_without_checkpoints_cannot_be_resumed(run_until, work):
    done = run_until(lambda: pause("out.mp4"), segment=0)
    assert done.code == 130
    assert done.lines == ["stopped: the first 12 frames are in 'out.partial.mp4'"]
    assert [path.name for path in work.iterdir()] == ["out.partial.mp4"]


def test_an_error_says_how_to_resume(run_until):
    def fail():
        raise StreamfxError("no more ink")

    with pytest.raises(StreamfxError) as error:
        run_until(fail)
    assert str(error.value) == f"no more ink; {SAVED}{ADVICE}"
    with pytest.raises(StreamfxError) as error:
        run_until(fail, segment=0, target="other.mp4")
    assert str(error.value) == "no more ink"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_after_the_frame(number, run_until):
    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    completed = []

    def interrupt():
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        completed.append(True)

    done = run_until(interrupt)
    assert (done.code, completed) == (130, [True])
    assert done.lines == [
        "stopping at the next frame; interrupt again to stop immediately",
        f"interrupted: {SAVED}{ADVICE}",
    ]
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_the_second_signal_stops_within_the_frame(run_until):
    completed = []

    def interrupt():
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        completed.append(True)

    done = run_until(interrupt)
    assert (done.code, completed) == (130, [])
    assert done.lines[1:] == [f"interrupted: {SAVED}{ADVICE}"]


def test_without_checkpoints_the_first_signal_stops_within_the_frame(run_until):
    completed = []

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        completed.append(True)

    done = run_until(interrupt, segment=0)
    assert (done.code, completed) == (130, [])
    (line,) = done.lines
    assert line.startswith("interrupted: the first 1")
    assert line.endswith(" frames are in 'out.partial.mp4'")


def test_a_resumed_run_says_where_it_resumes(run_until):
    requests = iter([lambda: pause("out.mp4")])

    def pause_once():
        next(requests, int)()

    run_until(pause_once)
    done = run_until(pause_once, resume=True, report=True, facts={"preset": "vangogh"})
    assert (done.code, done.err, done.lines) == (0, "streamfx: resuming at frame 10\n", [])
    report = json.loads(done.out)
    assert (report["frames"], report["frames_read"], report["resumed_frames"]) == (25, 25, 10)
    again = run_until(pause_once, resume=True, report=True, facts={"preset": "vangogh"})
    assert (again.code, again.err) == (0, "streamfx: 'out.mp4' is already finished\n")
    assert json.loads(again.out) == {"finished": True, "output": "out.mp4", "preset": "vangogh"}
    assert run_until(pause_once, resume=True, quiet=True).err == ""


def test_the_finished_part_is_joined(run_until, work, rgb):
    run_until(lambda: pause("out.mp4"))
    done = run_until(join_partial=True)
    assert (done.code, done.out) == (0, "")
    assert done.err == "streamfx: the first 10 frames are in 'out.partial.mp4'; resume with --resume\n"
    assert len(rgb(work / "out.partial.mp4")) == 10
    with pytest.raises(StreamfxError, match=r"no closed segments of 'none\.mp4'"):
        run_until(join_partial=True, target="none.mp4")


def test_the_report(run_until):
    done = run_until(report=True, facts={"model": "lite0"})
    report = json.loads(done.out)
    assert done.out.count("\n") == 1
    assert report.pop("seconds") > 0
    assert report.pop("fps") > 0
    assert report == {
        "frames": 25,
        "frames_read": 25,
        "output": "out.mp4",
        "encoder": "libx264",
        "device": "cpu",
        "model": "lite0",
    }


@pytest.mark.parametrize(
    ("options", "level"),
    [({}, None), ({"quiet": True}, logging.ERROR), ({"verbose": True}, logging.INFO)],
)
def test_the_log_level(options, level, run_until):
    before = LOG.level
    run_until(**options)
    assert LOG.level == (before if level is None else level)


def test_progress_is_shown_on_request(run_until):
    assert run_until(progress=True).err.startswith("video.mp4 ")
    assert run_until(progress=False, target="two.mp4").err == ""
    assert run_until(target="three.mp4").err == ""  # stderr is no terminal


# --- commands


def test_json_prints_one_object_on_stdout(streamfx, video):
    assert streamfx("run", video, "a.mkv", "--chain", "null").stdout == b""
    done = streamfx("run", video, "b.mkv", "--chain", "null", "--json")
    assert len(done.stdout.splitlines()) == 1
    json.loads(done.stdout)


def test_json_goes_to_stderr_when_the_video_goes_to_stdout(streamfx, video):
    done = streamfx("run", video, "-", "--chain", "null", "--json")
    assert done.returncode == 0
    assert done.stdout.startswith(b"nut/multimedia container")
    assert json.loads(done.stderr)["frames"] == 25


def test_quiet_and_progress(streamfx, video):
    target = ["--chain", "null", "-y"]
    assert streamfx("run", video, "out.gif", *target).stderr == "streamfx: gif does not support audio: omitted\n"
    assert streamfx("run", video, "out.gif", *target, "--quiet").stderr == ""
    assert "25 frames" in streamfx("run", video, "out.gif", *target, "--progress").stderr


def test_verbose_prints_what_runs_where(streamfx, video, tmp_path):
    done = streamfx("run", video, tmp_path / "out.mp4", "--chain", "mirror", "-v", "--device", "cpu")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert f"streamfx: '{video}' is decoded on the CPU" in lines
    assert "streamfx: effects run on the CPU" in lines
    assert "streamfx: encoding with libx264 on the CPU" in lines
    assert streamfx("run", video, tmp_path / "two.mp4", "--chain", "mirror").stderr == ""


def test_filters_alone_do_not_import_torch(clip, moving, tmp_path):
    arguments = ["streamfx", "run", str(clip("in.mkv", *moving())), str(tmp_path / "out.mkv"), "--chain", "hflip"]
    code = f"import sys; from streamfx.cli import main; sys.argv = {arguments}; main()"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"False\n"
    assert (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("target", "options", "reason"),
    [
        ("out.gif", ["--chain", "mirror"], "the format of 'out.gif' cannot be joined from segments"),
        ("p%02d.png", ["--chain", "mirror"], "'p%02d.png' is not a regular file"),
        ("out.mp4", ["--chain", "mirror,tmix"], "the filter tmix after an effect depends on earlier frames"),
        ("out.mp4", ["--chain", "mirror,hue=H=n/9"], "the filter hue after an effect depends on earlier frames"),
        ("out.mp4", ["--chain", "mirror", "--segment", "0"], "checkpoints are off: segment is 0"),
    ],
)
def test_reasons_why_a_run_cannot_be_resumed_are_shown_only_with_resume(target, options, reason, command, video):
    arguments = ["run", video, target, *options, "--no-audio"]
    done = command(*arguments, "--resume")
    assert done.returncode == 0
    assert f"this run cannot be resumed: {reason}" in done.stderr
    assert "resume" not in command(*arguments, "-y").stderr


def test_stdin_cannot_be_resumed(streamfx, video):
    done = streamfx("run", "-", "out.mp4", "--chain", "hflip", "--resume", stdin=video.read_bytes())
    assert done.returncode == 0
    assert "stdin can be read only once" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_the_segments_and_says_how_to_resume(
    number, start, work, long_video, in_process, wait_for_segments
):
    arguments = ["run", long_video, "out.mkv", "--chain", "hflip", "--json"]
    process = start(*arguments, "--segment", "20", cwd=work)
    wait_for_segments(process, work / "out.mkv.streamfx")
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "stopping at the next frame" in stderr
    assert "repeat the command with --resume to continue, or with --join-partial" in stderr
    assert stderr.count("\n") == 2
    count = int(stderr.split(" frames are saved")[0].split()[-1])
    assert count == load(work / "out.mkv.streamfx").points[-1].number >= 40
    assert [path.name for path in work.iterdir()] == ["out.mkv.streamfx"]
    done = in_process(*arguments, "--resume")
    assert json.loads(done.stdout)["resumed_frames"] == count


def test_a_second_interrupt_stops_at_once(start, work, video):
    """In the middle of a frame that takes minutes."""
    slow = ["--layer", "block10", "--steps", "1000", "--octaves", "3", "--segment", "2", "--quiet"]
    process = start("dream", video, "out.mp4", *slow, cwd=work)
    while not (work / "out.mp4.streamfx").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(1.5)  # until the first frame is being processed
    process.send_signal(signal.SIGINT)
    assert b"stopping at the next frame" in process.stderr.readline()
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(work.iterdir()) == []

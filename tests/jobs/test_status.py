"""The status of jobs: read by any process, requests to a running job, and what stays after it."""

import json
import os
import subprocess
import sys
from fractions import Fraction

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs import status as module
from streamfx.jobs.checkpoint import locked_folder, work_folder_of
from streamfx.jobs.job import Job
from streamfx.jobs.manifest import REQUEST, STATUS
from streamfx.jobs.status import Progress, Status, StatusFile, cancel, pause, read_status

HALF = Progress(30, 60, Fraction(1), Fraction(2), 4.0, resumed=10)


def test_the_speed_counts_only_frames_of_this_run():
    assert HALF.fps == 5
    assert Progress(30, 60, Fraction(1), Fraction(2), 0.0).fps == 0
    assert str(HALF) == "frame 30 of 60, 5.0 frames/s"
    assert str(Progress(30, None, Fraction(1), None, 7.0)) == "frame 30, 4.3 frames/s"


# --- jobs


def test_another_process_reads_the_status_and_pauses(video, tmp_path):
    target = tmp_path / "out.mp4"
    code = (
        "import sys, time; from streamfx import Job; job = Job(sys.argv[1], sys.argv[2], 'mirror', segment=2)\n"
        "def slow(progress):\n    print(progress.frames, flush=True)\n    time.sleep(0.1)\n"
        "print(job.run(slow).state)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, video, target], stdout=subprocess.PIPE, text=True)
    while (line := process.stdout.readline()) != "5\n":
        assert line, f"the run ended early, with exit code {process.wait()}"
    status = read_status(target)
    assert (status.state, status.pid, status.total) == ("running", process.pid, 25)
    assert status.frames >= 1
    with pytest.raises(StreamfxError, match="another run is writing"):
        Job(video, target, "mirror").run()
    pause(target)
    rest = process.communicate()[0].split()
    assert rest[-1] == "paused"
    assert len(rest) < 20
    assert read_status(target).state == "paused"
    cancel(target)
    assert list(tmp_path.iterdir()) == []


def test_the_status_while_a_job_runs_and_after_it(job, at_frame):
    statuses = []
    job.run(at_frame(2, lambda: statuses.append(job.status())))
    (status,) = statuses
    assert (status.state, status.frames, status.total, status.pid) == ("running", 1, 25, os.getpid())
    assert (status.position, status.length) == (0.04, 1.0)
    assert job.status() == Status("finished")


def test_an_error_is_kept_in_the_status(job):
    def fail(progress):
        if progress.frames == 12:
            raise StreamfxError("no more ink")

    with pytest.raises(StreamfxError, match="no more ink; 10 frames are saved"):
        job.run(fail)
    assert job.status() == Status("paused", 10, error="no more ink")
    job.resume()
    assert job.status().error == ""


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    with locked_folder(tmp_path / "out.mp4"):
        assert read_status(tmp_path / "out.mp4").state == "running"
    assert read_status(tmp_path / "out.mp4").state == "new"


def test_the_status_of_a_killed_run_is_not_believed(tmp_path):
    target = tmp_path / "out.mp4"
    folder = work_folder_of(target)
    folder.mkdir()
    StatusFile(folder).update(HALF)
    assert json.loads((folder / STATUS).read_text())["state"] == "running"
    assert read_status(target) == Status("new")
    target.touch()
    assert read_status(target) == Status("finished")


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"\xff", b'{"state": "run', b'{"state": "running", "color": 1}', b"{}", b"[" * 10**5],
    ids=lambda data: str(data[:9]),
)
def test_a_damaged_status_is_as_good_as_none(tmp_path, data):
    target = tmp_path / "out.mp4"
    with locked_folder(target) as folder:
        (folder / STATUS).write_bytes(data)
        assert read_status(target) == Status("running")
        (folder / STATUS).unlink()


@pytest.mark.parametrize("request_stop", [pause, cancel])
def test_requests_to_no_job_leave_nothing(request_stop, tmp_path):
    request_stop(tmp_path / "out.mp4")
    request_stop(tmp_path / "nowhere" / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_the_last_request_counts(tmp_path):
    target = tmp_path / "out.mp4"
    with locked_folder(target) as folder:
        file = StatusFile(folder)
        assert file.request() == ""
        pause(target)
        assert file.request() == "pause"
        cancel(str(target))
        assert file.request() == "cancel"
        file.end(resumable=False)
    assert list(tmp_path.iterdir()) == []


# --- the file


def test_a_status_without_a_folder_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = StatusFile(None)
    file.error = "no more ink"
    file.update(HALF)
    assert file.request() == ""
    file.end(resumable=True)
    assert list(tmp_path.iterdir()) == []


def test_progress_is_published_at_most_every_half_second(tmp_path, monkeypatch):
    file = StatusFile(tmp_path)
    file.update(HALF)
    file.update(Progress(31, 60, Fraction(31, 30), Fraction(2), 4.0))
    saved = json.loads((tmp_path / STATUS).read_text())
    expected = {"frames": 30, "total": 60, "position": 1.0, "length": 2.0, "fps": 5.0, "pid": os.getpid()}
    assert saved == {"state": "running", "error": "", **expected}
    monkeypatch.setattr(module, "_UPDATE_EVERY", 0)
    file.update(Progress(31, None, Fraction(31, 30), None, 3.0))
    saved = json.loads((tmp_path / STATUS).read_text())
    assert (saved["frames"], saved["total"], saved["length"], saved["fps"]) == (31, None, None, 10.33)
    assert [path.name for path in tmp_path.iterdir()] == [STATUS]


def test_a_request_to_an_earlier_run_is_removed(tmp_path):
    (tmp_path / REQUEST).write_text("cancel\n")
    assert StatusFile(tmp_path).request() == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "resumable", "left"),
    [("", True, []), ("", False, []), ("no more ink", False, []), ("no more ink", True, [STATUS])],
)
def test_only_the_error_of_a_resumable_job_stays(error, resumable, left, tmp_path):
    file = StatusFile(tmp_path)
    file.update(HALF)
    (tmp_path / REQUEST).write_text("pause")
    file.error = error
    file.end(resumable=resumable)
    assert [path.name for path in tmp_path.iterdir()] == left
    if left:
        assert Status(**json.loads((tmp_path / STATUS).read_text())) == Status("paused", error=error)


def test_the_end_of_a_job_whose_folder_is_gone_is_not_an_error(tmp_path):
    file = StatusFile(tmp_path / "gone")
    file.error = "no more ink"
    file.end(resumable=True)
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_does_not_end_a_run(tmp_path, file_size_limit):
    status = StatusFile(tmp_path)
    with file_size_limit(3):
        status.update(HALF)
    assert not (tmp_path / STATUS).exists()

"""Jobs that are not split run on another machine: lost and resumed there, interrupted, failed."""

import pickle
import time
from fractions import Fraction
from threading import Thread

import pytest
import torch

from streamfx.effects.trails import Trails
from streamfx.errors import StreamfxError
from streamfx.jobs.executor import Distribution
from streamfx.jobs.generated import StillSource
from streamfx.jobs.in_process import InProcess
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.ray_task import try_job
from streamfx.jobs.render_piece import JobRequest, Outcome
from streamfx.jobs.result import JobInterrupted
from streamfx.media.encoding import Output


class Elsewhere(InProcess):
    """Runs jobs in a thread, as another machine does; `first(job)` runs instead of the first try, which is lost."""

    has_other_machines = True

    def __init__(self, first=None):
        super().__init__()
        self.first, self.resumed = first, []

    def start(self, request):
        if not isinstance(request, JobRequest):
            super().start(request)
            return
        self._running += 1
        self.resumed.append(request.resume)
        Thread(target=self._run, args=(pickle.loads(pickle.dumps(request)),)).start()

    def _run(self, request):
        if self.first and len(self.resumed) == 1:
            self.first(request.job)
            self._outcomes.put(Outcome(0, "there", "there was lost", retry=True))
        else:
            self._outcomes.put(try_job(request, "there"))


@pytest.fixture
def job(video, tmp_path):
    """A job of 25 frames in one shot that cannot be split in it."""
    return Job(video, tmp_path / "out.mp4", "trails=1", segment=5)


def test_another_machine_resumes_a_job_that_was_lost(job, at_frame, rgb, video, tmp_path, output_files, caplog):
    executor = Elsewhere(lambda job: run_job(job, on_progress=at_frame(12, job.pause)))
    starts = []
    result = run_job(job, distribution=Distribution(executor), on_start=starts.append)
    assert (result.state, result.frames, result.resumed_frames) == ("finished", 25, 10)
    assert executor.resumed == [False, True]
    assert "is not split: it is one shot" in caplog.text
    assert "out.mp4' is continued by another worker: there was lost" in caplog.text
    assert [(start.resumed, start.resumable) for start in starts] == [(0, True)]
    Job(video, tmp_path / "whole.mp4", "trails=1", segment=5).run()
    assert (rgb(tmp_path / "whole.mp4") == rgb(job.target)).all()
    assert output_files() == ["out.mp4"]


def test_an_interrupted_job_is_resumed(job):
    def slowly(job):
        run_job(job, on_progress=lambda progress: time.sleep(0.05))

    def interrupt(progress):
        if progress.frames >= 6:
            raise KeyboardInterrupt

    with pytest.raises(JobInterrupted, match=r"\d+ frames are saved in '.*out\.mp4\.streamfx'"):
        run_job(job, distribution=Distribution(Elsewhere(slowly)), on_progress=interrupt)
    assert job.status().state == "paused"
    with pytest.raises(StreamfxError, match="frames of a stopped run; give --resume"):
        run_job(job, distribution=Distribution(Elsewhere()))
    result = run_job(job, resume=True, distribution=Distribution(Elsewhere()))
    assert result.frames == 25
    assert result.resumed_frames >= 5


def test_errors_and_warnings_come_back(clip, moving, tmp_path, caplog, output_files):
    source = clip("whole.mkv", *moving(), "-c:v", "ffv1")
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    with pytest.raises(StreamfxError, match=r"ends early or is damaged at .* contains the \d+ frames"):
        run_job(Job(damaged, tmp_path / "out.mkv", "hflip"), distribution=Distribution(Elsewhere()))
    assert output_files() == ["out.mkv"]


def test_a_video_from_an_image(tmp_path, output_files):
    still = StillSource(torch.rand(3, 32, 32), 10, Fraction(1))
    result = run_job(Job(still, tmp_path / "out.mp4", [Trails()]), distribution=Distribution(Elsewhere()))
    assert (result.state, result.frames) == ("finished", 10)
    assert output_files() == ["out.mp4"]


def test_what_no_other_machine_can_do_runs_here(video, tmp_path, output_files):
    class Own:
        def build(self, device):
            return lambda frame, memory: [] if frame is None else [frame]

    executor = Elsewhere()
    for number, (chain, target) in enumerate((([Own()], "out.mp4"), ("hflip", "out%02d.png"))):
        job = Job(video, tmp_path / target, chain, Output(overwrite=True))
        assert run_job(job, distribution=Distribution(executor)).frames == 25, number
    assert executor.resumed == []

"""Jobs in pieces: resume, stop, errors and tries, as left on disk."""

import json
import logging

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.executor import Distribution
from streamfx.jobs.in_process import InProcess
from streamfx.jobs.job import Job, join_partial, run_job
from streamfx.jobs.parallel import MAX_TRIES
from streamfx.jobs.piece_files import PieceFiles
from streamfx.jobs.render_piece import Outcome
from streamfx.jobs.result import JobInterrupted, ResumableError
from streamfx.media.encoding import Output


class Unreliable(InProcess):
    """Loses the tasks whose numbers are in `lost`, once for each mention, and runs those in `held` until they stop."""

    def __init__(self, lost=(), held=()):
        super().__init__()
        self.lost, self.held, self.tried = list(lost), set(held), []
        self._holds = None

    def start(self, request):
        number = request.piece.number
        self.tried.append(number)
        if number in self.lost:
            self.lost.remove(number)
            self._running += 1
            self._outcomes.put(Outcome(number, "a", "a was lost", retry=True))
        elif number in self.held:
            self._running += 1
            self._holds = request
        else:
            super().start(request)

    def wait(self, seconds):
        if self._holds and PieceFiles(self._holds.folder).stopping:
            self._outcomes.put(Outcome(self._holds.piece.number, "a", stopped=True))
            self._holds = None
        return super().wait(seconds)


@pytest.fixture
def job(video, tmp_path):
    """A job of 25 frames without our effects, in pieces of ten; it writes out.mp4."""
    return Job(video, tmp_path / "out.mp4", "hflip", segment=10)


@pytest.fixture
def split(job):
    """split(lost, held, **options): run the job in pieces; returns the result and the executor."""

    def split(lost=(), held=(), job=job, exact=False, **options):
        executor = Unreliable(lost, held)
        return run_job(job, distribution=Distribution(executor, exact), **options), executor

    return split


@pytest.fixture
def stop_after_one(split):
    """stop_after_one(action): run the job until one piece is finished and the second runs, then call `action`."""

    def stop_after_one(action, **options):
        return split(held=[1], on_progress=lambda p: action() if p.detail.startswith("1 of 3") else None, **options)

    return stop_after_one


def interrupt():
    raise KeyboardInterrupt


def test_lost_tasks_are_tried_again(job, split, rgb, video, output_files, tmp_path, caplog):
    Job(video, tmp_path / "whole.mp4", "hflip", segment=10).run()
    result, executor = split(lost=[0, 1])
    assert (result.state, result.frames, result.frames_read) == ("finished", 25, 25)
    assert executor.tried == [0, 1, 2, 0, 1]
    assert "frames 0 to 9 are rendered again: a was lost" in caplog.text
    assert (rgb(job.target) == rgb(tmp_path / "whole.mp4")).all()
    assert output_files() == ["out.mp4"]


def test_a_task_that_fails_each_time_ends_the_run_which_can_be_resumed(job, split, output_files):
    with pytest.raises(ResumableError, match=r"frames 10 to 19: a was lost \(4 tries\); \d+ frames are saved in"):
        split(lost=[1] * MAX_TRIES)
    assert job.status().state == "paused"
    assert "a was lost" in job.status().error
    result, executor = split(resume=True)
    assert (result.state, result.resumed_frames) == ("finished", 15)
    assert executor.tried == [1]
    assert split(resume=True)[0].state == "already_finished"
    assert output_files() == ["out.mp4"]


def test_an_interrupted_run_resumes_without_workers(job, split, stop_after_one, rgb):
    with pytest.raises(JobInterrupted, match="10 frames are saved"):
        stop_after_one(interrupt)
    assert (job.status().state, job.status().frames) == ("paused", 10)
    with pytest.raises(StreamfxError, match="contains 10 frames of a stopped run; give --resume"):
        split()
    assert job.join_partial().name == "out.partial.mp4"
    assert join_partial(job)[1] == 10
    starts = []
    assert run_job(job, resume=True, on_start=starts.append).resumed_frames == 10
    assert [(start.resumed, start.resumable) for start in starts] == [(10, True)]
    assert len(rgb(job.target)) == 25


def test_pause_and_cancel(job, split, stop_after_one, output_files):
    assert stop_after_one(job.pause)[0].state == "paused"
    assert output_files() == ["out.mp4.streamfx"]
    assert split(resume=True, on_progress=lambda progress: job.cancel())[0].state == "canceled"
    assert output_files() == []
    assert job.status().state == "new"


def test_nothing_is_left_if_nothing_is_finished(split, output_files):
    with pytest.raises(JobInterrupted, match="nothing was saved"):
        split(on_progress=lambda progress: interrupt())
    assert output_files() == []


def test_a_damaged_segment_is_rendered_again(job, split, stop_after_one):
    stop_after_one(job.pause)
    folder = job.target.with_name("out.mp4.streamfx")
    (segment,) = folder.glob("000000.*.packets")
    segment.write_bytes(b"damaged")
    result, executor = split(resume=True)
    assert (result.frames, result.resumed_frames, executor.tried) == (25, 0, [0, 1, 2])


def test_a_changed_job_cannot_be_resumed(job, split, stop_after_one, video):
    stop_after_one(job.pause)
    with pytest.raises(StreamfxError, match=r"chain was hflip, is vflip; segment was 10, is 11; it was split without"):
        split(job=Job(video, job.target, "vflip", segment=11), exact=True, resume=True)
    fresh = Job(video, job.target, "vflip", Output(overwrite=True), segment=10)
    assert split(job=fresh)[0].resumed_frames == 0


def test_a_sequential_run_is_resumed_in_order(video, tmp_path, at_frame, split, caplog):
    job = Job(video, tmp_path / "out.mp4", "trails", segment=5)
    job.run(at_frame(12, job.pause))
    assert split(job=job, resume=True)[0].resumed_frames == 10
    assert "is not split: the stopped run was not split" in caplog.text


def test_one_line_says_why_a_video_is_not_split(video, tmp_path, split, caplog):
    def reason(chain, name="out.mp4", source=video, segment=10, **options):
        caplog.clear()
        job = Job(source, tmp_path / name, chain, Output(overwrite=True), segment=segment)
        assert split(job=job, **options)[0].frames == 25 or name.endswith("gif")
        (record,) = [record for record in caplog.records if "not split" in record.message]
        assert record.levelno == logging.WARNING
        return record.message.split("not split: ")[1]

    assert reason("hflip", segment=100) == "it is short; a smaller --segment splits it"
    assert reason("trails=1") == "it is one shot, and this effect can be split only at cuts"
    assert reason("trails=0.5", exact=True) == "it is one shot, and --exact splits only at cuts"
    assert reason("tmix") == "the filter tmix depends on earlier frames"
    assert reason("mirror,tmix") == "the filter tmix after an effect depends on earlier frames"


def test_a_damaged_source_is_reported_at_the_end(clip, moving, tmp_path, split):
    source = clip("whole.mkv", *moving(), "-c:v", "ffv1")
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(source.read_bytes()[: source.stat().st_size // 3])
    with pytest.raises(StreamfxError, match=r"ends early or is damaged at .* contains the \d+ frames"):
        split(job=Job(damaged, tmp_path / "out.mkv", "hflip", segment=2))
    assert (tmp_path / "out.mkv").exists()


def test_the_plan_is_json(job, stop_after_one):
    stop_after_one(job.pause)
    plan = json.loads((job.target.with_name("out.mp4.streamfx") / "plan.json").read_text())
    assert [(piece["first"], piece["stop"]) for piece in plan["pieces"]] == [(0, 10), (10, 20), (20, 25)]


def test_what_a_lost_task_left_is_removed(job, split, stop_after_one):
    stop_after_one(job.pause)
    folder = job.target.with_name("out.mp4.streamfx")
    for name in ("000001.0a.part", "000001.0a.packets", "000000.progress"):
        (folder / name).touch()

    def remaining(progress):
        names.append(sorted(path.name for path in folder.glob("00*")))

    names = []
    assert split(resume=True, on_progress=remaining)[0].resumed_frames == 10
    assert not {"000001.0a.part", "000001.0a.packets", "000000.progress"} & set(names[0])

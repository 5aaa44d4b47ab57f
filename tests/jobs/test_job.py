"""Jobs from Python: run, pause, resume, cancel and join."""

from fractions import Fraction

import pytest
import torch

import streamfx
from streamfx.effects.mirror import Mirror
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.result import JobInterrupted
from streamfx.media.encoding import Output


def interrupt():
    raise KeyboardInterrupt


def test_a_run_reports_every_frame(job, rgb, output_files):
    reports = []
    result = job.run(progress=reports.append)
    assert (result.state, result.frames, result.frames_read, result.resumed_frames) == ("finished", 25, 25, 0)
    assert [report.frames for report in reports] == list(range(1, 26))
    assert reports[-1].position == 1
    assert reports[-1].total == 25
    assert str(reports[9]).startswith("frame 10 of 25, ")
    assert result.fps > 0
    assert len(rgb(job.target)) == 25
    assert output_files() == ["out.mp4"]
    assert job.status().state == "finished"


def test_a_paused_job_resumes_with_the_same_frames(job, video, tmp_path, rgb, at_frame, output_files):
    complete = Job(video, tmp_path / "complete.mp4", "trails", segment=5)
    complete.run()
    assert job.status().state == "new"
    result = job.run(at_frame(12, job.pause))
    assert result.state == "paused"
    assert "10 frames are saved" in result.message
    assert (job.status().state, job.status().frames) == ("paused", 10)
    assert not job.target.exists()
    result = job.resume()
    assert (result.state, result.resumed_frames) == ("finished", 10)
    assert (rgb(job.target) == rgb(complete.target)).all()
    assert job.resume().state == "already_finished"
    assert output_files() == ["out.mp4"]


def test_a_canceled_job_leaves_nothing(job, at_frame, output_files):
    assert job.run(at_frame(12, job.cancel)).state == "canceled"
    assert output_files() == []
    job.run(at_frame(12, job.pause))
    assert output_files() == ["out.mp4.streamfx"]
    job.cancel()
    assert output_files() == []
    assert job.status().state == "new"


def test_a_short_job_can_be_paused_and_canceled(video, tmp_path, at_frame, output_files):
    job = Job(video, tmp_path / "out.mp4", "trails")  # shorter than a segment: it writes no checkpoints
    result = job.run(at_frame(12, job.pause))
    assert result.state == "stopped"
    assert "out.partial.mp4" in result.message
    assert output_files() == ["out.partial.mp4"]
    job.target.with_name("out.partial.mp4").unlink()
    assert job.run(at_frame(12, job.cancel)).state == "canceled"
    assert output_files() == []


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_a_finished_run_removes_what_an_interrupted_one_kept(name, video, tmp_path, at_frame, output_files):
    job = Job(video, tmp_path / name, "trails")
    kept = name.replace(".", ".partial.")
    assert job.run(at_frame(12, job.pause)).state == "stopped"
    assert output_files() == [kept]
    assert Job(video, tmp_path / name, "mirror").run().state == "finished"
    assert output_files() == [name]
    (tmp_path / kept).write_bytes(video.read_bytes())  # of another program
    Job(video, tmp_path / name, "mirror,trails", output=Output(overwrite=True)).run()
    assert output_files() == [name, kept]


def test_the_finished_part_can_be_joined(job, rgb, at_frame):
    with pytest.raises(StreamfxError, match="there are no closed segments"):
        job.join_partial()
    job.run(at_frame(12, job.pause))
    part = job.join_partial()
    assert part.name == "out.partial.mp4"
    assert len(rgb(part)) == 10
    assert job.resume().frames == 25


def test_an_interrupt_between_two_frames_can_be_resumed(job, at_frame):
    with pytest.raises(JobInterrupted, match=r"10 frames are saved in .*out\.mp4\.streamfx"):
        job.run(at_frame(12, interrupt))
    starts = []
    assert run_job(job, resume=True, on_start=starts.append).resumed_frames == 10
    assert [(start.resumed, start.resumable, start.reason) for start in starts] == [(10, True, "")]


def test_a_stopped_run_is_not_overwritten(job, video, at_frame):
    job.run(at_frame(12, job.pause))
    with pytest.raises(StreamfxError, match="contains 10 frames of a stopped run"):
        job.run()
    with pytest.raises(StreamfxError, match=r"cannot resume .*chain was trails, is mirror"):
        Job(video, job.target, "mirror", segment=5).resume()
    fresh = Job(video, job.target, "mirror", Output(overwrite=True), segment=5)
    assert fresh.run().resumed_frames == 0


def test_size_rate_width_and_time_range(video, tmp_path, video_stream):
    job = Job(video, tmp_path / "out.mp4", "mirror", start=0.2, end=0.8, size=(32, -2), rate=Fraction(10))
    assert job.run().frames == 6
    stream = video_stream(job.target)
    assert (stream["width"], stream["height"], stream["avg_frame_rate"]) == (32, 24, "10/1")
    job = Job(video, tmp_path / "narrow.mp4", "mirror", width=20)
    job.run()
    assert (video_stream(job.target)["width"], video_stream(job.target)["height"]) == (20, 16)


def test_a_third_party_effect_needs_only_build(video, tmp_path, rgb):
    class Negate:
        def build(self, device):
            return lambda frame, memory: [] if frame is None else [frame.with_image(1 - frame.image)]

    class Counter(Mirror):
        segment_length = 4

    job = Job(video, tmp_path / "out.mkv", [Negate()], Output(encoder="ffv1", pix_fmt="yuv444p"))
    job.run()
    assert abs(255 - rgb(video).astype(int) - rgb(job.target)).mean() < 10  # chroma is interpolated twice
    starts = []
    run_job(Job(video, tmp_path / "own.mp4", [Counter()]), on_start=starts.append)
    assert starts[0].resumable


def test_threads_and_log_levels_stay_as_they_were(video, tmp_path):
    before = torch.get_num_threads()
    Job(video, tmp_path / "out.mp4", "mirror").run()
    assert torch.get_num_threads() == before


def test_the_public_names():
    assert streamfx.Job is Job
    assert streamfx.run_job is run_job
    assert isinstance(Frame(torch.zeros(3, 2, 2), Fraction(0), Fraction(1)), streamfx.Frame)

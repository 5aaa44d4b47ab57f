"""Videos that are rendered in pieces have the frames of those that are not, for all kinds of sources."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.executor import Distribution
from streamfx.jobs.in_process import InProcess
from streamfx.jobs.job import Job, run_job
from streamfx.jobs.render_piece import Outcome, try_piece
from streamfx.media.encoding import Output

SIZE = "size=64x48:rate=5"


@pytest.fixture
def split(tmp_path, rgb, times):
    """split(source, chain, **fields): assert that the video in pieces equals the whole one; returns its path."""

    def split(source, chain="mirror", segment=10, pix_fmt="rgb24", exact=False, **fields):
        output = Output(encoder="ffv1", overwrite=True)
        whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
        Job(source, whole, chain, output, segment=0, **fields).run()
        details = []
        job = Job(source, parts, chain, output, segment=segment, **fields)
        distribution = Distribution(InProcess(), exact)
        assert run_job(job, distribution=distribution, on_progress=lambda p: details.append(p.detail)).frames
        assert any(" of " in detail and "segments" in detail for detail in details), "it was not split"
        assert times(whole) == times(parts)
        assert (rgb(whole, pix_fmt) == rgb(parts, pix_fmt)).all()
        return parts

    return split


@pytest.fixture(scope="session")
def variable(clip, moving):
    """Frames that last 1, 2 or 3 ticks, with B-frames."""
    times = ["-vf", "setpts='(N+floor(N/3)+floor(N/7))/25/TB'", "-fps_mode", "vfr"]
    return clip(
        "vfr.mkv", *moving(seconds="2"), *times, "-c:v", "libx264", "-bf", "3", "-g", "24", "-pix_fmt", "yuv420p"
    )


def test_b_frames_and_audio(clip, moving, tone, split, hashes):
    codecs = ["-c:v", "libx264", "-bf", "3", "-g", "17", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    source = clip("b.mp4", *moving(seconds="2"), *tone("2"), *codecs)
    assert hashes(split(source), "a") == hashes(source, "a")


def test_variable_frame_rate(variable, split):
    split(variable)
    split(variable, "hue=s=0.5")


def test_ten_bit(clip, moving, split, video_stream):
    source = clip(
        "ten.mkv", *moving(seconds="2"), "-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"
    )
    assert video_stream(split(source, pix_fmt="rgb48le"))["pix_fmt"].endswith("10le")


def test_alpha(clip, moving, split, video_stream):
    source = clip("alpha.mov", *moving(seconds="2", pix_fmt="rgba"), "-c:v", "qtrle")
    assert "a" in video_stream(split(source, pix_fmt="rgba"))["pix_fmt"]


def test_a_time_range(variable, split):
    split(variable, start=Fraction(1, 3), end=Fraction(2))


def test_filters_in_front_that_depend_on_earlier_frames(variable, split):
    split(variable, "fps=20,tmix=frames=3,mirror,vflip")
    split(variable, rate=Fraction(30), size=(32, -2))


def test_an_image_sequence(tmp_path, ffmpeg, moving, split):
    ffmpeg(*moving(seconds="2"), tmp_path / "%03d.png")
    split(str(tmp_path / "%03d.png"))


def test_effects_that_remember_start_before_their_piece(clip, moving, split):
    source = clip("long.mkv", *moving(seconds="3"), "-c:v", "ffv1")
    split(source, "timeslice=frames=7,hue=s=0.4,mirror", segment=20)


@pytest.fixture(scope="session")
def shots(clip):
    """Two shots, of 7 and 5 frames."""
    text = f"testsrc2={SIZE}:duration=1.4[a];mandelbrot={SIZE},trim=duration=1[b];[a][b]concat"
    return clip("cut.mkv", "-f", "lavfi", "-i", text, "-c:v", "ffv1", "-pix_fmt", "yuv420p")


def test_dreams_are_exact_at_cuts(shots, split):
    split(shots, "dream=steps=2:octaves=1:layer=block3", segment=6)


def test_a_seam_of_style_within_a_shot_is_below_one_level(clip, moving, tmp_path, rgb):
    source = clip("shot.mkv", *moving(seconds="1.6"), "-c:v", "ffv1")
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    job = Job(source, whole, "style=quality=fast", Output(encoder="ffv1"), segment=20)
    job.run()
    assert run_job(replace(job, target=parts), distribution=Distribution(InProcess())).frames == 40
    difference = np.abs(rgb(whole).astype(int) - rgb(parts)).mean((1, 2, 3))
    assert difference[:20].max() == 0
    assert 0 < difference[20:30].mean() < 1


def test_style_with_a_schedule_and_a_video_as_mask_is_exact_at_cuts(clip, shots, split):
    mask = clip("mask.mkv", "-f", "lavfi", "-i", f"testsrc={SIZE}:duration=3", "-c:v", "ffv1")
    style = f"style=mask={mask}:stroke=2:quality=fast:strength='0\\:(0.2), 12\\:(1)'"
    split(shots, style, segment=6, exact=True, start=Fraction(1, 5))


def test_a_changed_source_is_an_error(tmp_path, video, clip, moving):
    target, source = tmp_path / "out.mkv", tmp_path / "in.mkv"
    source.write_bytes(clip("long.mkv", *moving(seconds="2"), "-c:v", "ffv1").read_bytes())

    def change(progress):
        source.write_bytes(video.read_bytes())

    with pytest.raises(StreamfxError, match=r"frames \d+ to \d+: "):
        run_job(Job(source, target, "mirror", segment=10), distribution=Distribution(InProcess()), on_progress=change)


def test_errors_of_the_machine_are_tried_again_and_bad_input_is_not(request_for, monkeypatch):
    request = request_for("mirror")
    gone = replace(request, folder=Path("/proc/streamfx"))  # a folder that cannot be written to
    outcome = try_piece(gone, "here")
    assert (outcome.retry, outcome.error) == (True, "the folder '/proc/streamfx' is gone")
    missing = replace(request, settings=replace(request.settings, source="missing.mp4"))
    outcome = try_piece(missing, "here")
    assert (outcome.number, outcome.worker, outcome.retry) == (0, "here", False)
    assert "missing.mp4" in outcome.error
    assert try_piece(request, "here") == Outcome(0, "here")
    assert try_piece(request, "here", alive=lambda: False).stopped


def test_a_full_disk_is_tried_again(request_for, file_size_limit):
    request = request_for("mirror")
    with file_size_limit(1000):
        outcome = try_piece(request, "here")
    assert outcome.retry, outcome
    assert "File too large" in outcome.error
    assert sorted(path.name for path in request.folder.iterdir()) == []

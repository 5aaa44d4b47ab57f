"""--workers renders a video in pieces, and resumes one."""

import json

import pytest


@pytest.fixture
def long(clip, moving):
    return clip("long.mp4", *moving(seconds="3"), "-pix_fmt", "yuv420p")


def test_workers_report_like_one_process(streamfx, long, rgb):
    arguments = ["run", long, "out.mkv", "--chain", "hflip", "--encoder", "ffv1", "--json", "--device", "cpu"]
    done = streamfx(*arguments, "--workers", "2", "--segment", "30", "--progress", fresh=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"], report["frames_read"], report["encoder"]) == (75, 75, "ffv1")
    assert "3 of 3 segments, 2 workers" in done.stderr
    assert len(rgb(streamfx.home / "out.mkv")) == 75
    assert [path.name for path in streamfx.home.iterdir()] == ["out.mkv"]
    assert "already finished" in streamfx(*arguments, "--resume").stderr


def test_one_line_says_that_a_video_is_not_split(streamfx, video):
    done = streamfx("run", video, "out.mp4", "--chain", "hflip", "--device", "cpu", "--workers", "2")
    assert done.returncode == 0
    assert done.stderr.strip() == f"streamfx: '{video}' is not split: it is short; a smaller --segment splits it"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--exact"], "--exact is for videos that are split; give --workers N or --ray as well"),
        (["--ray-gpus", "0.5"], "--ray-gpus is for segments on a cluster; give --ray auto, local or HOST:PORT as well"),
        (["--ray-cpus", "2"], "--ray-cpus is for segments on a cluster; give --ray auto, local or HOST:PORT as well"),
        (
            ["--ray", "auto", "--workers", "2"],
            "give --workers for processes on this machine, or --ray for a cluster, not both",
        ),
    ],
)
def test_misuse(streamfx, video, options, reason):
    done = streamfx("run", video, "out.mp4", "--chain", "hflip", *options)
    assert (done.returncode, done.stderr) == (2, f"streamfx: {reason}\n")

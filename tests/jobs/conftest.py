"""A short job, and callbacks that stop it."""

import pytest

from streamfx.jobs.job import Job


@pytest.fixture
def job(video, tmp_path):
    """A job of 25 frames with a checkpoint after every fifth; it writes out.mp4."""
    return Job(video, tmp_path / "out.mp4", "trails", segment=5)


@pytest.fixture(scope="session")
def at_frame():
    """at_frame(number, action): a progress callback that calls `action` once `number` frames are processed."""
    return lambda number, action: lambda progress: action() if progress.frames == number else None


@pytest.fixture
def output_files(tmp_path):
    """output_files(): the names of the output of `job` and of its work folder, if they exist, sorted."""
    return lambda: sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out"))

"""Short jobs, callbacks that stop them, and requests for pieces."""

import resource
import signal
from contextlib import contextmanager

import pytest

from streamfx.jobs.job import Job
from streamfx.jobs.parallel import piece_request
from streamfx.jobs.preparation import prepared
from streamfx.jobs.splitting import make_plan


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


@pytest.fixture
def plan_of(video, tmp_path):
    """plan_of(chain): the plan of a job with 25 frames, in pieces of ten."""

    def plan_of(chain):
        with prepared(Job(video, tmp_path / "out.mkv", chain, segment=10)) as task:
            return make_plan(task, 1, exact=False, progress=lambda position: None)

    return plan_of


@pytest.fixture
def request_for(video, tmp_path, plan_of):
    """request_for(chain): a request for the first ten frames of that job; its work folder exists."""

    def request_for(chain):
        folder = tmp_path / "out.mkv.streamfx"
        folder.mkdir()
        plan = plan_of(chain)
        with prepared(Job(video, tmp_path / "out.mkv", chain, segment=10)) as task:
            return piece_request(folder, plan, task, plan.pieces[0])

    return request_for


@pytest.fixture(scope="session")
def file_size_limit():
    """file_size_limit(size): a context in which no file can grow beyond `size` bytes, as on a full disk."""

    @contextmanager
    def file_size_limit(size):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)

    return file_size_limit

"""Which jobs can be split, and how their first frame is encoded."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

from streamfx.jobs.generated import StillSource
from streamfx.jobs.job import Job
from streamfx.jobs.preparation import prepared
from streamfx.jobs.splitting import MIN_LENGTH, make_plan, why_not_split


@dataclass(frozen=True)
class Own:
    """An effect of another package."""

    def build(self, device):
        return lambda frame, memory: [] if frame is None else [frame]


@pytest.fixture
def reason(video, tmp_path):
    """reason(chain, source, target): why a job is not split."""

    def reason(chain="mirror", source=video, target="out.mp4", **fields):
        with prepared(Job(source, tmp_path / target, chain, **fields)) as task:
            return why_not_split(task)

    return reason


def test_reasons(reason):
    assert reason() == reason("fps=5,timeslice,hue=s=0.5,dream=coherence=off") == ""
    assert "no name in EFFECTS" in reason([Own()])
    assert "also later ones" in reason("style=method=optimise:passes=2")
    assert "cannot be joined" in reason(target="out.gif")
    assert reason(segment=0) == "checkpoints are off: segment is 0"
    still = StillSource(torch.zeros(3, 8, 8), 10, Fraction(1))
    assert reason([Own()], source=still) == "each frame of a video from an image depends on the one before"


def test_pieces_are_long_enough_and_each_slot_gets_some(clip, moving, tmp_path):
    source = clip("long.mp4", "-f", "lavfi", "-i", "color=size=32x32:rate=25:duration=40", "-pix_fmt", "yuv420p")
    with prepared(Job(source, tmp_path / "out.mp4", "mirror")) as task:
        frames = []
        for slots in (1, 2, 16):
            plan = make_plan(task, slots, exact=False, progress=lambda position: None)
            frames.append([piece.frames for piece in plan.pieces])
    assert frames[0] == [250] * 4
    assert max(frames[1]) <= 130
    assert frames[2] == [MIN_LENGTH] * 10
    assert plan.rate == 25


def test_the_layout_is_that_of_a_whole_run(video, tmp_path, video_stream):
    job = Job(video, tmp_path / "out.mp4", "mirror,format=yuv444p", size=(32, -2))
    with prepared(job) as task:
        layout = make_plan(task, 1, exact=False, progress=lambda position: None).layout
    assert (layout.shape.width, layout.shape.height, layout.shape.rate) == (32, 24, 25)
    assert layout.encoding.encoder == "libx264"
    job.run()
    assert video_stream(job.target)["pix_fmt"] == layout.encoding.pix_fmt

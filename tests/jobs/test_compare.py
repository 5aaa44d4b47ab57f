"""Source and result side by side."""

from dataclasses import replace

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.jobs.compare import Compare
from streamfx.jobs.job import Job

WIDTH = 64


@pytest.fixture
def compared(video, tmp_path):
    """compared(chain, name): the job that writes a lossless video with the source and the result of a chain."""

    def compared(chain, name="out.nut", **options):
        return Job(video, tmp_path / name, [Compare(tuple(build_chain(chain)))], **options)

    return compared


def run(job, rgb):
    job.run()
    return rgb(job.target).astype(int)


def test_the_source_is_left_of_the_result(compared, tmp_path, video, rgb):
    both = run(compared("mirror"), rgb)
    source = run(Job(video, tmp_path / "source.nut", "mirror,mirror"), rgb)
    assert both.shape == (25, 48, 2 * WIDTH, 3)
    assert abs(both[:, :, :WIDTH] - source).mean() < 1
    assert abs(both[:, :, WIDTH:] - source[:, :, ::-1]).mean() < 6  # chroma is shared by two columns


@pytest.mark.parametrize("chain", ["mirror,null", "null,mirror", "fps=5,mirror", "scale=32:24,mirror", "tmix=frames=2"])
def test_filters_that_delay_retime_or_scale(chain, compared, tmp_path, video, rgb):
    both = run(compared(chain), rgb)
    alone = Job(video, tmp_path / "alone.nut", chain + ",null" if "mirror" in chain else "mirror,mirror," + chain)
    result = run(alone, rgb)
    width = result.shape[2]
    assert both.shape == (*result.shape[:2], 2 * width, 3)
    assert abs(both[:, :, width:] - result).mean() < 6  # chroma is subsampled at another step
    if chain == "fps=5,mirror":
        assert abs(both[:, :, :width] - rgb(video).astype(int)[[0, 5, 10, 15, 20]]).mean() < 12


def test_size_applies_before_and_width_after(compared, video_stream):
    job = compared("mirror", size=(32, 24), width=128)
    job.run()
    assert [video_stream(job.target)[side] for side in ("width", "height")] == [128, 48]


def test_a_paused_run_resumes_with_the_same_frames(compared, rgb, at_frame):
    complete = run(compared("trails,null,timeslice=frames=4", segment=5), rgb)
    job = compared("trails,null,timeslice=frames=4", "resumed.nut", segment=5)
    assert job.run(at_frame(12, job.pause)).state == "paused"
    assert job.resume().resumed_frames == 10
    assert (rgb(job.target) == complete).all()


def test_other_settings_cannot_resume(compared, at_frame):
    job = compared("trails", segment=5)
    job.run(at_frame(12, job.pause))
    with pytest.raises(StreamfxError, match=r"chain was compare\(trails\), is compare\(mirror\)"):
        compared("mirror", segment=5).resume()


def test_a_filter_with_state_is_not_resumed(compared, at_frame):
    job = compared("trails,tmix=frames=3", segment=5)
    assert job.run(at_frame(12, job.pause)).state == "stopped"


def test_alpha_is_opaque_where_one_side_has_none(video):
    class Fade:
        def build(self, device):
            return lambda frame, memory: [replace(frame, alpha=torch.full((1, 2, 4), 0.5))]

    step = Compare((Fade(),)).build(torch.device("cpu"))
    (frame,) = step(Frame(torch.zeros(3, 2, 4), 0, 1), {})
    assert frame.alpha[0].tolist() == [[1.0] * 4 + [0.5] * 4] * 2


def test_the_optional_interface_is_that_of_the_chain():
    compare = Compare(tuple(build_chain("style=mask=m.png:quality=fast,trails")))
    assert compare.segment_length == 300
    assert compare.working_pixels is None
    assert compare.prefers_speed
    assert not compare.uses_all_cores
    assert Compare(tuple(build_chain("style"))).working_pixels > 1000
    assert compare.describe() == "compare(style=quality=fast:mask=m.png,trails)"
    resolved = compare.resolve(torch.device("cpu"), 2)
    assert resolved.chain[0].mask_start == 2
    assert any(file.name == "m.png" for file in compare.input_files())

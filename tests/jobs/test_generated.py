"""Jobs without a source video: still sources, their images, and folders for intermediate frames."""

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamfx.animation.context import Context
from streamfx.effects.feedback import Feedback
from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.jobs.generated import AudioInput, StillSource, frame_store, load_image
from streamfx.jobs.job import Job
from streamfx.jobs.manifest import MANIFEST

IMAGE = torch.rand(3, 2, 2)


def test_a_still_source_with_audio(video, tmp_path, rgb, hashes, at_frame):
    effect = Feedback(Context(11, 25.0, 3), (48, 64), octaves=1, layer="block2")
    image = torch.rand(3, 48, 64)
    source = StillSource(image, 12, Fraction(12, 25), [str(video)], AudioInput(str(video)))
    assert [frame.pts for frame in source.frames(9)] == [Fraction(n, 25) for n in (9, 10, 11)]
    job = Job(source, tmp_path / "out.mp4", [effect], segment=4)
    job.run(at_frame(6, job.pause))
    assert job.resume().resumed_frames == 4
    assert len(rgb(job.target)) == 12
    assert len(hashes(job.target, "a")) == 1
    Job(source, tmp_path / "complete.mp4", [effect], segment=4).run()
    assert (rgb(tmp_path / "complete.mp4") == rgb(job.target)).all()


def test_the_audio_starts_at_its_offset(video, tmp_path, probe, hashes):
    def make(name, start):
        source = StillSource(torch.rand(3, 48, 64), 5, Fraction(1, 5), audio=AudioInput(str(video), start))
        Job(source, tmp_path / name, "hflip").run()
        return tmp_path / name

    early, late = make("early.mkv", Fraction(0)), make("late.mkv", Fraction(1, 2))
    assert hashes(early, "a") != hashes(late, "a")
    for path in (early, late):
        assert float(probe(path)["format"]["duration"]) == pytest.approx(0.2, abs=0.05)


@given(st.integers(1, 50), st.fractions(Fraction(1, 100), 10**5), st.integers(0, 60))
def test_the_frames_of_a_still_source_follow_each_other_exactly(count, length, begin):
    source = StillSource(IMAGE, count, length)
    frames = list(source.frames())
    assert len(frames) == count
    assert all(frame.image is IMAGE for frame in frames)
    ends = [frame.pts + frame.duration for frame in frames]
    assert [frame.pts for frame in frames] == [0, *ends[:-1]]
    assert ends[-1] == length
    assert [frame.pts for frame in source.frames(begin)] == [frame.pts for frame in frames[begin:]]


def test_images_are_loaded_as_tensors(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    image = load_image(str(tmp_path / "image.png"))
    assert image.shape == (3, 6, 8)
    assert np.abs(image.permute(1, 2, 0).numpy() * 255 - pixels).max() < 1


def test_transparent_parts_are_black(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :, 3], pixels[2, :, 3] = 0, 51
    Image.fromarray(pixels).save(tmp_path / "image.png")
    rows = load_image(str(tmp_path / "image.png")).mean((0, 2))
    torch.testing.assert_close(rows, torch.tensor([0, 0, 0.2, 1]), atol=0.005, rtol=0)


def test_the_first_frame_of_a_video_is_loaded(clip, moving, rgb):
    source = clip("rgb.mkv", *moving(seconds="0.2"), "-c:v", "ffv1", "-pix_fmt", "gbrp")
    image = load_image(str(source))
    assert np.abs(image.permute(1, 2, 0).numpy() * 255 - rgb(source)[0]).max() < 1
    with pytest.raises(StreamfxError, match=r"no such file: 'none\.png'"):
        load_image("none.png")


# --- folders for intermediate frames


def write_frames(target):
    """Store a frame for the video `target`; returns its folder."""
    with frame_store(str(target)) as folder:
        assert folder.name == "frames"
        folder.mkdir(parents=True)
        (folder / "000001.bin").touch()
        return folder


def test_frames_are_next_to_the_video_and_removed_at_the_end(tmp_path):
    folder = write_frames(tmp_path / "out.mp4")
    assert folder == tmp_path / "out.mp4.streamfx" / "frames"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [StreamfxError, KeyboardInterrupt])
def test_frames_are_removed_after_an_error(error, tmp_path):
    def fail(folder):
        folder.mkdir(parents=True)
        raise error

    with pytest.raises(error), frame_store(str(tmp_path / "out.mp4")) as folder:
        fail(folder)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_a_job_that_can_be_resumed_are_kept(tmp_path):
    work = work_folder_of(tmp_path / "out.mp4")
    work.mkdir()
    (work / MANIFEST).touch()
    folder = write_frames(tmp_path / "out.mp4")
    assert [path.name for path in folder.iterdir()] == ["000001.bin"]
    (work / MANIFEST).unlink()
    (work / "other").touch()
    with frame_store(str(tmp_path / "out.mp4")):
        pass
    assert [path.name for path in work.iterdir()] == ["other"]  # of another run


@pytest.mark.parametrize("target", ["-", "rtmp://localhost/live", "nowhere/out.mp4"])
def test_frames_of_other_outputs_are_in_a_temporary_folder(target, tmp_path, monkeypatch):
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = write_frames(target)
    assert temporary in folder.parents
    assert list(work.iterdir()) == list(temporary.iterdir()) == []


def test_nothing_is_created_if_no_frames_are_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with frame_store("out.mp4") as folder:
        assert folder == Path("out.mp4.streamfx/frames")
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []

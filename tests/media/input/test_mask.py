"""A mask depends only on the time, not on the times requested before."""

import logging
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.media.input.mask import FAR, Mask
from streamfx.media.output.timestamps import JITTER

IMAGE = torch.zeros(3, 16, 16)
FRAMES, RATE = 40, 5
STEP = 6  # code values between neighboring frames of `ramp`, whose frame n is a flat gray of n * STEP


def level(mask):
    """The index of the `ramp` frame that a mask shows."""
    return round(mask.mean().item() * 255 / STEP)


@pytest.fixture
def warnings(caplog):
    """The warnings logged so far."""
    caplog.set_level(logging.WARNING, "streamfx")
    return lambda: caplog.messages


@pytest.fixture(scope="session")
def ramp(clip):
    """ramp(name): 8 seconds of flat gray frames, each lighter than the last."""
    flat = f"color=black:size=16x16:rate={RATE}:duration={FRAMES // RATE},format=gray,geq=lum=N*{STEP}"
    codecs = {
        "mp4": ["-vf", "scale=out_range=tv,format=yuv420p", "-c:v", "libx264", "-qp", "0", "-g", "12", "-bf", "2"],
        "mkv": ["-c:v", "ffv1"],
        "avi": ["-c:v", "ffv1"],
        "gif": [],
    }

    def ramp(name):
        return str(clip(name, "-f", "lavfi", "-i", flat, *codecs[name.split(".")[1]]))

    return ramp


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif"])
def test_each_frame_is_shown_at_its_time(name, ramp, warnings):
    mask = Mask(ramp(name))
    for n in range(FRAMES):
        assert level(mask.at(Fraction(n, RATE), IMAGE)) == n
        assert level(mask.at(Fraction(2 * n + 1, 2 * RATE), IMAGE)) == n
    assert warnings() == []


@settings(max_examples=15)
@given(st.lists(st.fractions(0, Fraction(FRAMES + 5, RATE)), min_size=1, max_size=8))
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_times_may_be_requested_in_any_order(name, ramp, moments):
    mask = Mask(ramp(name))
    for moment in moments:
        index = int((moment + JITTER / RATE) * RATE)
        assert level(mask.at(moment, IMAGE)) == min(index, FRAMES - 1)


@settings(max_examples=3)
@given(moments=st.permutations([Fraction(n, 7) for n in range(0, 70, 13)]))
def test_the_mask_depends_only_on_the_time(moments, real_clip, clip):
    name = str(clip("small.mp4", "-i", real_clip("bikes.mp4"), "-vf", "scale=160:-2", "-g", "48"))
    mask = Mask(name)
    masks = {moment: mask.at(moment, IMAGE) for moment in moments}
    for moment in moments[:1]:
        assert torch.equal(Mask(name).at(moment, IMAGE), masks[moment])


@pytest.mark.parametrize(("video", "mask"), [("mkv", "mp4"), ("mp4", "mkv")])
def test_rounded_timestamps_still_match(video, mask, clip, times):
    """Matroska rounds thirtieths of a second to milliseconds; mask frames still match their video frames."""
    flat = f"color=black:size=16x16:rate=30:duration=1,format=gray,geq=lum=N*{STEP},scale=out_range=tv,format=yuv420p"
    files = {
        kind: clip(f"thirty.{kind}", "-f", "lavfi", "-i", flat, "-c:v", "libx264", "-qp", "0") for kind in (video, mask)
    }
    opened = Mask(str(files[mask]))
    first, *_ = moments = times(files[video])
    assert [level(opened.at(moment - first, IMAGE)) for moment in moments] == list(range(30))


def test_the_last_frame_is_held_with_one_warning(ramp, warnings):
    mask = Mask(ramp("a.mp4"))
    assert level(mask.at(Fraction(FRAMES, RATE) - Fraction(1, 100), IMAGE)) == FRAMES - 1
    assert warnings() == []
    for moment in (8, 9, 10, 3, 100):
        assert level(mask.at(Fraction(moment), IMAGE)) == min(moment * RATE, FRAMES - 1)
    (line,) = warnings()
    assert "ends at 8.00 s, before the video; holding its last frame" in line


def test_a_time_far_after_the_end(ramp, warnings):
    assert level(Mask(ramp("a.mkv")).at(Fraction(8) + 2 * FAR, IMAGE)) == FRAMES - 1
    assert len(warnings()) == 1


def test_an_image_applies_at_all_times_and_sizes(tmp_path, warnings):
    Image.fromarray(np.array([[0, 255], [51, 204]], np.uint8)).save(tmp_path / "m.png")
    mask = Mask(str(tmp_path / "m.png"))
    for moment in (0, 7, Fraction(1, 3), 10**6):
        torch.testing.assert_close(
            mask.at(Fraction(moment), torch.zeros(3, 2, 2)), torch.tensor([[[0.0, 1.0], [0.2, 0.8]]])
        )
    large = mask.at(Fraction(0), torch.zeros(3, 40, 60))
    assert large.shape == (1, 40, 60)
    assert torch.equal(large[:, 0, 0], torch.zeros(1))
    assert (large.diff(dim=2)[:, 0] >= 0).all(), "edges stay soft"
    assert warnings() == []


def test_downscaling_averages(tmp_path):
    Image.fromarray(np.kron(np.eye(32, dtype=np.uint8) * 255, np.ones((2, 2), np.uint8))).save(tmp_path / "m.png")
    small = Mask(str(tmp_path / "m.png")).at(Fraction(0), torch.zeros(3, 4, 4))
    assert small.mean().item() == pytest.approx(1 / 32, rel=0.05)


@pytest.mark.parametrize("scale", ["tv", "pc"])
def test_black_and_white_in_both_ranges(scale, clip):
    bars = f"color=white:size=32x16,drawbox=w=16:color=black:t=fill,scale=out_range={scale},format=yuv420p"
    video = clip(
        f"{scale}.mp4",
        "-f",
        "lavfi",
        "-i",
        bars,
        "-frames:v",
        "3",
        "-c:v",
        "libx264",
        "-qp",
        "0",
        "-color_range",
        scale,
    )
    mask = Mask(str(video)).at(Fraction(0), torch.zeros(3, 16, 32))
    assert mask[..., :16].max() < 1e-3
    assert mask[..., 16:].min() > 1 - 1e-3


def test_luma_times_alpha(tmp_path):
    pixels = np.array([[[255, 255, 255, 255], [255, 255, 255, 51], [0, 0, 0, 255], [0, 255, 0, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "m.png")
    mask = Mask(str(tmp_path / "m.png")).at(Fraction(0), torch.zeros(3, 1, 4))
    torch.testing.assert_close(mask, torch.tensor([[[1.0, 0.2, 0.0, 0.0]]]))


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_numbered_images_have_the_rate_of_the_video(rate, tmp_path, warnings):
    for n in range(10):
        Image.fromarray(np.full((4, 4), n * STEP, np.uint8)).save(tmp_path / f"m{n:02d}.png")
    mask = Mask(str(tmp_path / "m%02d.png"), rate=rate)
    for n in (0, 9, 3, 4):
        assert level(mask.at(n / rate, IMAGE)) == n
        assert level(mask.at(Fraction(round(n / rate * 1000), 1000), IMAGE)) == n  # as in Matroska
    assert warnings() == []


def test_image_sequences(tmp_path, warnings):
    for n in range(10):
        Image.fromarray(np.full((4, 4), n * STEP, np.uint8)).save(tmp_path / f"m{n:02d}.png")
    mask = Mask(str(tmp_path / "m%02d.png"))
    for n in (9, 3, 4, 0, 60):
        assert level(mask.at(Fraction(n, 25), IMAGE)) == min(n, 9)
    assert len(warnings()) == 1


def test_a_mask_video_that_starts_after_its_audio(clip, tone, ramp):
    video = clip(
        "late.mkv", *tone("2"), "-itsoffset", "1", "-i", ramp("a.mkv"), "-map", "1:v", "-map", "0:a", "-c:v", "copy"
    )
    mask = Mask(str(video))
    assert [level(mask.at(Fraction(n, 2), IMAGE)) for n in range(6)] == [0, 0, 0, 2, 5, 7]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", "no such file"),
        ("none" * 2000, "no such file"),
        ("folder", "is a folder"),
        ("a.txt", "is a text file|not a video"),
        ("a.png", "no frame"),
        ("-", "stdin"),
    ],
)
def test_invalid_masks_are_errors(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.txt").write_text("Here be dragons.\n" * 90)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(StreamfxError, match=f"^the mask.*{reason}") as error:
        Mask(name)
    assert "\n" not in str(error.value)


def test_an_audio_file_is_not_a_mask(clip, tone):
    with pytest.raises(StreamfxError, match=r"^the mask: .* has only audio"):
        Mask(str(clip("sound.m4a", *tone(), "-c:a", "aac")))

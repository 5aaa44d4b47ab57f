"""Training data: photos and videos in a folder, or the installed photos; random batches."""

import logging
import random
import shutil

import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.styletransfer.training.dataset import build_batch, load_photos


def testinstalled_photos_are_the_default():
    photos = load_photos(None, 64)
    assert len(photos) == 8
    assert all(photo.dtype == torch.uint8 and photo.shape[0] == 3 and min(photo.shape[1:]) >= 300 for photo in photos)


def test_video_frames_are_evenly_spaced(clip, tmp_path):
    fade = "color=black:size=64x48:rate=10:duration=4,geq=r='255*T/4':g=0:b=0"
    shutil.copy(clip("fade.mp4", "-f", "lavfi", "-i", fade, "-c:v", "libx264rgb", "-qp", "0"), tmp_path / "a.MP4")
    frames = load_photos(tmp_path, 32)
    reds = [frame[0].float().mean().item() for frame in frames]
    assert 12 <= len(frames) <= 16
    assert reds == sorted(reds)
    assert reds[0] < 30
    assert reds[-1] > 225
    assert all(frame.shape == (3, 48, 64) for frame in frames)


def test_videos_of_unknown_duration_are_sampled_to_the_end(clip, tmp_path):
    shade = "color=black:size=64x48:rate=50:duration=2,geq=r='255*T/2':g=0:b=0"
    arguments = ["-f", "lavfi", "-i", shade, "-c:v", "mjpeg", "-q:v", "2", "-f", "matroska", "-live", "1"]
    shutil.copy(clip("live.mkv", *arguments), tmp_path / "live.mkv")
    reds = [frame[0].float().mean().item() for frame in load_photos(tmp_path, 32)]
    assert 8 <= len(reds) <= 32
    assert reds[0] < 30
    assert reds[-1] > 200


def test_unreadable_files_are_skipped_with_a_warning(photos, tmp_path, caplog):
    subfolder = tmp_path / "more" / "photos"
    subfolder.mkdir(parents=True)
    (subfolder / "good.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    (tmp_path / "cut.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:900])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("not an image")
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert len(load_photos(tmp_path, 32)) == 1
    for name in ("cut.jpg", "empty.png", "bad.mp4"):
        assert f"{name}" in caplog.text
    assert "good.jpg" not in caplog.text
    assert "notes.txt" not in caplog.text


def test_large_folders_are_sampled_evenly(tmp_path, caplog):
    for number in range(512):
        Image.new("RGB", (2, 2), (number % 256, number // 256, 0)).save(tmp_path / f"{number:03}.png")
    with caplog.at_level(logging.WARNING, "streamfx"):
        numbers = [int(photo[0, 0, 0]) + 256 * int(photo[1, 0, 0]) for photo in load_photos(tmp_path, 2)]
    assert numbers == list(range(0, 512, 2))
    assert "using 256 of the 512 photos and videos" in caplog.text


def test_large_photos_are_scaled_down_and_small_ones_up(tmp_path):
    Image.new("RGB", (4000, 2000)).save(tmp_path / "a.jpg")
    Image.new("RGB", (20, 10)).save(tmp_path / "b.png")
    assert [tuple(photo.shape) for photo in load_photos(tmp_path, 64)] == [(3, 512, 1024), (3, 64, 128)]


def test_folders_without_photos_are_errors(tmp_path, painting):
    with pytest.raises(StreamfxError, match="no readable photos or videos in"):
        load_photos(tmp_path, 32)
    with pytest.raises(StreamfxError, match="is not a folder"):
        load_photos(painting, 32)
    with pytest.raises(StreamfxError, match="is not a folder"):
        load_photos(tmp_path / "none", 32)


def test_batches_depend_on_the_seed_only(photos):
    loaded = load_photos(photos, 32)
    first, second = (build_batch(loaded, 32, 3, random.Random("7 1")) for _ in range(2))
    for images, repeated in zip(first, second):
        assert images.shape == (3, 3, 32, 32)
        assert torch.equal(images, repeated)
        assert 0 <= images.min() <= images.max() <= 1

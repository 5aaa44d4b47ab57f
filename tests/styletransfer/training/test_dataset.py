"""What painters learn to paint: photos and videos of a folder, or the photographs that are installed."""

import logging
import random
import shutil

import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.styletransfer.training.dataset import build_batch, load_photos


def test_installed_photographs_serve_where_none_are_given():
    photos = load_photos(None, 64)
    assert len(photos) == 8
    assert all(photo.dtype == torch.uint8 and photo.shape[0] == 3 and min(photo.shape[1:]) >= 300 for photo in photos)


def test_frames_of_videos_are_spread_evenly(clip, tmp_path):
    fade = "color=black:size=64x48:rate=10:duration=4,geq=r='255*T/4':g=0:b=0"
    shutil.copy(clip("fade.mp4", "-f", "lavfi", "-i", fade, "-c:v", "libx264rgb", "-qp", "0"), tmp_path / "a.MP4")
    frames = load_photos(tmp_path, 32)
    reds = [frame[0].float().mean().item() for frame in frames]
    assert 12 <= len(frames) <= 16
    assert reds == sorted(reds)
    assert reds[0] < 30
    assert reds[-1] > 225
    assert all(frame.shape == (3, 48, 64) for frame in frames)


def test_a_video_that_does_not_say_its_length_is_read_through(clip, tmp_path):
    shade = "color=black:size=64x48:rate=50:duration=2,geq=r='255*T/2':g=0:b=0"
    arguments = ["-f", "lavfi", "-i", shade, "-c:v", "mjpeg", "-q:v", "2", "-f", "matroska", "-live", "1"]
    shutil.copy(clip("live.mkv", *arguments), tmp_path / "live.mkv")
    reds = [frame[0].float().mean().item() for frame in load_photos(tmp_path, 32)]
    assert 8 <= len(reds) <= 32
    assert reds[0] < 30
    assert reds[-1] > 200


def test_what_cannot_be_read_is_skipped_by_name(photos, tmp_path, caplog):
    below = tmp_path / "more" / "photos"
    below.mkdir(parents=True)
    (below / "good.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    (tmp_path / "cut.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:900])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("nothing to see")
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert len(load_photos(tmp_path, 32)) == 1
    for name in ("cut.jpg", "empty.png", "bad.mp4"):
        assert f"{name}" in caplog.text
    assert "good.jpg" not in caplog.text
    assert "notes.txt" not in caplog.text


def test_a_folder_of_very_many_gives_some_of_each_part(tmp_path, caplog):
    for number in range(512):
        Image.new("RGB", (2, 2), (number % 256, number // 256, 0)).save(tmp_path / f"{number:03}.png")
    with caplog.at_level(logging.WARNING, "streamfx"):
        numbers = [int(photo[0, 0, 0]) + 256 * int(photo[1, 0, 0]) for photo in load_photos(tmp_path, 2)]
    assert numbers == list(range(0, 512, 2))
    assert "512 photos and videos" in caplog.text


def test_large_photos_are_kept_smaller_and_small_ones_larger(tmp_path):
    Image.new("RGB", (4000, 2000)).save(tmp_path / "a.jpg")
    Image.new("RGB", (20, 10)).save(tmp_path / "b.png")
    assert [tuple(photo.shape) for photo in load_photos(tmp_path, 64)] == [(3, 512, 1024), (3, 64, 128)]


def test_folders_with_nothing_in_them_are_said(tmp_path, painting):
    with pytest.raises(StreamfxError, match=r"no photos or videos in .* that can be read"):
        load_photos(tmp_path, 32)
    with pytest.raises(StreamfxError, match="is not a folder"):
        load_photos(painting, 32)
    with pytest.raises(StreamfxError, match="is not a folder"):
        load_photos(tmp_path / "none", 32)


def test_batches_go_by_chance_alone(photos):
    loaded = load_photos(photos, 32)
    first, again = (build_batch(loaded, 32, 3, random.Random("7 1")) for _ in range(2))
    for one, other in zip(first, again):
        assert one.shape == (3, 3, 32, 32)
        assert torch.equal(one, other)
        assert 0 <= one.min() <= one.max() <= 1

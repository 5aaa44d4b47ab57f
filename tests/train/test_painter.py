"""Training: seconds of it teach something, can be resumed, and say what is wrong with what they were given."""

import logging

import pytest
import torch
from PIL import Image
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.nets.painter import load_painter
from streamfx.preset import TrainingSettings, load_preset
from streamfx.train.painter import train_painter

SMALL = {"channels": 8, "wide": 8, "blocks": 1, "fine": 8, "crop": 32, "batch": 2, "painting_height": 64}


@pytest.fixture(scope="module")
def painting(tmp_path_factory):
    file = tmp_path_factory.mktemp("painting") / "my coffee.png"
    Image.fromarray(data.coffee()[::4, ::4].copy()).save(file)
    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.chelsea()[::3, ::3].copy()).save(folder / "cat.jpg")
    Image.fromarray(data.rocket()[::3, ::3].copy()).convert("L").save(folder / "grey.png")
    return folder


def total(losses, settings):
    return sum(losses[name] * getattr(settings, f"{name}_weight", 1.0) for name in losses)


def test_training_lowers_the_loss_and_writes_a_preset(painting, photos, tmp_path):
    settings = TrainingSettings(steps=50, learning_rate=0.02, **SMALL)
    seen = []
    preset = train_painter(painting, photos, tmp_path / "new" / "mine.toml", settings, report=seen.append)
    costs = [total(at.losses, settings) for at in seen]
    assert len(costs) == 50
    assert sum(costs[-5:]) < 0.8 * sum(costs[:5])
    assert seen[-1].preview is not None
    with Image.open(seen[-1].preview) as sheet:
        assert sheet.width > 100

    loaded = load_preset(str(preset))
    assert loaded.style.title == "My Coffee"
    assert loaded.style.training == settings
    painted = load_painter(loaded.weights)(torch.rand(1, 3, 9, 9))
    assert painted.shape == (1, 3, 9, 9)
    assert sorted(p.name for p in preset.parent.iterdir()) == [
        "mine.checkpoint", "mine.preview.png", "mine.safetensors", "mine.toml",
    ]  # fmt: skip


def test_resuming_goes_on_where_it_stopped(painting, photos, tmp_path):
    preset = tmp_path / "mine.toml"
    first, second = [], []
    train_painter(painting, photos, preset, TrainingSettings(steps=3, **SMALL), report=first.append)
    train_painter(painting, photos, preset, TrainingSettings(steps=5, **SMALL), resume=True, report=second.append)
    assert [at.step for at in first + second] == [1, 2, 3, 4, 5]
    assert second[0].minutes > first[-1].minutes


def test_the_minutes_end_it(painting, photos, tmp_path):
    seen = []
    train_painter(painting, photos, tmp_path / "x.toml", TrainingSettings(minutes=0.01, **SMALL), report=seen.append)
    assert seen[-1].minutes >= 0.01
    assert all(at.minutes < 0.01 for at in seen[:-1])


def test_the_same_seed_begins_alike(painting, photos, tmp_path):
    runs = []
    for name in "ab":
        seen = []
        train_painter(
            painting, photos, tmp_path / f"{name}.toml", TrainingSettings(steps=1, **SMALL), report=seen.append
        )
        runs.append(seen[0].losses)
    assert runs[0] == pytest.approx(runs[1], rel=0.02)


def test_ctrl_c_keeps_what_is_learned(painting, photos, tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    preset = train_painter(painting, photos, tmp_path / "mine.toml", TrainingSettings(steps=900, **SMALL), report=stop)
    assert load_preset(str(preset)).weights.is_file()


def test_photos_that_cannot_be_read_are_skipped_by_name(painting, photos, tmp_path, caplog):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good.jpg").write_bytes((photos / "cat.jpg").read_bytes())
    (folder / "cut.jpg").write_bytes((photos / "cat.jpg").read_bytes()[:900])
    (folder / "empty.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "streamfx"):
        train_painter(painting, folder, tmp_path / "x.toml", TrainingSettings(steps=1, **SMALL))
    assert "cut.jpg" in caplog.text
    assert "empty.png" in caplog.text
    assert "good.jpg" not in caplog.text


def test_installed_photos_serve_where_none_are_given(painting, tmp_path):
    train_painter(painting, None, tmp_path / "x.toml", TrainingSettings(steps=1, **SMALL))


def test_what_is_missing_is_said(painting, photos, tmp_path):
    settings = TrainingSettings(steps=2, **SMALL)
    target = tmp_path / "x.toml"
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    with pytest.raises(StreamfxError, match=r"text\.jpg is no picture"):
        train_painter(text, photos, target, settings)
    with pytest.raises(StreamfxError, match="no photos in"):
        train_painter(painting, tmp_path, target, settings) if not text.unlink() else None
    with pytest.raises(StreamfxError, match="is not a folder"):
        train_painter(painting, painting, target, settings)
    with pytest.raises(StreamfxError, match="nothing to resume"):
        train_painter(painting, photos, target, settings, resume=True)
    (tmp_path / "x.checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(StreamfxError, match="does not fit this training"):
        train_painter(painting, photos, target, settings, resume=True)
    with pytest.raises(StreamfxError, match="unknown layer"):
        train_painter(painting, photos, target, settings.model_copy(update={"style_layers": ("blok1",)}))
    assert not target.exists()

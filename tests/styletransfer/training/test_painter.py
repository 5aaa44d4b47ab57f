"""Training: seconds of it teach something, can be resumed, and say what is wrong with what they were given."""

import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.presets import Painting
from streamfx.styletransfer.painter import load_painter
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting
from streamfx.styletransfer.training.painter import Subject, Training, train


@pytest.fixture(scope="module")
def canvas(painting):
    return load_painting(painting, Painting(file="", height=64))


@pytest.fixture(scope="module")
def content(photos):
    return load_photos(photos, 32)


@pytest.fixture
def build(canvas, small):
    """build(steps=3, ...): a training in miniature, of one style or those named."""

    def build(names=("mine",), base=None, device=None, **settings):
        settings = small(**settings)
        return Training("fast", {name: Subject([(canvas, 1.0)], settings) for name in names}, settings, base, device)

    return build


def total(losses, settings):
    return sum(losses[name] * getattr(settings, f"{name}_weight", 1.0) for name in losses)


def test_training_lowers_the_loss_and_writes_weights(build, content, tmp_path):
    training, seen = build(steps=40), []
    train(training, content, tmp_path / "mine.safetensors", report=seen.append)
    costs = [total(at.losses, training.settings) for at in seen]
    assert [at.step for at in seen] == list(range(1, 41))
    assert sum(costs[-5:]) < 0.8 * sum(costs[:5])
    assert seen[-1].preview is not None
    with Image.open(seen[-1].preview) as sheet:
        assert sheet.width > 100
    painter, styles = load_painter(tmp_path / "mine.safetensors")
    assert painter(torch.rand(1, 3, 9, 9), styles["mine"][None]).shape == (1, 3, 9, 9)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.checkpoint", "mine.preview.png", "mine.safetensors"]


def test_steps_go_round_the_styles(build, content):
    training = build(("a", "keys.b", "c"), batch=1)
    changed = []
    for _ in range(4):
        before = {name: numbers.clone() for name, numbers in training.numbers().items()}
        training.optimizer.state.clear()  # without momentum, only what has a gradient moves
        training.step(content)
        changed.append([name for name, numbers in training.numbers().items() if not torch.equal(numbers, before[name])])
    assert changed == [["a"], ["keys.b"], ["c"], ["a"]]


def test_resuming_goes_on_where_it_stopped(build, content, tmp_path):
    first, second = [], []
    weights = tmp_path / "mine.safetensors"
    train(build(steps=2), content, weights, report=first.append)
    train(build(steps=3), content, weights, resume=True, report=second.append)
    assert [at.step for at in first + second] == [1, 2, 3]
    assert second[0].minutes > first[-1].minutes


def test_the_minutes_end_it(build, content, tmp_path):
    seen = []
    train(build(minutes=0.001), content, tmp_path / "x.safetensors", report=seen.append)
    assert seen[-1].minutes >= 0.001
    assert all(at.minutes < 0.001 for at in seen[:-1])


def test_the_same_seed_begins_alike(build, content):
    first, again, other = (build(steps=1, seed=seed).step(content) for seed in (3, 3, 4))
    assert first == pytest.approx(again, rel=0.02)
    assert first != pytest.approx(other, rel=0.02)


def test_learning_goes_on_from_a_base_in_the_middle_of_its_styles(build, content, tmp_path):
    base = tmp_path / "base.safetensors"
    train(build(("a", "b"), steps=2), content, base)
    painter, styles = load_painter(base)
    new = build(("b", "c"), base=base)
    assert torch.equal(new.numbers()["b"], styles["b"])
    torch.testing.assert_close(new.numbers()["c"], (styles["a"] + styles["b"]) / 2)
    assert torch.equal(new.painter.state_dict()["stem.weight"], painter.state_dict()["stem.weight"])


def test_ctrl_c_keeps_what_is_learned(build, content, tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    train(build(steps=900), content, tmp_path / "mine.safetensors", report=stop)
    assert load_painter(tmp_path / "mine.safetensors")[1].keys() == {"mine"}
    resumed = build(steps=900)
    resumed.load(tmp_path / "mine.checkpoint")
    assert resumed.steps == 2


def test_what_does_not_fit_is_said(build, content, tmp_path):
    weights, checkpoint = tmp_path / "x.safetensors", tmp_path / "x.checkpoint"
    with pytest.raises(StreamfxError, match="nothing to resume"):
        train(build(steps=1), content, weights, resume=True)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(StreamfxError, match="does not fit this training"):
        train(build(steps=1), content, weights, resume=True)
    build(("other",)).save(checkpoint)
    with pytest.raises(StreamfxError, match="does not fit this training"):
        train(build(steps=1), content, weights, resume=True)
    with pytest.raises(StreamfxError, match="unknown layer"):
        build(style_layers={"lite0": ("blok1",)})
    with pytest.raises(StreamfxError, match="broke down at step"):
        train(build(steps=9, style_weight=1e38), content, weights)
    assert not weights.exists()
    with pytest.raises(StreamfxError, match="cannot write"):
        build().save(tmp_path / "none" / "x.checkpoint")


@pytest.mark.needs_cuda
def test_a_gpu_learns_from_photos_and_clips_made_there(build, content, tmp_path):
    training, seen = build(steps=40, device=torch.device("cuda")), []
    train(training, content, tmp_path / "mine.safetensors", report=seen.append)
    costs = [total(at.losses, training.settings) for at in seen]
    assert sum(costs[-5:]) < 0.8 * sum(costs[:5])
    assert load_painter(tmp_path / "mine.safetensors")[1].keys() == {"mine"}

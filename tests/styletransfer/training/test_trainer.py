"""Training: seconds of it lower the loss; it resumes, distills, and says what is wrong with its input."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.presets import Painting
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import build_targets
from streamfx.styletransfer.network import SIZES, StyleNetwork, load_network
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.images import load_painting
from streamfx.styletransfer.training.trainer import Trainer, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def image(painting):
    return load_painting(painting, Painting(file="", height=128))


@pytest.fixture(scope="module")
def content(photos):
    return load_photos(photos, 64)


@pytest.fixture(scope="module")
def targets(image, small):
    settings = small()
    extractors = [FeatureExtractor(settings, name) for name in settings.style_layers]
    return build_targets([(image, 1.0)], settings, extractors)


@pytest.fixture
def build(targets, small):
    """build(steps=3, ...): a trainer of a new fast network."""

    def build(device=CPU, teacher=None, **settings):
        torch.manual_seed(0)
        return Trainer(StyleNetwork(SIZES["fast"]), targets, small(**settings), device, teacher)

    return build


def total(trainer, losses):
    return trainer.loss.total({name: torch.tensor(loss) for name, loss in losses.items()}).item()


def test_training_lowers_the_loss_and_writes_weights(build, content, tmp_path):
    trainer, reports = build(steps=30), []
    train(trainer, content, tmp_path / "mine.safetensors", report=reports.append)
    costs = [total(trainer, report.losses) for report in reports]
    assert [report.step for report in reports] == list(range(1, 31))
    assert reports[-1].done == 1
    assert sum(costs[-5:]) < 0.85 * sum(costs[:5])
    network = load_network(tmp_path / "mine.safetensors")
    assert network(torch.rand(1, 3, 40, 40), network.parameters_at(0)).shape == (1, 3, 40, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.checkpoint", "mine.safetensors"]


def test_both_ends_of_detail_are_trained(build, content):
    trainer = build(steps=30)
    before = trainer.network.style.detach().clone()
    for _ in range(12):
        trainer.step(content)
    changed = (trainer.network.style.detach() - before).abs().amax(1)
    assert (changed > 0).all()


def test_int8_is_simulated_toward_the_end(build, content):
    trainer = build(steps=5)
    quantized = []
    for _ in range(5):
        trainer.step(content)
        quantized.append(trainer.network.stem.weight_steps is not None)
    assert quantized == [False, False, False, False, True]


def test_resuming_continues_with_the_next_step(build, content, tmp_path):
    first, second = [], []
    weights = tmp_path / "mine.safetensors"
    train(build(steps=2), content, weights, report=first.append)
    train(build(steps=3), content, weights, resume=True, report=second.append)
    assert [report.step for report in first + second] == [1, 2, 3]
    assert second[0].minutes > first[-1].minutes


def test_minutes_limit_the_training(build, content, tmp_path):
    reports = []
    train(build(minutes=0.001), content, tmp_path / "x.safetensors", report=reports.append)
    assert reports[-1].minutes >= 0.001
    assert all(report.minutes < 0.001 for report in reports[:-1])


def test_the_seed_determines_the_batches(build, content):
    first, again, other = (build(steps=1, seed=seed).step(content) for seed in (3, 3, 4))
    assert first == pytest.approx(again, rel=0.02)
    assert first != pytest.approx(other, rel=0.02)


def test_a_teacher_replaces_the_photo(build, content):
    teacher = StyleNetwork(SIZES["fast"])
    distilled, alone = (build(steps=1, teacher=known).step(content)["content"] for known in (teacher, None))
    assert distilled != pytest.approx(alone, rel=0.01)


def test_ctrl_c_saves_the_training(build, content, tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise KeyboardInterrupt

    train(build(steps=900), content, tmp_path / "mine.safetensors", report=stop)
    load_network(tmp_path / "mine.safetensors")
    resumed = build(steps=900)
    resumed.load(tmp_path / "mine.checkpoint")
    assert resumed.steps == 2


def test_errors_name_the_problem(build, content, tmp_path):
    weights, checkpoint = tmp_path / "x.safetensors", tmp_path / "x.checkpoint"
    with pytest.raises(StreamfxError, match="nothing to resume"):
        train(build(steps=1), content, weights, resume=True)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(StreamfxError, match="does not fit this training"):
        train(build(steps=1), content, weights, resume=True)
    with pytest.raises(StreamfxError, match="unknown layer"):
        build(style_layers={"lite0": ("blok1",)})
    with pytest.raises(StreamfxError, match="diverged at step"):
        train(build(steps=9, learning_rate=1e38), content, weights)
    assert not weights.exists()
    with pytest.raises(StreamfxError, match="cannot write"):
        build().save(tmp_path / "none" / "x.checkpoint")


@pytest.mark.needs_cuda
def test_training_on_a_gpu(build, content, tmp_path):
    trainer, reports = build(steps=30, device=torch.device("cuda")), []
    train(trainer, content, tmp_path / "mine.safetensors", report=reports.append)
    costs = [total(trainer, report.losses) for report in reports]
    assert sum(costs[-5:]) < 0.85 * sum(costs[:5])

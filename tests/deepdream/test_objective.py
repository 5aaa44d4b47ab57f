"""Objectives: layers, channels, sums, guides."""

import copy

import pytest
import torch
from skimage import data
from torch import nn

from streamfx.deepdream import objective as objectives
from streamfx.deepdream.networks import build_layers
from streamfx.deepdream.objective import Objective
from streamfx.deepdream.objective_syntax import parse_objective

CPU = torch.device("cpu")


class Plain(nn.Module):
    """Two layers with known values."""

    def forward(self, images):
        return {"a": images * 2, "b": images.mean(1, keepdim=True) * 1000}


@pytest.fixture(scope="module")
def lite():
    return build_layers("lite0", ["block5", "block10"])


@pytest.fixture(scope="module")
def cat():
    return torch.from_numpy(data.chelsea()[50:178, 100:228].copy()).permute(2, 0, 1)[None] / 255


def test_layers_use_mean_squares_and_channels_use_means():
    image = torch.rand(1, 3, 8, 8)
    layer = Objective(Plain(), parse_objective("a"), CPU)
    assert layer.value(image) == pytest.approx(float((2 * image).square().mean()))
    torch.testing.assert_close(layer.gradient(image), 8 * image / image.numel())
    channel = Objective(Plain(), parse_objective("a:1"), CPU).gradient(image)
    torch.testing.assert_close(channel[:, 1], torch.full((1, 8, 8), 2 / 64))
    assert channel[:, ::2].abs().max() == 0


def test_equal_shares_have_equal_effect():
    """The second layer is a thousand times as strong and must not dominate the first."""
    image = torch.rand(1, 3, 16, 16)
    both = Objective(Plain(), parse_objective("a:0 + b:0"), CPU).gradient(image)
    one, other = (Objective(Plain(), parse_objective(part), CPU).gradient(image) for part in ("a:0", "b:0"))

    def normalized(gradient):
        return gradient / gradient.abs().mean()

    torch.testing.assert_close(normalized(both), normalized(normalized(one) + normalized(other)))
    difference = Objective(Plain(), parse_objective("a:0 - b:0"), CPU).gradient(image)
    torch.testing.assert_close(normalized(difference), normalized(normalized(one) - normalized(other)))


def test_steps_along_the_gradient_increase_the_objective(lite, cat):
    for text in ("block10", "block10:3", "block5 + 0.5*block10"):
        objective = Objective(lite, parse_objective(text), CPU)
        gradient = objective.gradient(cat)
        assert gradient.shape == cat.shape
        assert objective.value(cat + 0.01 * gradient / gradient.abs().mean()) > objective.value(cat)
    down = Objective(lite, parse_objective("-block10"), CPU)
    gradient = down.gradient(cat)
    plain = Objective(lite, parse_objective("block10"), CPU)
    assert plain.value(cat + 0.01 * gradient / gradient.abs().mean()) < plain.value(cat)


@pytest.fixture(scope="module")
def large():
    return torch.from_numpy(data.chelsea()[40:232, 100:308].copy()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("text", ["block10", "block5 - 0.5*block10:3"])
def test_engine_gradient_is_close_to_torch(lite, large, text):
    objective = Objective(lite, parse_objective(text), CPU)
    exact, fast = objective.gradient(large, once=True), objective.gradient(large)
    assert not torch.equal(fast, exact)  # computed by the engine
    assert torch.cosine_similarity(fast.flatten(), exact.flatten(), 0) > 0.99
    assert fast.abs().mean() == pytest.approx(float(exact.abs().mean()), rel=0.05)
    assert torch.equal(objective.gradient(large), fast)
    second = Objective(lite, parse_objective(text), CPU)  # loads its engine from the cache
    assert torch.equal(second.gradient(large), fast)


def test_new_and_cached_engines_give_equal_results(lite, large, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (Objective(lite, parse_objective("block5"), CPU).gradient(large) for _ in range(2))
    assert len(list((tmp_path / "streamfx" / "engines").iterdir())) == 1
    assert torch.equal(first, second)


def test_small_or_guided_images_use_torch(lite, large, cat):
    objective = Objective(lite, parse_objective("block5"), CPU)
    assert torch.equal(objective.gradient(cat), objective.gradient(cat, once=True))
    guide = objective.guide_features(cat)
    assert torch.equal(objective.gradient(large, guide), objective.gradient(large, guide, once=True))


class Smooth(nn.Module):
    """A network whose gradient cannot be exported."""

    def forward(self, images):
        return {"a": nn.functional.silu(images)}


def test_networks_without_exportable_gradient_use_torch(large):
    objective = Objective(Smooth(), parse_objective("a"), CPU)
    assert torch.equal(objective.gradient(large), objective.gradient(large, once=True))


def test_least_recently_used_engines_are_dropped(lite, large, monkeypatch):
    monkeypatch.setattr(objectives, "_engines", {})
    monkeypatch.setattr(objectives, "_MAX_ENGINE_VALUES", 2 * large.numel())
    first, second = (Objective(Smooth(), parse_objective("a"), CPU) for _ in range(2))
    for objective in (first, second, first):
        objective.gradient(large)
        objective.gradient(large.mT)
    assert [objective_id for objective_id, _ in objectives._engines] == [first._id] * 2
    for offset in range(20):
        first.gradient(large[..., offset:])
    assert len(objectives._engines) == objectives._MAX_ENGINES


def test_guided_ascent_approaches_the_features_of_the_guide(lite, cat):
    objective = Objective(lite, parse_objective("block10"), CPU)
    cup = torch.from_numpy(data.coffee()[100:228, 200:328].copy()).permute(2, 0, 1)[None] / 255
    guide = objective.guide_features(cup)
    assert guide["block10"].shape == (112, 64)

    def similarity(image):
        with torch.no_grad():
            features = lite(image)["block10"].mean((0, 2, 3))
        return float(torch.cosine_similarity(features, guide["block10"].mean(1), dim=0))

    image = cat
    for _ in range(6):
        gradient = objective.gradient(image, guide)
        image = image + 0.01 * gradient / gradient.abs().mean()
    assert similarity(image) > similarity(cat) + 0.05


def test_large_guides_are_subsampled_and_large_images_batched():
    """Each position is matched with the position of the guide that has the largest dot product."""
    objective = Objective(Plain(), parse_objective("a"), CPU)
    guide = objective.guide_features(torch.rand(1, 3, 90, 90))
    assert guide["a"].shape == (3, 4096)
    image = torch.rand(1, 3, 70, 80)
    gradient = objective.gradient(image, guide)[0].flatten(1)
    best = guide["a"][:, (image[0].flatten(1).T @ guide["a"]).argmax(1)]
    torch.testing.assert_close(gradient, 2 * best / image.numel())


def test_batches_have_the_gradients_of_single_images(lite, cat):
    images = torch.cat([cat, cat.flip(3)])
    for guide in (None, "cat"):
        objective = Objective(lite, parse_objective("block5"), CPU)
        features = objective.guide_features(cat) if guide else None
        batch = objective.gradient(images, features)
        for image, gradient in zip(images, batch):
            single = objective.gradient(image[None], features)[0]
            torch.testing.assert_close(
                gradient / gradient.abs().mean(), single / single.abs().mean(), atol=1e-3, rtol=1e-3
            )


@pytest.mark.needs_cuda
@pytest.mark.parametrize("text", ["block10", "block5:7", "0.7*block10 - 0.3*block5"])
def test_cuda_gradient_is_close_to_the_cpu(text, lite, cat):
    cuda = torch.device("cuda", 0)
    parts = parse_objective(text)
    expected = Objective(lite, parts, CPU).gradient(cat, once=True)
    network = copy.deepcopy(lite).to(cuda)
    for _ in range(2):
        gradient = Objective(network, parts, cuda).gradient(cat.to(cuda)).cpu()
        assert torch.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.85  # bfloat16

"""What is climbed: layers, channels, sums of them, guides."""

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
    """Two layers that can be told by hand."""

    def forward(self, images):
        return {"a": images * 2, "b": images.mean(1, keepdim=True) * 1000}


@pytest.fixture(scope="module")
def lite():
    return build_layers("lite0", ["block5", "block10"])


@pytest.fixture(scope="module")
def cat():
    return torch.from_numpy(data.chelsea()[50:178, 100:228].copy()).permute(2, 0, 1)[None] / 255


def test_a_layer_is_its_mean_square_and_a_channel_its_mean():
    picture = torch.rand(1, 3, 8, 8)
    layer = Objective(Plain(), parse_objective("a"), CPU)
    assert layer.value(picture) == pytest.approx(float((2 * picture).square().mean()))
    torch.testing.assert_close(layer.gradient(picture), 8 * picture / picture.numel())
    channel = Objective(Plain(), parse_objective("a:1"), CPU).gradient(picture)
    torch.testing.assert_close(channel[:, 1], torch.full((1, 8, 8), 2 / 64))
    assert channel[:, ::2].abs().max() == 0


def test_equal_shares_pull_alike():
    """The second layer is a thousand times as strong, and must not hide the first."""
    picture = torch.rand(1, 3, 16, 16)
    both = Objective(Plain(), parse_objective("a:0 + b:0"), CPU).gradient(picture)
    one, other = (Objective(Plain(), parse_objective(part), CPU).gradient(picture) for part in ("a:0", "b:0"))

    def even(slope):
        return slope / slope.abs().mean()

    torch.testing.assert_close(even(both), even(even(one) + even(other)))
    away = Objective(Plain(), parse_objective("a:0 - b:0"), CPU).gradient(picture)
    torch.testing.assert_close(even(away), even(even(one) - even(other)))


def test_the_gradient_leads_upwards(lite, cat):
    for text in ("block10", "block10:3", "block5 + 0.5*block10"):
        objective = Objective(lite, parse_objective(text), CPU)
        slope = objective.gradient(cat)
        assert slope.shape == cat.shape
        assert objective.value(cat + 0.01 * slope / slope.abs().mean()) > objective.value(cat)
    down = Objective(lite, parse_objective("-block10"), CPU)
    slope = down.gradient(cat)
    plain = Objective(lite, parse_objective("block10"), CPU)
    assert plain.value(cat + 0.01 * slope / slope.abs().mean()) < plain.value(cat)


@pytest.fixture(scope="module")
def large():
    return torch.from_numpy(data.chelsea()[40:232, 100:308].copy()).permute(2, 0, 1)[None] / 255


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("text", ["block10", "block5 - 0.5*block10:3"])
def test_the_engine_s_gradient_is_torch_s(lite, large, text):
    objective = Objective(lite, parse_objective(text), CPU)
    exact, quick = objective.gradient(large, once=True), objective.gradient(large)
    assert not torch.equal(quick, exact)  # in other words: it is the engine's
    assert torch.cosine_similarity(quick.flatten(), exact.flatten(), 0) > 0.99
    assert quick.abs().mean() == pytest.approx(float(exact.abs().mean()), rel=0.05)
    assert torch.equal(objective.gradient(large), quick)
    again = Objective(lite, parse_objective(text), CPU)  # whose engine comes out of the cache
    assert torch.equal(again.gradient(large), quick)


def test_the_run_that_builds_an_engine_computes_what_later_ones_do(lite, large, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (Objective(lite, parse_objective("block5"), CPU).gradient(large) for _ in range(2))
    assert len(list((tmp_path / "streamfx" / "engines").iterdir())) == 1
    assert torch.equal(first, second)


def test_small_pictures_and_guided_ones_are_torch_s(lite, large, cat):
    objective = Objective(lite, parse_objective("block5"), CPU)
    assert torch.equal(objective.gradient(cat), objective.gradient(cat, once=True))
    guide = objective.see_guide(cat)
    assert torch.equal(objective.gradient(large, guide), objective.gradient(large, guide, once=True))


class Smooth(nn.Module):
    """Its way back is not known to the engine."""

    def forward(self, images):
        return {"a": nn.functional.silu(images)}


def test_networks_that_cannot_be_written_out_are_torch_s(large):
    objective = Objective(Smooth(), parse_objective("a"), CPU)
    assert torch.equal(objective.gradient(large), objective.gradient(large, once=True))


def test_engines_go_when_there_are_many(lite, large, monkeypatch):
    monkeypatch.setattr(objectives, "_engines", {})
    monkeypatch.setattr(objectives, "_ROOM", 2 * large.numel())
    first, second = (Objective(Smooth(), parse_objective("a"), CPU) for _ in range(2))
    for objective in (first, second, first):
        objective.gradient(large)
        objective.gradient(large.mT)
    assert [number for number, _ in objectives._engines] == [first._number] * 2
    for more in range(20):
        first.gradient(large[..., more:])
    assert len(objectives._engines) == objectives._MOST_ENGINES


def test_a_guide_brings_its_features(lite, cat):
    """What climbs towards a guide comes to see what the guide shows."""
    objective = Objective(lite, parse_objective("block10"), CPU)
    cup = torch.from_numpy(data.coffee()[100:228, 200:328].copy()).permute(2, 0, 1)[None] / 255
    guide = objective.see_guide(cup)
    assert guide["block10"].shape == (112, 64)

    def likeness(picture):
        with torch.no_grad():
            seen = lite(picture)["block10"].mean((0, 2, 3))
        return float(torch.cosine_similarity(seen, guide["block10"].mean(1), dim=0))

    climbed = cat
    for _ in range(6):
        slope = objective.gradient(climbed, guide)
        climbed = climbed + 0.01 * slope / slope.abs().mean()
    assert likeness(climbed) > likeness(cat) + 0.05


def test_guides_and_pictures_with_many_places_are_compared_in_parts():
    """Each place goes for the product with the place of the guide that is most like it."""
    objective = Objective(Plain(), parse_objective("a"), CPU)
    guide = objective.see_guide(torch.rand(1, 3, 90, 90))
    assert guide["a"].shape == (3, 4096)
    picture = torch.rand(1, 3, 70, 80)
    slope = objective.gradient(picture, guide)[0].flatten(1)
    best = guide["a"][:, (picture[0].flatten(1).T @ guide["a"]).argmax(1)]
    torch.testing.assert_close(slope, 2 * best / picture.numel())


def test_several_pictures_at_once_climb_as_each_alone(lite, cat):
    pictures = torch.cat([cat, cat.flip(3)])
    for guide in (None, "cat"):
        objective = Objective(lite, parse_objective("block5"), CPU)
        shown = objective.see_guide(cat) if guide else None
        together = objective.gradient(pictures, shown)
        for picture, made in zip(pictures, together):
            alone = objective.gradient(picture[None], shown)[0]
            torch.testing.assert_close(made / made.abs().mean(), alone / alone.abs().mean(), atol=1e-3, rtol=1e-3)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("text", ["block10", "block5:7", "0.7*block10 - 0.3*block5"])
def test_on_cuda_it_points_the_same_way(text, lite, cat):
    cuda = torch.device("cuda", 0)
    parts = parse_objective(text)
    wanted = Objective(lite, parts, CPU).gradient(cat, once=True)
    there = copy.deepcopy(lite).to(cuda)
    for _ in range(2):
        made = Objective(there, parts, cuda).gradient(cat.to(cuda)).cpu()
        assert torch.cosine_similarity(made.flatten(), wanted.flatten(), dim=0) > 0.85  # bf16 rounds

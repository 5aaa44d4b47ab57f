"""Crossfades between objectives: mixtures of gradients, scenes, and the cache of networks."""

import numpy as np
import pytest
import torch

from streamfx.deepdream import crossfade
from streamfx.deepdream.crossfade import ObjectiveGradients, crossfade_scenes
from streamfx.deepdream.objective_syntax import parse_objective
from streamfx.errors import StreamfxError

CPU = torch.device("cpu")
FIRST, SECOND, THIRD = (tuple(parse_objective(text)) for text in ("block1", "block2:3", "0.5*block1 - block3"))


@pytest.fixture(scope="module")
def objectives():
    return ObjectiveGradients("lite0", "", CPU)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 48, 56, generator=torch.Generator().manual_seed(2))


def normalized(gradient):
    return gradient / gradient.abs().mean()


def similarity(one, other):
    return float(torch.cosine_similarity(one.flatten(), other.flatten(), 0))


def test_the_ends_of_a_mixture_are_the_objectives_themselves(objectives, image):
    first, second = (objectives.gradient(parts)(image) for parts in (FIRST, SECOND))
    for share, expected in ((0.0, first), (-0.5, first), (1.0, second), (1.5, second)):
        assert torch.equal(objectives.gradient(FIRST, SECOND, share)(image), expected)
    assert torch.equal(objectives.gradient(FIRST, FIRST, 0.5)(image), first)
    assert not torch.equal(first, second)


def test_mixtures_change_gradually(objectives, image):
    first, second = (objectives.gradient(parts)(image) for parts in (FIRST, SECOND))
    mixtures = [objectives.gradient(FIRST, SECOND, share)(image) for share in (0.01, 0.25, 0.5, 0.75, 0.99)]
    to_second = [similarity(mixture, second) for mixture in mixtures]
    to_first = [similarity(mixture, first) for mixture in mixtures]
    assert to_second == sorted(to_second)
    assert to_first == sorted(to_first, reverse=True)
    assert to_first[0] > 0.99
    assert to_second[-1] > 0.99


def test_both_objectives_of_a_mixture_have_equal_effect(objectives, image):
    first, second = (normalized(objectives.gradient(parts)(image)) for parts in (FIRST, SECOND))
    middle = objectives.gradient(FIRST, SECOND, 0.5)(image)
    assert similarity(middle, first + second) > 0.9


def test_mixtures_of_sums(objectives, image):
    mixture = objectives.gradient(THIRD, SECOND, 0.3)(image)
    assert mixture.shape == image.shape
    assert similarity(mixture, objectives.gradient(THIRD)(image)) > similarity(
        mixture, objectives.gradient(SECOND)(image)
    )


def test_networks_are_shared_by_objectives_of_the_same_layers():
    objectives = ObjectiveGradients("lite0", "", CPU)
    for text in ("block1", "block1:3", "2*block1", "block1 + 0.5*block1:2"):
        objectives.gradient(tuple(parse_objective(text)))
    assert list(objectives._networks) == [("block1",)]
    objectives.gradient(tuple(parse_objective("block1 + block2")))
    assert list(objectives._networks) == [("block1",), ("block1", "block2")]


def test_the_oldest_networks_are_dropped_with_their_objectives(monkeypatch, image):
    monkeypatch.setattr(crossfade, "_MAX_NETWORKS", 2)
    objectives = ObjectiveGradients("lite0", "", CPU)
    expected = objectives.gradient(FIRST)(image)
    for parts in (SECOND, THIRD):
        objectives.gradient(parts)
    assert list(objectives._networks) == [("block2",), ("block1", "block3")]
    assert FIRST not in objectives._objectives
    assert torch.equal(objectives.gradient(FIRST)(image), expected)  # built again
    assert len(objectives._networks) == 2


@pytest.mark.parametrize(
    ("network", "parts", "reason"),
    [
        ("lite0", "blok1", "unknown layer of lite0 'blok1'|unknown layer 'blok1'"),
        ("vgg19", "features.2", "weights of vgg19 not found"),
    ],
)
def test_unusable_networks_are_errors(network, parts, reason, tmp_path, monkeypatch):
    monkeypatch.setattr("streamfx.inference.downloads.cache_folder", lambda: tmp_path)
    with pytest.raises(StreamfxError, match=reason):
        ObjectiveGradients(network, "", CPU).gradient(tuple(parse_objective(parts)))


def test_scenes_crossfade_from_their_first_frame_on(objectives, image):
    turns = np.array([0, 0, 0, 1, 1, 1, 1, 1], float)
    gradient = crossfade_scenes(objectives, [FIRST, SECOND], turns, fade=4)
    shares = {frame: (frame - 2) / 4 for frame in range(3, 8)}
    for frame in range(3):
        assert torch.equal(gradient(frame)(image), objectives.gradient(FIRST)(image))
    for frame, share in shares.items():
        assert torch.equal(gradient(frame)(image), objectives.gradient(FIRST, SECOND, share)(image)), frame
    assert torch.equal(gradient(6)(image), objectives.gradient(SECOND)(image))


def test_scenes_return_and_the_last_one_continues(objectives, image):
    turns = np.array([1, 0, 0, 2, 2], float)
    gradient = crossfade_scenes(objectives, [FIRST, SECOND, THIRD], turns, fade=2)
    expected = [
        objectives.gradient(SECOND),
        objectives.gradient(SECOND, FIRST, 0.5),
        objectives.gradient(FIRST),
        objectives.gradient(FIRST, THIRD, 0.5),
        objectives.gradient(THIRD),
    ]
    for frame, one in enumerate(expected):
        assert torch.equal(gradient(frame)(image), one(image)), frame
    assert torch.equal(gradient(99)(image), objectives.gradient(THIRD)(image))


def test_unused_scenes_are_not_built():
    objectives = ObjectiveGradients("lite0", "", CPU)
    broken = tuple(parse_objective("blok1"))
    crossfade_scenes(objectives, [FIRST, broken], np.zeros(4), fade=2)
    with pytest.raises(StreamfxError, match="blok1"):
        crossfade_scenes(objectives, [FIRST, broken], np.array([0.0, 1.0]), fade=2)

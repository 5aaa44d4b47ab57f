"""The optional interface of effects: its defaults, and what each shipped effect defines."""

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from PIL import Image

from streamfx.chain import build_chain
from streamfx.effects import EFFECTS
from streamfx.effects.defaults import (
    input_files,
    memory_at,
    prefers_speed,
    resolve,
    segment_length,
    uses_all_cores,
    warm_up,
    working_pixels,
)
from streamfx.effects.dream import Dream
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import WARM_UP, Style
from streamfx.effects.timeslice import Timeslice
from streamfx.effects.trails import Trails
from streamfx.frame import Frame

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Complete:
    """An effect of another package that defines the whole interface."""

    name: str = ""
    segment_length: int = 7
    uses_all_cores: bool = True
    prefers_speed: bool = True
    warm_up: int = 3

    @property
    def working_pixels(self):
        return 640.0 * 360

    def input_files(self):
        yield Path("one.png")
        yield Path("two.png")

    def resolve(self, device, start):
        return Complete(f"{device} {start}")

    def memory_at(self, number, rate):
        return {"number": number, "rate": rate}

    def build(self, device):
        return lambda frame, memory: [frame]


class Minimal:
    """An effect that defines nothing but `build`."""

    def build(self, device):
        return lambda frame, memory: [frame]


@pytest.mark.parametrize("effect", [Minimal(), Mirror()], ids=["other package", "mirror"])
def test_defaults(effect):
    assert input_files(effect) == []
    assert resolve(effect, CPU, Fraction(0)) is effect
    assert segment_length(effect) == 300
    assert working_pixels(effect) is None
    assert uses_all_cores(effect) is False
    assert prefers_speed(effect) is False
    assert memory_at(effect, 10, Fraction(25)) == {}
    assert warm_up(Minimal()) is None


def test_effects_may_define_all_of_it():
    effect = Complete()
    assert input_files(effect) == [Path("one.png"), Path("two.png")]
    assert resolve(effect, CPU, Fraction(1, 2)) == Complete("cpu 1/2")
    assert segment_length(effect) == 7
    assert working_pixels(effect) == 640 * 360
    assert uses_all_cores(effect) is True
    assert prefers_speed(effect) is True
    assert warm_up(effect) == 3
    assert memory_at(effect, 10, Fraction(25)) == {"number": 10, "rate": 25}


@pytest.mark.parametrize("name", EFFECTS)
def test_shipped_effects_have_valid_values(name):
    effect = EFFECTS[name]()
    assert all(isinstance(file, Path) and file.is_file() for file in input_files(effect))
    assert 1 <= segment_length(effect) <= 300
    assert working_pixels(effect) is None or working_pixels(effect) > 0
    assert isinstance(uses_all_cores(effect), bool)
    assert isinstance(prefers_speed(effect), bool)
    assert warm_up(effect) >= 0


def test_warm_ups():
    assert [warm_up(Trails(decay)) for decay in (0.0, 0.5, 0.9, 1.0)] == [0, 9, 60, math.inf]
    assert warm_up(Timeslice(7)) == 7
    assert [warm_up(Dream(coherence=coherence)) for coherence in ("off", "warp")] == [0, math.inf]
    assert [warm_up(Style(coherence=coherence)) for coherence in ("off", "warp")] == [0, WARM_UP]
    assert warm_up(Style(method="optimise")) == math.inf
    assert warm_up(Style(method="optimise", passes=2)) is None


def test_a_schedule_that_may_change_the_warm_up_makes_it_the_whole_shot():
    chain = build_chain(r"style=strength='0\:(0), 9\:(1)',trails='0\:(0), 9\:(1)'")
    assert [warm_up(effect) for effect in chain] == [WARM_UP, math.inf]


@pytest.mark.parametrize("name", EFFECTS)
def test_resolved_effects_stay_as_they_are(name):
    effect = resolve(EFFECTS[name](), CPU, Fraction(0))
    assert type(effect) is EFFECTS[name]
    assert resolve(effect, CPU, Fraction(0)) == effect


def test_effects_that_follow_schedules_keep_the_interface_of_their_effect():
    (scheduled,) = build_chain(r"dream=layer=block2:strength='0\:(0), 9\:(1)'")
    plain = Dream(layer="block2")
    for function in (segment_length, working_pixels, uses_all_cores, prefers_speed, input_files):
        assert function(scheduled) == function(plain)


def test_files_that_change_the_result_are_input_files(tmp_path):
    mask, guide = tmp_path / "mask.png", tmp_path / "guide.png"
    for file in (mask, guide):
        Image.new("L", (8, 8), 255).save(file)
    files = input_files(Dream(layer="block2", mask=str(mask), guide=str(guide)))
    assert {mask, guide} <= set(files)
    assert mask in input_files(Style(mask=str(mask)))
    assert any(file.suffix == ".safetensors" for file in input_files(Style()))


def test_automatic_settings_are_resolved():
    effect = resolve(Dream(), CPU, Fraction(0))
    assert effect.model != "auto"
    assert effect.layer
    frame = Frame(torch.rand(3, 24, 32), Fraction(0), Fraction(1))
    (output,) = resolve(Mirror(), CPU, Fraction(0)).build(CPU)(frame, {})
    assert torch.equal(output.image, frame.image.flip(-1))

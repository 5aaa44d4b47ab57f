"""Changes while frames are painted: numbers move, chains are cross-faded, and no frame is lost."""

import time
from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.live.adaptation import Level
from streamfx.live.controls import Controls
from streamfx.live.painter import LivePainter, with_level

CPU = torch.device("cpu")
SIZE = 32, 48
PERIOD = Fraction(1, 25)


class Film:
    """Paints frame after frame."""

    def __init__(self, effects, fade=0.2, audio=dict):
        self.controls = Controls(effects, fade)
        self.painter = LivePainter(self.controls, CPU, PERIOD, audio, None)
        self.painter.prepare(SIZE)
        self.number = 0
        self.image = torch.rand(3, *SIZE)

    def frame(self):
        """Paint the next frame; returns the image."""
        frame = Frame(self.image, self.number * PERIOD, PERIOD)
        self.number += 1
        (output,) = self.painter.paint(frame, time.monotonic())
        assert output.pts == frame.pts
        return output.image

    def frames_until_idle(self):
        """Paint until nothing changes any more; returns all images."""
        images = [self.frame()]
        end = time.monotonic() + 90
        while self.painter.busy or self.painter._ramps:
            assert time.monotonic() < end
            images.append(self.frame())
            time.sleep(0.002)
        return images


@pytest.fixture
def film():
    films = []

    def film(*arguments, **options):
        films.append(Film(*arguments, **options))
        return films[-1]

    yield film
    for each in films:
        each.painter.close()


def test_a_number_moves_to_its_new_value(film):
    run = film(build_chain("style=vangogh:strength=0"))
    source = run.frame()
    run.controls.change({"strength": 1.0})
    images = run.frames_until_idle()
    distances = [(image - source).abs().mean().item() for image in images]
    assert 5 <= len(images) <= 8  # 0.2 seconds at 25 frames per second
    assert distances == sorted(distances)
    assert distances[0] < 0.3 * distances[-1]


def test_a_preset_is_cross_faded(film):
    run = film([Style(quality="fast")])
    before = run.frame()
    run.controls.change({"preset": "munch"})
    images = run.frames_until_idle()
    after = run.frame()
    assert (after - before).abs().mean() > 0.02
    steps = [(one - two).abs().mean().item() for one, two in zip([before, *images], [*images, after])]
    assert max(steps) < 0.7 * (after - before).abs().mean().item()  # never at once
    assert run.controls.values()["preset"] == "munch"


def test_a_number_changed_during_a_fade_reaches_the_new_chain(film):
    run = film([Style(quality="fast")])
    run.frame()
    run.controls.change({"preset": "munch"})
    run.frame()
    run.controls.change({"strength": 0.0})
    run.frames_until_idle()
    assert torch.equal(run.frame(), run.image)


def test_a_preset_that_cannot_be_built_leaves_the_old_one(film, monkeypatch):
    run = film([Style(quality="fast")])
    before = run.frame()

    def fail(self, effects, image):
        raise StreamfxError("the weights are gone")

    monkeypatch.setattr(LivePainter, "_build", fail)
    run.controls.change({"preset": "munch"})
    run.frames_until_idle()
    assert run.controls.error == "the weights are gone"
    assert run.frame().shape == before.shape


def test_schedules_follow_the_audio(film):
    level = {"bass": 0.0}
    run = film(build_chain("style=vangogh:strength=(bass)", audio=["bass"]), audio=lambda: level)
    assert torch.equal(run.frame(), run.image)
    level["bass"] = 1.0
    assert not torch.equal(run.frame(), run.image)


def test_levels_apply_to_styles_only():
    effects = with_level(build_chain("mirror,style=vangogh"), Level("fast", 0.25))
    assert effects[1] == Style(quality="fast", working=0.25)
    assert effects[0] == build_chain("mirror")[0]
    assert with_level([Style()], None) == [Style()]


def test_working_size(film):
    run = film([Style(quality="fast", working=0.02)])
    assert run.painter.working_size((360, 640)) == (102, 181)
    assert film(build_chain("mirror")).painter.working_size((360, 640)) == (360, 640)

"""Films that dream on from their last frame: moves, memory, scenes, and light and colour that stay."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from streamfx.animation.schedule import Context
from streamfx.effects.feedback import SCENE, Feedback
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color_statistics import traits

CPU = torch.device("cpu")
SIZE = 48, 64
STEADY = {"zoom": "1", "angle": "0", "shift_x": "0", "shift_y": "0", "step": "0.01"}
QUICK = {"size": SIZE, "layer": "block2", "octaves": 1}


def context(count=6, seed=0, **music):
    return Context(count - 1, 30.0, seed, {name: np.array(track, float) for name, track in music.items()})


def film(start, count=6, given=None, device=CPU, **settings):
    effect = Feedback(given or context(count), **(QUICK | STEADY | settings))
    step, memory = effect.build(device), {}
    return [made.image.cpu() for frame in frames(start.to(device), count) for made in step(frame, memory)]


def frames(start, count=6):
    return [Frame(start, Fraction(number, 30), Fraction(1, 30)) for number in range(count)]


@pytest.fixture(scope="module")
def start():
    """Waves in many colours, of another shape than the film."""
    y, x = torch.linspace(0, 1, 60)[:, None], torch.linspace(0, 1, 96)
    return torch.stack([0.5 + 0.3 * torch.sin(5 * x + 7 * y * k + k) for k in (1, 2, 3)])


def test_it_begins_with_the_start_and_dreams_on(start):
    made = film(start)
    assert [image.shape for image in made] == [(3, *SIZE)] * 6
    assert all(image.min() >= 0 and image.max() <= 1 for image in made)
    changes = [float((image - made[0]).abs().mean()) for image in made]
    assert changes[0] == 0
    assert all(later > earlier for earlier, later in pairwise(changes))


def test_the_start_fills_the_film_and_its_middle_stays(start):
    wide = torch.nn.functional.interpolate(start[None], (120, 400), mode="bilinear")[0]
    (made,) = film(wide, count=1, margin=0)
    assert torch.allclose(
        made, torch.nn.functional.interpolate(wide[None, :, :, 120:280], SIZE, mode="area")[0], atol=0.03
    )


def test_the_same_seed_gives_the_same_pixels(start):
    first, again, other = (film(start, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again))
    assert not torch.equal(first[-1], other[-1])


def test_a_run_saved_between_two_frames_goes_on_as_it_would_have(start):
    moving = QUICK | STEADY | {"zoom": "1.02", "angle": "t/5", "octaves": 2, "view": 0.1}
    whole = film(start, **moving)
    memory, made = {}, []
    for frame in frames(start):
        step = Feedback(context(), **moving).build(CPU)  # as another program would, which has but the memory
        made += [each.image for each in step(frame, memory)]
        memory = {name: each.clone() if isinstance(each, torch.Tensor) else each for name, each in memory.items()}
    assert all(torch.equal(one, two) for one, two in zip(whole, made))


def test_a_camera_that_stands_still_and_dreams_of_nothing_changes_nothing(start):
    made = film(start, strength=0.0)
    assert all(torch.equal(image, made[0]) for image in made)


def test_a_shift_moves_by_whole_pixels(start):
    made = film(start, strength=0.0, shift_x="2", shift_y="0:(0), 3:(-1)")  # -1/3 at 1, -2/3 at 2, then -1
    across = film(start, strength=0.0, shift_x="2")
    assert torch.equal(across[1][:, :, 2:], across[0][:, :, :-2])
    assert torch.equal(made[4][:, :-1, 2:], made[3][:, 1:, :-2])


def test_zoom_enlarges_and_angle_turns_counter_clockwise(start):
    dot = torch.zeros(3, *SIZE)
    dot[:, 22:26, 44:48] = 1  # right of the middle

    def centre(image):
        weight = image[0].clamp(0) / image[0].clamp(0).sum()
        return [
            float((weight * torch.arange(side).view(shape)).sum()) - (side - 1) / 2
            for side, shape in ((SIZE[0], (-1, 1)), (SIZE[1], (1, -1)))
        ]

    away = centre(dot)[1]
    zoomed = centre(film(dot, 2, strength=0.0, zoom="1.2", margin=0)[1])
    turned = centre(film(dot, 2, strength=0.0, angle="30", margin=0)[1])
    assert zoomed[1] == pytest.approx(1.2 * away, abs=0.1)
    assert turned == pytest.approx([-0.5 * away, 0.866 * away], abs=0.1)


@pytest.mark.parametrize("border", ["reflect", "replicate", "wrap"])
def test_no_border_leaves_black(border, start):
    bright = 0.5 + 0.5 * start
    assert film(bright, strength=0.0, zoom="0.9", border=border)[-1].min() > 0.4


def test_light_contrast_and_colour_stay(start):
    """Over 60 strong frames: the mean within 0.1, contrast and saturation within 0.7 to 1.4 of the start's."""
    made = film(start, 60, step="0.05", zoom="1.01", layer="block4")
    first = traits(made[0])
    for image in made:
        now = traits(image)
        assert (now[:3] - first[:3]).abs().max() < 0.1
        assert (now[3:] / first[3:]).clamp(0.7, 1.4).equal(now[3:] / first[3:])
    assert (made[-1] - made[0]).abs().mean() > 0.1  # it did dream


def test_without_the_governor_it_burns_out(start):
    made = film(start, 30, step="0.05", layer="block4", hold=0.0, guide=0.0, soften=0.0)
    assert traits(made[-1])[3] > 1.4 * traits(made[0])[3]


def test_the_view_of_the_start_comes_through(start):
    moving = {"step": "0.03", "zoom": "1.03"}
    alone, mixed, still = film(start, **moving), film(start, view=0.5, **moving), film(start, strength=0.0, **moving)
    assert (mixed[-1] - still[-1]).abs().mean() < 0.6 * (alone[-1] - still[-1]).abs().mean()


def test_layers_take_turns_with_the_song_and_after_a_while():
    parts = [0] * 5 + [1] * 7 + [2] * 3
    tracks = Feedback(context(15, section=parts), **(QUICK | STEADY | {"layer": "block1, block2"})).tracks()
    assert tracks["layer"].tolist() == [0] * 5 + [1] * 7 + [0] * 3
    long = 30 * SCENE
    turns = Feedback(context(2 * long + 9), **(QUICK | STEADY | {"layer": "block1, block2,block3"})).tracks()["layer"]
    assert np.flatnonzero(np.diff(turns)).tolist() == [long - 1, 2 * long - 1]
    assert turns[[0, long, -1]].tolist() == [0, 1, 2]


def test_each_scene_dreams_of_its_layer(start):
    turning = film(start, 4, context(4, section=[0, 0, 1, 1]), layer="block1, block2")
    alone = film(start, 4, context(4, section=[0, 0, 1, 1]), layer="block1")
    assert torch.equal(turning[1], alone[1])
    assert not torch.equal(turning[2], alone[2])


def test_the_next_layer_takes_over_little_by_little(start):
    """A scene's first frames are nearer to what the last scene would have made than to what it makes itself."""
    count, parts = 50, {"section": [0] * 4 + [1] * 46}
    quick = {"octaves": 1, "step": "where((t == 5) | (t == 48), 0.02, 0)"}
    turning, alone = (
        film(start, count, context(count, **parts), layer=layer, **quick) for layer in ("block1, block3", "block1")
    )
    soon, late = (float((one - two).abs().mean()) for one, two in ((turning[5], alone[5]), (turning[48], alone[48])))
    assert 0 < soon < 0.3 * late


def test_what_is_not_said_is_chosen_by_the_song():
    song = {name: np.zeros(6) for name in ("beat", "onset", "bass", "mid", "high", "rms", "section")}
    quiet = Feedback(context(6, **song), model="lite0").settled()
    assert quiet.layer.count(",") == 3
    loud = Feedback(context(6, **(song | {"bass": np.ones(6)})), model="lite0", zoom="1.5").settled()
    assert "beat" in quiet.zoom
    assert loud.zoom == "1.5"
    assert loud.angle == quiet.angle
    without = Feedback(context(), model="lite0").settled()
    assert "noise" in without.zoom
    assert "beat" not in without.zoom


def test_moves_chosen_here_are_as_quick_at_any_rate():
    for fps in (15.0, 60.0):
        tracks = Feedback(Context(round(10 * fps) - 1, fps, 0), model="lite0").settled().tracks()
        usual = Feedback(Context(299, 30.0, 0), model="lite0").settled().tracks()
        assert tracks["zoom"].prod() == pytest.approx(usual["zoom"].prod(), rel=0.02)
        assert tracks["angle"].sum() == pytest.approx(usual["angle"].sum(), rel=0.05)


def test_a_loop_ends_where_it_begins(start):
    """From the last frame to the first the film changes no more than from frame to frame."""
    moving = {"zoom": "1.02", "angle": "1", "step": "0.02"}
    jumps = []
    for loop in (False, True):
        images = film(start, 18, loop=loop, **moving)
        each = [float((one - two).abs().mean()) for one, two in pairwise(images)]
        jumps.append(float((images[-1] - images[0]).abs().mean()) / (sum(each) / len(each)))
    assert jumps[0] > 2
    assert jumps[1] < 1.2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"zoom": "1 + bea"}, "bea"),
        ({"zoom": "1 + beat"}, "--audio"),
        ({"angle": "0:(1), 0:(2)"}, "must come behind"),
        ({"border": "mirror"}, "border"),
        ({"octaves": 0}, "octaves is 0"),
        ({"hold": 2}, "hold is 2"),
        ({"steps": True}, "steps is True"),
        ({"size": (16, 640)}, "640x16"),
        ({"layer": "block2,,block3"}, "layer"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(StreamfxError, match=said) as error:
        Feedback(context(), **(QUICK | STEADY | settings))
    assert "\n" not in str(error.value) or "^" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"zoom": "1 - t/4"}, "zoom is 0 at frame 4"),
        ({"step": "t"}, "step is 2 at frame 2"),
        ({"shift_x": "1/(t-3)"}, "frame 3"),
    ],
)
def test_schedules_that_leave_their_range_name_the_frame(settings, said):
    with pytest.raises(StreamfxError, match=said):
        Feedback(context(), **(QUICK | STEADY | settings)).tracks()


def test_layers_that_are_none():
    with pytest.raises(StreamfxError, match="blok4"):
        Feedback(context(), layer="block2, blok4").settled()


@pytest.mark.needs_cuda
@pytest.mark.parametrize("settings", [{}, {"loop": True}, {"view": 0.2, "guide": 0.1}, {"octaves": 2, "angle": "3"}])
def test_on_a_gpu_it_looks_much_the_same(settings, start):
    here, there = (film(start, device=torch.device(name), **settings) for name in ("cpu", "cuda"))
    for one, other in zip(here, there, strict=True):
        assert (one - other).abs().mean() < 0.05

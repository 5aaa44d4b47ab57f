"""The feedback effect: camera motion, resuming, layers, loops, and stable brightness and color."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from streamfx.animation.context import Context
from streamfx.animation.feedback_schedules import MAX_SCENE
from streamfx.animation.schedule import parse_schedule
from streamfx.effects.feedback import Feedback
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.appearance import smoothed
from streamfx.ops.color_statistics import color_statistics
from streamfx.ops.regions import region_mask

CPU = torch.device("cpu")
SIZE = 48, 64
STEADY = {"zoom": "1", "angle": "0", "shift_x": "0", "shift_y": "0", "step": "0.01", "view": "0"}
QUICK = {"size": SIZE, "layer": "block2", "octaves": 1}


def context(count=6, seed=0, **audio):
    return Context(count - 1, 30.0, seed, {name: np.array(track, float) for name, track in audio.items()})


def generate(start, count=6, schedule_context=None, device=CPU, **settings):
    effect = Feedback(schedule_context or context(count), **(QUICK | STEADY | settings))
    step, memory = effect.build(device), {}
    return [output.image.cpu() for frame in frames(start.to(device), count) for output in step(frame, memory)]


def frames(start, count=6):
    return [Frame(start, Fraction(number, 30), Fraction(1, 30)) for number in range(count)]


@pytest.fixture(scope="module")
def start():
    """Colorful waves, with another aspect ratio than the video."""
    y, x = torch.linspace(0, 1, 60)[:, None], torch.linspace(0, 1, 96)
    return torch.stack([0.5 + 0.3 * torch.sin(5 * x + 7 * y * k + k) for k in (1, 2, 3)])


def test_the_first_frame_is_the_start_image_and_the_dream_grows(start):
    images = generate(start)
    assert [image.shape for image in images] == [(3, *SIZE)] * 6
    assert all(image.min() >= 0 and image.max() <= 1 for image in images)
    changes = [float((image - images[0]).abs().mean()) for image in images]
    assert changes[0] == 0
    assert all(later > earlier for earlier, later in pairwise(changes))


def test_the_start_image_is_center_cropped(start):
    wide = torch.nn.functional.interpolate(start[None], (120, 400), mode="bilinear")[0]
    (image,) = generate(wide, count=1, margin=0)
    assert torch.allclose(
        image, torch.nn.functional.interpolate(wide[None, :, :, 120:280], SIZE, mode="area")[0], atol=0.03
    )


def test_the_same_seed_gives_the_same_pixels(start):
    first, again, other = (generate(start, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again))
    assert not torch.equal(first[-1], other[-1])


def test_resumed_runs_give_the_same_frames(start):
    moving = QUICK | STEADY | {"zoom": "1.02", "angle": "t/5", "octaves": 2, "view": "0.1", "regions": 0.4}
    whole = generate(start, **moving)
    memory, images = {}, []
    for frame in frames(start):
        step = Feedback(context(), **moving).build(CPU)  # a new step at each frame, as after a restart
        images += [output.image for output in step(frame, memory)]
        memory = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in memory.items()}
    assert all(torch.equal(one, two) for one, two in zip(whole, images))


def test_a_still_camera_at_strength_0_changes_nothing(start):
    images = generate(start, strength=0.0)
    assert all(torch.equal(image, images[0]) for image in images)


def test_shifts_by_whole_pixels_are_exact(start):
    images = generate(start, strength=0.0, shift_x="2", shift_y="0:(0), 3:(-1)")  # -1/3 at 1, -2/3 at 2, then -1
    across = generate(start, strength=0.0, shift_x="2")
    assert torch.equal(across[1][:, :, 2:], across[0][:, :, :-2])
    assert torch.equal(images[4][:, :-1, 2:], images[3][:, 1:, :-2])


def test_zoom_enlarges_and_angle_rotates_counterclockwise(start):
    dot = torch.zeros(3, *SIZE)
    dot[:, 22:26, 44:48] = 1  # right of the center

    def center(image):
        weight = image[0].clamp(0) / image[0].clamp(0).sum()
        return [
            float((weight * torch.arange(side).view(shape)).sum()) - (side - 1) / 2
            for side, shape in ((SIZE[0], (-1, 1)), (SIZE[1], (1, -1)))
        ]

    distance = center(dot)[1]
    zoomed = center(generate(dot, 2, strength=0.0, zoom="1.2", margin=0)[1])
    rotated = center(generate(dot, 2, strength=0.0, angle="30", margin=0)[1])
    assert zoomed[1] == pytest.approx(1.2 * distance, abs=0.1)
    assert rotated == pytest.approx([-0.5 * distance, 0.866 * distance], abs=0.1)


@pytest.mark.parametrize("border", ["reflect", "replicate", "wrap"])
def test_borders_are_not_black(border, start):
    bright = 0.5 + 0.5 * start
    assert generate(bright, strength=0.0, zoom="0.9", border=border)[-1].min() > 0.4


def test_brightness_contrast_and_color_are_stable(start):
    """Over 60 frames of large steps: the mean changes by at most 0.1, contrast and saturation by 0.7 to 1.4 times."""
    images = generate(start, 60, step="0.05", zoom="1.01", layer="block4")
    first = color_statistics(images[0])
    for image in images:
        current = color_statistics(image)
        assert (current[:3] - first[:3]).abs().max() < 0.1
        assert (current[3:] / first[3:]).clamp(0.7, 1.4).equal(current[3:] / first[3:])
    assert (images[-1] - images[0]).abs().mean() > 0.1  # the dream is visible


def test_contrast_grows_without_stabilization(start):
    free = dict.fromkeys(("hold", "start_colors", "soften", "balance", "palette_share", "soften_color"), 0.0)
    images = generate(start, 30, step="0.05", layer="block4", **free)
    assert color_statistics(images[-1])[3] > 1.4 * color_statistics(images[0])[3]


def test_view_blends_the_start_image_into_each_frame(start):
    moving = {"step": "0.03", "zoom": "1.03"}
    still = generate(start, strength=0.0, **moving)[-1]
    without, blended = (generate(start, view=view, **moving)[-1] for view in ("0", "0.5"))
    assert (blended - still).abs().mean() < 0.7 * (without - still).abs().mean()


def test_the_start_image_returns_as_a_whole_when_its_share_rises_again(start):
    """Not moved by all that the camera did before."""
    moving = {"zoom": "1.1", "step": "0.02", "layer": "block2"}
    returned = generate(start, 20, view="where(t > 12, 0.6, 0)", **moving)[-1]
    since = generate(start, 8, strength=0.0, **moving)[-1]  # 7 steps of the camera, as from frame 13 to 19
    assert (returned - since).abs().mean() < 0.1


def test_the_start_image_returns_in_quiet_passages_by_default():
    loud = [0.5] * 6 + [0.02] * 6
    effect = Feedback(context(12, **dict.fromkeys(("rms", "bass", "mid", "high", "beat", "onset", "section"), loud)))
    tracks = effect.with_network().tracks()
    assert (tracks["view"][:6] == 0).all()
    assert (tracks["view"][6:] > 0).all()
    assert tracks["step"][8] < tracks["step"][5]


def test_regions_dream_the_next_layer(start):
    """In turns: frames 0 to 2 everywhere else, frames 3 to 5 in the regions."""
    settings = {"layer": "block2, block4", "regions": 0.4}
    both = generate(start, 6, **settings)
    mask = region_mask(*SIZE, 0.4, 0.1, 0)
    here, there = (both[1] - both[0]).abs(), (both[4] - both[3]).abs()
    inside, outside = mask > 0.95, mask < 0.05
    assert (here * outside).sum() / outside.sum() > 2 * (here * inside).sum() / inside.sum()
    assert (there * inside).sum() / inside.sum() > 1.5 * (there * outside).sum() / outside.sum()


def test_calm_regions_dream_less_and_lose_detail(start):
    mask = region_mask(*SIZE, 0.5, 0.05, 1)
    calm, busy = mask > 0.95, mask < 0.05

    def detail(image, area):
        return ((image - smoothed(image)).abs() * area).sum() / area.sum()

    images, even = generate(start, 8, calm=0.5)[7], generate(start, 8, calm=0.0)[7]
    assert detail(images, calm) < 0.8 * detail(even, calm)
    assert detail(images, busy) > 0.9 * detail(even, busy)


def test_schedules_know_the_layer():
    effect = Feedback(context(40, section=[0] * 20 + [1] * 20), **(QUICK | STEADY | {"layer": "block1, block2"}))
    zoom = replace(effect, zoom="where(layer == 0, 1.02, 0.99)").tracks()["zoom"]
    assert zoom.tolist() == [1.02] * 20 + [0.99] * 20
    with pytest.raises(StreamfxError, match="'layer' is known only in a video made from one image"):
        parse_schedule("layer", "zoom").check(context())


def test_layers_change_with_audio_sections_and_after_a_maximum_time():
    sections = [0] * 5 + [1] * 7 + [2] * 3
    tracks = Feedback(context(15, section=sections), **(QUICK | STEADY | {"layer": "block1, block2"})).tracks()
    assert tracks["layer"].tolist() == [0] * 5 + [1] * 7 + [0] * 3
    longest = 30 * MAX_SCENE
    indices = Feedback(context(2 * longest + 9), **(QUICK | STEADY | {"layer": "block1, block2,block3"})).tracks()[
        "layer"
    ]
    assert np.flatnonzero(np.diff(indices)).tolist() == [longest - 1, 2 * longest - 1]
    assert indices[[0, longest, -1]].tolist() == [0, 1, 2]


def test_each_scene_uses_its_layer(start):
    alternating = generate(start, 4, context(4, section=[0, 0, 1, 1]), layer="block1, block2")
    constant = generate(start, 4, context(4, section=[0, 0, 1, 1]), layer="block1")
    assert torch.equal(alternating[1], constant[1])
    assert not torch.equal(alternating[2], constant[2])


def test_layers_crossfade(start):
    """The first frames of a scene still resemble those of the previous layer; later ones do not."""
    count, audio = 50, {"section": [0] * 4 + [1] * 46}
    sparse = {"octaves": 1, "step": "where((t == 5) | (t == 48), 0.02, 0)"}
    alternating, constant = (
        generate(start, count, context(count, **audio), layer=layer, **sparse) for layer in ("block1, block3", "block1")
    )
    soon, late = (
        float((one - two).abs().mean()) for one, two in ((alternating[5], constant[5]), (alternating[48], constant[48]))
    )
    assert 0 < soon < 0.3 * late


def test_default_schedules_depend_on_the_audio():
    audio = {name: np.zeros(6) for name in ("beat", "onset", "bass", "mid", "high", "rms", "section")}
    defaults = Feedback(context(6, **audio), model="lite0").with_network()
    assert defaults.layer.count(",") == 3
    explicit = Feedback(context(6, **audio), model="lite0", zoom="1.5").with_network()
    assert "beat" in defaults.zoom
    assert explicit.zoom == "1.5"
    assert explicit.angle == defaults.angle
    without = Feedback(context(), model="lite0").with_network()
    assert "noise" in without.zoom
    assert "beat" not in without.zoom


def test_default_motion_has_the_same_speed_at_any_frame_rate():
    for fps in (15.0, 60.0):
        tracks = Feedback(Context(round(10 * fps) - 1, fps, 0), model="lite0").with_network().tracks()
        reference = Feedback(Context(299, 30.0, 0), model="lite0").with_network().tracks()
        assert tracks["zoom"].prod() == pytest.approx(reference["zoom"].prod(), rel=0.02)
        assert tracks["angle"].sum() == pytest.approx(reference["angle"].sum(), rel=0.05)


def test_loops_are_seamless(start):
    """The change from the last frame to the first is as small as between consecutive frames."""
    moving = {"zoom": "1.02", "angle": "1", "step": "0.02"}
    ratios = []  # of the change from the last frame to the first, to the mean change between frames
    for loop in (False, True):
        images = generate(start, 18, loop=loop, **moving)
        changes = [float((one - two).abs().mean()) for one, two in pairwise(images)]
        ratios.append(float((images[-1] - images[0]).abs().mean()) / (sum(changes) / len(changes)))
    assert ratios[0] > 2
    assert ratios[1] < 1.2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"zoom": "1 + bea"}, "bea"),
        ({"zoom": "1 + beat"}, "--audio"),
        ({"angle": "0:(1), 9(2)"}, "expected ':'"),
        ({"border": "mirror"}, "border"),
        ({"octaves": 0}, "octaves is 0"),
        ({"hold": 2}, "hold is 2"),
        ({"steps": True}, "steps is True"),
        ({"size": (16, 640)}, "640x16"),
        ({"layer": "block2,,block3"}, "layer"),
    ],
)
def test_invalid_settings_are_rejected(settings, reason):
    with pytest.raises(StreamfxError, match=reason) as error:
        Feedback(context(), **(QUICK | STEADY | settings))
    assert "\n" not in str(error.value) or "^" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"zoom": "1 - t/4"}, "zoom is 0 at frame 4"),
        ({"step": "t"}, "step is 2 at frame 2"),
        ({"shift_x": "1/(t-3)"}, "frame 3"),
    ],
)
def test_schedules_out_of_range_name_the_frame(settings, reason):
    with pytest.raises(StreamfxError, match=reason):
        Feedback(context(), **(QUICK | STEADY | settings)).tracks()


def test_unknown_layers_are_rejected():
    with pytest.raises(StreamfxError, match="blok4"):
        Feedback(context(), layer="block2, blok4").with_network()


@pytest.mark.needs_cuda
@pytest.mark.parametrize(
    "settings",
    [{}, {"loop": True}, {"view": "0.2", "start_colors": 0.1}, {"regions": 0.5}, {"octaves": 2, "angle": "3"}],
)
def test_cuda_results_are_close_to_the_cpu(settings, start):
    on_cpu, on_cuda = (generate(start, device=torch.device(name), **settings) for name in ("cpu", "cuda"))
    for one, other in zip(on_cpu, on_cuda, strict=True):
        assert (one - other).abs().mean() < 0.05


def test_the_palette_of_other_images(start, tmp_path):
    """By section of the layers; the files are inputs of the job."""
    for name, color in (("red", (220, 30, 30)), ("blue", (30, 60, 220))):
        pixels = np.random.default_rng(0).integers(0, 30, (48, 64, 3)) + np.array(color)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("red", "blue")]
    images = generate(start, 20, palette=", ".join(files), step="0.01", layer="block4")
    assert images[-1].mean((1, 2)).argmax() == 0
    assert images[-1][0].mean() - images[-1][2].mean() > images[0][0].mean() - images[0][2].mean() + 0.1
    effect = Feedback(Context(19), (48, 64), palette=files[1])
    assert effect.input_files() == [Path(files[1])]


def test_colors_can_be_free(start):
    natural, free = (generate(start, 3, colors=colors, layer="block4")[-1] for colors in ("natural", "free"))
    assert not torch.equal(natural, free)

"""Dream sections: the effect of each key, growing circles, layer changes, camera motion, and fades."""

import pytest
import torch

from streamfx.animation.timeline.scene import Scene
from streamfx.animation.timeline.section import CameraMotion, DreamRenderer, OutputFades, Stabilizer, ascent_number
from streamfx.deepdream.networks import find_network
from streamfx.errors import StreamfxError
from streamfx.ops.color import luma
from streamfx.ops.color_statistics import color_statistics

CPU = torch.device("cpu")
RING = "[[section.ring]]\nat = 0\nframes = 9\nradius = [8, 30]\nwidth = 10\nsoft = 1\nstep = 0.05\n"
CLEAR = "[[section.clear]]\nat = 0\nframes = 9\nradius = [30, 40]\nwidth = 10\nshare = 0.1\n"


def test_guides_blend_in_their_picture_or_only_its_colors(render, section, difference):
    guide = '[[section.guide]]\npictures = ["other"]\nshare = 0.2\ncolors = {}\n'
    texts = [section("one") + keys for keys in ("", guide.format("false"), guide.format("true"))]
    none, picture, colors = (render(text)[3] for text in texts)
    blue = [float((image[2] - image[0]).mean()) for image in (none, picture, colors)]
    assert min(blue[1:]) > blue[0] + 0.1
    assert difference(luma(colors), luma(none)) < 0.3 * difference(luma(picture), luma(none))


def test_guide_pictures_alternate(render, section, difference):
    guide = '[[section.guide]]\npictures = ["begin", "other"]\nshare = "0.5"\neach = 2\n'
    images = render(section("one", stop=6) + guide)
    assert difference(images[1], images[0]) < 1e-6
    assert difference(images[2], images[0]) > 0.02
    assert difference(images[4], images[0]) < difference(images[3], images[0])


def test_rings_change_only_the_pixels_inside_them(render, section):
    ring = (
        '[[section.ring]]\nat = 1\nframes = 2\nradius = [4, 16]\nwidth = 8\nsoft = 0.5\nstep = 0.05\nlayer = "block2"\n'
    )
    images = render(section("one") + ring)
    change = (images[2] - images[1]).abs().mean(0)
    y, x = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(64) - 31.5, indexing="ij")
    radius = torch.hypot(x, y)  # in frame 2 the ring covers radii from 8 to 16 pixels
    assert change[(radius > 9) & (radius < 15)].mean() > 0.01
    assert change[(radius < 6) | (radius > 19)].max() < 1e-4
    assert torch.equal(images[3], images[2])
    assert not torch.equal(images[1], images[0])


def test_clear_circles_restore_the_start_image(render, section, difference):
    clear = "[[section.clear]]\nat = 3\nframes = 2\nradius = [40, 40]\nwidth = 20\nsoft = 0\nshare = 1.0\nafter = 1\n"
    dream = {"step": '"where(t < 3, 0.05, 0)"', "zoom": 1.05}
    images, still = render(section("one", stop=7, **dream) + clear), render(section("one", stop=7, zoom=1.05))
    assert difference(images[3][:, 16:32, 24:40], still[3][:, 16:32, 24:40]) < 0.02  # center, moved with the camera
    assert difference(images[4], still[4]) > 0.02
    assert difference(images[5], still[5]) < 0.01  # after the growth, the whole image


@pytest.mark.parametrize(
    ("key", "low", "high"), [("steps", 1, 3), ("octaves", 1, 3), ("octave_scale", 1.2, 2.0), ("smooth", 0, 1)]
)
def test_ascent_settings_may_be_schedules(key, low, high, render, section):
    keys = {"step": 0.02} | ({} if key == "octaves" else {"octaves": 2})
    changing = render(section("one", **keys, **{key: f'"0:({low} + 0*t), 2:({high})"'}))
    constant_low, constant_high = (render(section("one", **keys, **{key: value})) for value in (low, high))
    assert all(torch.equal(one, two) for one, two in zip(changing[:2], constant_low[:2], strict=True))
    assert not torch.equal(changing[2], constant_low[2])
    assert not torch.equal(changing[3], constant_high[3])


def test_schedules_of_counts_have_a_range(render, section):
    with pytest.raises(StreamfxError, match="octaves is 13 at frame 3, but must be from 1 to 12"):
        render(section("one", step=0.02, octaves='"10 + t"'))


def test_layers_crossfade(render, section):
    layers = '[{ at = 0, layer = "block1" }, { at = 2, layer = "block3", fade = 4 }]'
    images = render(section("one", stop=5, step=0.02, layer=layers))
    first_layer = render(section("one", stop=5, step=0.02))
    assert all(torch.equal(one, two) for one, two in zip(images[:3], first_layer[:3]))  # share 0 in frame 2
    assert not torch.equal(images[3], first_layer[3])


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"zoom": '"1 - t"'}, r"line \d+, section\[1\].zoom: zoom is 0 at frame 1"),
        ({"step": '"1 + beat"'}, "--audio"),
        ({"view": '"2*t"'}, "view is 2 at frame 1"),
        ({"angle": '"1/(t - 2)"'}, "section.1..angle.*frame 2"),
        ({"layer": '[{ at = 2, layer = "block1" }, { at = 2, layer = "block2" }]'}, "frame 2 comes after frame 2"),
    ],
)
def test_invalid_schedules_are_reported_before_rendering(keys, reason, effect, section):
    with pytest.raises(StreamfxError, match=reason):
        effect(section("one", **keys)).build(CPU)


@pytest.mark.parametrize(
    ("text", "key", "low", "high"),
    [
        ("hold = 0.0\n", "hold = ", 0.0, 0.9),
        ("soften = 0.0\n", "soften = ", 0.0, 0.8),
        ("smooth = 0.1\n", "smooth = ", 0.1, 0.9),
        (RING, "width = ", 10, 4),
        (RING, "soft = ", 1, 6),
        (RING, "step = ", 0.05, 0.1),
        (CLEAR, "share = ", 0.1, 0.9),
    ],
)
def test_settings_of_a_section_may_be_schedules(text, key, low, high, render):
    head = '[[section]]\nname = "a"\nstart = "begin"\nlength = 4\nstep = 0.05\noctaves = 2\nzoom = 1.05\n'
    constant = render(head + text)
    changing = render(head + text.replace(f"{key}{low}", f'{key}"0:({low} + 0*t), 2:({high})"'))
    for one, other in zip(constant[:2], changing[:2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(constant[3], changing[3])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('hold = "(t)"\n', "hold is 2 at frame 2, but must be from 0 to 1"),
        (RING.replace("soft = 1", "soft = -1"), "soft is -1 at frame 0, but must be from 0 to 1000"),
        (RING.replace("width = 10", 'width = "(1/t)"'), "frame 0"),
    ],
)
def test_values_out_of_range_are_rejected(text, reason, effect):
    with pytest.raises(StreamfxError, match=reason):
        effect('[[section]]\nname = "a"\nstart = "begin"\nlength = 4\n' + text).build(CPU)


@pytest.fixture
def scene_of(plan_of):
    """scene_of(text): the scene of a timeline at its own size."""

    def scene_of(text, stride=1, size=(48, 64)):
        plan = plan_of(text, stride=stride)
        return Scene(plan, size, find_network("lite0"), "", 0, True, CPU)

    return scene_of


@pytest.fixture
def camera_of(scene_of, section):
    """camera_of(keys): the camera of a section of 9 frames."""

    def camera_of(size=(48, 64), **keys):
        scene = scene_of(section("one", stop=9, **keys), size=size)
        return CameraMotion(scene, ("section", 0), scene.plan.timeline.sections[0], range(9))

    return camera_of


MOVING = {"zoom": '"1 + t/50"', "angle": '"t"', "shift_x": 2, "tilt_y": 1, "center_x": 0.3}


def test_camera_moves_compose_and_can_be_undone(camera_of):
    camera = camera_of(**MOVING)
    whole = camera.matrix(1, 7)
    torch.testing.assert_close(camera.matrix(4, 7) @ camera.matrix(1, 4), whole)
    torch.testing.assert_close(camera.matrix(7, 1) @ whole, torch.eye(3, dtype=torch.float64))
    assert torch.equal(camera.matrix(5, 5), torch.eye(3, dtype=torch.float64))


def test_the_camera_of_a_frame_leads_to_it(camera_of):
    """A zoom in frame 3 only acts between frames 2 and 3."""
    camera = camera_of(zoom='"where(t == 3, 2, 1)"')
    assert camera.matrix(1, 2)[0, 0] == 1
    assert camera.matrix(2, 3)[0, 0] == pytest.approx(2)
    assert camera.matrix(3, 2)[0, 0] == pytest.approx(0.5)
    assert camera.matrix(3, 8)[0, 0] == 1


def test_shifts_scale_with_the_video(camera_of):
    for size, pixels in (((48, 64), 2), ((96, 128), 4), ((24, 32), 1)):
        assert camera_of(size=size, shift_x=2).matrix(0, 1)[0, 2] == pytest.approx(pixels)


def test_a_still_camera_keeps_every_pixel(camera_of):
    canvas = torch.rand(3, 56, 72)
    camera = camera_of()
    assert camera.apply(canvas, camera.matrix(0, 5)) is canvas


@pytest.mark.parametrize("border", ["reflect", "replicate", "wrap"])
def test_the_border_fills_what_the_camera_uncovers(border, camera_of):
    canvas = torch.linspace(0, 1, 72).expand(3, 56, 72).contiguous()
    camera = camera_of(shift_x=10, border=f'"{border}"')
    left = camera.apply(canvas, camera.matrix(0, 1))[0, 20, :10]
    expected = {"reflect": canvas[0, 0, 1:11].flip(0), "replicate": canvas[0, 0, :1].expand(10)}
    torch.testing.assert_close(left, expected.get(border, canvas[0, 0, -10:]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"zoom": "0.001"}, "zoom is 0.001 at frame 0, but must be from 0.01 to 100"),
        ({"tilt_x": "81"}, "tilt_x is 81 at frame 0, but must be from -80 to 80"),
    ],
)
def test_camera_keys_have_ranges(keys, reason, camera_of):
    with pytest.raises(StreamfxError, match=reason):
        camera_of(**keys)


def stabilizer_of(scene):
    return Stabilizer(scene, ("section", 0), scene.plan.timeline.sections[0], range(4))


def test_stabilizers_hold_the_colors_of_the_target(scene_of, section):
    canvas, target = 0.2 + 0.3 * torch.rand(3, 56, 72), color_statistics(0.5 + 0.3 * torch.rand(3, 56, 72))
    errors = []
    for hold, stride in ((0, 1), (0.2, 1), (0.2, 4), (1, 1)):
        stabilizer = stabilizer_of(scene_of(section("one", hold=hold), stride=stride))
        errors.append(float((color_statistics(stabilizer.apply(canvas, target, 2)) - target).abs().sum()))
    assert errors == sorted(errors, reverse=True)
    assert errors[1] == pytest.approx(0.8 * errors[0], rel=0.1)
    assert errors[2] == pytest.approx(0.8**4 * errors[0], rel=0.1)  # compounded over the stride
    assert errors[3] < 0.02


def test_stabilizers_limit_the_range_and_soften_detail(scene_of, section):
    canvas = 2 * torch.rand(3, 56, 72) - 0.5
    still = stabilizer_of(scene_of(section("one"))).apply(canvas, torch.zeros(5), 0)
    assert torch.equal(still, canvas.clamp(0, 1))
    soft = stabilizer_of(scene_of(section("one", soften=0.5))).apply(canvas, torch.zeros(5), 0)
    assert soft.diff(dim=-1).abs().mean() < 0.8 * still.diff(dim=-1).abs().mean()


LAYERS = '[{ at = 2, layer = "block1" }, { at = "5", layer = "block2", fade = 4 }, { at = 7, layer = "stem" }]'


def test_layer_changes_set_the_objective_of_each_frame(scene_of, section):
    scene = scene_of(section("one", stop=12, layer=LAYERS))
    renderer = DreamRenderer(scene, 0, scene.plan.timeline.sections[0])
    first, second, third = (change.parts for change in renderer.changes)
    assert [change.start for change in renderer.changes] == [2, 5, 7]
    objectives = [renderer._objective(frame) for frame in range(9)]
    assert objectives[:5] == [(first, first, 1.0)] * 5  # the first one also applies to earlier frames
    assert objectives[5:7] == [(first, second, 0.0), (first, second, 0.25)]
    assert objectives[7:] == [(third, third, 1.0)] * 2  # a change ends the crossfade before it


def growths_of(scene_of, section, keys):
    text = section("one", stop=20) + f"[[section.ring]]\nat = 3\nframes = 4\n{keys}"
    scene = scene_of(text)
    return [growth.start for growth in DreamRenderer(scene, 0, scene.plan.timeline.sections[0])._rings]


@pytest.mark.parametrize(
    ("keys", "starts"),
    [
        ("", [3]),
        ("every = 0\nuntil = 9\n", [3]),
        ("every = 5\n", [3, 8, 13, 18]),
        ('every = 5\nuntil = "13"\n', [3, 8, 13]),
        ("every = 5\nuntil = 12\n", [3, 8]),
        ("until = 2\n", []),
    ],
)
def test_circles_repeat_until_the_end(keys, starts, scene_of, section):
    assert growths_of(scene_of, section, keys) == starts


@pytest.mark.parametrize(
    ("to", "color"), [("black", (0, 0, 0)), ("white", (1, 1, 1)), ("#4080ff", (64 / 255, 128 / 255, 1))]
)
def test_fades_blend_the_cropped_canvas_with_a_color(to, color, scene_of, section):
    fade = f'[[section.fade]]\nto = "{to}"\nshare = "t/4"\n'
    scene = scene_of(section("one", stop=5) + fade)
    fades = OutputFades(scene, 0, scene.plan.timeline.sections[0])
    canvas = torch.rand(3, 56, 72)
    cropped, target = canvas[:, 4:52, 4:68], torch.tensor(color, dtype=torch.float32)[:, None, None]
    for frame in range(5):
        torch.testing.assert_close(fades.apply(canvas, frame), cropped.lerp(target.expand_as(cropped), frame / 4))


def test_fades_apply_one_after_another(scene_of, section):
    keys = '[[section.fade]]\nto = "white"\nshare = 0.5\n[[section.fade]]\nto = "black"\nshare = 0.5\n'
    scene = scene_of(section("one") + keys)
    fades = OutputFades(scene, 0, scene.plan.timeline.sections[0])
    assert fades.apply(torch.zeros(3, 56, 72), 1).unique().tolist() == [0.25]


def test_ascents_of_a_video_have_different_numbers():
    numbers = [ascent_number(frame, index) for frame in range(50) for index in range(999)]
    assert len(set(numbers)) == len(numbers)

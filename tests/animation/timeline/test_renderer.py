"""Rendered timelines: the effect of each key of a section, the disk cache, and resuming."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from PIL import Image

from streamfx.animation.timeline import renderer
from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan
from streamfx.animation.timeline.renderer import Render
from streamfx.animation.timeline.scene import Scene, choose_model
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color import luma

CPU = torch.device("cpu")
SIZE = 48, 64
HEAD = """kind = "timeline"
size = [64, 48]
margin = 4
[pictures]
begin = "begin.png"
other = "other.png"
[defaults]
octaves = 1
hold = 0
layer = "block1"
step = 0
"""
MERGE = """[[section]]
name = "join"
kind = "merge"
of = ["one", "back"]
from = 2
to = 6
passes = [0.8, 0.0]
steps = 1
"""
RING = "[[section.ring]]\nat = 0\nframes = 9\nradius = [8, 30]\nwidth = 10\nsoft = 1\nstep = 0.05\n"
CLEAR = "[[section.clear]]\nat = 0\nframes = 9\nradius = [30, 40]\nwidth = 10\nshare = 0.1\n"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def effect(tmp_path):
    """effect(text): a `Render` of a timeline with the pictures begin.png, colorful, and other.png, mostly blue."""
    y, x = torch.linspace(0, 1, 72)[:, None], torch.linspace(0, 1, 96)
    waves = torch.stack([0.5 + 0.3 * torch.sin(5 * x + 7 * y * k + k) for k in (1, 2, 3)])
    for name, image in (("begin", waves), ("other", waves.flip(2) * torch.tensor([0.2, 0.2, 1])[:, None, None])):
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")

    def effect(text, only="", stride=1, seed=0, loop=False):
        (tmp_path / "video.toml").write_text(HEAD + text)
        timeline = load_timeline(tmp_path / "video.toml")
        plan = build_plan(timeline, None, seed, stride=stride, only=only, loop=loop)
        return Render(plan, SIZE, choose_model(timeline, "auto"), tmp_path / "cache", seed=seed)

    return effect


@pytest.fixture
def render(effect, device):
    """render(text): the output images of a timeline."""

    def render(text, **options):
        timeline = effect(text, **options)
        step, memory = timeline.build(device), {}
        frames = [frame for unit in units(timeline) for frame in step(unit, memory)]
        assert [frame.pts for frame in frames] == [number * frames[0].duration for number in range(timeline.plan.count)]
        assert all(frame.image.shape == (3, *SIZE) for frame in frames)
        return [frame.image.cpu() for frame in frames]

    return render


def units(effect):
    """Input frames for all units of work."""
    return [Frame(torch.zeros(3, 2, 2), Fraction(unit), Fraction(1)) for unit in range(effect.plan.units)]


def section(name, start="begin", stop=4, **keys):
    text = f'[[section]]\nname = "{name}"\nstart = "{start}"\nto = {stop}\n'
    return text + "".join(f"{key} = {value}\n" for key, value in keys.items())


def merged_sections(start="begin", one=None, back=None):
    """A forward section in frames 0 to 5, and a backward one in frames 2 to 9, which starts from picture `start`."""
    text = section("one", stop=6, **one or {}) + section("back", start, 10, direction='"backward"', **back or {})
    return text.replace('"back"\nstart', '"back"\nfrom = 2\nstart') + MERGE


def difference(first, second):
    return float((first - second).abs().mean())


def test_the_first_frame_is_the_picture_and_later_ones_drift_away(render):
    images = render(section("one", step=0.02))
    still = render(section("one"))
    assert torch.equal(images[0], still[0])
    assert all(torch.equal(image, still[0]) for image in still)
    differences = [difference(image, images[0]) for image in images]
    assert all(later > earlier for earlier, later in pairwise(differences))


def test_a_section_continues_another(render):
    whole = render(section("one", stop=6, step=0.02, zoom=1.05))
    parts = render(section("one", stop=3, step=0.02, zoom=1.05) + section("two", "one", 6, step=0.02, zoom=1.05))
    assert all(torch.equal(one, two) for one, two in zip(whole, parts, strict=True))


def test_backward_sections_equal_reversed_forward_ones_with_the_inverse_zoom(render):
    backward = render(section("one", stop=5, zoom=1.1, direction='"backward"'))
    assert difference(backward[-1], render(section("one"))[0]) < 0.01  # the last frame is the picture
    forward = render(section("one", stop=5, zoom=1 / 1.1))
    assert all(difference(one, two) < 0.01 for one, two in zip(backward, reversed(forward)))
    assert difference(backward[0], backward[-1]) > 0.05


def test_cached_frames_do_not_stay_in_memory(effect, monkeypatch):
    monkeypatch.setattr(renderer, "CHUNK_FRAMES", 2)
    timeline = effect(section("one", stop=7, direction='"backward"', step=0.02))
    step, memory, shown = timeline.build(CPU), {}, []
    for unit in units(timeline):
        shown += step(unit, memory)
        assert sum(key.startswith("pending") for key in memory) < 2
    assert len(shown) == 7
    assert len(list(timeline.folder.iterdir())) == 4


def test_a_resumed_run_gives_the_same_frames(render, effect, device, monkeypatch):
    monkeypatch.setattr(renderer, "CHUNK_FRAMES", 3)
    text = merged_sections(one={"step": 0.02, "view": 0.1, "angle": 3}, back={"step": 0.02})
    expected = render(text)
    timeline = effect(text)
    memory, images = {}, []
    for unit in units(timeline):
        if unit.pts % 5 == 0:
            step = timeline.build(device)  # as after a restart: only the memory and the folder are kept
        images += [frame.image.cpu() for frame in step(unit, memory)]
        memory = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in memory.items()}
    assert all(torch.equal(one, two) for one, two in zip(expected, images, strict=True))
    assert all(isinstance(value, torch.Tensor | int | str | Fraction) for value in memory.values())


def test_a_missing_cache_is_reported(effect):
    timeline = effect(section("one", direction='"backward"'))
    step, memory = timeline.build(CPU), {}
    *others, last = units(timeline)
    for unit in others:
        list(step(unit, memory))
    timeline.folder.rename(timeline.folder.with_name("gone"))
    with pytest.raises(StreamfxError, match="start the run over"):
        list(timeline.build(CPU)(last, memory))


@pytest.mark.parametrize("method", ["passes", "pyramid", "flow", "fade"])
def test_a_merge_changes_gradually_from_one_section_to_the_other(method, render):
    images = render(merged_sections("other") + f'method = "{method}"\n')
    first, last = images[0], images[-1]
    progress = [difference(image, first) / difference(last, first) for image in images]
    assert progress[:2] == pytest.approx([0, 0], abs=0.02)
    assert progress[6:] == pytest.approx([1] * 4, abs=0.02)
    assert all(later > earlier for earlier, later in pairwise(progress[1:7]))


def test_guides_blend_in_their_picture_or_only_its_colors(render):
    guide = '[[section.guide]]\npictures = ["other"]\nshare = 0.2\ncolors = {}\n'
    texts = [section("one") + keys for keys in ("", guide.format("false"), guide.format("true"))]
    none, picture, colors = (render(text)[3] for text in texts)
    blue = [float((image[2] - image[0]).mean()) for image in (none, picture, colors)]
    assert min(blue[1:]) > blue[0] + 0.1
    assert difference(luma(colors), luma(none)) < 0.3 * difference(luma(picture), luma(none))


def test_guide_pictures_alternate(render):
    guide = '[[section.guide]]\npictures = ["begin", "other"]\nshare = "0.5"\neach = 2\n'
    images = render(section("one", stop=6) + guide)
    assert difference(images[1], images[0]) < 1e-6
    assert difference(images[2], images[0]) > 0.02
    assert difference(images[4], images[0]) < difference(images[3], images[0])


def test_rings_change_only_the_pixels_inside_them(render):
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


def test_clear_circles_restore_the_start_image(render):
    clear = "[[section.clear]]\nat = 3\nframes = 2\nradius = [40, 40]\nwidth = 20\nsoft = 0\nshare = 1.0\nafter = 1\n"
    dream = {"step": '"where(t < 3, 0.05, 0)"', "zoom": 1.05}
    images, still = render(section("one", stop=7, **dream) + clear), render(section("one", stop=7, zoom=1.05))
    assert difference(images[3][:, 16:32, 24:40], still[3][:, 16:32, 24:40]) < 0.02  # center, moved with the camera
    assert difference(images[4], still[4]) > 0.02
    assert difference(images[5], still[5]) < 0.01  # after the growth, the whole image


@pytest.mark.parametrize(
    ("key", "low", "high"), [("steps", 1, 3), ("octaves", 1, 3), ("octave_scale", 1.2, 2.0), ("smooth", 0, 1)]
)
def test_ascent_settings_may_be_schedules(key, low, high, render):
    keys = {"step": 0.02} | ({} if key == "octaves" else {"octaves": 2})
    changing = render(section("one", **keys, **{key: f'"0:({low} + 0*t), 2:({high})"'}))
    constant_low, constant_high = (render(section("one", **keys, **{key: value})) for value in (low, high))
    assert all(torch.equal(one, two) for one, two in zip(changing[:2], constant_low[:2], strict=True))
    assert not torch.equal(changing[2], constant_low[2])
    assert not torch.equal(changing[3], constant_high[3])


def test_schedules_of_counts_have_a_range(render):
    with pytest.raises(StreamfxError, match="octaves is 13 at frame 3, but must be from 1 to 12"):
        render(section("one", step=0.02, octaves='"10 + t"'))


def test_layers_crossfade(render):
    layers = '[{ at = 0, layer = "block1" }, { at = 2, layer = "block3", fade = 4 }]'
    images = render(section("one", stop=5, step=0.02, layer=layers))
    first_layer = render(section("one", stop=5, step=0.02))
    assert all(torch.equal(one, two) for one, two in zip(images[:3], first_layer[:3]))  # share 0 in frame 2
    assert not torch.equal(images[3], first_layer[3])


def test_fades_and_stills_do_not_affect_later_sections(render):
    fade = '[[section.fade]]\nto = "{}"\nshare = "0:(0), 2:(1)"\n'
    black = render(section("one") + fade.format("black"))
    assert [float(image.max()) > 0 for image in black] == [True, True, False, False]
    assert render(section("one") + fade.format("#ff0080"))[3][:, 0, 0].tolist() == pytest.approx([1, 0, 128 / 255])
    still = '[[section]]\nkind = "still"\nname = "end"\npicture = "other"\nlength = 2\n'
    images = render(section("one") + fade.format("other") + section("two", "one", 5) + still)
    assert torch.equal(images[3], images[6])
    assert torch.equal(images[4], images[0])


def test_pictures_with_a_layer_start_with_an_ascent(render):
    text = '[pictures.deep]\nfile = "begin.png"\nlayer = "block2"\nsteps = 2\nstep = "0.02"\noctaves = 1\n'
    assert difference(render(text + section("one", "deep"))[0], render(section("one"))[0]) > 0.01


def test_strides_accumulate_camera_motion(render):
    moving = {"zoom": '"1 + t/100"', "angle": 2, "shift_x": 1}
    every_frame, every_fourth = (render(section("one", stop=9, **moving), stride=stride) for stride in (1, 4))
    assert len(every_fourth) == 3
    assert all(difference(every_frame[4 * i], image) < 0.015 for i, image in enumerate(every_fourth))


def test_one_section_alone_equals_that_part_of_the_video(render):
    text = section("one", stop=3, step=0.02) + section("two", "one", 6, step=0.02)
    assert all(torch.equal(one, two) for one, two in zip(render(text)[3:], render(text, only="two"), strict=True))


def test_the_same_seed_gives_the_same_video(render):
    text = section("one", step=0.02)
    first, again, other = (render(text, seed=seed)[-1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loop_is_seamless(render):
    text = section("one", stop=8, step=0.02, zoom=1.02) + section("two", "one", 16, step=0.02, zoom=1.02)
    ratios = []  # of the change from the last frame to the first, to the mean change between consecutive frames
    for loop in (False, True):
        images = render(text, loop=loop)
        assert len(images) == 16
        changes = [difference(one, two) for one, two in pairwise(images)]
        ratios.append(difference(images[-1], images[0]) / (sum(changes) / len(changes)))
    assert ratios[0] > 2
    assert ratios[1] < 1.2


def test_backward_sections_cannot_be_looped(effect):
    with pytest.raises(StreamfxError, match=r"line \d+, section.1.: 'one' cannot be looped"):
        effect(section("one", direction='"backward"'), loop=True)


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
def test_invalid_schedules_are_reported_before_rendering(keys, reason, effect):
    with pytest.raises(StreamfxError, match=reason):
        effect(section("one", **keys)).build(CPU)


@pytest.mark.parametrize(("size", "octaves"), [((48, 64), 4), ((96, 128), 6), ((24, 32), 2), ((12, 16), 1)])
def test_smaller_videos_use_fewer_octaves(size, octaves, effect):
    plan = effect('[[section]]\nname = "a"\nstart = "begin"\nlength = 2\noctaves = 4\n').plan
    scene = Scene(plan, size, choose_model(plan.timeline, "auto"), "", 0, True, CPU)
    settings = scene.ascent(("section", 0), plan.timeline.sections[0], range(2))
    assert settings(0, 0.1).octaves == octaves


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
def test_numbers_of_a_section_may_be_schedules(text, key, low, high, render):
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
def test_numbers_out_of_range_are_rejected(text, reason, effect):
    with pytest.raises(StreamfxError, match=reason):
        effect('[[section]]\nname = "a"\nstart = "begin"\nlength = 4\n' + text).build(CPU)

"""Films from timelines: what each section does to its pictures, and what is put by on disk."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from PIL import Image

from streamfx.animation.timeline import renderer as rendering
from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan
from streamfx.animation.timeline.renderer import Render
from streamfx.animation.timeline.scene import Studio, choose_model
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


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def made(tmp_path, request):
    """made(text): the pictures of the film of a timeline with begin.png, all colours, and other.png, mostly blue."""
    y, x = torch.linspace(0, 1, 72)[:, None], torch.linspace(0, 1, 96)
    waves = torch.stack([0.5 + 0.3 * torch.sin(5 * x + 7 * y * k + k) for k in (1, 2, 3)])
    for name, image in (("begin", waves), ("other", waves.flip(2) * torch.tensor([0.2, 0.2, 1])[:, None, None])):
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")

    def effect(text, only="", every=1, seed=0, loop=False):
        (tmp_path / "film.toml").write_text(HEAD + text)
        timeline = load_timeline(tmp_path / "film.toml")
        plan = build_plan(timeline, None, seed, every=every, only=only, loop=loop)
        return Render(plan, SIZE, choose_model(timeline, "auto"), tmp_path / "work", seed=seed)

    def made(text, **how):
        film = effect(text, **how)
        step, memory = film.build(made.device), {}
        frames = [each for unit in units(film) for each in step(unit, memory)]
        assert [each.pts for each in frames] == [number * frames[0].duration for number in range(film.plan.count)]
        assert all(each.image.shape == (3, *SIZE) for each in frames)
        return [each.image.cpu() for each in frames]

    made.effect, made.folder, made.device = effect, tmp_path / "work", torch.device(request.param)
    return made


def units(film):
    return [Frame(torch.zeros(3, 2, 2), Fraction(unit), Fraction(1)) for unit in range(film.plan.units)]


def section(name, start="begin", stop=4, **keys):
    text = f'[[section]]\nname = "{name}"\nstart = "{start}"\nto = {stop}\n'
    return text + "".join(f"{key} = {value}\n" for key, value in keys.items())


def apart(one, other):
    return float((one - other).abs().mean())


def test_it_begins_with_its_picture_and_dreams_on(made):
    images = made(section("one", step=0.02))
    still = made(section("one"))
    assert torch.equal(images[0], still[0])
    assert all(torch.equal(each, still[0]) for each in still)
    away = [apart(image, images[0]) for image in images]
    assert all(later > earlier for earlier, later in pairwise(away))


def test_a_section_goes_on_from_another(made):
    whole = made(section("one", stop=6, step=0.02, zoom=1.05))
    parts = made(section("one", stop=3, step=0.02, zoom=1.05) + section("two", "one", 6, step=0.02, zoom=1.05))
    assert all(torch.equal(one, two) for one, two in zip(whole, parts, strict=True))


def test_backwards_is_the_same_in_reverse(made):
    """What a camera that goes back sees of a still is what one that goes forth has seen."""
    back = made(section("one", stop=5, zoom=1.1, direction='"backward"'))
    assert apart(back[-1], made(section("one"))[0]) < 0.01  # it starts from the picture, at its end
    forth = made(section("one", stop=5, zoom=1 / 1.1))
    assert all(apart(one, two) < 0.01 for one, two in zip(back, reversed(forth)))
    assert apart(back[0], back[-1]) > 0.05


def test_of_pictures_put_by_nothing_is_left_in_memory(made, monkeypatch):
    monkeypatch.setattr(rendering, "CHUNK", 2)
    film = made.effect(section("one", stop=7, direction='"backward"', step=0.02))
    step, memory, shown = film.build(CPU), {}, []
    for unit in units(film):
        shown += step(unit, memory)
        assert sum(key.startswith("pending") for key in memory) < 2
    assert len(shown) == 7
    assert len(list(made.folder.iterdir())) == 4


def test_a_run_saved_between_two_units_goes_on_as_it_would_have(made, monkeypatch):
    monkeypatch.setattr(rendering, "CHUNK", 3)
    text = section("one", stop=6, step=0.02, view=0.1, angle=3) + section(
        "back", stop=10, direction='"backward"', step=0.02
    )
    text = text.replace('"back"\nstart', '"back"\nfrom = 2\nstart') + MERGE
    whole = made(text)
    film = made.effect(text)
    memory, again = {}, []
    for unit in units(film):
        if unit.pts % 5 == 0:
            step = film.build(made.device)  # as another program would, which has but the memory and the folder
        again += [each.image.cpu() for each in step(unit, memory)]
        memory = {name: each.clone() if isinstance(each, torch.Tensor) else each for name, each in memory.items()}
    assert all(torch.equal(one, two) for one, two in zip(whole, again, strict=True))
    assert all(isinstance(each, torch.Tensor | int | str | Fraction) for each in memory.values())
    film.folder.rename(film.folder.with_name("gone"))
    with pytest.raises(StreamfxError, match="start the film anew"):
        list(film.build(CPU)(units(film)[-1], {**memory, "unit": film.plan.units - 1}))


MERGE = """[[section]]
name = "join"
kind = "merge"
of = ["one", "back"]
from = 2
to = 6
passes = [0.8, 0.0]
steps = 1
"""


@pytest.mark.parametrize("method", ["passes", "pyramid", "flow", "fade"])
def test_a_merge_leads_from_one_section_to_the_other(method, made):
    text = section("one", stop=6) + section("back", "other", 10, direction='"backward"')
    text = text.replace('"back"\nstart', '"back"\nfrom = 2\nstart') + MERGE + f'method = "{method}"\n'
    images = made(text)
    first, last = images[0], images[-1]
    share = [apart(each, first) / apart(last, first) for each in images]
    assert share[:2] == pytest.approx([0, 0], abs=0.02)
    assert share[6:] == pytest.approx([1] * 4, abs=0.02)
    assert all(later > earlier for earlier, later in pairwise(share[1:7]))


def test_guides_give_their_share_and_colours(made):
    guide = '[[section.guide]]\npictures = ["other"]\nshare = 0.2\ncolors = {}\n'
    texts = [section("one") + more for more in ("", guide.format("false"), guide.format("true"))]
    none, all_of_it, colors = (made(text)[3] for text in texts)
    blue = [float((image[2] - image[0]).mean()) for image in (none, all_of_it, colors)]
    assert min(blue[1:]) > blue[0] + 0.1
    assert float((luma(colors) - luma(none)).abs().mean()) < 0.3 * float((luma(all_of_it) - luma(none)).abs().mean())


def test_guides_take_turns(made):
    guide = '[[section.guide]]\npictures = ["begin", "other"]\nshare = "0.5"\neach = 2\n'
    images = made(section("one", stop=6) + guide)
    assert apart(images[1], images[0]) < 1e-6
    assert apart(images[2], images[0]) > 0.02
    assert apart(images[4], images[0]) < apart(images[3], images[0])


def test_rings_dream_where_they_are(made):
    ring = (
        '[[section.ring]]\nat = 1\nframes = 2\nradius = [4, 16]\nwidth = 8\nsoft = 0.5\nstep = 0.05\nlayer = "block2"\n'
    )
    images = made(section("one") + ring)
    change = (images[2] - images[1]).abs().mean(0)
    y, x = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(64) - 31.5, indexing="ij")
    radius = torch.hypot(x, y)  # the second ring reaches from 8 to 16 pixels
    assert change[(radius > 9) & (radius < 15)].mean() > 0.01
    assert change[(radius < 6) | (radius > 19)].max() < 1e-4
    assert torch.equal(images[3], images[2])
    assert not torch.equal(images[1], images[0])


def test_clearing_circles_bring_the_beginning_back(made):
    clear = "[[section.clear]]\nat = 3\nframes = 2\nradius = [40, 40]\nwidth = 20\nsoft = 0\nshare = 1.0\nafter = 1\n"
    dreamed = {"step": '"where(t < 3, 0.05, 0)"', "zoom": 1.05}
    images, still = made(section("one", stop=7, **dreamed) + clear), made(section("one", stop=7, zoom=1.05))
    assert apart(images[3][:, 16:32, 24:40], still[3][:, 16:32, 24:40]) < 0.02  # the middle, moved as the camera did
    assert apart(images[4], still[4]) > 0.02
    assert apart(images[5], still[5]) < 0.01  # and then everywhere


@pytest.mark.parametrize(
    ("key", "low", "high"), [("steps", 1, 3), ("octaves", 1, 3), ("octave_scale", 1.2, 2.0), ("smooth", 0, 1)]
)
def test_how_to_climb_may_change_from_frame_to_frame(key, low, high, made):
    rest = {"step": 0.02} | ({} if key == "octaves" else {"octaves": 2})
    changing = made(section("one", **rest, **{key: f'"0:({low} + 0*t), 2:({high})"'}))
    before, behind = (made(section("one", **rest, **{key: value})) for value in (low, high))
    assert all(torch.equal(one, two) for one, two in zip(changing[:2], before[:2], strict=True))
    assert not torch.equal(changing[2], before[2])
    assert not torch.equal(changing[3], behind[3])


def test_what_a_schedule_of_a_count_may_be(made):
    with pytest.raises(StreamfxError, match="octaves is 13 at frame 3, but must be from 1 to 12"):
        made(section("one", step=0.02, octaves='"10 + t"'))


def test_layers_fade_into_each_other(made):
    turns = '[{ at = 0, layer = "block1" }, { at = 2, layer = "block3", fade = 4 }]'
    images = made(section("one", stop=5, step=0.02, layer=turns))
    alone = made(section("one", stop=5, step=0.02))
    assert all(torch.equal(one, two) for one, two in zip(images[:3], alone[:3]))  # at 2 nothing of it is there yet
    assert not torch.equal(images[3], alone[3])


def test_fades_and_stills_are_shown_but_not_dreamed_on(made):
    fade = '[[section.fade]]\nto = "{}"\nshare = "0:(0), 2:(1)"\n'
    black = made(section("one") + fade.format("black"))
    assert [float(each.max()) > 0 for each in black] == [True, True, False, False]
    assert made(section("one") + fade.format("#ff0080"))[3][:, 0, 0].tolist() == pytest.approx([1, 0, 128 / 255])
    still = '[[section]]\nkind = "still"\nname = "end"\npicture = "other"\nlength = 2\n'
    images = made(section("one") + fade.format("other") + section("two", "one", 5) + still)
    assert torch.equal(images[3], images[6])
    assert torch.equal(images[4], images[0])


def test_a_picture_can_be_dreamed_on_first(made):
    text = '[pictures.deep]\nfile = "begin.png"\nlayer = "block2"\nsteps = 2\nstep = "0.02"\noctaves = 1\n'
    assert apart(made(text + section("one", "deep"))[0], made(section("one"))[0]) > 0.01


def test_a_preview_compounds_the_moves(made):
    moving = {"zoom": '"1 + t/100"', "angle": 2, "shift_x": 1}
    whole, some = (made(section("one", stop=9, **moving), every=every) for every in (1, 4))
    assert len(some) == 3
    assert all(apart(whole[4 * number], each) < 0.015 for number, each in enumerate(some))


def test_one_section_alone_is_as_it_is_in_the_film(made):
    text = section("one", stop=3, step=0.02) + section("two", "one", 6, step=0.02)
    assert all(torch.equal(one, two) for one, two in zip(made(text)[3:], made(text, only="two"), strict=True))


def test_the_same_seed_gives_the_same_film(made):
    text = section("one", step=0.02)
    first, again, other = (made(text, seed=seed)[-1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loop_ends_where_it_begins(made):
    text = section("one", stop=8, step=0.02, zoom=1.02) + section("two", "one", 16, step=0.02, zoom=1.02)
    jumps = []
    for loop in (False, True):
        images = made(text, loop=loop)
        assert len(images) == 16
        each = [apart(one, two) for one, two in pairwise(images)]
        jumps.append(apart(images[-1], images[0]) / (sum(each) / len(each)))
    assert jumps[0] > 2
    assert jumps[1] < 1.2
    with pytest.raises(StreamfxError, match=r"line \d+, section.1.: 'one' cannot be looped"):
        made(section("one", direction='"backward"'), loop=True)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"zoom": '"1 - t"'}, r"line \d+, section\[1\].zoom: zoom is 0 at frame 1"),
        ({"step": '"1 + beat"'}, "--audio"),
        ({"view": '"2*t"'}, "view is 2 at frame 1"),
        ({"angle": '"1/(t - 2)"'}, "section.1..angle.*frame 2"),
        ({"layer": '[{ at = 2, layer = "block1" }, { at = 2, layer = "block2" }]'}, "must come behind 2"),
    ],
)
def test_schedules_that_make_no_sense(keys, said, made):
    with pytest.raises(StreamfxError, match=said):
        made(section("one", **keys))


@pytest.mark.parametrize(("size", "octaves"), [((48, 64), 4), ((96, 128), 6), ((24, 32), 2), ((12, 16), 1)])
def test_smaller_films_have_as_large_patterns_by_fewer_octaves(size, octaves, made):
    plan = made.effect('[[section]]\nname = "a"\nstart = "begin"\nlength = 2\noctaves = 4\n').plan
    studio = Studio(plan, size, choose_model(plan.timeline, "auto"), "", 0, CPU)
    climb = studio.climbing(("section", 0), plan.timeline.sections[0], range(2))
    assert climb(0, 0.1).octaves == octaves


RING = "[[section.ring]]\nat = 0\nframes = 9\nradius = [8, 30]\nwidth = 10\nsoft = 1\nstep = 0.05\n"
CLEAR = "[[section.clear]]\nat = 0\nframes = 9\nradius = [30, 40]\nwidth = 10\nshare = 0.1\n"


@pytest.mark.parametrize(
    ("more", "key", "low", "high"),
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
def test_numbers_of_a_section_may_be_schedules(more, key, low, high, made):
    head = '[[section]]\nname = "a"\nstart = "begin"\nlength = 4\nstep = 0.05\noctaves = 2\nzoom = 1.05\n'
    steady = made(head + more)
    changing = made(head + more.replace(f"{key}{low}", f'{key}"0:({low} + 0*t), 2:({high})"'))
    for one, other in zip(steady[:2], changing[:2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(steady[3], changing[3])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('hold = "(t)"\n', "hold is 2 at frame 2, but must be from 0 to 1"),
        (RING.replace("soft = 1", "soft = -1"), "soft is -1 at frame 0, but must be from 0 to 1000"),
        (RING.replace("width = 10", 'width = "(1/t)"'), "frame 0"),
    ],
)
def test_numbers_out_of_range(more, reason, made):
    with pytest.raises(StreamfxError, match=reason):
        made('[[section]]\nname = "a"\nstart = "begin"\nlength = 4\n' + more)

"""Rendered timelines: the order of frames, continued sections, the disk cache, and resuming."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from streamfx.animation.timeline import renderer
from streamfx.errors import StreamfxError

CPU = torch.device("cpu")


def test_the_first_frame_is_the_picture_and_later_ones_drift_away(render, section, difference):
    images = render(section("one", step=0.02))
    still = render(section("one"))
    assert torch.equal(images[0], still[0])
    assert all(torch.equal(image, still[0]) for image in still)
    differences = [difference(image, images[0]) for image in images]
    assert all(later > earlier for earlier, later in pairwise(differences))


def test_a_section_continues_another(render, section):
    whole = render(section("one", stop=6, step=0.02, zoom=1.05))
    parts = render(section("one", stop=3, step=0.02, zoom=1.05) + section("two", "one", 6, step=0.02, zoom=1.05))
    assert all(torch.equal(one, two) for one, two in zip(whole, parts, strict=True))


def test_backward_sections_equal_reversed_forward_ones_with_the_inverse_zoom(render, section, difference):
    backward = render(section("one", stop=5, zoom=1.1, direction='"backward"'))
    assert difference(backward[-1], render(section("one"))[0]) < 0.01  # the last frame is the picture
    forward = render(section("one", stop=5, zoom=1 / 1.1))
    assert all(difference(one, two) < 0.01 for one, two in zip(backward, reversed(forward)))
    assert difference(backward[0], backward[-1]) > 0.05


def test_cached_frames_do_not_stay_in_memory(effect, monkeypatch, section, units):
    monkeypatch.setattr(renderer, "CHUNK_FRAMES", 2)
    timeline = effect(section("one", stop=7, direction='"backward"', step=0.02))
    step, memory, shown = timeline.build(CPU), {}, []
    for unit in units(timeline):
        shown += step(unit, memory)
        assert sum(key.startswith("pending") for key in memory) < 2
    assert len(shown) == 7
    assert len(list(timeline.folder.iterdir())) == 4


def test_a_resumed_run_gives_the_same_frames(render, effect, device, monkeypatch, merged_sections, units):
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


def test_a_missing_cache_is_reported(effect, section, units):
    timeline = effect(section("one", direction='"backward"'))
    step, memory = timeline.build(CPU), {}
    *others, last = units(timeline)
    for unit in others:
        list(step(unit, memory))
    timeline.folder.rename(timeline.folder.with_name("gone"))
    with pytest.raises(StreamfxError, match="start the run over"):
        list(timeline.build(CPU)(last, memory))


def test_fades_and_stills_do_not_affect_later_sections(render, section):
    fade = '[[section.fade]]\nto = "{}"\nshare = "0:(0), 2:(1)"\n'
    black = render(section("one") + fade.format("black"))
    assert [float(image.max()) > 0 for image in black] == [True, True, False, False]
    assert render(section("one") + fade.format("#ff0080"))[3][:, 0, 0].tolist() == pytest.approx([1, 0, 128 / 255])
    still = '[[section]]\nkind = "still"\nname = "end"\npicture = "other"\nlength = 2\n'
    images = render(section("one") + fade.format("other") + section("two", "one", 5) + still)
    assert torch.equal(images[3], images[6])
    assert torch.equal(images[4], images[0])


def test_strides_accumulate_camera_motion(render, section, difference):
    moving = {"zoom": '"1 + t/100"', "angle": 2, "shift_x": 1}
    every_frame, every_fourth = (render(section("one", stop=9, **moving), stride=stride) for stride in (1, 4))
    assert len(every_fourth) == 3
    assert all(difference(every_frame[4 * i], image) < 0.015 for i, image in enumerate(every_fourth))


def test_one_section_alone_equals_that_part_of_the_video(render, section):
    text = section("one", stop=3, step=0.02) + section("two", "one", 6, step=0.02)
    assert all(torch.equal(one, two) for one, two in zip(render(text)[3:], render(text, only="two"), strict=True))


def test_the_same_seed_gives_the_same_video(render, section):
    text = section("one", step=0.02)
    first, again, other = (render(text, seed=seed)[-1] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_loop_is_seamless(render, section, difference):
    text = section("one", stop=8, step=0.02, zoom=1.02) + section("two", "one", 16, step=0.02, zoom=1.02)
    ratios = []  # of the change from the last frame to the first, to the mean change between consecutive frames
    for loop in (False, True):
        images = render(text, loop=loop)
        assert len(images) == 16
        changes = [difference(one, two) for one, two in pairwise(images)]
        ratios.append(difference(images[-1], images[0]) / (sum(changes) / len(changes)))
    assert ratios[0] > 2
    assert ratios[1] < 1.2


@pytest.mark.parametrize("start", ["one", "other"])
def test_previews_go_through_sections_without_rendered_frames(start, render, section):
    skipped = section("one", stop=5, zoom=1.05) + section("two", start, 7) + section("three", "two", 12)
    direct = section("one", stop=5, zoom=1.05) + section("three", start, 12)
    first, second = (render(text, stride=4) for text in (skipped, direct))
    assert len(first) == 3
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))

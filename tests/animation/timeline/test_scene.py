"""Scenes: pictures, objectives, schedule values, and the choice of the network."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan
from streamfx.animation.timeline.scene import (
    MAX_STRIDE_STEP,
    STRIDE_EXPONENT,
    Scene,
    choose_model,
    objective_parts,
    picture_file,
    scale_factor,
    value_at,
)
from streamfx.animation.timeline.schema import Document
from streamfx.deepdream.networks import find_network
from streamfx.deepdream.objective_syntax import Part
from streamfx.errors import StreamfxError

CPU = torch.device("cpu")


def test_pictures_with_a_layer_start_with_an_ascent(render, section, difference):
    text = '[pictures.deep]\nfile = "begin.png"\nlayer = "block2"\nsteps = 2\nstep = "0.02"\noctaves = 1\n'
    assert difference(render(text + section("one", "deep"))[0], render(section("one"))[0]) > 0.01


@pytest.mark.parametrize(("size", "octaves"), [((48, 64), 4), ((96, 128), 6), ((24, 32), 2), ((12, 16), 1)])
def test_smaller_videos_use_fewer_octaves(size, octaves, effect):
    plan = effect('[[section]]\nname = "a"\nstart = "begin"\nlength = 2\noctaves = 4\n').plan
    scene = Scene(plan, size, choose_model(plan.timeline, "auto"), "", 0, True, CPU)
    settings = scene.ascent(("section", 0), plan.timeline.sections[0], range(2))
    assert settings(0, 0.1).octaves == octaves


def test_layer_aliases_per_network(load, two_sections):
    text = two_sections.replace("block2", "stones").replace("block3", "0.5*stones - 0.5*block3:1")
    with_aliases = text + '[layers.lite0]\nstones = "block2 + block5:3"\n'
    assert choose_model(load(with_aliases), "auto").name == "lite0"
    with pytest.raises(StreamfxError, match=r"line 16, section\[2\].layer\[1\].layer: unknown layer.*stones"):
        choose_model(load(text + '[layers.lite0]\nstone = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="channels 0 to 23"):
        choose_model(load(text + '[layers.lite0]\nstones = "block2:77"\n'), "auto")
    with pytest.raises(StreamfxError, match="has no layers for lite1; use --model lite0"):
        choose_model(load(with_aliases), "lite1")
    with pytest.raises(StreamfxError, match="unknown network 'lite7'"):
        choose_model(load(two_sections + '[layers.lite7]\nstones = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="fetch inceptionv1"):
        choose_model(load(text + '[layers.inceptionv1]\nstones = "mixed4c"\n'), "auto")


DOCUMENT = {"kind": "timeline", "size": (640, 360), "section": [{"name": "one"}]}
LITE0 = find_network("lite0")


@pytest.fixture
def scene_of(plan_of, section):
    """scene_of(stride, size): the scene of a section of 5 frames."""

    def scene_of(stride=1, size=(48, 64), text=""):
        plan = plan_of(text or section("one", stop=5), stride=stride)
        return Scene(plan, size, LITE0, "", 0, True, CPU)

    return scene_of


@pytest.mark.parametrize(
    ("size", "factor"), [((360, 640), 1), ((720, 1280), 2), ((720, 640), 1), ((360, 1280), 1), ((90, 640), 0.25)]
)
def test_the_scale_is_that_of_the_side_which_grows_less(size, factor):
    assert scale_factor(Document.model_validate(DOCUMENT), size) == factor


def test_the_canvas_has_a_margin_that_scales_with_the_video(scene_of):
    for size, margin in (((48, 64), 4), ((96, 128), 8), ((48, 128), 4), ((6, 8), 0)):
        scene = scene_of(size=size)
        assert scene.margin == margin
        assert scene.canvas_size == (size[0] + 2 * margin, size[1] + 2 * margin)


@given(st.integers(-50, 50), st.integers(1, 20), st.integers(-100, 100))
def test_values_outside_the_frames_are_those_of_the_nearest_frame(start, count, frame):
    frames = range(start, start + count)
    nearest = min(frames, key=lambda other: abs(other - frame))
    assert value_at(np.arange(float(count)), frames, frame) == nearest - start


@given(st.floats(0, 1), st.integers(1, 10))
def test_shares_compound_over_the_stride(strided_scene, share, stride):
    scene = strided_scene(stride)
    rest = 1.0
    for _ in range(stride):
        rest *= 1 - share
    assert scene.stride_share(share) == pytest.approx(1 - rest, abs=1e-9)


@pytest.fixture(scope="module")
def strided_scene(tmp_path_factory):
    """strided_scene(stride): a scene of one section."""
    file = tmp_path_factory.mktemp("scene") / "video.toml"
    file.write_text('kind = "timeline"\n[pictures]\na = "a.png"\n[[section]]\nname = "one"\nstart = "a"\nto = 99\n')
    timeline = load_timeline(file)
    return lambda stride: Scene(build_plan(timeline, None, stride=stride), (48, 64), LITE0, "", 0, True, CPU)


@given(st.floats(0, 1), st.integers(1, 10))
def test_steps_grow_with_the_stride_up_to_a_limit(strided_scene, step, stride):
    result = strided_scene(stride).stride_step(step)
    assert step <= result <= max(step, MAX_STRIDE_STEP)
    if result < MAX_STRIDE_STEP:
        assert result == pytest.approx(step * stride**STRIDE_EXPONENT)


def test_tracks_have_the_values_of_the_frames_of_the_video(scene_of):
    scene = scene_of()
    assert scene.track(("section", 0, "zoom"), "1 + t", range(2, 5)).tolist() == [3, 4, 5]
    assert scene.track(("section", 0, "zoom"), 2, range(2), 2, 2).tolist() == [2, 2]
    assert scene.constant(("pictures", "begin"), "max_f", 0, 10) == 4
    with pytest.raises(StreamfxError, match=r"section\[1\]: zoom is 4 at frame 3, but must be from 0 to 3.5"):
        scene.track(("section", 0, "zoom"), "1 + t", range(2, 5), 0, 3.5)
    with pytest.raises(StreamfxError, match=r"line \d+, section\[1\].start: start, character 1.*unknown variable"):
        scene.track(("section", 0, "start"), "begin", range(2))


def test_pictures_are_cropped_to_the_canvas_and_cached(scene_of):
    scene = scene_of()
    picture = scene.picture("begin")
    assert picture.shape == (3, 56, 72)
    assert 0 <= picture.min() < picture.max() <= 1
    assert scene.picture("begin") is picture


def test_transparent_parts_of_pictures_are_black(scene_of, pictures):
    pixels = np.full((72, 96, 4), 255, np.uint8)
    pixels[:, 48:, 3] = 0
    scene = scene_of()
    Image.fromarray(pixels).save(pictures / "begin.png")
    picture = scene.picture("begin")
    assert picture[..., :32].min() > 0.98
    assert picture[..., 40:].max() < 0.02


def test_missing_pictures_are_errors_with_their_line(load, two_sections):
    table = '[pictures.table]\nfile = "none.png"\n'
    timeline = load(two_sections.replace("begin.png", "gone.png").replace("[defaults]", table + "[defaults]"))
    with pytest.raises(StreamfxError, match=r"line 4, pictures.begin: no file 'gone.png'"):
        picture_file(timeline, "begin")
    with pytest.raises(StreamfxError, match=r"line 6, pictures.table.file: no file 'none.png'"):
        picture_file(timeline, "table")


def test_aliases_are_multiplied_by_their_share():
    layers = {"lite0": {"stones": "block2 - 0.5*block5:3", "block1": "stem"}}
    document = Document.model_validate(DOCUMENT | {"layers": layers})
    parts = objective_parts(document, "0.5*stones + block1 + stones:4", LITE0)
    assert parts == (Part("block2", None, 0.5), Part("block5", 3, -0.25), Part("stem"), Part("stones", 4))
    assert objective_parts(document, "", LITE0) == (Part(LITE0.default),)
    assert objective_parts(document, "stones", find_network("lite1")) == (Part("stones"),)


@pytest.mark.parametrize(
    ("keys", "location"),
    [
        ('layer = "blok1"\n', "section[1].layer"),
        ('layer = [{ at = 0, layer = "blok1" }]\n', "section[1].layer[1].layer"),
        ('[[section.ring]]\nat = 0\nlayer = "blok1"\n', "section[1].ring[1].layer"),
        ('[pictures.deep]\nfile = "begin.png"\nlayer = "blok1"\n', "pictures.deep.layer"),
    ],
)
@pytest.mark.parametrize("aliases", ["", '[layers.lite0]\nstones = "block2"\n'])
def test_unknown_layers_are_reported_where_they_stand(keys, location, aliases, load, two_sections):
    text = two_sections.replace('zoom = "1 + t/100"\n', keys if "pictures" not in keys else "")
    text += keys if "pictures" in keys else ""
    with pytest.raises(StreamfxError) as error:
        choose_model(load(text + aliases), "auto" if aliases else "lite0")
    assert f"{location}: " in str(error.value)
    assert "blok1" in str(error.value)


def test_layers_that_no_network_has_together_are_an_error(load, two_sections):
    text = two_sections.replace("block2", "mixed4c").replace("block3", "block18")
    with pytest.raises(StreamfxError, match=r"no network has all of the layers|layer of inceptionv1"):
        choose_model(load(text), "auto")

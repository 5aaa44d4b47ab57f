"""The dream effect: settings, sizes, masks, guides, and temporal coherence."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch.nn import functional as F

from streamfx.chain import build_chain, chain_text
from streamfx.effects.dream import Dream
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color import luma

CPU = torch.device("cpu")
QUICK = {"layer": "block4", "octaves": 2, "steps": 2}


def frame_of(image, number=0, **more):
    return Frame(image, Fraction(number, 25), Fraction(1, 25), **more)


def dream(image, **settings):
    (output,) = Dream(**(QUICK | settings)).build(CPU)(frame_of(image), {})
    return output.image


def dream_all(images, cuts=(), **settings):
    step, memory = Dream(**(QUICK | settings)).build(CPU), {}
    frames = [frame_of(image, number, cut=number in cuts) for number, image in enumerate(images)]
    return [output.image for frame in frames for output in step(frame, memory)]


@pytest.fixture(scope="module", autouse=True)
def cached_networks():
    """Build each network once for all tests."""
    from streamfx.deepdream import networks

    build, cache = networks.build_layers, {}

    def build_once(name, layers, weights=""):
        key = name, *layers, weights
        if key not in cache:
            cache[key] = build(name, layers, weights)
        return cache[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "build_layers", build_once)
        yield


@pytest.fixture(scope="module")
def photo():
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (96, 128), mode="bilinear", antialias=True)[0]


@pytest.fixture(scope="module")
def still(photo):
    """A still shot with camera noise."""
    generator = torch.Generator().manual_seed(3)
    return [(photo + 0.01 * torch.randn(photo.shape, generator=generator)).clamp(0, 1) for _ in range(8)]


def changes(images):
    """Mean absolute change between consecutive images."""
    return [(second - first).abs().mean().item() for first, second in pairwise(images)]


def test_dreaming_increases_the_activation(photo):
    from streamfx.deepdream.networks import build_layers
    from streamfx.deepdream.objective import Objective
    from streamfx.deepdream.objective_syntax import parse_objective

    for layer in ("block4", "block10", "block7:3"):
        parts = parse_objective(layer)
        objective = Objective(build_layers("lite0", [parts[0].layer]), parts, CPU)
        before = objective.value(photo[None])
        assert objective.value(dream(photo, layer=layer)[None]) > before + 0.05 * abs(before), layer


def test_the_same_seed_gives_the_same_pixels(photo):
    assert torch.equal(dream(photo, seed=5), dream(photo, seed=5))
    assert not torch.equal(dream(photo, seed=5), dream(photo, seed=6))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 1), (35, 77)])
def test_any_size(size):
    assert dream(torch.rand(3, *size)).shape == (3, *size)


def test_small_tiles_cover_the_whole_image(photo):
    large = F.interpolate(photo[None], (160, 300), mode="bilinear")[0]
    change = (dream(large, tile=128) - large).abs().mean(0)
    strips = [change[:8], change[-8:], change[:, :8], change[:, -8:]]
    assert min(strip.mean() for strip in strips) > 0.3 * change.mean()
    assert change.mean() == pytest.approx(float((dream(large) - large).abs().mean()), rel=0.2)


def test_strength_is_independent_of_the_size(photo):
    def change(height, **settings):
        image = F.interpolate(photo[None], (height, height * 4 // 3), mode="bicubic", antialias=True)[0].clamp(0, 1)
        return float((dream(image, **settings) - image).abs().mean())

    middle = change(144)
    for height in (72, 288):
        assert change(height) == pytest.approx(middle, rel=0.25)
    assert change(96, strength=0.3) < 0.6 * change(96)
    assert torch.equal(dream(photo, strength=0.0), photo)
    fewer, more = (change(96, steps=steps) for steps in (2, 6))
    assert fewer == pytest.approx(more, rel=0.3)  # the steps share the strength


def test_preserve_color_keeps_the_chroma(photo):
    kept = dream(photo, preserve_color=True)
    inside = ((kept > 0.001) & (kept < 0.999)).all(0)
    torch.testing.assert_close((kept - luma(kept))[:, inside], (photo - luma(photo))[:, inside], atol=1e-4, rtol=0)


def test_only_white_parts_of_a_mask_are_dreamed(photo, tmp_path):
    pixels = np.zeros((96, 128), np.uint8)
    pixels[:, 64:] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    masked = dream(photo, mask=str(tmp_path / "mask.png"))
    assert torch.equal(masked[..., :64], photo[..., :64])
    assert torch.equal(masked[..., 64:], dream(photo)[..., 64:])
    Image.fromarray(pixels * 0).save(tmp_path / "black.png")
    assert torch.equal(dream(photo, mask=str(tmp_path / "black.png")), photo)


def test_a_guide_changes_the_dream(photo, tmp_path, clip, moving):
    Image.fromarray(data.coffee()[:200, :300]).save(tmp_path / "guide.png")
    guided = dream(photo, guide=str(tmp_path / "guide.png"))
    assert (guided - dream(photo)).abs().mean() > 0.01
    video = str(clip("guide.mkv", *moving("64x48", "10"), "-c:v", "ffv1"))
    images = dream_all([photo] * 3, guide=video, coherence="off")
    assert torch.equal(images[0], images[1])  # the guide shows the same frame at 0 and 0.04 s
    assert not torch.equal(dream(photo, guide=video, mask_start=Fraction(1, 2)), images[0])
    with pytest.raises(StreamfxError, match="the guide: no such file"):
        Dream(guide="none.png", layer="block1").build(CPU)


def test_dark_images_stay_dark(photo):
    assert luma(dream(photo * 0.02)).max() < 0.1
    assert torch.equal(dream(torch.zeros(3, 64, 64)), torch.zeros(3, 64, 64))


def test_warp_reduces_the_flicker_of_a_still_shot_to_a_quarter(still):
    off, warped = (changes(dream_all(still, coherence=coherence)) for coherence in ("off", "warp"))
    assert np.mean(warped[3:]) < 0.25 * np.mean(off)


def test_the_dream_moves_with_the_content(photo):
    from streamfx.ops.warp import warp

    large = F.interpolate(photo[None], (160, 224), mode="bicubic")[0].clamp(0, 1)
    shot = [large[:, 20:116, 20 + 2 * n : 148 + 2 * n].contiguous() for n in range(7)]
    flow = torch.zeros(2, 96, 128)
    flow[0] = 2.0

    def error(coherence):
        pairs = list(pairwise(dream_all(shot, coherence=coherence)))[2:]
        return np.mean([float((warp(a, flow) - b)[..., 8:-8].square().mean()) for a, b in pairs])

    assert error("warp") < 0.4 * error("off")


def test_brightness_contrast_color_and_strength_are_stable(still):
    """In a long shot; the activation stays near that of separately dreamed frames."""
    from streamfx.deepdream.networks import build_layers
    from streamfx.deepdream.objective import Objective
    from streamfx.deepdream.objective_syntax import parse_objective

    images = dream_all(still * 5)
    first, last = images[8], images[-1]
    assert abs(float(last.mean() - still[0].mean())) < 0.02
    assert luma(last).std() == pytest.approx(float(luma(first).std()), rel=0.1)
    chroma = [(image - luma(image)).square().mean().sqrt() for image in (first, last)]
    assert chroma[1] == pytest.approx(float(chroma[0]), rel=0.15)
    objective = Objective(build_layers("lite0", ["block4"]), parse_objective("block4"), CPU)
    activations = [objective.value(image[None]) for image in images[::5]]
    assert np.mean(activations) == pytest.approx(activations[0], rel=0.15)  # the first frame has no previous dream


def test_resumed_runs_give_the_same_frames(photo, tmp_path, monkeypatch):
    """The frames are large enough for a compiled engine. The first frame equals a separately dreamed image."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    large = F.interpolate(photo[None], (180, 240), mode="bilinear")[0]
    effect = Dream(layer="block4", octaves=1, steps=2)
    step, memory, saved = effect.build(CPU), {}, {}
    outputs = []
    for number in range(3):
        outputs += step(frame_of(large.roll(number, 2), number), memory)
        saved = dict(memory) if number == 1 else saved
    (resumed,) = effect.build(CPU)(frame_of(large.roll(2, 2), 2), saved)
    assert torch.equal(resumed.image, outputs[2].image)
    assert torch.equal(outputs[0].image, dream(large, octaves=1, coherence="off"))


def test_a_cut_resets_the_dream(still, photo):
    other = photo.flip(0).flip(2)
    assert torch.equal(dream_all([still[0], still[1], other], cuts=(2,))[2], dream(other))


def test_chains_support_channels_and_sums():
    (effect,) = build_chain("dream=layer='0.7*block10 + block4\\:3':steps=2")
    assert effect == Dream(layer="0.7*block10 + block4:3", steps=2)
    assert build_chain(chain_text([effect])) == [effect]


def test_with_network_fills_in_the_model_and_the_layer(monkeypatch, tmp_path):
    monkeypatch.setattr("streamfx.inference.downloads.cache_folder", lambda: tmp_path)
    assert Dream().with_network() == Dream(model="lite0", layer="block10")
    assert Dream(layer="block18").with_network().model == "lite1"
    with pytest.raises(StreamfxError, match=r"block10 of lite0 has channels 0 to 111"):
        Dream(layer="block10:112").with_network()
    with pytest.raises(StreamfxError, match="did you mean block10"):
        Dream(layer="blck10").build(CPU)
    with pytest.raises(StreamfxError, match="give a layer of timm:resnet10t"):
        Dream(model="timm:resnet10t").with_network()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 5}, "strength is 5, but must be a number from 0 to 4"),
        ({"steps": 2.5}, "steps is 2.5, but must be a whole number from 1 to 1000"),
        ({"preserve_color": 1}, "preserve_color is 1, but must be true or false"),
        ({"coherence": "full"}, "unknown coherence of dream 'full'"),
        ({"motion": "tv"}, "unknown motion of dream 'tv'"),
        ({"layer": "a+"}, "invalid layer 'a+': syntax error at"),
        ({"model": ""}, "model is ''"),
        ({"mask_start": -1}, "mask_start is -1, but must be"),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(StreamfxError) as error:
        Dream(**settings)
    assert message in str(error.value)


def test_creating_a_dream_does_not_import_torch():
    program = "import sys; from streamfx.effects.dream import Dream; Dream('a+b'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0

"""The style effect: settings, blends, sizes, coherence; and artifacts of the shipped presets."""

import math
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from torch.nn import functional as F

from streamfx.chain import build_chain
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color import luma
from streamfx.settings import QUALITIES
from streamfx.styletransfer.working_resolution import AREA, NEAR, working_size

CPU = torch.device("cpu")
MASTERS = ("cezanne", "hokusai", "monet", "munch", "renoir", "seurat", "turner", "vangogh")
all_networks = pytest.mark.parametrize(("preset", "quality"), [(p, q) for p in MASTERS for q in QUALITIES])


def frame_of(image, **more):
    return Frame(image, Fraction(7, 25), Fraction(1, 25), **more)


def stylize(image, **settings):
    (stylized,) = Style(**settings).build(CPU)(frame_of(image), {})
    return stylized.image


@pytest.fixture(scope="module")
def photo():
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (240, 320), mode="bilinear", antialias=True)[0]


@pytest.fixture(scope="module")
def stylized_photo(photo):
    return stylize(photo)


def test_only_the_image_of_a_frame_changes(photo):
    source = frame_of(photo, cut=True, alpha=torch.rand(1, 240, 320))
    before = photo.clone()
    step, memory = Style().build(CPU), {}
    (stylized,) = step(source, memory)
    assert (stylized.pts, stylized.duration, stylized.cut) == (source.pts, source.duration, True)
    assert stylized.alpha is source.alpha
    assert stylized.image.shape == photo.shape
    assert 0 <= stylized.image.min() < stylized.image.max() <= 1
    assert torch.equal(photo, before)
    assert list(step(None, memory)) == []


def test_blend_fades_from_preset_to_preset(photo, stylized_photo):
    other = stylize(photo, preset="munch")
    assert torch.equal(stylize(photo, blend="munch", blend_share=0.0), stylized_photo)
    assert torch.equal(stylize(photo, blend="munch", blend_share=1.0), other)
    torch.testing.assert_close(stylize(photo, blend="munch", blend_share=0.25), stylized_photo.lerp(other, 0.25))


def test_the_share_of_a_blend_may_follow_a_schedule(photo, stylized_photo):
    (effect,) = build_chain(r"style=vangogh:blend=munch:blend_share=min(1\, t)")
    step, memory = effect.build(CPU), {}
    (first,), (second,) = (list(step(frame_of(photo, cut=True), memory)) for _ in range(2))
    assert torch.equal(first.image, stylized_photo)
    assert torch.equal(second.image, stylize(photo, preset="munch"))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 1), (35, 77)])
def test_any_size(size):
    assert stylize(torch.rand(3, *size)).shape == (3, *size)


def test_one_step_supports_changing_sizes():
    step = Style().build(CPU)
    for size in ((8, 12), (12, 8), (8, 12)):
        (stylized,) = step(frame_of(torch.rand(3, *size)), {})
        assert stylized.image.shape == (3, *size)


def test_strength_mixes_the_source_and_the_stylized_frame(photo, stylized_photo):
    assert torch.equal(stylize(photo, strength=0.0), photo)
    torch.testing.assert_close(stylize(photo, strength=0.25), 0.75 * photo + 0.25 * stylized_photo)


def test_preserve_color_keeps_the_chroma(photo):
    """Where nothing is clipped, the differences of the channels from luma equal those of the source."""
    kept = stylize(photo, preserve_color=True)
    inside = ((kept > 0.001) & (kept < 0.999)).all(0)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close((kept - luma(kept))[:, inside], (photo - luma(photo))[:, inside], atol=1e-4, rtol=0)


def test_van_gogh_is_blue_and_yellow(photo, stylized_photo):
    gray = luma(photo).expand(3, -1, -1)
    blue = stylized_photo[2] - stylized_photo[0]  # also for a gray photo
    assert stylize(gray)[2].mean() > stylize(gray)[0].mean() + 0.03
    assert blue.max() > 0.2
    assert blue.min() < -0.05


@all_networks
def test_stylized_frames_have_strokes_and_keep_brightness(photo, preset, quality):
    """Brightness averaged over 16 x 16 pixels correlates with that of the photo."""
    stylized_photo = stylize(photo, preset=preset, quality=quality)
    smooth = F.avg_pool2d(stylized_photo[None], 9, stride=1, padding=4)[0]
    assert (stylized_photo - smooth).abs().mean() > 0.02
    pooled = torch.stack([F.avg_pool2d(luma(image)[None], 16).flatten() for image in (photo, stylized_photo)])
    assert torch.corrcoef(pooled)[0, 1] > 0.7
    assert luma(stylize(photo * 0.1, preset=preset, quality=quality)).mean() < 0.7 * luma(stylized_photo).mean()


@all_networks
@pytest.mark.parametrize("level", [0.2, 0.5, 0.85])
def test_uniform_frames_have_no_grid_borders_or_blotches(level, preset, quality):
    size = (720, 1280)
    stylized = stylize(
        torch.full((3, *size), level) + torch.tensor([-0.05, 0.0, 0.08]).view(3, 1, 1), preset=preset, quality=quality
    )
    inner = stylized[:, 40:-40, 40:-40]
    phases = F.pixel_unshuffle(inner[None], 8).view(3, 64, -1).mean(2)
    dots = 2 if preset == "seurat" else 1  # whose dots are dense, and partly in rows
    assert phases.std(1).max() < dots * (1.9 if quality == "fine" else 2.0) / 255, "a grid of 8x8"
    areas = F.avg_pool2d(luma(inner)[None], 64)
    patches = (preset, quality) == ("monet", "fast")  # of sky, cloud and grass: a known weakness of this network
    gathers = preset in ("hokusai", "turner")  # claws of foam, clouds
    assert areas.std() < (0.12 if patches else 0.075 if gathers else 0.06), "blotches"
    middle = luma(inner).mean()
    for border in (stylized[:, :8], stylized[:, -8:], stylized[..., :8], stylized[..., -8:]):
        assert abs(luma(border).mean() - middle) < (0.12 if patches else 0.06), "a border"


def test_both_qualities_look_alike(photo):
    """They differ less than any two presets."""
    small = {
        (preset, quality): F.avg_pool2d(stylize(photo, preset=preset, quality=quality), 16)
        for preset in MASTERS
        for quality in QUALITIES
    }
    between = {p: (small[p, "fine"] - small[p, "fast"]).abs().mean() for p in MASTERS}
    for preset in MASTERS:
        others = [(small[preset, "fine"] - small[other, "fine"]).abs().mean() for other in MASTERS if other != preset]
        assert between[preset] < min(others), preset


def test_blends_change_evenly_with_the_shares(photo, stylized_photo):
    munch, monet = stylize(photo, preset="munch"), stylize(photo, preset="monet")
    assert torch.equal(stylize(photo, preset="vangogh:2"), stylized_photo)
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    blends = [monet, *(stylize(photo, preset=f"monet:{1 - s},munch:{s}") for s in shares[1:-1]), munch]
    distance = (munch - monet).abs().mean()
    for one, next_one in pairwise(blends):
        assert 0.05 * distance < (one - next_one).abs().mean() < 0.8 * distance
    nearly = stylize(photo, preset="monet:0.501,munch:0.499")
    assert (nearly - blends[2]).abs().mean() < 0.03 * distance


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.5, 2))
def test_the_working_resolution_has_a_constant_area_and_the_aspect_of_the_frame(height, width, stroke):
    rows, columns = working_size(height, width, stroke)
    assert rows >= 1
    assert columns >= 1
    scale = (AREA / (height * width)) ** 0.5 / 2 ** (round(8 * math.log2(stroke)) / 8)
    assert scale * stroke == pytest.approx((AREA / (height * width)) ** 0.5, rel=0.05)
    if 1 / NEAR < scale < NEAR:
        assert (rows, columns) == (height, width)
    elif scale <= 6:
        assert rows == pytest.approx(height * scale, abs=1)
        assert columns == pytest.approx(width * scale, abs=1)


def test_a_stroke_that_changes_takes_few_sizes():
    sizes = {working_size(720, 1280, 1 + number / 1000) for number in range(1001)}
    assert len(sizes) == 8


def test_strokes_scale_with_the_frame(photo):
    """A frame of twice the size gives the same result at twice the size."""
    large = F.interpolate(photo[None], (480, 640), mode="bicubic", antialias=True)[0].clamp(0, 1)
    again = F.interpolate(stylize(large)[None], photo.shape[1:], mode="bicubic", antialias=True)[0]
    small = stylize(photo)
    assert (again - small).abs().mean() < 0.25 * (small - photo).abs().mean()


def test_stroke_makes_strokes_larger(photo):
    """The ratio of detail of 3 to 9 pixels to that of 9 to 33 pixels decreases."""
    large = F.interpolate(photo[None], (720, 960), mode="bicubic")[0].clamp(0, 1)
    shares = []
    for stroke in (0.5, 1.0, 2.0):
        stylized = stylize(large, stroke=stroke)[None]
        fine, middle, coarse = (F.avg_pool2d(stylized, size, stride=1, padding=size // 2) for size in (3, 9, 33))
        shares.append((fine - middle).abs().mean() / (middle - coarse).abs().mean())
    assert shares[2] < 0.9 * min(shares[:2]), shares


def test_fades_to_black_and_white_are_kept():
    """Even if all frames are uniform."""
    grays = [luma(stylize(torch.full((3, 36, 64), level))).mean() for level in (0.0, 0.03, 0.06, 0.1)]
    assert grays[0] == 0
    assert grays == sorted(grays)
    assert luma(stylize(torch.ones(3, 36, 64))).mean() == 1


def stylize_all(images, cuts=(), **settings):
    step, memory = Style(**settings).build(CPU), {}
    frames = [Frame(x, Fraction(n, 25), Fraction(1, 25), cut=n in cuts) for n, x in enumerate(images)]
    return [stylized.image for frame in frames for stylized in step(frame, memory)]


@pytest.fixture(scope="module")
def still(photo):
    """A still shot with camera noise."""
    generator = torch.Generator().manual_seed(3)
    return [(photo + 0.01 * torch.randn(photo.shape, generator=generator)).clamp(0, 1) for _ in range(6)]


@pytest.fixture(scope="module")
def independent_changes(still):
    return changes(stylize_all(still, coherence="off"))


def changes(images):
    return [(second - first).abs().mean().item() for first, second in pairwise(images)]


@pytest.mark.parametrize("coherence", ["warp", "full"])
def test_still_shots_do_not_flicker(still, independent_changes, coherence):
    assert changes(stylize_all(still, coherence=coherence))[-1] < 0.3 * independent_changes[-1]


@pytest.mark.parametrize("coherence", ["warp", "full"])
def test_a_cut_resets_the_stylized_frame(still, photo, coherence):
    other = photo.flip(0).flip(2)
    images = stylize_all([still[0], still[1], other], cuts=(2,), coherence=coherence)
    assert torch.equal(images[2], stylize(other, coherence=coherence))


def test_undetected_cuts_do_not_blend_frames(still, photo):
    other = photo.flip(0).flip(2)
    images = stylize_all([still[0], still[1], other])
    alone = stylize(other)
    assert (images[2] - alone).abs().mean() < 0.15 * (images[1] - alone).abs().mean()


def test_both_parts_of_a_masked_frame_are_coherent(still, tmp_path):
    mask = Image.fromarray(np.repeat(np.linspace(0, 255, 320).astype("uint8")[None], 240, 0))
    mask.save(tmp_path / "mask.png")
    settings = {"mask": str(tmp_path / "mask.png"), "mask_preset": "munch"}
    coherent = changes(stylize_all(still, **settings))
    assert coherent[-1] < 0.4 * changes(stylize_all(still, coherence="off", **settings))[-1]


def test_blends_of_different_kinds_of_networks_mix_their_images(photo):
    vangogh, munch = (stylize(photo, preset=preset, quality="fast") for preset in ("vangogh", "munch"))
    mixed = stylize(photo, preset="vangogh:0.75,munch:0.25", quality="fast")
    torch.testing.assert_close(mixed, 0.75 * vangogh + 0.25 * munch, atol=2e-3, rtol=0)


def test_method_optimise(photo):
    small = F.interpolate(photo[None], (36, 48))[0]
    settings = {"method": "optimise", "iterations": 2, "stroke": 2.0, "preset": "munch:0.5,monet:0.5"}
    stylized = stylize(small, **settings)
    assert stylized.shape == small.shape
    assert not torch.equal(stylized, stylize(small, **(settings | {"iterations": 9})))


def test_passes_return_a_shot_when_it_has_ended(photo):
    small = F.interpolate(photo[None], (36, 48))[0]
    step = Style(method="optimise", iterations=4, passes=2, stroke=2.0).build(CPU)
    memory, returned = {}, []
    for number, cut in enumerate((False, False, True, False)):
        frame = Frame(small.roll(number, -1), Fraction(number, 25), Fraction(1, 25), cut=cut, alpha=small[:1])
        returned.append([output.pts for output in step(frame, memory)])
    rest = list(step(None, memory))
    assert returned == [[], [], [0, Fraction(1, 25)], []]
    assert [output.pts for output in rest] == [Fraction(2, 25), Fraction(3, 25)]
    assert all(torch.equal(output.alpha, small[:1]) and output.image.shape == small.shape for output in rest)
    assert not memory


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 1.5}, "strength is 1.5, but must be a number from 0 to 1"),
        ({"strength": "much"}, "strength is 'much'"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"preserve_color": 1}, "preserve_color is 1, but must be true or false"),
        ({"preset": ""}, "preset is ''"),
        ({"stroke": 3}, "stroke is 3, but must be a number from 0.5 to 2"),
        ({"quality": "best"}, "unknown quality of style 'best'"),
        ({"coherence": "some"}, "unknown coherence of style 'some'"),
        ({"motion": "tv"}, "unknown motion of style 'tv'"),
        ({"method": "optimize"}, "did you mean optimise"),
        ({"iterations": 0}, "iterations is 0, but must be a whole number from 1 to 10000"),
        ({"passes": 101}, "passes is 101, but must be a whole number from 1 to 100"),
        ({"passes": 2}, "several passes need method=optimise"),
        ({"passes": 2, "method": "optimise", "blend": "munch"}, "several passes work with one preset"),
        ({"mask_preset": "munch"}, "mask_preset is for the black part of a mask"),
    ],
)
def test_invalid_settings_are_errors(settings, message):
    with pytest.raises(StreamfxError) as error:
        Style(**settings)
    assert message in str(error.value)


def test_unknown_presets_are_errors():
    with pytest.raises(StreamfxError, match="did you mean vangogh"):
        Style(preset="van-gogh").build(CPU)


def test_creating_a_style_does_not_import_torch():
    program = "import sys; from streamfx.effects.style import Style; Style(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0

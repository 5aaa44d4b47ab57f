"""The style effect: settings, mixing, sizes; and the shipped presets' freedom from grids and borders."""

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

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color import luma
from streamfx.presets import QUALITIES
from streamfx.styletransfer.working_resolution import AREA, NEAR, working_size

CPU = torch.device("cpu")
MASTERS = ("cezanne", "hokusai", "monet", "munch", "renoir", "seurat", "turner", "vangogh")
every_painter = pytest.mark.parametrize(("preset", "quality"), [(p, q) for p in MASTERS for q in QUALITIES])


def frame_of(image, **more):
    return Frame(image, Fraction(7, 25), Fraction(1, 25), **more)


def paint(image, **settings):
    (painted,) = Style(**settings).build(CPU)(frame_of(image), {})
    return painted.image


@pytest.fixture(scope="module")
def photo():
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (240, 320), mode="bilinear", antialias=True)[0]


@pytest.fixture(scope="module")
def painting(photo):
    return paint(photo)


def test_the_frame_keeps_all_but_its_picture(photo):
    source = frame_of(photo, cut=True, alpha=torch.rand(1, 240, 320))
    before = photo.clone()
    step, memory = Style().build(CPU), {}
    (painted,) = step(source, memory)
    assert (painted.pts, painted.duration, painted.cut) == (source.pts, source.duration, True)
    assert painted.alpha is source.alpha
    assert painted.image.shape == photo.shape
    assert 0 <= painted.image.min() < painted.image.max() <= 1
    assert torch.equal(photo, before)
    assert list(step(None, memory)) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 1), (35, 77)])
def test_any_size(size):
    assert paint(torch.rand(3, *size)).shape == (3, *size)


def test_one_step_takes_a_change_of_size():
    step = Style().build(CPU)
    for size in ((8, 12), (12, 8), (8, 12)):
        (painted,) = step(frame_of(torch.rand(3, *size)), {})
        assert painted.image.shape == (3, *size)


def test_strength_goes_from_the_source_to_the_painting(photo, painting):
    assert torch.equal(paint(photo, strength=0.0), photo)
    torch.testing.assert_close(paint(photo, strength=0.25), 0.75 * photo + 0.25 * painting)


def test_preserve_color_keeps_the_chroma(photo):
    """Where nothing was clipped, the distances of the channels from luma are the source's."""
    kept = paint(photo, preserve_color=True)
    inside = ((kept > 0.001) & (kept < 0.999)).all(0)
    assert inside.float().mean() > 0.5
    torch.testing.assert_close((kept - luma(kept))[:, inside], (photo - luma(photo))[:, inside], atol=1e-4, rtol=0)


def test_van_gogh_is_blue_and_yellow(photo, painting):
    grey = luma(photo).expand(3, -1, -1)
    blue = painting[2] - painting[0]  # van Gogh's night, even of a grey photo
    assert paint(grey)[2].mean() > paint(grey)[0].mean() + 0.03
    assert blue.max() > 0.2
    assert blue.min() < -0.05


@every_painter
def test_there_are_strokes_and_what_was_light_stays_light(photo, preset, quality):
    """The photo stays readable: the light over areas of 16 pixels goes with the photo's."""
    painting = paint(photo, preset=preset, quality=quality)
    smooth = F.avg_pool2d(painting[None], 9, stride=1, padding=4)[0]
    assert (painting - smooth).abs().mean() > 0.02
    pooled = torch.stack([F.avg_pool2d(luma(image)[None], 16).flatten() for image in (photo, painting)])
    assert torch.corrcoef(pooled)[0, 1] > 0.7
    assert luma(paint(photo * 0.1, preset=preset, quality=quality)).mean() < 0.7 * luma(painting).mean()


@every_painter
@pytest.mark.parametrize("level", [0.2, 0.5, 0.85])
def test_a_flat_field_has_no_grid_no_borders_and_no_blotches(level, preset, quality):
    size = (720, 1280)
    painted = paint(
        torch.full((3, *size), level) + torch.tensor([-0.05, 0.0, 0.08]).view(3, 1, 1), preset=preset, quality=quality
    )
    inner = painted[:, 40:-40, 40:-40]
    phases = F.pixel_unshuffle(inner[None], 8).view(3, 64, -1).mean(2)
    dots = 2 if preset == "seurat" else 1  # his lie close, and in rows in places
    assert phases.std(1).max() < dots * (1.9 if quality == "fine" else 2.0) / 255, "a grid of 8x8"
    areas = F.avg_pool2d(luma(inner)[None], 64)
    assert areas.std() < 0.06, "blotches"
    middle = luma(inner).mean()
    for border in (painted[:, :8], painted[:, -8:], painted[..., :8], painted[..., -8:]):
        assert abs(luma(border).mean() - middle) < 0.06, "a border"


def test_both_qualities_have_one_look(photo):
    """They are nearer to each other than any two masters are."""
    small = {
        (preset, quality): F.avg_pool2d(paint(photo, preset=preset, quality=quality), 16)
        for preset in MASTERS
        for quality in QUALITIES
    }
    between = {p: (small[p, "fine"] - small[p, "fast"]).abs().mean() for p in MASTERS}
    for preset in MASTERS:
        others = [(small[preset, "fine"] - small[other, "fine"]).abs().mean() for other in MASTERS if other != preset]
        assert between[preset] < min(others), preset


def test_a_blend_lies_between_and_moves_evenly(photo, painting):
    munch, monet = paint(photo, preset="munch"), paint(photo, preset="monet")
    assert torch.equal(paint(photo, preset="vangogh:2"), painting)
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    blends = [monet, *(paint(photo, preset=f"monet:{1 - s},munch:{s}") for s in shares[1:-1]), munch]
    apart = (munch - monet).abs().mean()
    for one, next_one in pairwise(blends):
        assert 0.05 * apart < (one - next_one).abs().mean() < 0.8 * apart
    nearly = paint(photo, preset="monet:0.501,munch:0.499")
    assert (nearly - blends[2]).abs().mean() < 0.02 * apart


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.5, 2))
def test_the_canvas_has_one_area_and_the_shape_of_the_frame(height, width, stroke):
    rows, columns = working_size(height, width, stroke)
    assert rows >= 1
    assert columns >= 1
    scale = (AREA / (height * width)) ** 0.5 / stroke
    if 1 / NEAR < scale < NEAR:
        assert (rows, columns) == (height, width)
    elif scale <= 6:
        assert rows == pytest.approx(height * scale, abs=1)
        assert columns == pytest.approx(width * scale, abs=1)


def test_strokes_are_as_large_at_every_size(photo):
    """A frame twice as large gets the same painting, twice as large."""
    large = F.interpolate(photo[None], (480, 640), mode="bicubic", antialias=True)[0].clamp(0, 1)
    again = F.interpolate(paint(large)[None], photo.shape[1:], mode="bicubic", antialias=True)[0]
    small = paint(photo)
    assert (again - small).abs().mean() < 0.25 * (small - photo).abs().mean()


def test_stroke_makes_strokes_larger(photo):
    """Less of the painting's detail lies between three and nine pixels, more between that and 33."""
    large = F.interpolate(photo[None], (720, 960), mode="bicubic")[0].clamp(0, 1)
    shares = []
    for stroke in (0.5, 1.0, 2.0):
        painted = paint(large, stroke=stroke)[None]
        fine, middle, coarse = (F.avg_pool2d(painted, size, stride=1, padding=size // 2) for size in (3, 9, 33))
        shares.append((fine - middle).abs().mean() / (middle - coarse).abs().mean())
    assert shares[2] < 0.9 * min(shares[:2]), shares


def test_a_film_that_fades_fades_as_a_painting():
    """Also where every frame is plain, and to the end."""
    greys = [luma(paint(torch.full((3, 36, 64), level))).mean() for level in (0.0, 0.03, 0.06, 0.1)]
    assert greys[0] == 0
    assert greys == sorted(greys)
    assert luma(paint(torch.ones(3, 36, 64))).mean() == 1


def film_of(images, cuts=(), **settings):
    step, memory = Style(**settings).build(CPU), {}
    frames = [Frame(x, Fraction(n, 25), Fraction(1, 25), cut=n in cuts) for n, x in enumerate(images)]
    return [painted.image for frame in frames for painted in step(frame, memory)]


@pytest.fixture(scope="module")
def still(photo):
    """A still shot, with the noise of a camera."""
    generator = torch.Generator().manual_seed(3)
    return [(photo + 0.01 * torch.randn(photo.shape, generator=generator)).clamp(0, 1) for _ in range(6)]


@pytest.fixture(scope="module")
def unsteady(still):
    return changes(film_of(still, coherence="off"))


def changes(film):
    return [(second - first).abs().mean().item() for first, second in pairwise(film)]


@pytest.mark.parametrize("coherence", ["warp", "full"])
def test_a_still_shot_is_painted_still(still, unsteady, coherence):
    assert changes(film_of(still, coherence=coherence))[-1] < 0.3 * unsteady[-1]


@pytest.mark.parametrize("coherence", ["warp", "full"])
def test_a_cut_begins_anew(still, photo, coherence):
    other = photo.flip(0).flip(2)
    film = film_of([still[0], still[1], other], cuts=(2,), coherence=coherence)
    assert torch.equal(film[2], paint(other, coherence=coherence))


def test_what_cannot_be_followed_is_painted_anew(still, photo):
    """Even if nobody marked the cut."""
    other = photo.flip(0).flip(2)
    film = film_of([still[0], still[1], other])
    alone = paint(other)
    assert (film[2] - alone).abs().mean() < 0.15 * (film[1] - alone).abs().mean()


def test_masks_leave_two_paintings_that_both_hold_still(still, tmp_path):
    mask = Image.fromarray(np.repeat(np.linspace(0, 255, 320).astype("uint8")[None], 240, 0))
    mask.save(tmp_path / "mask.png")
    settings = {"mask": str(tmp_path / "mask.png"), "mask_preset": "munch"}
    steady = changes(film_of(still, **settings))
    assert steady[-1] < 0.4 * changes(film_of(still, coherence="off", **settings))[-1]


def test_blends_of_different_kinds_of_networks_mix_their_images(photo, painting):
    munch = paint(photo, preset="munch")
    mixed = paint(photo, preset="vangogh:0.75,munch:0.25")
    torch.testing.assert_close(mixed, 0.75 * painting + 0.25 * munch, atol=2e-3, rtol=0)


def test_by_iteration_with_the_same_settings_otherwise(photo):
    small = F.interpolate(photo[None], (36, 48))[0]
    settings = {"method": "optimise", "iterations": 2, "stroke": 2.0, "preset": "munch:0.5,monet:0.5"}
    painted = paint(small, **settings)
    assert painted.shape == small.shape
    assert not torch.equal(painted, paint(small, **(settings | {"iterations": 9})))


def test_passes_hold_a_shot_and_paint_it_when_it_has_ended(photo):
    small = F.interpolate(photo[None], (36, 48))[0]
    step = Style(method="optimise", iterations=4, passes=2, stroke=2.0).build(CPU)
    memory, came = {}, []
    for number, cut in enumerate((False, False, True, False)):
        frame = Frame(small.roll(number, -1), Fraction(number, 25), Fraction(1, 25), cut=cut, alpha=small[:1])
        came.append([made.pts for made in step(frame, memory)])
    rest = list(step(None, memory))
    assert came == [[], [], [0, Fraction(1, 25)], []]
    assert [made.pts for made in rest] == [Fraction(2, 25), Fraction(3, 25)]
    assert all(torch.equal(made.alpha, small[:1]) and made.image.shape == small.shape for made in rest)
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
        ({"mask_preset": "munch"}, "mask_preset is for the black part of a mask"),
    ],
)
def test_wrong_settings_say_what_is_allowed(settings, message):
    with pytest.raises(StreamfxError) as error:
        Style(**settings)
    assert message in str(error.value)


def test_an_unknown_preset_is_refused_when_built():
    with pytest.raises(StreamfxError, match="did you mean vangogh"):
        Style(preset="van-gogh").build(CPU)


def test_describing_a_style_imports_no_torch():
    program = "import sys; from streamfx.effects.style import Style; Style(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0

"""The style effect: settings, mixing, sizes; and the shipped painting's freedom from grids and borders."""

import subprocess
import sys
from fractions import Fraction

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.ops.color import luma

CPU = torch.device("cpu")


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


def test_the_painting_is_blue_and_yellow_and_has_strokes(photo, painting):
    grey = luma(photo).expand(3, -1, -1)
    blue = painting[2] - painting[0]  # van Gogh's night, even of a grey photo
    assert paint(grey)[2].mean() > paint(grey)[0].mean() + 0.03
    assert blue.max() > 0.2
    assert blue.min() < -0.05
    smooth = F.avg_pool2d(painting[None], 9, stride=1, padding=4)[0]
    assert (painting - smooth).abs().mean() > 0.03


def test_what_was_light_stays_light(photo, painting):
    """The photo stays readable: the light over areas of 16 pixels goes with the photo's."""
    pooled = torch.stack([F.avg_pool2d(luma(image)[None], 16).flatten() for image in (photo, painting)])
    assert torch.corrcoef(pooled)[0, 1] > 0.7


@pytest.mark.parametrize("level", [0.2, 0.5, 0.85])
def test_a_flat_field_has_no_grid_no_borders_and_no_blotches(level):
    size = (256, 384)
    painted = paint(torch.full((3, *size), level) + torch.tensor([-0.05, 0.0, 0.08]).view(3, 1, 1))
    inner = painted[:, 32:-32, 32:-32]
    phases = F.pixel_unshuffle(inner[None], 4).view(3, 16, -1).mean(2)
    assert phases.std(1).max() < 1.5 / 255, "a grid of 4x4"
    areas = F.avg_pool2d(luma(inner)[None], 32)
    assert areas.std() < 0.06, "blotches"
    middle = luma(inner).mean()
    for border in (painted[:, :6], painted[:, -6:], painted[..., :6], painted[..., -6:]):
        assert abs(luma(border).mean() - middle) < 0.06, "a border"


def test_a_dark_frame_stays_darker_than_a_bright_one(photo):
    assert luma(paint(photo * 0.15)).mean() < luma(paint(photo)).mean() - 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 1.5}, "strength is 1.5, but must be a number from 0 to 1"),
        ({"strength": "much"}, "strength is 'much'"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"preserve_color": 1}, "preserve_color is 1, but must be true or false"),
        ({"preset": ""}, "preset is ''"),
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

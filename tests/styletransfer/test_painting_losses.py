"""What makes a painting good: styles are told apart, kept in files, mixed; changes without a reason cost."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage import data
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.painting_losses import (
    Eye,
    PaintingLoss,
    flicker_loss,
    fringe_loss,
    fringes,
    gram,
    learn_targets,
    load_targets,
    mix_targets,
    save_targets,
    stray_loss,
)

SETTINGS = TrainingSettings()


def picture(image):
    image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (96, 96), mode="bilinear", antialias=True)


CAT, CUP = picture(data.chelsea()), picture(data.coffee())


@pytest.fixture(scope="module")
def eyes():
    return [Eye(SETTINGS, network) for network in SETTINGS.style_layers]


@pytest.fixture(scope="module")
def cat(eyes):
    return learn_targets([(CAT[0], 1.0)], SETTINGS, eyes)


@pytest.fixture(scope="module")
def cup(eyes):
    return learn_targets([(CUP[0], 1.0)], SETTINGS, eyes)


def style_of(image, targets, eye):
    return PaintingLoss(targets, SETTINGS)(eye.compare(image, image))["style"].item()


def test_gram_matrices_are_means_of_products():
    x = torch.rand(2, 3, 4, 5)
    assert torch.allclose(gram(x)[1, 0, 2], (x[1, 0] * x[1, 2]).mean())


def test_marks_in_all_colours_cost_and_marks_of_light_do_not():
    marked, lit = CAT.clone(), CAT.clone()
    spot = torch.rand(3, 8, 8)
    marked[..., 20:28, 30:38] = spot
    lit[..., 20:28, 30:38] = spot[:1]
    own = fringes(CAT)
    assert fringe_loss(CAT, own).item() == 0
    assert fringe_loss(marked, own).item() > 0.5
    assert fringe_loss(lit, own).item() < 0.2 * fringe_loss(marked, own).item()


def test_a_few_pixels_of_a_hue_the_painting_has_not_cost(cat):
    violet = CAT.clone()
    violet[..., :, 40:42] = torch.tensor([0.6, 0.0, 1.0]).view(3, 1, 1)
    own, strange = (stray_loss(image, cat.palette).item() for image in (CAT, violet))
    assert strange > own + 0.1


def test_plain_pictures_have_no_fringes_and_a_gradient():
    plain = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    fringe_loss(plain, torch.zeros(2)).backward()
    assert plain.grad.isfinite().all()
    assert fringes(plain).max() < 1e-3


def test_targets_of_once_limit_no_fringes(tmp_path, cat):
    save_targets(file := tmp_path / "targets.safetensors", {"cat": cat})
    state = load_file(file)
    del state["cat/fringes"]
    with safe_open(file, "pt") as kept:
        save_file(state, file, kept.metadata())
    assert fringe_loss(CAT, load_targets(file, "cat").fringes).item() == 0


def test_a_painting_has_its_own_style_in_the_eyes_of_each_network(eyes, cat, cup):
    assert len(eyes) == 2
    for eye in eyes:
        assert style_of(CAT, cat, eye) < 0.02 * style_of(CUP, cat, eye)
        assert style_of(CUP, cup, eye) < 0.02 * style_of(CAT, cup, eye)


def test_content_is_that_of_the_photo(eyes, cat):
    loss = PaintingLoss(cat, SETTINGS)
    with torch.no_grad():
        same, other = (loss(eyes[0].compare(painted, CAT))["content"] for painted in (CAT, CUP))
    assert same < 1e-3 < other


def test_targets_come_back_from_a_file(tmp_path, eyes, cat, cup):
    file = tmp_path / "targets.safetensors"
    save_targets(file, {"cat": cat, "cup": cup})
    for eye in eyes:
        assert style_of(CAT, load_targets(file, "cat"), eye) == pytest.approx(style_of(CAT, cat, eye), abs=0.01)
        assert style_of(CAT, load_targets(file, "cup"), eye) == pytest.approx(style_of(CAT, cup, eye), rel=0.05)
    with pytest.raises(StreamfxError, match="did you mean cat"):
        load_targets(file, "car")


def test_mixed_targets_lie_between(eyes, cat, cup):
    mixed = mix_targets([(cat, 0.5), (cup, 0.5)])
    for own, first, second in zip(*(each.grams["lite0"] for each in (mixed, cat, cup))):
        assert torch.allclose(own["stem"], (first["stem"] + second["stem"]) / 2)
    assert style_of(CAT, mixed, eyes[0]) < style_of(CAT, cup, eyes[0])


def test_only_change_that_is_seen_and_has_no_reason_is_flicker():
    still, visible, none = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert flicker_loss(still, still, none, visible) == 0
    assert flicker_loss(still + 0.1, still, none, visible) == pytest.approx(0.01)
    assert flicker_loss(still + 0.1, still, none + 0.1, visible) == pytest.approx(0, abs=1e-9)
    assert flicker_loss(still + 0.1, still, none, none) == 0

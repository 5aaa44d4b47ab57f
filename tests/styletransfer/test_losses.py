"""The losses tell styles apart, and penalize fringes, grids, uniform areas and flicker; targets survive files."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage import data
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.presets import TrainingSettings
from streamfx.styletransfer.losses import (
    FeatureExtractor,
    StyleLoss,
    alignment_loss,
    build_targets,
    content_target,
    contrast_loss,
    flicker_loss,
    fringe_loss,
    fringes,
    gram,
    grid_loss,
    load_targets,
    mix_targets,
    save_targets,
    stray_loss,
)

SETTINGS = TrainingSettings(per_image=1.0)


def load(image):
    image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (192, 192), mode="bilinear", antialias=True)


CAT, CUP = load(data.chelsea()), load(data.coffee())


@pytest.fixture(scope="module")
def extractors():
    return [FeatureExtractor(SETTINGS, network) for network in SETTINGS.style_layers]


@pytest.fixture(scope="module")
def cat(extractors):
    return build_targets([(CAT[0], 1.0)], SETTINGS, extractors)


@pytest.fixture(scope="module")
def cup(extractors):
    return build_targets([(CUP[0], 1.0)], SETTINGS, extractors)


@torch.no_grad()
def losses_of(image, targets, extractor, photo=None, octave=0):
    photo = image if photo is None else photo
    torch.manual_seed(0)
    return StyleLoss(targets, SETTINGS)(image, photo, content_target(photo, extractor), extractor, octave)


def test_gram_matrices_are_means_of_products():
    x = torch.rand(2, 3, 4, 5)
    assert torch.allclose(gram(x)[1, 0, 2], (x[1, 0] * x[1, 2]).mean())


def test_each_extractor_distinguishes_the_styles(extractors, cat, cup):
    assert len(extractors) == 2
    for extractor in extractors:
        for term in ("gram", "wasserstein", "contrast"):
            assert losses_of(CAT, cat, extractor)[term] < 0.1 * losses_of(CUP, cat, extractor)[term]
            assert losses_of(CUP, cup, extractor)[term] < 0.1 * losses_of(CAT, cup, extractor)[term]


def test_half_an_image_is_close_to_its_own_style_at_the_next_octave(extractors, cat, cup):
    half = F.avg_pool2d(CAT, 2)
    own, other = (losses_of(half, targets, extractors[0], octave=1)["gram"] for targets in (cat, cup))
    assert own < 0.1 * other


def test_content_loss_compares_with_the_photo(extractors, cat):
    same, other = (losses_of(image, cat, extractors[0], photo=CAT)["content"] for image in (CAT, CUP))
    assert same < 1e-3 < other


def test_content_weighs_more_where_the_photo_has_detail(extractors):
    photo = torch.full((1, 3, 192, 192), 0.5)
    photo[..., :96] = torch.rand(1, 3, 192, 96)
    (weights,) = content_target(photo, extractors[0]).weights.values()
    assert weights[..., :8].mean() > 1.5 * weights[..., -8:].mean()


def test_detail_shifts_weight_from_style_to_content(cat):
    loss = StyleLoss(cat, SETTINGS)
    one = torch.ones(())
    assert loss.total({"content": one}, 1.0) > loss.total({"content": one}, 0.0)
    assert loss.total({"gram": one}, 1.0) < loss.total({"gram": one}, 0.0)


def test_uniform_areas_increase_the_contrast_loss(cat):
    plain = CAT.clone()
    plain[..., :96, :] = 0.5
    assert contrast_loss(plain, cat.contrast) > 10 * contrast_loss(CAT, cat.contrast) + 0.1


def test_strokes_in_one_direction_lower_the_alignment_loss():
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 192, 192)
    strokes = F.interpolate(noise[..., ::16], (192, 192), mode="bilinear")
    strokes = 0.5 + 0.3 * (strokes - 0.5)
    targets = build_targets([(strokes[0], 1.0)], SETTINGS, [])
    assert targets.alignment.shape[0] == 4
    assert 0 <= targets.alignment.min() <= targets.alignment.max() <= 1
    assert alignment_loss(strokes, targets.alignment) < 1e-3
    assert alignment_loss(strokes.mT, targets.alignment) < 1e-3  # whichever direction
    assert alignment_loss(noise, targets.alignment) > 0.05


def test_uniform_images_have_a_finite_alignment_gradient():
    plain = torch.full((1, 3, 192, 192), 0.5, requires_grad=True)
    alignment_loss(plain, torch.linspace(0, 1, 64).repeat(4, 1)).backward()
    assert plain.grad.isfinite().all()


def test_a_faint_grid_increases_the_grid_loss():
    torch.manual_seed(0)
    grain = 0.5 + 0.01 * torch.randn(1, 3, 192, 192)
    grid = grain.clone()
    grid[..., ::16, :] += 0.01
    assert grid_loss(grid) > 5 * grid_loss(grain)


def test_spots_of_alternating_hue_are_penalized():
    colored, lit = CAT.clone(), CAT.clone()
    spot = torch.rand(3, 8, 8)
    colored[..., 20:28, 30:38] = spot
    lit[..., 20:28, 30:38] = spot[:1]
    own = fringes(CAT)
    assert fringe_loss(CAT, own).item() == 0
    assert fringe_loss(colored, own).item() > 0.2
    assert fringe_loss(lit, own).item() < 0.2 * fringe_loss(colored, own).item()


def test_uniform_images_have_no_fringes_and_a_finite_gradient():
    plain = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    fringe_loss(plain, torch.zeros(2)).backward()
    assert plain.grad.isfinite().all()
    assert fringes(plain).max() < 1e-3


def test_a_few_pixels_of_a_foreign_hue_increase_the_stray_loss(cat):
    violet = CAT.clone()
    violet[..., :, 40:44] = torch.tensor([0.6, 0.0, 1.0]).view(3, 1, 1)
    own, strange = (stray_loss(image, cat.palette).item() for image in (CAT, violet))
    assert strange > own + 0.1


def test_targets_survive_a_round_trip_through_a_file(tmp_path, extractors, cat, cup):
    save_targets(file := tmp_path / "targets.safetensors", {"cat": cat, "cup": cup})
    for extractor in extractors:
        for term in ("gram", "wasserstein", "contrast", "palette"):
            stored, exact = (losses_of(CUP, t, extractor)[term].item() for t in (load_targets(file, "cat"), cat))
            assert stored == pytest.approx(exact, rel=0.05)
    with pytest.raises(StreamfxError, match="did you mean cat"):
        load_targets(file, "car")


def test_incomplete_target_files_are_refused(tmp_path, cat):
    save_targets(file := tmp_path / "targets.safetensors", {"cat": cat})
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(file)
    for missing in ("cat/alignment", "cat/gram/lite0/0/stem"):
        save_file({key: value for key, value in state.items() if not key.startswith(missing)}, file, metadata)
        if missing == "cat/alignment":
            with pytest.raises(StreamfxError, match="missing"):
                load_targets(file, "cat")
    save_file(state | {"cat/odd/entry": torch.zeros(1)}, file, metadata)
    with pytest.raises(StreamfxError, match="unexpected entry"):
        load_targets(file, "cat")


def test_mixed_targets_are_interpolated(extractors, cat, cup):
    mixed = mix_targets([(cat, 0.5), (cup, 0.5)])
    for own, first, second in zip(*(targets.grams["lite0"] for targets in (mixed, cat, cup))):
        assert torch.allclose(own["stem"], (first["stem"] + second["stem"]) / 2)
    mixed_loss, cup_loss = (losses_of(CAT, targets, extractors[0])["gram"] for targets in (mixed, cup))
    assert mixed_loss < cup_loss


def test_only_visible_unexplained_change_is_flicker():
    still, visible, none = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert flicker_loss(still, still, none, visible) == 0
    assert flicker_loss(still + 0.1, still, none, visible) == pytest.approx(0.01)
    assert flicker_loss(still + 0.1, still, none + 0.1, visible) == pytest.approx(0, abs=1e-9)
    assert flicker_loss(still + 0.1, still, none, none) == 0

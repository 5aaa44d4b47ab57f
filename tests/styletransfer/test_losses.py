"""The losses tell styles apart, and penalize uniform areas and foreign colors."""

import torch
from torch.nn import functional as F

from streamfx.styletransfer.losses import (
    StyleLoss,
    alignment_loss,
    build_targets,
    content_target,
    contrast_loss,
    gram,
    stray_loss,
)


def test_gram_matrices_are_means_of_products():
    x = torch.rand(2, 3, 4, 5)
    assert torch.allclose(gram(x)[1, 0, 2], (x[1, 0] * x[1, 2]).mean())


def test_each_extractor_distinguishes_the_styles(extractors, cat_style, cup_style, cat, cup, losses_of):
    assert len(extractors) == 2
    for extractor in extractors:
        for term in ("gram", "wasserstein", "contrast"):
            assert losses_of(cat, cat_style, extractor)[term] < 0.1 * losses_of(cup, cat_style, extractor)[term]
            assert losses_of(cup, cup_style, extractor)[term] < 0.1 * losses_of(cat, cup_style, extractor)[term]


def test_half_an_image_is_close_to_its_own_style_at_the_next_octave(extractors, cat_style, cup_style, cat, losses_of):
    half = F.avg_pool2d(cat, 2)
    own, other = (losses_of(half, targets, extractors[0], octave=1)["gram"] for targets in (cat_style, cup_style))
    assert own < 0.1 * other


def test_content_loss_compares_with_the_photo(extractors, cat_style, cat, cup, losses_of):
    same, other = (losses_of(image, cat_style, extractors[0], photo=cat)["content"] for image in (cat, cup))
    assert same < 1e-3 < other


def test_content_weighs_more_where_the_photo_has_detail(extractors):
    photo = torch.full((1, 3, 192, 192), 0.5)
    photo[..., :96] = torch.rand(1, 3, 192, 96)
    (weights,) = content_target(photo, extractors[0]).weights.values()
    assert weights[..., :8].mean() > 1.5 * weights[..., -8:].mean()


def test_detail_shifts_weight_from_style_to_content(cat_style, training_settings):
    loss = StyleLoss(cat_style, training_settings)
    one = torch.ones(())
    assert loss.total({"content": one}, 1.0) > loss.total({"content": one}, 0.0)
    assert loss.total({"gram": one}, 1.0) < loss.total({"gram": one}, 0.0)


def test_uniform_areas_increase_the_contrast_loss(cat_style, cat):
    plain = cat.clone()
    plain[..., :96, :] = 0.5
    assert contrast_loss(plain, cat_style.contrast) > 10 * contrast_loss(cat, cat_style.contrast) + 0.1


def test_strokes_in_one_direction_lower_the_alignment_loss(training_settings):
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 192, 192)
    strokes = F.interpolate(noise[..., ::16], (192, 192), mode="bilinear")
    strokes = 0.5 + 0.3 * (strokes - 0.5)
    targets = build_targets([(strokes[0], 1.0)], training_settings, [])
    assert targets.alignment.shape[0] == 4
    assert 0 <= targets.alignment.min() <= targets.alignment.max() <= 1
    assert alignment_loss(strokes, targets.alignment) < 1e-3
    assert alignment_loss(strokes.mT, targets.alignment) < 1e-3  # whichever direction
    assert alignment_loss(noise, targets.alignment) > 0.05


def test_uniform_images_have_a_finite_alignment_gradient():
    plain = torch.full((1, 3, 192, 192), 0.5, requires_grad=True)
    alignment_loss(plain, torch.linspace(0, 1, 64).repeat(4, 1)).backward()
    assert plain.grad.isfinite().all()


def test_a_few_pixels_of_a_foreign_hue_increase_the_stray_loss(cat_style, cat):
    violet = cat.clone()
    violet[..., :, 40:44] = torch.tensor([0.6, 0.0, 1.0]).view(3, 1, 1)
    own, strange = (stray_loss(image, cat_style.palette).item() for image in (cat, violet))
    assert strange > own + 0.1

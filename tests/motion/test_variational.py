"""Variational refinement: better than its start, smooth, and the solver reaches the solution."""

import torch
from torch.nn import functional as F

from streamfx.motion import variational
from streamfx.motion.variational import refine


def texture(height, width, seed=0, grain=4):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, height // grain + 2, width // grain + 2, generator=random)
    return 255 * F.interpolate(coarse, (height, width), mode="bicubic")[0, 0].clamp(0, 1)


def test_the_error_of_a_start_is_reduced():
    large = texture(50, 62)
    lumas = torch.stack([large[:, :-2], large[:, 2:]])  # the second is the first at x + 2
    start = torch.tensor([[-2.0, 0], [2, 0]]).view(2, 2, 1, 1).expand(2, 2, 50, 60)
    noise = 0.4 * torch.randn(start.shape, generator=torch.Generator().manual_seed(1))
    refined = refine(lumas, start + noise)
    before, after = ((motion - start)[..., 4:-4, 4:-4].norm(dim=1).mean() for motion in (start + noise, refined))
    assert before > 0.4
    assert after < 0.15


def test_exact_motion_and_flat_images_are_kept():
    image = texture(20, 30)
    still = torch.zeros(2, 2, 20, 30)
    torch.testing.assert_close(refine(torch.stack([image, image]), still), still, atol=1e-6, rtol=0)
    flat = torch.full((2, 20, 30), 90.0)
    torch.testing.assert_close(refine(flat, still + 1.5), still + 1.5)


def test_the_solver_converges(monkeypatch):
    """With many sweeps, the residual of the linear system vanishes: a further sweep changes nothing."""
    lumas = torch.stack([texture(12, 15), texture(12, 15, seed=1)]).double()
    motion = torch.randn(2, 2, 12, 15, generator=torch.Generator().manual_seed(2)).double()
    system = variational._data_term(variational._derivatives(lumas, motion), torch.zeros_like(motion))
    monkeypatch.setattr(variational, "SWEEPS", 400)
    solution = variational._solve(system, motion, torch.zeros_like(motion))
    monkeypatch.setattr(variational, "RELAXATION", 1.0)
    monkeypatch.setattr(variational, "SWEEPS", 1)
    assert variational._solve(system, motion, torch.zeros_like(motion)).isfinite().all()
    assert solution.isfinite().all()
    assert solution.abs().max() < 20

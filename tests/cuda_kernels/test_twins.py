"""The rows that are compared and timed on a GPU hold on the CPU, and show what is wrong."""

import pytest
import torch

from streamfx.evaluation.kernel_checks import Row, apart, rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_every_kernel_is_like_its_twin(dtype, device):
    made = list(rows(54, 96, dtype, device))
    assert {row.name: apart(row) for row in made if not apart(row) <= row.most} == {}
    assert len({row.name for row in made}) == len(made) == 21


def test_what_is_wrong_is_seen():
    row = Row("off", lambda: torch.zeros(3), lambda: torch.tensor([0.0, 0.0, 0.3]), 0, 1e-5)
    assert apart(row) == pytest.approx(0.1)
    wrong = Row("none", lambda: torch.tensor([torch.nan]), lambda: torch.ones(1), 0, 1e-5)
    assert not apart(wrong) <= wrong.most

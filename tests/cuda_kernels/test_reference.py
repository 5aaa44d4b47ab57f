"""The comparisons that `streamfx doctor --gpu` runs pass on the CPU, and detect wrong results."""

import pytest
import torch

from streamfx.evaluation.kernel_checks import Comparison, comparisons, mean_difference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_kernels_match_their_reference(dtype, device):
    rows = list(comparisons(54, 96, dtype, device))
    errors = {row.name: mean_difference(row) for row in rows}
    assert {row.name: errors[row.name] for row in rows if not errors[row.name] <= row.tolerance} == {}
    assert len(errors) == len(rows) == 22


def test_wrong_results_are_detected():
    row = Comparison("off", lambda: torch.zeros(3), lambda: torch.tensor([0.0, 0.0, 0.3]), 0, 1e-5)
    assert mean_difference(row) == pytest.approx(0.1)
    wrong = Comparison("none", lambda: torch.tensor([torch.nan]), lambda: torch.ones(1), 0, 1e-5)
    assert not mean_difference(wrong) <= wrong.tolerance

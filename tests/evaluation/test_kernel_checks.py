"""Comparisons of kernels with their reference: which differences count, and what the references compute."""

import math

import pytest
import torch

from streamfx.evaluation.kernel_checks import Comparison, comparisons, mean_difference, size_of

CPU = torch.device("cpu")


def comparison(result, expected):
    return Comparison("row", lambda: result, lambda: expected, 0, 1e-5)


def rows(height=34, width=50, dtype=torch.float32):
    return {row.name: row for row in comparisons(height, width, dtype, CPU)}


def outputs_of(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)


def test_the_difference_is_the_mean_of_the_worst_output():
    expected = torch.tensor([0.0, 1.0]), torch.zeros(4)
    results = torch.tensor([0.1, 1.1]), torch.tensor([0.0, 0.0, 0.0, -2.0])
    assert mean_difference(comparison(results, expected)) == pytest.approx(0.5)
    assert mean_difference(comparison(expected, expected)) == 0


def test_outputs_of_other_types_are_compared_as_numbers():
    """Unsigned 16-bit values must not wrap around, nor half precision overflow."""
    low, high = torch.tensor([3, 60000], dtype=torch.uint16), torch.tensor([5, 0], dtype=torch.uint16)
    assert mean_difference(comparison(low, high)) == 30001
    half = torch.full((70000,), 2.0, dtype=torch.float16)
    assert mean_difference(comparison(half, half * 2)) == 2


def test_missing_outputs_are_errors():
    with pytest.raises(ValueError, match="longer"):
        mean_difference(comparison([torch.zeros(2)], [torch.zeros(2), torch.zeros(2)]))
    with pytest.raises(RuntimeError, match="size"):
        mean_difference(comparison(torch.zeros(2), torch.zeros(3)))


def test_undefined_results_never_pass():
    for result in (math.nan, math.inf):
        assert not mean_difference(comparison(torch.tensor([result]), torch.zeros(1))) <= 1e30


def test_sizes_are_bytes():
    assert size_of(torch.zeros(3, 4), torch.zeros(5, dtype=torch.float16), torch.zeros(2, dtype=torch.uint8)) == 60


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_references_run_on_the_cpu_and_are_reproducible(dtype):
    first, second = rows(dtype=dtype), rows(dtype=dtype)
    for name, row in first.items():
        for one, other in zip(outputs_of(row.reference()), outputs_of(second[name].reference()), strict=True):
            assert one.double().isfinite().all(), name
            assert torch.equal(one, other), name


def test_every_row_has_a_tolerance_and_a_size():
    table = rows()
    assert len(table) == len(list(comparisons(34, 50, torch.float32, CPU)))  # different names
    assert all(row.tolerance > 0 for row in table.values())
    computing = ["lucas_kanade, whole", "search", "refine", "assess", "inverse search, whole"]
    assert [name for name, row in table.items() if not row.bytes] == computing
    image, plane = 3 * 34 * 50 * 4, 34 * 50 * 4
    assert table["blend"].bytes == 3 * image
    assert table["ring"].bytes == plane
    assert table["warp, bilinear"].bytes == 2 * image + 2 * plane


def test_half_precision_has_larger_tolerances_and_half_the_bytes():
    single, half = rows(), rows(dtype=torch.float16)
    assert single.keys() == half.keys()
    assert all(half[name].tolerance >= single[name].tolerance for name in half)
    assert half["warp, bicubic"].bytes < single["warp, bicubic"].bytes


@pytest.mark.parametrize("bits", [8, 10])
def test_planes_of_yuv_are_in_range(bits):
    y, uv = rows()["rgb_to_nv12" if bits == 8 else "rgb_to_p010"].reference()
    assert (y.shape, uv.shape[:2]) == ((34, 50), (17, 25))
    shift = 6 if bits == 10 else 0
    codes = y.to(torch.int32) >> shift
    assert (16 << bits - 8) <= codes.min() <= codes.max() <= (235 << bits - 8)


@pytest.mark.parametrize("size", [(34, 50), (54, 96), (270, 480)])
def test_masks_have_both_values_at_any_size(size):
    """Otherwise a kernel that always returns one of them would pass."""
    table = rows(*size)
    for name in ("consistency_mask", "ring"):
        mask = table[name].reference()
        assert mask.shape == (1, *size)
        assert 0 == mask.min() < mask.max() <= 1
        assert 0.05 < mask.mean() < 0.95, name

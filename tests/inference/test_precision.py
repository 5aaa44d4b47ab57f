"""The data type is chosen by measured rates, once for each machine."""

import pytest

from streamfx.inference import precision
from streamfx.inference.precision import Rates, rates


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rates.cache_clear()
    yield tmp_path
    rates.cache_clear()


@pytest.mark.parametrize(
    ("measured", "best", "hint"),
    [
        (Rates(474, 969, 400), "bf16", "bf16"),  # GFLOP/s
        (Rates(300, 170, 1100), "int8", "f32"),
        (Rates(233, 430, 780), "int8", "bf16"),
        (Rates(300, 310, 320), "fp32", "f32"),
        (Rates(300, 0, 100), "fp32", "f32"),
    ],
)
def test_the_fastest_type_wins_and_ties_go_to_the_most_precise(measured, best, hint):
    assert (measured.best, measured.hint) == (best, hint)


def test_rates_are_measured_once_and_kept(monkeypatch):
    first = rates()
    assert first.fp32 > 1
    assert first.int8 > 1
    rates.cache_clear()
    monkeypatch.setattr(precision, "_measure", lambda: pytest.fail("measured again"))
    assert rates() == first

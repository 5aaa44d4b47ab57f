"""Circle and ring masks."""

import pytest
import torch

from streamfx.ops.mix import circle, ring

CPU = torch.device("cpu")


@pytest.mark.parametrize("soft", [0.0, 3.0])
def test_circles_and_rings(soft):
    disk = circle((80, 100), (45, 35), 20, soft, CPU)
    assert disk.shape == (1, 80, 100)
    assert disk[0, 35, 45] == pytest.approx(1)
    assert disk[0, 35, 65] == pytest.approx(0.5, abs=1e-5)
    assert disk[0, 75, 5] == pytest.approx(0, abs=1e-6)
    assert disk.sum() == pytest.approx(torch.pi * (20**2 + soft**2), rel=0.005)
    hole = ring((80, 100), (45, 35), 10, 20, soft, CPU)
    torch.testing.assert_close(hole, disk - circle((80, 100), (45, 35), 10, soft, CPU), atol=1e-6, rtol=0)


def test_zero_or_negative_radius_is_empty():
    assert circle((8, 9), (4, 4), 0, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), -10, -3, 5, CPU).max() == 0
    assert ring((8, 9), (4, 4), 5, 3, 1, CPU).max() == 0

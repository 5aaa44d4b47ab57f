"""The consistency mask marks occlusions and motion boundaries."""

import torch

from streamfx.motion.occlusion import consistency_mask


def test_consistency_mask_of_a_shift():
    backward, forward = torch.zeros(2, 20, 30), torch.zeros(2, 20, 30)
    backward[0], forward[0] = -3, 3
    mask = consistency_mask(backward, forward)
    assert mask.shape == (1, 20, 30)
    assert mask[:, :, :3].max() == 0
    assert mask[:, :, 3:].min() == 1


def test_consistency_mask_for_inconsistent_flows_and_at_edges():
    backward, forward = torch.zeros(2, 20, 30), torch.zeros(2, 20, 30)
    forward[1, 5, 7] = 0.8
    forward[1, 9, 9] = 0.7
    assert torch.equal(consistency_mask(backward, forward)[0] == 0, forward[1] == 0.8)
    backward[1, :, 15:] = 0.1
    assert consistency_mask(backward, torch.zeros(2, 20, 30))[0, 10].tolist() == [1.0] * 14 + [0.0] * 2 + [1.0] * 14


def test_consistency_mask_of_a_batch():
    torch.manual_seed(0)
    flows = torch.randn(2, 3, 2, 9, 11)
    single = torch.stack([consistency_mask(*pair) for pair in zip(*flows)])
    assert torch.equal(consistency_mask(*flows), single)

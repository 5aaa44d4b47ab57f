"""RAFT with random weights: sizes, direction of the flow, and missing weights."""

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from streamfx.errors import StreamfxError
from streamfx.motion.flow import build_motion
from streamfx.motion.occlusion import Motion
from streamfx.motion.raft import build_raft

CPU = torch.device("cpu")


@pytest.fixture
def raft_file(tmp_path, monkeypatch):
    """The path of RAFT's weights in an empty torch.hub cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / Path(Raft_Small_Weights.C_T_V2.url).name


@pytest.fixture
def raft(raft_file):
    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), raft_file)
    return build_motion("raft", CPU)


@pytest.mark.parametrize("size", [(1, 1), (130, 141)])
def test_raft_runs_at_any_size(size, raft):
    before, after = torch.rand(2, 3, *size)
    motion = raft(before, after)
    assert isinstance(motion, Motion)
    assert (motion.flow.shape, motion.confidence.shape) == ((2, *size), (1, *size))
    assert 0 <= motion.confidence.min() <= motion.confidence.max() <= 1


def test_raft_flow_leads_from_current_to_previous():
    """The network is replaced by the brightness difference of its inputs."""
    estimate = build_raft(lambda first, second: [(first - second)[:, :2] / 2])
    motion = estimate(torch.zeros(3, 16, 20), torch.full((3, 16, 20), 0.25))
    torch.testing.assert_close(motion.flow, torch.full((2, 16, 20), 0.25))
    assert motion.confidence.max() < 0.01


def test_raft_without_internet(raft_file, monkeypatch):
    def offline(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(StreamfxError, match=r"https://download.pytorch.org/.*no route to host.*'dis'"):
        build_motion("raft", CPU)


def test_raft_with_other_weights(raft_file):
    torch.save({"a": torch.zeros(1)}, raft_file)
    with pytest.raises(StreamfxError, match="delete it"):
        build_motion("raft", CPU)

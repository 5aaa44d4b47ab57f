"""Weights on disk: whole, or refused in one line that says why."""

import pytest
import torch
from torch import nn

from streamfx.errors import StreamfxError
from streamfx.nets.weights import load_state, load_weights, save_weights


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_weights(path, nn.Linear(3, 2), "painter", {"channels": 3})
    return path


def test_round_trip_keeps_names_sizes_and_values_to_half_precision(tmp_path):
    net = nn.Linear(30, 20)
    path = tmp_path / "net.safetensors"
    save_weights(path, net, "painter", {"channels": 30})
    state, sizes = load_weights(path, "painter")
    assert sizes == {"channels": 30}
    torch.testing.assert_close(state["weight"], net.weight.detach(), atol=1e-3, rtol=1e-3)
    assert state["weight"].dtype == torch.float32
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]  # nothing else left behind
    assert path.stat().st_mode & 0o044 == 0o044  # others may read what is shipped


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StreamfxError, match=r"none\.safetensors are missing"):
        load_weights(tmp_path / "none.safetensors", "painter")


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_a_truncated_file_is_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(StreamfxError, match="not a whole safetensors file"):
        load_weights(file, "painter")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("hello, this is not a network\n" * 9)
    with pytest.raises(StreamfxError, match="not a whole safetensors file"):
        load_weights(path, "painter")


def test_weights_of_another_network_are_refused(file):
    with pytest.raises(StreamfxError, match="holds weights of painter"):
        load_weights(file, "flow")


@pytest.mark.parametrize("net", [nn.Linear(3, 4), nn.Linear(3, 2, bias=False), nn.Sequential(nn.Linear(3, 2))])
def test_a_state_that_does_not_fit_is_refused(file, net):
    state, _ = load_weights(file, "painter")
    with pytest.raises(StreamfxError, match="do not fit this network"):
        load_state(file, net, state)


def test_an_unwritable_target_is_one_line(tmp_path):
    with pytest.raises(StreamfxError, match="cannot write the weights"):
        save_weights(tmp_path / "no folder" / "x.safetensors", nn.Linear(1, 1), "painter", {})

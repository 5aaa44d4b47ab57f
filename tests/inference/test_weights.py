"""Weights on disk: whole, or refused in one line that says why."""

import json
import struct
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from streamfx.errors import StreamfxError
from streamfx.inference.weights import load_state, load_weights, save_weights


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_weights(path, nn.Linear(3, 2).state_dict(), "painter", {"channels": 3, "before": 0})
    return path


def test_round_trip_keeps_names_sizes_and_values_to_half_precision(tmp_path):
    net = nn.Linear(30, 20)
    path = tmp_path / "net.safetensors"
    save_weights(path, net.state_dict(), "painter", {"channels": 30, "before": 0})
    state, sizes = load_weights(path, "painter")
    assert sizes == {"channels": 30, "before": 0}
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
        save_weights(tmp_path / "no folder" / "x.safetensors", nn.Linear(1, 1).state_dict(), "painter", {})


@pytest.mark.parametrize(
    "about",
    [
        {"network": "painter"},
        {"network": "painter", "sizes": ""},
        {"network": "painter", "sizes": "3"},
        {"network": "painter", "sizes": '{"channels": -1}'},
        {"network": "painter", "sizes": '{"channels": "many"}'},
    ],
)
def test_a_file_that_does_not_tell_its_sizes_is_refused(tmp_path, about):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=about)
    with pytest.raises(StreamfxError, match="does not say how large its network is"):
        load_weights(path, "painter")


@pytest.mark.parametrize("about", [None, {"format": "pt"}])
def test_a_file_of_somebody_else_is_refused(tmp_path, about):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=about)
    with pytest.raises(StreamfxError, match="holds weights of an unnamed network, not of a streamfx painter"):
        load_weights(path, "painter")


# --- files that lie


def lying(path, tensors, about=None, data=b""):
    """A safetensors file with this header, whatever stands behind it."""
    header = json.dumps({"__metadata__": about or {"network": "painter", "sizes": "{}"}, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F16", "shape": [100_000, 100_000], "data_offsets": [0, 20_000_000_000]},
        {"dtype": "F16", "shape": [100_000, 100_000], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40] * 8, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]},
    ],
)
def test_shapes_that_are_not_there(tmp_path, tensor):
    path = lying(tmp_path / "net.safetensors", {"weight": tensor}, data=bytes(4))
    with pytest.raises(StreamfxError, match="not a whole safetensors file"):
        load_weights(path, "painter")


def test_a_header_that_is_longer_than_the_file(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(StreamfxError, match="not a whole safetensors file"):
        load_weights(path, "painter")


def test_more_values_than_any_painter_has(tmp_path):
    """The file is a hole on the disk, so that its shapes are true."""
    size = 2 * 10_000 * 100_000
    tensor = {"dtype": "F16", "shape": [10_000, 100_000], "data_offsets": [0, size]}
    path = lying(tmp_path / "net.safetensors", {"weight": tensor})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size)
    with pytest.raises(StreamfxError, match=r"holds 1000000000 values, but \d+ at most are read"):
        load_weights(path, "painter")


def test_kinds_that_are_no_weights(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2, dtype=torch.complex64)}, path, metadata={"network": "painter"})
    with pytest.raises(StreamfxError, match="'weight' is of the kind C64; weights are F16"):
        load_weights(path, "painter")


@pytest.mark.parametrize("sizes", ["[" * 100_000, "9" * 5000, '{"a": 1e999}', '{"a": null}', "nan"])
def test_sizes_that_are_none(tmp_path, sizes):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"network": "painter", "sizes": sizes})
    with pytest.raises(StreamfxError, match="does not say how large its network is"):
        load_weights(path, "painter")


@given(st.data())
def test_changed_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    save_weights(path, {"a": torch.ones(3, 2), "b": torch.zeros(2)}, "painter", {"channels": 3})
    changed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))])
    with suppress(StreamfxError):
        load_weights(path, "painter")

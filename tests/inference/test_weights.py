"""Weights on disk: valid, or refused with a one-line error."""

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
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]  # no temporary file is left
    assert path.stat().st_mode & 0o044 == 0o044  # readable by other users


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(StreamfxError, match=r"weights file not found: .*none\.safetensors"):
        load_weights(tmp_path / "none.safetensors", "painter")


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_truncated_files_are_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(StreamfxError, match="not a valid safetensors file"):
        load_weights(file, "painter")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("hello, this is not a network\n" * 9)
    with pytest.raises(StreamfxError, match="not a valid safetensors file"):
        load_weights(path, "painter")


def test_weights_of_another_network_are_refused(file):
    with pytest.raises(StreamfxError, match="contains weights of painter"):
        load_weights(file, "flow")


@pytest.mark.parametrize("net", [nn.Linear(3, 4), nn.Linear(3, 2, bias=False), nn.Sequential(nn.Linear(3, 2))])
def test_weights_of_wrong_shape_are_refused(file, net):
    state, _ = load_weights(file, "painter")
    with pytest.raises(StreamfxError, match="do not fit this network"):
        load_state(file, net, state)


def test_unwritable_target_is_an_error(tmp_path):
    with pytest.raises(StreamfxError, match="cannot write weights"):
        save_weights(tmp_path / "no folder" / "x.safetensors", nn.Linear(1, 1).state_dict(), "painter", {})


@pytest.mark.parametrize(
    "metadata",
    [
        {"network": "painter"},
        {"network": "painter", "sizes": ""},
        {"network": "painter", "sizes": "3"},
        {"network": "painter", "sizes": '{"channels": -1}'},
        {"network": "painter", "sizes": '{"channels": "many"}'},
    ],
)
def test_files_without_valid_sizes_are_refused(tmp_path, metadata):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(StreamfxError, match="has no valid network sizes"):
        load_weights(path, "painter")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_files_of_other_programs_are_refused(tmp_path, metadata):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(StreamfxError, match="contains weights of an unnamed network, not of a streamfx painter"):
        load_weights(path, "painter")


# --- malicious files


def write_file(path, tensors, metadata=None, data=b""):
    """A safetensors file with this header and any data."""
    header = json.dumps({"__metadata__": metadata or {"network": "painter", "sizes": "{}"}, **tensors}).encode()
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
def test_shapes_that_do_not_match_the_data_are_refused(tmp_path, tensor):
    path = write_file(tmp_path / "net.safetensors", {"weight": tensor}, data=bytes(4))
    with pytest.raises(StreamfxError, match="not a valid safetensors file"):
        load_weights(path, "painter")


def test_header_longer_than_the_file_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(StreamfxError, match="not a valid safetensors file"):
        load_weights(path, "painter")


def test_too_many_values_are_refused(tmp_path):
    """The shapes match the file, which is sparse."""
    size = 2 * 10_000 * 100_000
    tensor = {"dtype": "F16", "shape": [10_000, 100_000], "data_offsets": [0, size]}
    path = write_file(tmp_path / "net.safetensors", {"weight": tensor})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size)
    with pytest.raises(StreamfxError, match=r"has 1000000000 values, more than the limit of \d+"):
        load_weights(path, "painter")


def test_other_dtypes_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2, dtype=torch.complex64)}, path, metadata={"network": "painter"})
    with pytest.raises(StreamfxError, match="'weight' has dtype C64; allowed are F16"):
        load_weights(path, "painter")


@pytest.mark.parametrize("sizes", ["[" * 100_000, "9" * 5000, '{"a": 1e999}', '{"a": null}', "nan"])
def test_invalid_sizes_are_refused(tmp_path, sizes):
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata={"network": "painter", "sizes": sizes})
    with pytest.raises(StreamfxError, match="has no valid network sizes"):
        load_weights(path, "painter")


@given(st.data())
def test_corrupted_files_load_or_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    save_weights(path, {"a": torch.ones(3, 2), "b": torch.zeros(2)}, "painter", {"channels": 3})
    changed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(changed[: data.draw(st.integers(len(changed) // 2, len(changed)))])
    with suppress(StreamfxError):
        load_weights(path, "painter")

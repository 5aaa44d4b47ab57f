"""The cache of compiled networks: keys cover everything they depend on, and entries are intact or missing."""

import hashlib
import os
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from streamfx.inference import cache as caching
from streamfx.inference.cache import engine_file, engine_key, load_cached, store

SHAPES, MACHINE = [(1, 3, 16, 16)], ("processor",)


def test_equal_networks_have_the_same_key(new_module):
    same_shapes = (SHAPES, [[1, 3, 16, 16]], [torch.Size((1, 3, 16, 16))])
    keys = {engine_key(new_module(), shapes, MACHINE) for shapes in same_shapes}
    assert len(keys) == 1
    assert len(keys.pop()) == 32


def test_everything_that_an_engine_depends_on_changes_the_key(new_module):
    keys = [
        engine_key(new_module(), SHAPES, MACHINE),
        engine_key(new_module(3), SHAPES, MACHINE),
        engine_key(new_module(), [(1, 3, 16, 20)], MACHINE),
        engine_key(new_module(), [*SHAPES, (1,)], MACHINE),
        engine_key(new_module(), SHAPES, ("another processor",)),
        engine_key(new_module().half(), SHAPES, MACHINE),
    ]
    quantized = new_module()
    quantized.network.quantize()
    keys.append(engine_key(quantized, SHAPES, MACHINE))
    assert len(set(keys)) == len(keys)


def test_one_changed_weight_changes_the_key():
    layer = nn.Conv2d(2, 2, 3)
    before = engine_key(layer, SHAPES, MACHINE)
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] += 1e-6
    assert engine_key(layer, SHAPES, MACHINE) != before


def test_a_changed_source_file_changes_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "from torch import nn\nclass Layer(nn.Module):\n    def forward(self, x):\n        return x + {}\n"
    (tmp_path / "layer_in_a_file.py").write_text(code.format(1))
    import layer_in_a_file

    layer = layer_in_a_file.Layer()
    before = engine_key(layer, SHAPES, MACHINE)
    (tmp_path / "layer_in_a_file.py").write_text(code.format(2))
    assert engine_key(layer, SHAPES, MACHINE) != before


def test_weights_need_not_be_contiguous_floats():
    layer = nn.Linear(4, 3)
    layer.weight = nn.Parameter(torch.rand(4, 3).T)
    layer.register_buffer("steps", torch.arange(3))
    layer.register_buffer("flag", torch.tensor(True))
    layer.register_buffer("nothing", torch.zeros(0))
    assert len(engine_key(layer, SHAPES, MACHINE)) == 32


@settings(max_examples=30)
@given(content=st.binary(max_size=200))
def test_content_survives_a_round_trip(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "engines" / "any.blob"
    store(content, file)
    assert load_cached(file) == content
    assert [path.name for path in file.parent.iterdir()] == ["any.blob"]


@settings(max_examples=40)
@given(content=st.binary(min_size=1, max_size=60), position=st.integers(0, 200), bit=st.integers(0, 7))
def test_damage_is_detected(content, position, bit, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "damaged.blob"
    store(content, file)
    stored = bytearray(file.read_bytes())
    stored[position % len(stored)] ^= 1 << bit
    file.write_bytes(stored)
    assert load_cached(file) is None
    file.write_bytes(file.read_bytes()[: position % len(stored)])
    assert load_cached(file) is None


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
def test_other_files_are_not_entries(content, tmp_path):
    (tmp_path / "a.blob").write_bytes(content)
    assert load_cached(tmp_path / "a.blob") is None


def test_missing_and_unreadable_entries_are_none(tmp_path):
    assert load_cached(tmp_path / "none.blob") is None
    assert load_cached(tmp_path) is None
    assert load_cached(tmp_path / ("a" * 300)) is None


def test_an_empty_entry_is_not_missing(tmp_path):
    store(b"", tmp_path / "a.blob")
    assert (tmp_path / "a.blob").read_bytes() == hashlib.sha256(b"").digest()
    assert load_cached(tmp_path / "a.blob") == b""


def test_nothing_is_stored_where_that_is_impossible(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store(b"content", tmp_path / "file" / "a.blob")
    (tmp_path / "a.blob").mkdir()  # cannot be replaced by a file
    store(b"content", tmp_path / "a.blob")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.blob", "file"]


def test_only_the_newest_engines_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "_MAX_ENGINES", 3)
    now = time.time()
    (tmp_path / "rates.json").touch()
    for age, name in enumerate(("d", "b", "c", "a")):
        store(b"content", tmp_path / f"{name}.blob")
        os.utime(tmp_path / f"{name}.blob", (now - age, now - age))
    store(b"content", tmp_path / "e.blob")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.blob", "d.blob", "e.blob", "rates.json"]


def test_entries_are_in_the_cache_folder(cache):
    assert engine_file("a.blob") == cache / "a.blob"
    assert not cache.exists()

"""Style targets survive files, and are interpolated for blends."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamfx.errors import StreamfxError
from streamfx.styletransfer.targets import load_targets, mix_targets, save_targets


def test_targets_survive_a_round_trip_through_a_file(tmp_path, extractors, cat_style, cup_style, cup, losses_of):
    save_targets(file := tmp_path / "targets.safetensors", {"cat": cat_style, "cup": cup_style})
    for extractor in extractors:
        for term in ("gram", "wasserstein", "contrast", "palette"):
            stored, exact = (losses_of(cup, t, extractor)[term].item() for t in (load_targets(file, "cat"), cat_style))
            assert stored == pytest.approx(exact, rel=0.05)
    with pytest.raises(StreamfxError, match="did you mean cat"):
        load_targets(file, "car")


def test_incomplete_target_files_are_refused(tmp_path, cat_style):
    save_targets(file := tmp_path / "targets.safetensors", {"cat": cat_style})
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(file)
    for missing in ("cat/alignment", "cat/gram/lite0/0/stem"):
        save_file({key: value for key, value in state.items() if not key.startswith(missing)}, file, metadata)
        if missing == "cat/alignment":
            with pytest.raises(StreamfxError, match="missing"):
                load_targets(file, "cat")
    save_file(state | {"cat/odd/entry": torch.zeros(1)}, file, metadata)
    with pytest.raises(StreamfxError, match="unexpected entry"):
        load_targets(file, "cat")


def test_mixed_targets_are_interpolated(extractors, cat_style, cup_style, cat, losses_of):
    mixed = mix_targets([(cat_style, 0.5), (cup_style, 0.5)])
    for own, first, second in zip(*(targets.grams["lite0"] for targets in (mixed, cat_style, cup_style))):
        assert torch.allclose(own["stem"], (first["stem"] + second["stem"]) / 2)
    mixed_loss, cup_loss = (losses_of(cat, targets, extractors[0])["gram"] for targets in (mixed, cup_style))
    assert mixed_loss < cup_loss

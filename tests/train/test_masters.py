"""The shipped masters can be trained again from what their presets say."""

import pytest

from streamfx.nets.painter import load_painter
from streamfx.painting.losses import load_targets
from streamfx.preset import Painting, StylePreset
from streamfx.train.masters import train_masters


@pytest.mark.parametrize("quality", ["fine", "fast"])
def test_all_presets_share_one_painter(painting, photos, small, tmp_path, quality):
    words = Painting(file=painting.name, height=64)
    weights = {"fine": "x.safetensors"}
    preset = StylePreset(kind="style", title="x", licence="x", weights=weights, painting=(words,), training=small())
    names = ("vangogh", "munch")  # the fast painter follows the shipped fine one, which knows these
    file = tmp_path / "masters.safetensors"
    train_masters(dict.fromkeys(names, preset), painting.parent, file, quality, photos, small(steps=2))
    assert load_painter(file)[1].keys() == set(names)
    assert load_targets(tmp_path / "targets.safetensors", "munch").grams.keys() == {"lite0", "lite1"}

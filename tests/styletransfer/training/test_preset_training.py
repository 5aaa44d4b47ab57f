"""Presets of the user's own: the files of a training, adding the other quality, and what is never overwritten."""

import tomllib

import pytest
from PIL import Image
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.styletransfer.network import load_network
from streamfx.styletransfer.preset_files import save_preset
from streamfx.styletransfer.training.preset_training import (
    base_weights,
    build_style,
    prepare_style,
    train_preset,
    weights_file,
)


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photo")
    Image.fromarray(data.chelsea()[::6, ::6].copy()).save(folder / "cat.png")
    return folder


def test_training_writes_a_complete_preset(painting, photo, small, tmp_path):
    preset = tmp_path / "new" / "my.style.toml"
    second = tmp_path / "second_cup.png"
    Image.fromarray(data.coffee()[:300, :300].copy()).save(second)
    settings = small(steps=2, seed=5)
    style = prepare_style(preset, [painting, second], settings, "fast")
    assert not preset.parent.exists()
    train_preset(preset, style, "fast", [painting, second], photo)

    loaded = load_preset(str(preset))
    assert loaded.style == style.model_copy(update={"targets": "my.style-targets.safetensors"})
    assert loaded.style.training == settings
    assert loaded.style.title == "My.Style"
    assert [(p.file, p.title, p.height, p.share) for p in loaded.style.painting] == [
        ("my coffee.png", "My Coffee", 256, 1), ("second_cup.png", "Second Cup", 450, 1),
    ]  # fmt: skip
    load_network(loaded.weights("fast"))
    assert loaded.thumbnail is not None
    with Image.open(loaded.thumbnail) as thumbnail, Image.open(preset.parent / "my.style-fast.sheet.png") as sheet:
        assert thumbnail.width == 320
        assert sheet.height == 960
    assert sorted(p.name for p in preset.parent.iterdir()) == [
        "my.style-fast.checkpoint", "my.style-fast.safetensors",
        "my.style-fast.sheet.png", "my.style-targets.safetensors", "my.style.jpg", "my.style.toml",
    ]  # fmt: skip


def test_the_other_quality_keeps_the_settings(painting, small, tmp_path):
    preset = tmp_path / "mine.toml"
    style = build_style('A "title"\\ \x7f é', [painting], small(minutes=3, seed=1), "fine", "mine", 99)
    style = style.model_copy(update={"artist": "Somebody", "year": "1901"})
    save_preset(preset, style)
    assert load_preset(str(preset)).style == style
    with pytest.raises(StreamfxError, match="has no fast network"):
        load_preset(str(preset)).weights("fast")

    both = prepare_style(preset, [painting], small(minutes=4, seed=2, crop=128), "fast")
    assert both.weights == {"fine": "mine.safetensors", "fast": "mine-fast.safetensors"}
    assert (both.title, both.artist, both.year, both.painting) == (style.title, "Somebody", "1901", style.painting)
    assert (both.training.minutes, both.training.seed, both.training.crop) == (4, 2, 64)
    assert prepare_style(preset, [painting], small(), "fast", 300).painting[0].height == 300

    other = tmp_path / "other.png"
    Image.fromarray(data.coffee()).save(other)
    with pytest.raises(StreamfxError, match=r"was trained on my coffee\.png"):
        prepare_style(preset, [other], small(), "fast")
    replaced = prepare_style(preset, [other], small(), "fast", overwrite=True)
    assert replaced.weights == {"fast": "mine-fast.safetensors"}
    assert [entry.file for entry in replaced.painting] == ["other.png"]


def test_existing_files_are_not_overwritten(painting, small, tmp_path):
    preset = tmp_path / "mine.toml"
    weights = weights_file(preset, "fine")
    save_preset(preset, build_style("Mine", [painting], small(), "fine", "mine", None))
    weights.write_bytes(b"weights")
    with pytest.raises(StreamfxError, match=r"mine\.toml exists; overwrite it with -y, or"):
        prepare_style(preset, [painting], small(), "fine")
    assert prepare_style(preset, [painting], small(minutes=70), "fine", resume=True).training.minutes == 70
    preset.unlink()
    with pytest.raises(StreamfxError, match=r"mine\.safetensors exists; overwrite it with -y, or"):
        prepare_style(preset, [painting], small(), "fine")
    weights.rename(weights.with_suffix(".checkpoint"))
    with pytest.raises(StreamfxError, match="belongs to an unfinished training"):
        prepare_style(preset, [painting], small(), "fine")
    assert prepare_style(preset, [painting], small(), "fast").weights == {"fast": "mine-fast.safetensors"}


def test_presets_are_plain_toml(painting, small, tmp_path):
    save_preset(tmp_path / "x.toml", build_style("X", [painting], small(steps=7), "fine", "x", None))
    values = tomllib.loads((tmp_path / "x.toml").read_text("utf-8"))
    assert values["weights"] == {"fine": "x.safetensors"}
    assert values["painting"] == [
        {
            "file": "my coffee.png",
            "title": "My Coffee",
            "height": 256,
            "crop": [0.0, 0.0, 1.0, 1.0],
            "margin": 0.025,
            "share": 1.0,
        }
    ]
    assert values["training"]["steps"] == 7
    assert values["training"]["gram_weight"] == small().gram_weight


def test_training_starts_from_shipped_networks():
    fine, fast = (load_network(base_weights(quality)) for quality in ("fine", "fast"))
    assert fine.sizes.channels4 > fast.sizes.channels4


def test_no_files_are_left_when_training_cannot_start(painting, photo, small, tmp_path):
    preset = tmp_path / "new" / "mine.toml"
    (tmp_path / "empty").mkdir()
    plain = tmp_path / "plain.png"
    Image.new("RGB", (100, 100), "red").save(plain)
    style = prepare_style(preset, [plain], small(), "fast")
    with pytest.raises(StreamfxError, match="has only one color"):
        train_preset(preset, style, "fast", [plain], photo)
    style = prepare_style(preset, [painting], small(), "fast")
    with pytest.raises(StreamfxError, match="no readable photos or videos"):
        train_preset(preset, style, "fast", [painting], tmp_path / "empty")
    with pytest.raises(StreamfxError, match="nothing to resume"):
        train_preset(preset, style, "fast", [painting], photo, resume=True)
    assert not preset.parent.exists()

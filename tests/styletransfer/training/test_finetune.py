"""--style-image: fitted once, cached whole or not at all, and fitted again when anything differs."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.styletransfer.network import load_network
from streamfx.styletransfer.training.finetune import fit_style
from streamfx.styletransfer.training.preset_training import base_weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streamfx" / "styles"


def test_a_style_is_fitted_once_and_cached(painting, small, cache):
    shares = []
    preset = fit_style(painting, "fast", settings=small(steps=4), report=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1]
    assert [file.name for file in cache.iterdir()] == [preset.parent.name]
    loaded = load_preset(str(preset))
    assert loaded.style.title == "My Coffee"
    own, base = load_network(loaded.weights("fast")), load_network(base_weights("fast"))
    assert not torch.equal(own.state_dict()["stem.weight"], base.state_dict()["stem.weight"])

    assert fit_style(painting, "fast", settings=small(steps=4), report=shares.append) == preset
    assert len(shares) == 4


def test_damaged_or_changed_cache_entries_are_rebuilt(painting, small, tmp_path, cache):
    settings = small(steps=1)
    preset = fit_style(painting, "fast", settings=settings)
    weights = load_preset(str(preset)).weights("fast")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    assert fit_style(painting, "fast", settings=settings) == preset
    assert weights.stat().st_size == len(whole)

    changed = tmp_path / "changed.png"
    changed.write_bytes(painting.read_bytes() + b" ")
    assert fit_style(changed, "fast", settings=settings) != preset
    assert len(list(cache.iterdir())) == 2


def test_an_interrupt_leaves_no_files(painting, small, cache):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_style(painting, "fast", settings=small(steps=9), report=stop)
    assert list(cache.iterdir()) == []


def test_unreadable_paintings_leave_no_files(small, tmp_path, cache):
    text = tmp_path / "text.jpg"
    text.write_text("not an image")
    with pytest.raises(StreamfxError, match="not a readable image"):
        fit_style(text, "fast", settings=small(steps=1))
    with pytest.raises(StreamfxError, match=r"cannot read .*none\.png"):
        fit_style(tmp_path / "none.png", "fast", settings=small(steps=1))
    assert not cache.exists()


def test_without_a_writable_cache_the_style_lasts_for_the_run(painting, small, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    preset = fit_style(painting, "fast", settings=small(steps=1))
    assert load_preset(str(preset)).weights("fast").is_file()
    assert "so nothing is cached" in caplog.text

"""A style after any painting: fitted once, kept whole or not at all, fitted anew where anything differs."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset
from streamfx.styletransfer.painter import load_painter
from streamfx.styletransfer.training.finetune import fit_style
from streamfx.styletransfer.training.preset_training import masters


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streamfx" / "styles"


def test_it_is_fitted_once_and_kept(painting, small, cache):
    shares = []
    preset = fit_style(painting, "fast", settings=small(steps=4), report=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1]
    assert [file.name for file in cache.iterdir()] == [preset.parent.name]
    loaded = load_preset(str(preset))
    assert loaded.style.title == "My Coffee"
    own, styles = load_painter(loaded.weights("fast"))
    assert styles.keys() == {"style"}
    base, _ = load_painter(masters("fast"))
    assert not torch.equal(own.state_dict()["stem.weight"], base.state_dict()["stem.weight"])

    assert fit_style(painting, "fast", settings=small(steps=4), report=shares.append) == preset
    assert len(shares) == 4


def test_the_style_learns_before_the_rest(painting, small):
    preset = fit_style(painting, "fast", settings=small(steps=1))
    own, _ = load_painter(load_preset(str(preset)).weights("fast"))
    base, masters_styles = load_painter(masters("fast"))
    for name, value in base.state_dict().items():
        assert torch.equal(own.state_dict()[name], value)
    del masters_styles


def test_what_is_damaged_or_differs_is_fitted_anew(painting, small, tmp_path, cache):
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


def test_an_interrupt_leaves_nothing(painting, small, cache):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_style(painting, "fast", settings=small(steps=9), report=stop)
    assert list(cache.iterdir()) == []


def test_what_is_no_painting_leaves_nothing(small, tmp_path, cache):
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    with pytest.raises(StreamfxError, match="no picture"):
        fit_style(text, "fast", settings=small(steps=1))
    with pytest.raises(StreamfxError, match=r"cannot read .*none\.png"):
        fit_style(tmp_path / "none.png", "fast", settings=small(steps=1))
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_said(painting, small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StreamfxError, match="cannot make the folder"):
        fit_style(painting, "fast", settings=small(steps=1))

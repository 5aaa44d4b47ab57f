"""The plot shows each schedule's curve in a panel of its own, over the song where there is one."""

import numpy as np
import pytest
import torch
from PIL import Image

from streamfx.animation.audio_track import Music
from streamfx.animation.plot import draw, save_plot
from streamfx.errors import StreamfxError

BLUE = torch.tensor([0x1F, 0x5F, 0xA8]) / 255
SAND = torch.tensor([0xD9, 0xD5, 0xCB]) / 255
RED = torch.tensor([0xC0, 0x39, 0x2B]) / 255


def share(image, color):
    return ((image - color[:, None, None]).abs().amax(dim=0) < 0.02).float()


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def music():
    level = np.full(1000, 0.8)
    return Music(
        duration=10.0,
        grid=100.0,
        beats=np.arange(0.5, 10),
        onsets=np.arange(0.5, 10),
        strengths=np.ones(10),
        sections=np.array([0.0, 5.0]),
        **dict.fromkeys(("bass", "mid", "high", "rms", "pitch"), level),
        wave=np.where(np.arange(1000) < 500, 0.2, 0.9),
    )


def test_a_panel_for_each_schedule():
    zoom, angle = np.linspace(1, 1.1, 300), np.sin(np.arange(300) / 20)
    one, both = draw({"zoom": zoom}, 30), draw({"zoom": zoom, "angle": angle}, 30)
    assert one.shape == (3, 230, 1200)
    assert both.shape == (3, 380, 1200)
    curve = share(one, BLUE)
    columns = curve.sum(dim=0).nonzero()[:, 0]
    assert columns[-1] - columns[0] > 900  # from end to end
    middle = curve.nonzero().float()
    left, right = middle[middle[:, 1] < 300], middle[middle[:, 1] > 900]
    assert left[:, 0].mean() > right[:, 0].mean() + 40  # it rises
    assert share(both, BLUE).sum() > 1.8 * curve.sum()


def test_the_song_lies_behind(music):
    rising = {"zoom": np.linspace(1, 2, 300)}
    plain, over = draw(rising, 30), draw(rising, 30, music)
    assert share(plain, SAND).sum() < 100  # of the letters' edges
    assert share(plain, RED).sum() == 0
    wave = share(over, SAND)
    columns = wave.sum(dim=0)
    inside = columns.nonzero()[:, 0]
    quarter = (inside[-1] - inside[0]) // 4
    assert columns[inside[0] : inside[0] + quarter].mean() < 0.4 * columns[inside[-1] - quarter : inside[-1]].mean()
    dashes = share(over, RED).sum(dim=0).nonzero()[:, 0].float()
    assert dashes.mean() == pytest.approx(float(inside[0] + inside[-1]) / 2, abs=15)  # 5 of 10 seconds
    assert share(over, BLUE).sum() > 0.9 * share(plain, BLUE).sum() > 100


def test_constant_and_single_values(music):
    assert draw({"zoom": np.ones(1)}, 30, music).isfinite().all()
    assert draw({"zoom": np.zeros(2)}, 30).isfinite().all()


def test_it_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "plot.png"
    save_plot(path, {"zoom": np.ones(9)}, 30)
    assert size_of(path) == (1200, 230)
    with pytest.raises(StreamfxError, match="exists"):
        save_plot(path, {"zoom": np.ones(9)}, 30)
    save_plot(path, {"zoom": np.ones(9), "angle": np.ones(9)}, 30, overwrite=True)
    assert size_of(path) == (1200, 380)
    assert [file.name for file in tmp_path.iterdir()] == ["plot.png"]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("plot.jpg", {"zoom": np.ones(9)}, "must end in .png"),
        ("plot%03d.png", {"zoom": np.ones(9)}, "one picture"),
        ("none/plot.png", {"zoom": np.ones(9)}, "none"),
        ("plot.png", {}, "give 1 to 24"),
    ],
)
def test_plots_that_cannot_be(tmp_path, name, values, reason):
    with pytest.raises(StreamfxError, match=reason):
        save_plot(tmp_path / name, values, 30)
    assert not list(tmp_path.iterdir())

"""Plots have one panel per schedule, with the audio behind the curves."""

import numpy as np
import pytest
import torch
from PIL import Image

from streamfx.animation.audio_track import AudioAnalysis
from streamfx.animation.plot import draw_plot, save_plot
from streamfx.errors import StreamfxError

BLUE = torch.tensor([0x1F, 0x5F, 0xA8]) / 255
SAND = torch.tensor([0xD9, 0xD5, 0xCB]) / 255
RED = torch.tensor([0xC0, 0x39, 0x2B]) / 255


def color_mask(image, color):
    return ((image - color[:, None, None]).abs().amax(dim=0) < 0.02).float()


def image_size(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture(scope="module")
def audio():
    """Ten seconds with a beat per second, two sections, and a waveform that gets louder."""
    level = np.full(1000, 0.8)
    return AudioAnalysis(
        duration=10.0,
        feature_rate=100.0,
        beats=np.arange(0.5, 10),
        onsets=np.arange(0.5, 10),
        strengths=np.ones(10),
        sections=np.array([0.0, 5.0]),
        **dict.fromkeys(("bass", "mid", "high", "rms", "pitch"), level),
        wave=np.where(np.arange(1000) < 500, 0.2, 0.9),
    )


def test_one_panel_per_schedule():
    zoom, angle = np.linspace(1, 1.1, 300), np.sin(np.arange(300) / 20)
    one, two = draw_plot({"zoom": zoom}, 30), draw_plot({"zoom": zoom, "angle": angle}, 30)
    assert one.shape == (3, 230, 1200)
    assert two.shape == (3, 380, 1200)
    curve = color_mask(one, BLUE)
    columns = curve.sum(dim=0).nonzero()[:, 0]
    assert columns[-1] - columns[0] > 900  # the curve spans the panel
    points = curve.nonzero().float()
    left, right = points[points[:, 1] < 300], points[points[:, 1] > 900]
    assert left[:, 0].mean() > right[:, 0].mean() + 40  # the curve rises
    assert color_mask(two, BLUE).sum() > 1.8 * curve.sum()


def test_waveform_and_sections_are_behind_the_curve(audio):
    rising = {"zoom": np.linspace(1, 2, 300)}
    without, with_audio = draw_plot(rising, 30), draw_plot(rising, 30, audio)
    assert color_mask(without, SAND).sum() < 100  # only antialiased letters
    assert color_mask(without, RED).sum() == 0
    wave = color_mask(with_audio, SAND)
    columns = wave.sum(dim=0)
    inside = columns.nonzero()[:, 0]
    quarter = (inside[-1] - inside[0]) // 4
    assert columns[inside[0] : inside[0] + quarter].mean() < 0.4 * columns[inside[-1] - quarter : inside[-1]].mean()
    dashes = color_mask(with_audio, RED).sum(dim=0).nonzero()[:, 0].float()
    assert dashes.mean() == pytest.approx(float(inside[0] + inside[-1]) / 2, abs=15)  # 5 of 10 seconds
    assert color_mask(with_audio, BLUE).sum() > 0.9 * color_mask(without, BLUE).sum() > 100


def test_constant_schedules_and_single_frames(audio):
    assert draw_plot({"zoom": np.ones(1)}, 30, audio).isfinite().all()
    assert draw_plot({"zoom": np.zeros(2)}, 30).isfinite().all()


def test_plots_are_written_atomically_and_overwritten_only_on_request(tmp_path):
    path = tmp_path / "plot.png"
    save_plot(path, {"zoom": np.ones(9)}, 30)
    assert image_size(path) == (1200, 230)
    with pytest.raises(StreamfxError, match="exists"):
        save_plot(path, {"zoom": np.ones(9)}, 30)
    save_plot(path, {"zoom": np.ones(9), "angle": np.ones(9)}, 30, overwrite=True)
    assert image_size(path) == (1200, 380)
    assert [file.name for file in tmp_path.iterdir()] == ["plot.png"]


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("plot.jpg", {"zoom": np.ones(9)}, "ending in .png"),
        ("plot%03d.png", {"zoom": np.ones(9)}, "one image"),
        ("none/plot.png", {"zoom": np.ones(9)}, "none"),
        ("plot.png", {}, "give 1 to 24"),
    ],
)
def test_invalid_plots_are_rejected(tmp_path, name, values, reason):
    with pytest.raises(StreamfxError, match=reason):
        save_plot(tmp_path / name, values, 30)
    assert not list(tmp_path.iterdir())

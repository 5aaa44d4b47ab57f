"""The training of shipped presets: held-out photos, logs, contact sheets, resuming, and unusable input."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image
from skimage import data

from streamfx.errors import StreamfxError
from streamfx.styletransfer.network import load_network
from streamfx.styletransfer.preset_files import save_preset
from streamfx.styletransfer.training import masters
from streamfx.styletransfer.training.dataset import load_photos
from streamfx.styletransfer.training.masters import HELD_OUT, _held_out, _Report
from streamfx.styletransfer.training.preset_training import base_weights, build_style
from streamfx.styletransfer.training.trainer import Progress


@pytest.fixture(scope="module")
def folders(painting, small, tmp_path_factory):
    """A preset, the folder of its painting, and two of photos; in `photos` one is held out."""
    folder = tmp_path_factory.mktemp("masters")
    for name in ("paintings", "photos", "plain"):
        (folder / name).mkdir()
    shutil.copy(painting, folder / "paintings")
    Image.fromarray(data.chelsea()[::4, ::4].copy()).save(folder / "photos" / "cat.png")
    shutil.copy(folder / "photos" / "cat.png", folder / "plain")
    Image.new("RGB", (20, 60), "red").save(folder / "photos" / "kodak_08.png")
    settings = small(steps=9, style_layers={"lite0": ("stem",)}, content_layers={"lite0": ("block1",)})
    save_preset(folder / "mine.toml", build_style("Mine", [painting], settings, "fast", "mine", 96))
    return folder


@pytest.fixture
def run_main(folders, tmp_path, monkeypatch):
    """run_main(*options): train in this process; returns the path of the weights."""

    def run_main(*options, photos="plain"):
        weights = tmp_path / "mine.safetensors"
        paths = [folders / "mine.toml", folders / "paintings", folders / photos, weights]
        monkeypatch.setattr(sys, "argv", ["masters", *map(str, paths), "--quality", "fast", *map(str, options)])
        masters.main()
        return weights

    return run_main


@pytest.fixture
def report(tmp_path):
    """A report with two small photos instead of a training."""

    class Training:
        network = load_network(base_weights("fast"))

    return _Report(tmp_path / "x.safetensors", Training, [torch.rand(3, 24, 32) for _ in range(2)])


def progress(step, done=0.0, **losses):
    return Progress(step, 0.125 * step, done, losses)


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_training_writes_weights_a_checkpoint_and_a_sheet(run_main, tmp_path):
    weights = run_main("--steps", 2, photos="photos")
    assert load_network(weights).sizes == load_network(base_weights("fast")).sizes
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("mine.00002.jpg", "mine.checkpoint", "mine.safetensors"),
    ]
    with Image.open(tmp_path / "mine.00002.jpg") as sheet:
        assert sheet.size == (240, 2 * 720)  # the held-out photo, bold and detailed


def test_training_resumes_from_a_base(run_main, tmp_path):
    run_main("--steps", 1, "--base", base_weights("fast"))
    run_main("--steps", 2, "--base", base_weights("fast"), "--resume")
    assert torch.load(tmp_path / "mine.checkpoint", weights_only=True)["steps"] == 2
    base, trained = (load_network(file) for file in (base_weights("fast"), tmp_path / "mine.safetensors"))
    change = (trained.state_dict()["stem.weight"] - base.state_dict()["stem.weight"]).abs().mean()
    assert 0 < change < 0.01  # two steps from the base


def test_a_teacher_is_distilled(run_main, tmp_path):
    run_main("--steps", 1)
    alone = torch.load(tmp_path / "mine.checkpoint", weights_only=True)["network"]
    run_main("--steps", 1, "--teacher", base_weights("fine"))
    distilled = torch.load(tmp_path / "mine.checkpoint", weights_only=True)["network"]
    assert any(not torch.equal(alone[name], distilled[name]) for name in alone)


def test_held_out_photos_are_not_trained_on(folders):
    photos = load_photos(folders / "photos", 64, HELD_OUT)
    assert len(photos) == 1
    assert photos[0].float().std() > 10  # the cat
    (shown,) = _held_out(folders / "photos")
    assert shown.shape == (3, 720, 240)
    torch.testing.assert_close(shown.mean((1, 2)), torch.tensor([1.0, 0.0, 0.0]), atol=0.01, rtol=0)


def test_photos_of_sheets_are_held_out():
    for name in ("kodak_08.png", "kodak_19.webp", "wall_Bridge.jpg"):
        assert name.startswith(HELD_OUT)


def test_losses_are_logged_as_running_means(report):
    for step in range(1, 51):
        report(progress(step, gram=1.0 if step <= 25 else 2.0))
    first, second = rows(report.weights.with_suffix(".log"))
    assert first == {"step": 25, "minutes": 3.12, "gram": 1.0}
    assert (second["step"], second["minutes"]) == (50, 6.25)
    assert second["gram"] == pytest.approx(2 - 0.95**25, rel=1e-3)


def test_losses_of_some_steps_only_keep_their_mean(report):
    for step in range(1, 26):
        report(progress(step, **({"gram": 1.0, "border": 4.0} if step == 3 else {"gram": 1.0})))
    (row,) = rows(report.weights.with_suffix(".log"))
    assert row["border"] == 4


def test_sheets_are_written_every_hundred_steps_and_at_the_end(report):
    for step in range(99, 103):
        report(progress(step, done=step / 102))
    folder = report.weights.parent
    assert sorted(file.name for file in folder.glob("*.jpg")) == ["x.00100.jpg", "x.00102.jpg"]
    with Image.open(folder / "x.00102.jpg") as sheet:
        assert sheet.size == (64, 48)


def test_without_held_out_photos_there_are_no_sheets(report):
    report.photos = []
    report(progress(100, done=1.0))
    assert list(report.weights.parent.glob("*.jpg")) == []


@pytest.mark.parametrize("missing", ["paintings", "photos", "weights"])
def test_missing_folders_are_errors_before_training(missing, folders, tmp_path):
    paths = {name: folders / name for name in ("paintings", "photos")} | {"weights": tmp_path / "x.safetensors"}
    paths[missing] = tmp_path / "none" / "x"
    with pytest.raises(StreamfxError, match=r"none\S* is not a folder"):
        masters.train_preset_network(str(folders / "mine.toml"), *paths.values(), options=None)


def test_the_command_reports_errors_in_one_line(folders, tmp_path):
    command = [sys.executable, "-m", "streamfx.styletransfer.training.masters"]
    arguments = ["no-such-preset", folders / "paintings", folders / "photos", tmp_path / "x.safetensors"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no-such-preset" in done.stderr
    assert list(tmp_path.iterdir()) == []

"""Previews, frames as pictures, and the example notebook, executed."""

import io
import json
import os
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

import streamfx
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.jobs.notebook import notebook_progress, preview

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "docs" / "notebooks").glob("*.ipynb"))


def opened(shown):
    with Image.open(io.BytesIO(shown._repr_png_())) as image:
        image.load()
        return image


def test_a_frame_shows_itself():
    colors = torch.tensor([1.0, 0.5, -2.0]).view(3, 1, 1).expand(3, 4, 6)
    image = opened(Frame(colors, 0, 1))
    assert (image.size, image.mode, image.getpixel((0, 0))) == ((6, 4), "RGB", (255, 128, 0))
    assert opened(Frame(colors, 0, 1, alpha=torch.full((1, 4, 6), 0.2))).getpixel((5, 3)) == (255, 128, 0, 51)


def test_a_preview_shows_both(video, rgb):
    shown = preview(video, "mirror", at=0.4)
    assert shown.both.pts == 0
    assert torch.equal(shown.after.image, shown.before.image.flip(2))
    expected = torch.from_numpy(rgb(video)[10].copy()).permute(2, 0, 1) / 255
    assert (shown.before.image - expected).abs().mean() < 0.03
    assert opened(shown).size == (128, 48)
    small = preview(video, "scale=32:24", size=(48, -2))
    assert small.after.image.shape == small.before.image.shape == (3, 24, 32)


def test_effects_that_look_back_get_the_frames_before(video):
    one, many = (preview(video, "trails=0.9", at=0.6, frames=frames) for frames in (1, 10))
    assert torch.equal(one.before.image, many.before.image)
    assert (one.after.image - many.after.image).abs().mean() > 0.003


def test_previews_of_nothing(video):
    with pytest.raises(StreamfxError, match="frames is 0, but must be 1 or more"):
        preview(video, "mirror", frames=0)
    with pytest.raises(StreamfxError, match="after 9 s can be decoded"):
        preview(video, "mirror", at=9)
    with pytest.raises(StreamfxError, match="the chain returned no frame for the 1 frames up to 0 s; give more"):
        preview(video, "select=0")


def test_nothing_is_shown_outside_of_notebooks(video, tmp_path, capsys):
    assert notebook_progress() is None
    streamfx.Job(video, tmp_path / "out.mp4", "mirror").run()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)
@pytest.mark.filterwarnings("ignore")  # of the client's libraries
def test_the_notebook_runs(file, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.reads(file.read_text("utf-8"), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute(env=dict(os.environ))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert '<progress value="24" max="24"></progress> frame 24 of 24' in json.dumps(outputs).replace('\\"', '"')
    assert (tmp_path / "out.mp4").is_file()

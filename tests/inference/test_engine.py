"""Engines give what eager torch gives, own what they return, and start fast from the cache."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from streamfx.errors import StreamfxError
from streamfx.inference import engine
from streamfx.inference.engine import Latest, build_engine, half_inputs, halved
from streamfx.styletransfer.painter import Painter

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "streamfx" / "engines"


class OneStyle(nn.Module):
    """A small painter that needs no style beside the frame."""

    def __init__(self):
        super().__init__()
        self.painter = Painter(channels=16, wide=24, blocks=2, before=1, after=1)
        self.numbers = nn.Parameter(0.3 * torch.randn(1, self.painter.numbers))

    def forward(self, frame, prior=None):
        return self.painter(frame, self.numbers, prior)


@pytest.fixture
def painter():
    torch.manual_seed(2)
    return OneStyle().eval()


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 1), (50, 71)])
def test_engine_equals_eager(painter, size):
    frame = torch.rand(1, 3, *size)
    with torch.no_grad():
        expected = painter(frame)
    torch.testing.assert_close(build_engine(painter, [frame.shape], CPU)(frame), expected, atol=0.03, rtol=0)


@pytest.mark.usefixtures("cache")
def test_two_inputs(painter):
    frame, prior = torch.rand(1, 3, 24, 32), torch.rand(1, 4, 24, 32)
    with torch.no_grad():
        expected = painter(frame, prior)
    built = build_engine(painter, [frame.shape, prior.shape], CPU)
    torch.testing.assert_close(built(frame, prior), expected, atol=0.03, rtol=0)


@pytest.mark.usefixtures("cache")
def test_the_next_call_leaves_the_last_result_alone(painter):
    paint = build_engine(painter, [(1, 3, 16, 16)], CPU)
    first = paint(torch.zeros(1, 3, 16, 16))
    kept = first.clone()
    second = paint(torch.ones(1, 3, 16, 16))
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


@pytest.mark.usefixtures("cache")
def test_input_in_another_layout_is_read_right(painter):
    frame = torch.rand(1, 16, 20, 3).permute(0, 3, 1, 2)
    paint = build_engine(painter, [(1, 3, 16, 20)], CPU)
    assert torch.equal(paint(frame), paint(frame.contiguous()))


@pytest.mark.usefixtures("cache")
def test_every_input_lives_until_it_is_read():
    """One in another layout is copied; the copy must not go when the next input is set."""
    torch.manual_seed(2)
    painter = Painter(channels=16, wide=24, blocks=2, before=1, after=1).eval()
    frame, style = torch.rand(1, 480, 640, 3).permute(0, 3, 1, 2), 0.3 * torch.randn(1, painter.numbers)
    with torch.no_grad():
        expected = painter(frame, style)
    paint = build_engine(painter, [frame.shape, style.shape], CPU)
    for _ in range(3):
        torch.testing.assert_close(paint(frame, style), expected, atol=0.03, rtol=0)


@pytest.mark.usefixtures("cache")
def test_another_size_is_refused(painter):
    with pytest.raises(ValueError, match="built for"):
        build_engine(painter, [(1, 3, 16, 16)], CPU)(torch.rand(1, 3, 16, 20))


def test_the_second_start_converts_nothing(painter, cache, monkeypatch):
    frame = torch.rand(1, 3, 16, 16)
    first = build_engine(painter, [frame.shape], CPU)(frame)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.delattr(engine, "_convert")
    assert torch.equal(build_engine(painter, [frame.shape], CPU)(frame), first)


def test_other_weights_and_other_sizes_have_other_entries(painter, cache):
    build_engine(painter, [(1, 3, 16, 16)], CPU)
    build_engine(painter, [(1, 3, 16, 20)], CPU)
    build_engine(OneStyle().eval(), [(1, 3, 16, 16)], CPU)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 5000])
def test_a_broken_entry_is_made_anew(painter, cache, damage):
    frame = torch.rand(1, 3, 16, 16)
    first = build_engine(painter, [frame.shape], CPU)(frame)
    (entry,) = cache.iterdir()
    entry.write_bytes(damage)
    assert torch.equal(build_engine(painter, [frame.shape], CPU)(frame), first)
    stored = entry.read_bytes()  # anew: OpenVINO does not write the same bytes twice, but they fit their checksum
    assert hashlib.sha256(stored[32:]).digest() == stored[:32]
    assert len(stored) > 5000 + len(damage)


def test_no_cache_folder_is_no_error(painter, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert build_engine(painter, [(1, 3, 8, 8)], CPU)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_nothing_is_printed_and_no_warning_escapes(tmp_path):
    program = (
        "import torch\n"
        "from streamfx.inference.engine import build_engine\n"
        "from streamfx.styletransfer.painter import Painter\n"
        "frame, style = torch.rand(1, 3, 8, 8), torch.zeros(1, 96)\n"
        "build_engine(Painter(8, 8, 1, 0, 1), [frame.shape, style.shape], torch.device('cpu'))(frame, style)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_devices_without_an_engine_are_refused():
    with pytest.raises(StreamfxError, match="cpu or cuda"):
        build_engine(nn.Identity(), [(1,)], torch.device("meta"))


# --- CUDA, and what of it can be told without


def test_half_precision_is_near_enough(painter):
    """What runs on a GPU, on the CPU: in float16, with pictures channels last and styles as they are."""
    frame, prior, numbers = torch.rand(1, 3, 24, 32), torch.rand(1, 4, 24, 32), painter.numbers.detach()
    with torch.no_grad():
        expected = painter.painter(frame, numbers, prior)
        fast = halved(painter.painter, CPU)
        held = half_inputs([frame.shape, numbers.shape, prior.shape], CPU)
        for place, x in zip(held, (frame, numbers, prior)):
            place.copy_(x)
        made = fast(*held)
    assert made.dtype == torch.float16
    assert held[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made.float(), expected, atol=0.01, rtol=0)
    assert next(painter.parameters()).dtype == torch.float32


def test_the_latest_are_kept():
    made = []

    def make(name):
        made.append(name)
        return name.upper()

    latest = Latest(2)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert latest.get(name, lambda name=name: make(name)) == name.upper()
    assert made == ["a", "b", "c", "b"]


@pytest.mark.needs_cuda
def test_on_cuda_as_in_full_precision(painter, monkeypatch):
    monkeypatch.setattr(engine, "_recorded", Latest(2))
    cuda = torch.device("cuda", 0)
    sizes = [(24, 32), (50, 71), (33, 40)]
    frames = [torch.rand(1, 3, *size) for size in sizes]
    engines = [build_engine(painter, [frame.shape], cuda) for frame in frames]
    with torch.no_grad():
        wanted = [painter(frame) for frame in frames]
    for _ in range(2):  # more sizes than graphs
        made = [run(frame.to(cuda)) for run, frame in zip(engines, frames)]
        again = [run(torch.zeros_like(frame).to(cuda)) for run, frame in zip(engines, frames)]
        for one, other, right in zip(made, again, wanted):
            torch.testing.assert_close(one.cpu(), right, atol=0.02, rtol=0)
            assert not torch.equal(one, other)

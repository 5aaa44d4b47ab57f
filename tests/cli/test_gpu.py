"""The checks of `streamfx doctor --gpu` on the CPU: clips, measurements, and how failures are reported."""

import importlib.util
import logging
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

from streamfx.cli import _gpu
from streamfx.cli._gpu import FULL_IMAGE, NEAR, Passthrough, Result
from streamfx.errors import StreamfxError

CPU, SIZE = torch.device("cpu"), (48, 64)
DECODED, ENCODING = "decoded on the CPU", "encoding with libx264 on the CPU"
NO_ENCODER = "encoding on the CPU: cuda:0 has no encoder for 8 bits"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(_gpu, "LENGTHS", (2, 12))
    monkeypatch.setattr(_gpu, "RUNS", 1)


@pytest.fixture
def clip(tmp_path):
    """A clip of 12 frames."""
    _gpu.make_clip(tmp_path / "clip.mp4", SIZE, 12)
    return tmp_path / "clip.mp4"


@dataclass(frozen=True)
class Darker(Passthrough):
    """Halves the brightness; with `drop`, drops every second frame as well."""

    drop: bool = False

    def build(self, device):
        def step(frame, memory):
            memory["count"] = memory.get("count", 0) + 1
            dropped = frame is None or (self.drop and memory["count"] % 2 == 0)
            return [] if dropped else [frame.with_image(frame.image / 2)]

        return step


@dataclass(frozen=True)
class Failing(Passthrough):
    def build(self, device):
        raise ValueError("no\nmore  ink")


def test_the_clip_moves(clip, rgb, times):
    frames = rgb(clip).astype(float)
    assert frames.shape == (12, *SIZE, 3)
    assert times(clip) == [Fraction(number, 25) for number in range(12)]
    assert all(abs(one - other).mean() > 0.5 for one, other in zip(frames[1:], frames))
    assert frames.std() > 20


def test_a_chain_is_measured(clip):
    result = _gpu.measure_chain(clip, [Passthrough()], CPU)
    assert (result.uploads, result.downloads, result.small_copies) == (0, 0, 0)
    assert result.fps > 0
    assert 0 < result.difference < NEAR  # the output is encoded once more
    assert result.messages == [DECODED, ENCODING]
    assert _gpu.measure_chain(clip, [Darker()], CPU).difference == pytest.approx(0.25, abs=0.02)


def test_the_log_level_stays(clip):
    log = logging.getLogger("streamfx")
    level, handlers = log.level, list(log.handlers)
    with pytest.raises(ValueError, match="ink"):
        _gpu.measure_chain(clip, [Failing()], CPU)
    assert (log.level, log.handlers) == (level, handlers)


def test_missing_frames_are_an_error(clip):
    with pytest.raises(StreamfxError, match="the output has 6 frames instead of 12"):
        _gpu.measure_chain(clip, [Darker(drop=True)], CPU)


def test_other_chains_are_checked_after_one_has_failed(monkeypatch):
    chains = {"failing": lambda: [Failing()], "no effect": lambda: [Passthrough()], "dark": lambda: [Darker()]}
    monkeypatch.setattr(_gpu, "chains", lambda: chains)
    lines = list(_gpu.check_gpu(CPU, SIZE))
    assert lines[0] == ("| cpu | |\n|:--|:--|", True)
    assert {line.split(" |")[0] for line, passed in lines[1:5] if passed} == {
        *("| streamfx", "| torch, CUDA", "| CuPy", "| PyAV, FFmpeg")
    }
    failing, unchanged, dark = lines[-3:]
    assert failing == ("| failing | | | | | | failed: ValueError: no more ink |", False)
    assert unchanged[0].endswith(f"| 0.0 | 0.0 | 0.0 | {DECODED}; {ENCODING} |")
    assert (unchanged[1], dark[1]) == (True, True)
    assert lines[-5][0].startswith("\n| video 64x48 | fps |")


def test_kernels_that_fail_are_reported_one_by_one():
    """They run on a GPU only."""
    heading, *rows = _gpu.check_kernels(CPU, (8, 16))
    assert heading[1]
    names = [line.split(" | ")[0] for line, _ in rows]
    assert len(names) == len(set(names))
    halves = [name for name in names if name.endswith(", half")]
    assert len(halves) == len(names) / 2
    failed = [line for line, passed in rows if not passed]
    assert "| warp, bilinear | failed: kernel warp_bilinear runs on cuda, not on cpu | | | | |" in failed


def test_missing_cupy_fails_the_check_of_the_kernels(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("streamfx.ops.cuda.find_spec", lambda name: None if name == "cupy" else find(name))
    *_, (line, passed) = _gpu.check_kernels(torch.device("cuda"), SIZE)
    assert (line, passed) == ("| none: CuPy is missing, pip install '.[cuda]' | | | | | |", False)


@pytest.mark.parametrize(
    ("name", "uploads", "downloads", "messages", "difference", "correct"),
    [
        ("no effect", 0, 0, [], 0.001, True),
        ("no effect", 0, 0, [], 0.1, False),  # the frames changed
        ("no effect", 1, 1, [DECODED, NO_ENCODER, ENCODING], 0.001, True),
        ("no effect", 1, 1, [DECODED], 0.001, False),  # an image was downloaded, though the GPU encodes
        ("no effect", 1, 1, [NO_ENCODER, ENCODING], 0.001, False),
        ("no effect", 1.1, 0, [DECODED], 0.001, False),
        ("style, motion=lk", 0, 0, [], 0.1, True),
        ("style, motion=lk", 0, 0, [], 0.001, False),  # nothing was stylized
        ("style, motion=lk", 0, 0, [], 0.6, False),  # not plausible
        ("style, motion=lk", 0, 0.5, [], 0.1, False),
        ("style, motion=dis", 2, 2, [], 0.1, False),  # copied for a search on the CPU
        ("style, motion=dis", 0, 0, [], 0.1, True),
        ("style, motion=dis", 0, 0, [], float("nan"), False),
    ],
)
def test_correct_results(name, uploads, downloads, messages, difference, correct):
    result = Result(25.0, uploads, downloads, 9.0, 1.0, messages, difference)
    assert _gpu._is_correct(name, result) == correct


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        ("Memcpy HtoD (Pinned -> Device)", FULL_IMAGE, {"up": 1}),
        ("Memcpy HtoD (Pinned -> Device)", FULL_IMAGE - 1, {"small": 1}),
        ("Memcpy DtoH (Device -> Pageable)", FULL_IMAGE, {"down": 1}),
        ("Memcpy DtoH (Device -> Pageable)", 0, {"small": 1}),
        ("Memcpy DtoD (Device -> Device)", FULL_IMAGE, {}),
    ],
)
def test_copies_of_images_and_of_less(name, size, count):
    event = {"cat": "gpu_memcpy", "name": name, "args": {"bytes": size}}
    assert (
        _gpu.count_copies({"traceEvents": [event, {"cat": "kernel", "name": name}, {"name": "no category"}]}) == count
    )


def test_all_effects_of_the_check_can_be_built():
    names = list(_gpu.chains())
    assert names[0] == "no effect"
    assert len(names) == 5
    assert all(build() for build in _gpu.chains().values())


def test_copies_are_not_counted_on_the_cpu():
    with _gpu._counted_copies(CPU) as counts:
        torch.rand(99).clone()
    assert counts == {}

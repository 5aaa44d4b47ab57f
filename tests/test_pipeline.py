"""Pipelines: order of frames, end of streams, errors, devices, prefetching."""

import threading
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.encoding import Output
from streamfx.media.input.reader import Reader
from streamfx.media.output.writer import Writer
from streamfx.pipeline import find_device, prefetch, run


def frames(count, rate=25, height=8, width=12):
    return [Frame(torch.full((3, height, width), n / 100), Fraction(n, rate), Fraction(1, rate)) for n in range(count)]


class ListSink:
    """A sink that collects frames in a list."""

    def __init__(self):
        self.frames = []

    def write(self, frame):
        self.frames.append(frame)

    @property
    def values(self):
        return [round(float(frame.image.mean()) * 100) for frame in self.frames]


@dataclass(frozen=True)
class Repeat:
    """Yields every frame twice, and one more at the end."""

    def build(self, device):
        def step(frame, memory):
            if frame is None:
                yield memory["last"].with_image(torch.ones(3, 1, 1))
                return
            memory["last"] = frame
            yield frame
            yield frame

        return step


@dataclass(frozen=True)
class Delay:
    """Delays frames by one."""

    def build(self, device):
        def step(frame, memory):
            if "last" in memory:
                yield memory.pop("last")
            if frame is not None:
                memory["last"] = frame

        return step


@dataclass(frozen=True)
class Fail:
    """Raises an error at a time."""

    at: Fraction

    def build(self, device):
        def step(frame, memory):
            if frame is not None and frame.pts == self.at:
                raise StreamfxError("bad frame")
            return [] if frame is None else [frame]

        return step


def test_frames_keep_their_order():
    sink = ListSink()
    assert run(frames(5), [], sink) == 5
    assert sink.values == [0, 1, 2, 3, 4]


def test_steps_are_flushed_in_order():
    sink = ListSink()
    run(frames(2), [Repeat(), Delay(), Repeat()], sink)
    assert sink.values == [0, 0, 0, 0, 1, 1, 1, 1, 100, 100, 100]
    sink = ListSink()
    run(frames(4), [Delay(), Delay(), Delay()], sink)
    assert sink.values == [0, 1, 2, 3]


def test_an_empty_source():
    sink = ListSink()
    assert run([], [Delay()], sink) == 0
    assert sink.frames == []


def test_repeated_effects_have_separate_memories():
    sink = ListSink()
    delay = Delay()
    run(frames(3), [delay, delay], sink)
    assert sink.values == [0, 1, 2]


def test_progress_reports_the_end_of_each_frame():
    times = []
    run(frames(3), [], ListSink(), progress=times.append)
    assert times == [Fraction(1, 25), Fraction(2, 25), Fraction(3, 25)]


def test_frames_before_an_error_are_written():
    sink = ListSink()
    with pytest.raises(StreamfxError, match="bad frame"):
        run(frames(5), [Fail(Fraction(3, 25))], sink)
    assert sink.values == [0, 1, 2]


def test_ffmpeg_filters_between_lists():
    sink = ListSink()
    run(frames(25), build_chain("fps=5"), sink, device="cpu")
    assert [frame.pts for frame in sink.frames] == [Fraction(n, 5) for n in range(5)]


def test_ffmpeg_filters_alone_do_not_convert_frames_to_tensors(video, tmp_path, times, monkeypatch):
    def never(*_):
        raise AssertionError("a frame was converted to a tensor")

    monkeypatch.setattr("streamfx.media.input.reader.to_image", never)
    with Reader(video) as reader, Writer(tmp_path / "out.mp4", reader, Output()) as writer:
        assert run(reader, build_chain("fps=5,hflip"), writer) == 5
    assert len(times(tmp_path / "out.mp4")) == 5


@pytest.mark.parametrize(
    ("chain", "warning"),
    [
        ("setpts=2*PTS", "changes the timing of the video but not of the audio"),
        ("trim=end=0.5", "changes the timing"),
        ("reverse", "buffers the whole clip in memory"),
        ("loop=2:5:0", "buffers the whole clip in memory"),
        ("mirror,reverse,mirror", "changes the timing"),
    ],
)
def test_filters_that_change_the_timing_give_a_warning(chain, warning, video, convert, hashes):
    result = convert(video, "out.mkv", chain)
    assert result.warned(warning)
    assert hashes(result.path, "a") == hashes(video, "a")
    assert not convert(video, "b.mkv", "hue=s=0").warnings


# --- devices


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device(torch.device("meta")) == torch.device("meta")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(StreamfxError, match="unknown device 'gpu'"):
        find_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")
def test_unavailable_cuda_is_an_error():
    with pytest.raises(StreamfxError, match="device cuda is not available"):
        run(frames(1), [], ListSink(), device="cuda")


# --- prefetching


def test_prefetch_reads_in_another_thread():
    names = set()

    def items():
        for n in range(20):
            names.add(threading.current_thread().name)
            yield n

    assert list(prefetch(items())) == list(range(20))
    assert names == {"prefetch"}


def test_prefetch_is_bounded():
    produced = []
    reached = threading.Event()

    def items():
        for n in range(100):
            produced.append(n)
            if n == 4:
                reached.set()
            yield n

    ahead = prefetch(items(), ahead=3)
    assert next(ahead) == 0
    assert reached.wait(10)
    assert len(produced) <= 6
    ahead.close()


def test_errors_keep_their_position():
    def items():
        yield 1
        yield 2
        raise ValueError("three")

    items_before = []
    with pytest.raises(ValueError, match="three"):
        items_before.extend(prefetch(items()))
    assert items_before == [1, 2]


def test_closing_ends_the_thread():
    def items():
        n = 0
        while True:
            yield (n := n + 1)

    ahead = prefetch(items())
    assert next(ahead) == 1
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "prefetch"]
    ahead.close()
    assert not thread.is_alive()

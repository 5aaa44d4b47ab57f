"""The loop over any source and sink: order, ends, errors in their place, devices."""

import threading
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

import streamfx
from streamfx.chain import build_chain
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder_selection import Output
from streamfx.media.output.writer import Writer
from streamfx.pipeline import find_device, prefetch, run


def frames(count, rate=25, height=8, width=12):
    return [Frame(torch.full((3, height, width), n / 100), Fraction(n, rate), Fraction(1, rate)) for n in range(count)]


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.frames = []

    def write(self, frame):
        self.frames.append(frame)

    @property
    def values(self):
        return [round(float(frame.image.mean()) * 100) for frame in self.frames]


@dataclass(frozen=True)
class Doubled:
    """Each frame twice, and one more at the end."""

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
class Held:
    """Holds each frame back until the next one comes."""

    def build(self, device):
        def step(frame, memory):
            if "held" in memory:
                yield memory.pop("held")
            if frame is not None:
                memory["held"] = frame

        return step


@dataclass(frozen=True)
class Fails:
    """Fails at a moment."""

    at: Fraction

    def build(self, device):
        def step(frame, memory):
            if frame is not None and frame.pts == self.at:
                raise StreamfxError("this frame is too much")
            return [] if frame is None else [frame]

        return step


def test_frames_pass_in_order():
    sink = Kept()
    assert run(frames(5), [], sink) == 5
    assert sink.values == [0, 1, 2, 3, 4]


def test_each_step_learns_of_the_end_after_those_before_it():
    sink = Kept()
    run(frames(2), [Doubled(), Held(), Doubled()], sink)
    assert sink.values == [0, 0, 0, 0, 1, 1, 1, 1, 100, 100, 100]
    sink = Kept()
    run(frames(4), [Held(), Held(), Held()], sink)
    assert sink.values == [0, 1, 2, 3]


def test_a_source_without_frames():
    sink = Kept()
    assert run([], [Held()], sink) == 0
    assert sink.frames == []


def test_two_places_of_one_effect_have_two_memories():
    sink = Kept()
    held = Held()
    run(frames(3), [held, held], sink)
    assert sink.values == [0, 1, 2]


def test_progress_tells_how_far_the_film_is():
    moments = []
    run(frames(3), [], Kept(), progress=moments.append)
    assert moments == [Fraction(1, 25), Fraction(2, 25), Fraction(3, 25)]


def test_an_error_leaves_what_came_before_it():
    sink = Kept()
    with pytest.raises(StreamfxError, match="too much"):
        run(frames(5), [Fails(Fraction(3, 25))], sink)
    assert sink.values == [0, 1, 2]


def test_filters_of_ffmpeg_between_list_and_list():
    sink = Kept()
    run(frames(25), build_chain("fps=5"), sink, device="cpu")
    assert [frame.pts for frame in sink.frames] == [Fraction(n, 5) for n in range(5)]


def test_a_list_becomes_a_film(tmp_path, times, picture):
    for name, rate in (("a.mp4", 25), ("b.mkv", Fraction(24000, 1001))):
        with streamfx.create(tmp_path / name) as sink:
            run(frames(10, rate), [], sink)
        assert len(times(tmp_path / name)) == 10
        assert Fraction(picture(tmp_path / name)["r_frame_rate"]) == rate


def test_a_film_of_changing_size_is_refused(tmp_path):
    mixed = [*frames(2), *frames(2, height=16)[1:]]
    with pytest.raises(StreamfxError, match="size"), streamfx.create(tmp_path / "out.mp4") as sink:
        run(mixed, [], sink)
    assert list(tmp_path.iterdir()) == []


def test_no_frame_at_all_is_no_film(tmp_path):
    with pytest.raises(StreamfxError, match="no picture came out"), streamfx.create(tmp_path / "out.mp4") as sink:
        run([], [], sink)
    assert list(tmp_path.iterdir()) == []


def test_filters_at_the_ends_work_on_the_decoders_pictures(film, tmp_path, times, monkeypatch):
    """A chain of FFmpeg's filters alone makes no tensor."""

    def never(*_):
        raise AssertionError("a tensor was made")

    monkeypatch.setattr("streamfx.media.input.reader.to_image", never)
    with Reader(film) as reader, Writer(tmp_path / "out.mp4", reader, Output()) as writer:
        assert run(reader, build_chain("fps=5,hflip"), writer) == 5
    assert len(times(tmp_path / "out.mp4")) == 5


@pytest.mark.parametrize(
    ("chain", "line"),
    [
        ("setpts=2*PTS", "sound is left as it is"),
        ("trim=end=0.5", "sound is left"),
        ("reverse", "keeps the clip in memory"),
        ("loop=2:5:0", "keeps the clip in memory"),
        ("mirror,reverse,mirror", "sound is left"),
    ],
)
def test_filters_that_change_time_say_so(chain, line, film, convert, hashes):
    made = convert(film, "out.mkv", chain)
    assert made.says(line)
    assert hashes(made.path, "a") == hashes(film, "a")
    assert not convert(film, "b.mkv", "hue=s=0").lines


# --- devices


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device(torch.device("meta")) == torch.device("meta")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(StreamfxError, match="unknown device 'gpu'"):
        find_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA works here")
def test_cuda_that_is_not_there_is_an_error():
    with pytest.raises(StreamfxError, match="cuda was asked for"):
        run(frames(1), [], Kept(), device="cuda")


# --- reading ahead


def test_prefetch_gives_the_same_items_from_another_thread():
    names = set()

    def items():
        for n in range(20):
            names.add(threading.current_thread().name)
            yield n

    assert list(prefetch(items())) == list(range(20))
    assert names == {"prefetch"}


def test_prefetch_stays_within_its_bound():
    made = []
    reached = threading.Event()

    def items():
        for n in range(100):
            made.append(n)
            if n == 4:
                reached.set()
            yield n

    ahead = prefetch(items(), ahead=3)
    assert next(ahead) == 0
    assert reached.wait(10)
    assert len(made) <= 6
    ahead.close()


def test_errors_arrive_in_their_place():
    def items():
        yield 1
        yield 2
        raise ValueError("three")

    got = []
    with pytest.raises(ValueError, match="three"):
        got.extend(prefetch(items()))
    assert got == [1, 2]


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

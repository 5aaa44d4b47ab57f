"""Runs that are stopped and resumed give the same video and audio as runs without a break."""

import os
import threading
from contextlib import closing
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from streamfx.animation.context import Context
from streamfx.chain import build_chain
from streamfx.effects import EFFECTS
from streamfx.effects.feedback import Feedback
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.jobs.checkpoint import Checkpoint, discard, locked_folder, work_folder_of
from streamfx.jobs.fingerprint import Fingerprint
from streamfx.jobs.manifest import MANIFEST, load
from streamfx.media.encoding import Output
from streamfx.media.input.reader import Reader
from streamfx.media.output.soundtrack import Soundtrack
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

SAME = Fingerprint({"chain": "any"})


class Stopped(BaseException):
    """Stands for a power failure."""


def make(source, target, effects, *, every=7, stop=None, audio=None, **output):
    """A run with a checkpoint, stopped after `stop` frames or complete; returns the number of resumed frames."""
    target = Path(target)
    folder = work_folder_of(target)
    folder.mkdir(exist_ok=True)
    checkpoint = Checkpoint(folder, every, SAME, load(folder))
    done, times = checkpoint.done, []

    def progress(time):
        times.append(time)
        if stop is not None and done + len(times) == stop:
            raise Stopped

    reader = Reader(source) if not callable(source) else None
    with closing(reader) if reader else closing(Soundtrack(audio)) as opened:
        try:
            with Writer(target, reader, Output(**output), None if reader else opened) as writer:
                checkpoint.attach(writer, reader)
                if not checkpoint.complete:
                    frames = reader or source(done)
                    run(frames, effects, writer, device="cpu", progress=progress, checkpoint=checkpoint)
        except Stopped:
            return done
    discard(folder)
    folder.rmdir()
    return done


@pytest.fixture
def same(ffmpeg, hashes, times, probe):
    """Assert that two videos have the same frames, audio and container layout."""

    def frame_hashes(path):
        text = ffmpeg("-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
        return [line.split(b",")[-1] for line in text.splitlines() if not line.startswith(b"#")]

    def same(one, other):
        assert frame_hashes(one) == frame_hashes(other)
        assert times(one) == times(other)
        if any(stream["codec_type"] == "audio" for stream in probe(one)["streams"]):
            assert hashes(one, "a") == hashes(other, "a")
        streams = [
            [{k: v for k, v in stream.items() if k != "bit_rate"} for stream in probe(path)["streams"]]
            for path in (one, other)
        ]
        assert streams[0] == streams[1]

    return same


@pytest.fixture(scope="session")
def variable_rate(clip, moving, tone):
    """Two seconds at a variable rate, with B-frames and a tone that starts before the video."""
    times = "setpts='(N+0.5*not(mod(N,3))+2*gt(N,9)+5*gt(N,20))/(25*TB)'"
    encoding = ["-c:v", "libx264", "-bf", "3", "-g", "12", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return clip("variable_rate.mp4", *moving(), *tone("2"), "-vf", times, "-fps_mode", "passthrough", *encoding)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut", "out.ts", "out.mov"])
def test_variable_rate_and_b_frames_in_every_container(name, variable_rate, tmp_path, same, times):
    complete, stopped = tmp_path / "complete" / name, tmp_path / name
    complete.parent.mkdir()
    options = {"options": {"bf": "3"}}
    make(variable_rate, complete, build_chain("mirror"), **options)
    make(variable_rate, stopped, build_chain("mirror"), stop=17, **options)
    assert make(variable_rate, stopped, build_chain("mirror"), **options) == 14
    same(complete, stopped)
    assert len(times(complete)) == 25
    assert len(set(times(complete))) == 25


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("out.webm", {}),
        ("out.mov", {"encoder": "prores_ks"}),
        ("out.mkv", {"encoder": "libx265"}),
        ("out.mkv", {"encoder": "ffv1"}),
        ("out.avi", {}),
        ("out.flv", {}),
    ],
)
def test_other_encoders(name, output, video, tmp_path, same, rgb):
    size = {"size": 128} if output.get("encoder") == "libx265" else {}
    chain = build_chain("mirror,scale=128:96" if size else "mirror")
    complete, stopped = tmp_path / f"complete{name}", tmp_path / name
    make(video, complete, chain, every=9, **output)
    make(video, stopped, chain, every=9, stop=20, **output)
    assert make(video, stopped, chain, every=9, **output) == 18
    same(complete, stopped)
    assert len(rgb(complete)) == 25


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut"])
def test_joined_segments_are_laid_out_like_an_uninterrupted_run(name, variable_rate, convert, tmp_path, probe):
    paths = convert(variable_rate, f"once-{name}", "mirror").path, tmp_path / name
    make(variable_rate, paths[1], build_chain("mirror"))
    shown = ["-select_streams", "v", "-show_entries", "packet=pts,dts,duration"]
    packets = [probe(path, *shown)["packets"] for path in paths]
    for field in ("pts", "dts", "duration"):
        one, other = (sorted(packet.get(field, -1) for packet in file) for file in packets)
        assert one == other, field
    for one, other in zip(*(probe(path)["streams"] for path in paths)):
        for field in ("start_time", "duration", "nb_frames", "avg_frame_rate", "has_b_frames", "time_base"):
            assert one.get(field) == other.get(field), field


@pytest.mark.parametrize(
    "chain",
    [
        "null",
        "hflip,scale=32:24",
        "fps=10,mirror",
        "tmix,trails",
        "trails,hue=s=2",
        "trails,vflip,mirror",
        "timeslice=frames=9,trails",
    ],
)
def test_chains(chain, video, tmp_path, same):
    complete, stopped = tmp_path / "complete.mkv", tmp_path / "out.mkv"
    make(video, complete, build_chain(chain), every=3)
    make(video, stopped, build_chain(chain), every=3, stop=4)
    assert make(video, stopped, build_chain(chain), every=3, stop=8) == 3
    assert make(video, stopped, build_chain(chain), every=3) == 6
    same(complete, stopped)


def brief(kind):
    """An effect with default settings, except for those that take time."""
    less = {"octaves": 1, "steps": 2, "layer": "block3", "frames": 9, "quality": "fast"}
    return kind(**{field.name: less[field.name] for field in fields(kind) if field.name in less})


@pytest.mark.parametrize(
    "effect",
    [*map(brief, EFFECTS.values()), Style(coherence="full", quality="fast")],
    ids=lambda effect: str(effect)[:20],
)
def test_every_effect(effect, clip, moving, tmp_path, same):
    """Across a cut."""
    shots = [*moving("96x72", seconds="0.24"), "-f", "lavfi", "-i", "mandelbrot=s=96x72:r=25:end_pts=9"]
    joined = ["-filter_complex", "[0][1]concat=n=2", "-frames:v", "13", "-c:v", "ffv1", "-pix_fmt", "yuv420p"]
    source = clip("two.mkv", *shots, *joined)
    complete, stopped = tmp_path / "complete.mkv", tmp_path / "out.mkv"
    make(source, complete, [effect], every=4)
    make(source, stopped, [effect], every=4, stop=10)
    assert make(source, stopped, [effect], every=4) == 8
    same(complete, stopped)


def test_a_feedback_video(video, tmp_path, same):
    start = torch.rand(3, 48, 64)
    schedules = {"zoom": "1.02", "angle": "t/5", "octaves": 1, "layer": "block2", "view": "0.1"}
    effect = Feedback(Context(11, 25.0, 3), (48, 64), seed=3, **schedules)

    def still(begin):
        return [Frame(start, Fraction(n, 25), Fraction(1, 25)) for n in range(begin, 12)]

    complete, stopped = tmp_path / "complete.mp4", tmp_path / "out.mp4"
    make(still, complete, [effect], every=5, audio=video)
    make(still, stopped, [effect], every=5, stop=8, audio=video)
    assert make(still, stopped, [effect], every=5, audio=video) == 5
    same(complete, stopped)


@pytest.mark.parametrize("name", ["raw.h264", "clip.avi", "clip.ts"])
def test_sources_without_an_index_are_read_from_the_start(name, video, clip, tmp_path, same):
    source = clip(name, "-i", video, "-map", "0:v", "-c:v", "libx264" if name != "clip.avi" else "mpeg4", "-g", "8")
    complete, stopped = tmp_path / "complete.mkv", tmp_path / "out.mkv"
    make(source, complete, build_chain("trails"))
    make(source, stopped, build_chain("trails"), stop=16)
    assert make(source, stopped, build_chain("trails")) == 14
    same(complete, stopped)


def test_image_sequences(video, ffmpeg, tmp_path, same):
    ffmpeg("-i", video, tmp_path / "p%02d.png")
    pattern = f"{tmp_path}/p%02d.png"
    complete, stopped = tmp_path / "complete.mkv", tmp_path / "out.mkv"
    make(pattern, complete, build_chain("trails"))
    make(pattern, stopped, build_chain("trails"), stop=16)
    os.truncate(tmp_path / "p03.png", 10)  # is not read again
    assert make(pattern, stopped, build_chain("trails")) == 14
    same(complete, stopped)


def test_a_source_with_changed_frames(video, clip, moving, tone, tmp_path):
    other = clip("other.mp4", *moving(), *tone(), "-vf", "negate", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    make(video, tmp_path / "out.mkv", build_chain("trails"), stop=16)
    with pytest.raises(StreamfxError, match=r"frame 14 of .* has changed since"):
        make(other, tmp_path / "out.mkv", build_chain("trails"))


@pytest.fixture
def stopped_run(video, tmp_path):
    """The work folder of a video with three closed segments, and the complete video."""
    make(video, tmp_path / "complete.mkv", build_chain("trails"))
    make(video, tmp_path / "out.mkv", build_chain("trails"), stop=24)
    return work_folder_of(tmp_path / "out.mkv"), tmp_path / "complete.mkv"


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [damage, cut_short, Path.unlink])
@pytest.mark.parametrize(
    ("name", "resumed_at"),
    [
        ("000000.packets", 0),
        ("000001.packets", 0),  # the memory after the first segment is no longer kept
        ("000002.packets", 14),
        ("000000021.safetensors", 14),
        (MANIFEST, 14),
    ],
)
def test_damaged_files_are_rendered_again(harm, name, resumed_at, stopped_run, video, same):
    folder, complete = stopped_run
    harm(folder / name)
    target = folder.with_suffix("")
    assert make(video, target, build_chain("trails")) == resumed_at
    same(target, complete)


def test_partly_written_files_are_removed(stopped_run, video, same):
    folder, complete = stopped_run
    for name in ("000003.part", "000000028.part", "manifest.part", "video.part"):
        (folder / name).write_bytes(b"half a")
    target = folder.with_suffix("")
    assert make(video, target, build_chain("trails")) == 21
    same(target, complete)
    assert not folder.exists()


def test_a_run_killed_while_joining_only_joins_when_resumed(stopped_run, video, same, monkeypatch):
    folder, complete = stopped_run
    target = folder.with_suffix("")

    def cut(*_, **__):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("streamfx.media.output.writer.join", cut)
        assert make(video, target, build_chain("trails")) == 21
    assert load(folder).complete
    assert not target.exists()
    assert make(video, target, build_chain("trails")) == 25
    same(target, complete)


def test_few_older_memories_are_kept(tmp_path, video):
    make(video, tmp_path / "out.mkv", build_chain("trails"), every=1, stop=25)
    folder = work_folder_of(tmp_path / "out.mkv")
    kept = sorted(int(path.stem) for path in folder.glob("*.safetensors"))
    assert kept == [point.number for point in load(folder).points]
    assert kept[-2:] == [23, 24]
    assert 3 <= len(kept) <= 8
    assert len(list(folder.glob("*.packets"))) == 24


def test_only_one_run_locks_the_folder(tmp_path):
    target = tmp_path / "out.mp4"
    with locked_folder(target), pytest.raises(StreamfxError, match="another run is writing"), locked_folder(target):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked_folder(target) as folder:
        (folder / "work").touch()
    assert [path.name for path in folder.iterdir()] == ["work"]


def test_locking_from_many_threads(tmp_path):
    target, inside, counts = tmp_path / "out.mp4", [], []

    def work():
        for _ in range(200):
            try:
                with locked_folder(target):
                    inside.append(1)
                    counts.append(len(inside))
                    inside.pop()
            except StreamfxError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(counts) == 1
    assert list(tmp_path.iterdir()) == []

"""Runs that are stopped and gone on with: the same pictures and sound as if nothing had happened."""

import json
import os
import threading
from contextlib import closing
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from streamfx.animation.schedule import Context
from streamfx.chain import build_chain
from streamfx.effects import EFFECTS
from streamfx.effects.feedback import Feedback
from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.jobs.checkpoint import Journal, claimed, discard, folder_of
from streamfx.jobs.fingerprint import Identity
from streamfx.jobs.manifest import BEFORE, MANIFEST, load
from streamfx.media.input.reader import Reader
from streamfx.media.output.encoder_selection import Output
from streamfx.media.output.soundtrack import Song
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run

SAME = Identity({"chain": "any"})


class Stopped(BaseException):
    """What a power cut is to a program that goes on."""


def make(source, target, effects, *, every=7, stop=None, song=None, **output):
    """A run with a journal, stopped after so many frames or made whole; how many frames were not done again."""
    target = Path(target)
    folder = folder_of(target)
    folder.mkdir(exist_ok=True)
    journal = Journal(folder, every, SAME, load(folder))
    done, seen = journal.done, []

    def progress(moment):
        seen.append(moment)
        if stop is not None and done + len(seen) == stop:
            raise Stopped

    reader = Reader(source) if not callable(source) else None
    with closing(reader) if reader else closing(Song(song)) as opened:
        try:
            with Writer(target, reader, Output(**output), None if reader else opened) as writer:
                journal.attach(writer, reader)
                if not journal.complete:
                    frames = reader or source(done)
                    run(frames, effects, writer, device="cpu", progress=progress, journal=journal)
        except Stopped:
            return done
    discard(folder)
    folder.rmdir()
    return done


@pytest.fixture
def same(ffmpeg, hashes, times, probe):
    """Assert that two films are the same to who sees and hears them, and lie in their containers alike."""

    def looks(film):
        text = ffmpeg("-i", film, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
        return [line.split(b",")[-1] for line in text.splitlines() if not line.startswith(b"#")]

    def same(one, other):
        assert looks(one) == looks(other)
        assert times(one) == times(other)
        if any(stream["codec_type"] == "audio" for stream in probe(one)["streams"]):
            assert hashes(one, "a") == hashes(other, "a")
        said = [
            [{k: v for k, v in each.items() if k != "bit_rate"} for each in probe(f)["streams"]] for f in (one, other)
        ]
        assert said[0] == said[1]

    return same


@pytest.fixture(scope="session")
def uneven(clip, moving, tone):
    """Two seconds at a variable rate, with B-frames and a tone that sets in before the picture."""
    times = "setpts='(N+0.5*not(mod(N,3))+2*gt(N,9)+5*gt(N,20))/(25*TB)'"
    code = ["-c:v", "libx264", "-bf", "3", "-g", "12", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return clip("uneven.mp4", *moving(), *tone("2"), "-vf", times, "-fps_mode", "passthrough", *code)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut", "out.ts", "out.mov"])
def test_uneven_times_and_b_frames_in_every_container(name, uneven, tmp_path, same, times):
    whole, stopped = tmp_path / "whole" / name, tmp_path / name
    whole.parent.mkdir()
    options = {"options": {"bf": "3"}}
    make(uneven, whole, build_chain("mirror"), **options)
    make(uneven, stopped, build_chain("mirror"), stop=17, **options)
    assert make(uneven, stopped, build_chain("mirror"), **options) == 14
    same(whole, stopped)
    assert len(times(whole)) == 25
    assert len(set(times(whole))) == 25


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
def test_other_encoders(name, output, film, tmp_path, same, rgb):
    size = {"size": 128} if output.get("encoder") == "libx265" else {}
    chain = build_chain("mirror,scale=128:96" if size else "mirror")
    whole, stopped = tmp_path / f"whole{name}", tmp_path / name
    make(film, whole, chain, every=9, **output)
    make(film, stopped, chain, every=9, stop=20, **output)
    assert make(film, stopped, chain, every=9, **output) == 18
    same(whole, stopped)
    assert len(rgb(whole)) == 25


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut"])
def test_segments_lie_in_their_container_as_a_film_that_is_encoded_at_once(name, uneven, convert, tmp_path, probe):
    films = convert(uneven, f"once-{name}", "mirror").path, tmp_path / name
    make(uneven, films[1], build_chain("mirror"))
    shown = ["-select_streams", "v", "-show_entries", "packet=pts,dts,duration"]
    packets = [probe(path, *shown)["packets"] for path in films]
    for field in ("pts", "dts", "duration"):
        one, other = (sorted(each.get(field, -1) for each in told) for told in packets)
        assert one == other, field
    for one, other in zip(*(probe(path)["streams"] for path in films)):
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
def test_chains(chain, film, tmp_path, same):
    whole, stopped = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    make(film, whole, build_chain(chain), every=3)
    make(film, stopped, build_chain(chain), every=3, stop=4)
    assert make(film, stopped, build_chain(chain), every=3, stop=8) == 3
    assert make(film, stopped, build_chain(chain), every=3) == 6
    same(whole, stopped)


def brief(kind):
    """An effect by its own settings, but for what only takes time."""
    less = {"octaves": 1, "steps": 2, "layer": "block3", "frames": 9, "quality": "fast"}
    return kind(**{field.name: less[field.name] for field in fields(kind) if field.name in less})


@pytest.mark.parametrize(
    "effect", [*map(brief, EFFECTS.values()), Style(coherence="full", quality="fast")], ids=lambda each: str(each)[:20]
)
def test_every_effect(effect, clip, moving, tmp_path, same):
    """Over a cut."""
    shots = [*moving("96x72", seconds="0.24"), "-f", "lavfi", "-i", "mandelbrot=s=96x72:r=25:end_pts=9"]
    joined = ["-filter_complex", "[0][1]concat=n=2", "-frames:v", "13", "-c:v", "ffv1", "-pix_fmt", "yuv420p"]
    source = clip("two.mkv", *shots, *joined)
    whole, stopped = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    make(source, whole, [effect], every=4)
    make(source, stopped, [effect], every=4, stop=10)
    assert make(source, stopped, [effect], every=4) == 8
    same(whole, stopped)


def test_a_film_out_of_one_picture(film, tmp_path, same):
    start = torch.rand(3, 48, 64)
    moves = {"zoom": "1.02", "angle": "t/5", "octaves": 1, "layer": "block2", "view": 0.1}
    effect = Feedback(Context(11, 25.0, 3), (48, 64), seed=3, **moves)

    def still(begin):
        return [Frame(start, Fraction(n, 25), Fraction(1, 25)) for n in range(begin, 12)]

    whole, stopped = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    make(still, whole, [effect], every=5, song=film)
    make(still, stopped, [effect], every=5, stop=8, song=film)
    assert make(still, stopped, [effect], every=5, song=film) == 5
    same(whole, stopped)


@pytest.mark.parametrize("name", ["raw.h264", "film.avi", "film.ts"])
def test_sources_without_an_index_are_read_from_their_start(name, film, clip, tmp_path, same):
    source = clip(name, "-i", film, "-map", "0:v", "-c:v", "libx264" if name != "film.avi" else "mpeg4", "-g", "8")
    whole, stopped = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    make(source, whole, build_chain("trails"))
    make(source, stopped, build_chain("trails"), stop=16)
    assert make(source, stopped, build_chain("trails")) == 14
    same(whole, stopped)


def test_numbered_pictures(film, ffmpeg, tmp_path, same):
    ffmpeg("-i", film, tmp_path / "p%02d.png")
    pattern = f"{tmp_path}/p%02d.png"
    whole, stopped = tmp_path / "whole.mkv", tmp_path / "out.mkv"
    make(pattern, whole, build_chain("trails"))
    make(pattern, stopped, build_chain("trails"), stop=16)
    os.truncate(tmp_path / "p03.png", 10)  # is not looked at again
    assert make(pattern, stopped, build_chain("trails")) == 14
    same(whole, stopped)


def test_a_source_whose_frames_are_others_now(film, clip, moving, tone, tmp_path):
    other = clip("other.mp4", *moving(), *tone(), "-vf", "negate", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    make(film, tmp_path / "out.mkv", build_chain("trails"), stop=16)
    with pytest.raises(StreamfxError, match=r"frame 14 of .* is not what it was"):
        make(other, tmp_path / "out.mkv", build_chain("trails"))


@pytest.fixture
def begun(film, tmp_path):
    """The folder of a film of which three segments are closed, and the film as it is to become."""
    make(film, tmp_path / "whole.mkv", build_chain("trails"))
    make(film, tmp_path / "out.mkv", build_chain("trails"), stop=24)
    return folder_of(tmp_path / "out.mkv"), tmp_path / "whole.mkv"


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut_short(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [damage, cut_short, Path.unlink])
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("000000.packets", 0),
        ("000001.packets", 0),  # the memory behind the first is no longer kept
        ("000002.packets", 14),
        ("000000021.safetensors", 14),
        (MANIFEST, 14),
    ],
)
def test_what_is_damaged_is_done_again(harm, name, left, begun, film, same):
    folder, whole = begun
    harm(folder / name)
    target = folder.with_suffix("")
    assert make(film, target, build_chain("trails")) == left
    same(target, whole)


def test_a_manifest_damaged_twice_is_told(begun, film):
    folder, _ = begun
    damage(folder / MANIFEST)
    (folder / BEFORE).write_text("{}")
    with pytest.raises(StreamfxError, match="damaged or of another version"):
        load(folder)


def test_what_was_being_written_is_swept(begun, film, same):
    folder, whole = begun
    for name in ("000003.part", "000000028.part", "manifest.part", "film.part"):
        (folder / name).write_bytes(b"half a")
    target = folder.with_suffix("")
    assert make(film, target, build_chain("trails")) == 21
    same(target, whole)
    assert not folder.exists()


def test_a_run_that_was_killed_at_the_join_only_joins(begun, film, same, monkeypatch):
    folder, whole = begun
    target = folder.with_suffix("")

    def cut(*_, **__):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("streamfx.media.output.writer.join", cut)
        assert make(film, target, build_chain("trails")) == 21
    assert load(folder).complete
    assert not target.exists()
    assert make(film, target, build_chain("trails")) == 25
    same(target, whole)


def test_older_memories_go_so_that_few_are_kept(tmp_path, film):
    make(film, tmp_path / "out.mkv", build_chain("trails"), every=1, stop=25)
    folder = folder_of(tmp_path / "out.mkv")
    kept = sorted(int(path.stem) for path in folder.glob("*.safetensors"))
    assert kept == [point.number for point in load(folder).points]
    assert kept[-2:] == [23, 24]
    assert 3 <= len(kept) <= 8
    assert len(list(folder.glob("*.packets"))) == 24


def test_one_run_has_the_folder(tmp_path):
    target = tmp_path / "out.mp4"
    with claimed(target), pytest.raises(StreamfxError, match="another run is writing"), claimed(target):
        pass
    assert list(tmp_path.iterdir()) == []
    with claimed(target) as folder:
        (folder / "work").touch()
    assert [path.name for path in folder.iterdir()] == ["work"]


def test_folders_come_and_go_among_many_runs(tmp_path):
    target, inside, most = tmp_path / "out.mp4", [], []

    def work():
        for _ in range(200):
            try:
                with claimed(target):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except StreamfxError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_plain(begun):
    folder, _ = begun
    body = json.loads(json.loads((folder / MANIFEST).read_text())["body"])
    assert [each["number"] for each in body["points"]] == [14, 21]
    assert sum(each["written"] for each in body["segments"]) == 21

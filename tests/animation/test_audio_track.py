"""A song's variables follow it frame by frame at any rate; it is heard once, and kept."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import songs

from streamfx.animation import audio_track as module
from streamfx.animation.audio_track import Music, analyse, kept_file
from streamfx.animation.expression import MUSIC
from streamfx.animation.schedule import parse_schedule
from streamfx.errors import StreamfxError


@pytest.fixture
def plain():
    """Ten seconds with two beats, three onsets and two parts, and curves that rise."""
    ramp = np.linspace(0, 1, 1000)
    return Music(
        duration=10.0,
        grid=100.0,
        beats=np.array([1.0, 2.0, 3.0]),
        onsets=np.array([1.0, 1.5, 2.0]),
        strengths=np.array([1.0, 0.5, 0.25]),
        sections=np.array([0.0, 5.0]),
        **dict.fromkeys(("bass", "mid", "high", "rms", "pitch", "wave"), ramp),
    )


@pytest.mark.parametrize("fps", [24.0, 30.0, 30000 / 1001, 7.5, 200.0])
def test_variables_are_all_there_and_in_range(plain, fps):
    count = int(12 * fps)
    made = plain.variables(fps, count)
    assert set(made) == set(MUSIC)
    for name, track in made.items():
        assert track.shape == (count,)
        assert track.min() >= 0
        if name not in ("section", "bpm"):
            assert track.max() <= 1
    np.testing.assert_array_equal(made["bpm"], 60)
    assert made["section"][round(4.8 * fps)] == 0
    assert made["section"][round(5 * fps)] == made["section"][-1] == 1


def test_beats_strike_in_their_frame_and_fade(plain):
    beat = plain.variables(30, 300)["beat"]
    assert (beat[[30, 60, 90]] == 1).all()
    assert beat[25] < 0.01
    assert beat[29] == pytest.approx(np.exp(-1 / (30 * module.ATTACK)))
    assert beat[36] == pytest.approx(np.exp(-1))  # 0.2 s later
    longer = plain.variables(30, 300, release=1.0)["beat"]
    assert longer[45] == pytest.approx(np.exp(-0.5))
    onset = plain.variables(30, 300)["onset"]
    np.testing.assert_allclose(onset[[30, 45, 60]], [1, 0.5, max(0.25, 0.5 * np.exp(-2.5))])


def test_levels_show_the_highest_of_each_frame_and_end_with_the_song(plain):
    made = plain.variables(10, 120, attack=1e-4, release=1e-4)
    np.testing.assert_allclose(made["bass"][:100], plain.bass[9::10])
    np.testing.assert_allclose(made["bass"][100:], 0, atol=1e-12)
    np.testing.assert_allclose(plain.variables(200, 100)["pitch"][::2], plain.pitch[:50], atol=1e-12)


def test_schedules_hear_it(plain):
    context = plain.context(30, 300, seed=5)
    assert (context.last, context.fps, context.seed) == (299, 30, 5)
    made = parse_schedule("0:(1) hold, 1b:(1+beat)").values(300, context)
    np.testing.assert_array_equal(made[[0, 59, 60, 90]], [1, 1, 2, 2])


def test_a_song_is_heard_once_and_kept_by_its_content(song_file, cache, tmp_path, monkeypatch):
    path, song = song_file(120)
    first = analyse(path)
    assert min(songs.matched(first.beats, song.beats)) >= 0.95
    assert first.bpm == pytest.approx(120, rel=0.005)
    assert first.duration == pytest.approx(16, abs=0.05)
    assert [file.name for file in cache.iterdir()] == [kept_file(path).name]
    assert kept_file(path).stat().st_size < 200_000
    monkeypatch.setattr(module, "_listen", None)  # not called again
    again = analyse(shutil.copy(path, tmp_path / "other.wav"))
    for name in Music.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[: len(whole) // 2], lambda whole: b"x" * 99])
def test_a_damaged_cache_is_heard_anew(song_file, cache, damage):
    path, _ = song_file(120, seconds=4.0)
    first = analyse(path)
    kept_file(path).write_bytes(damage(kept_file(path).read_bytes()))
    np.testing.assert_array_equal(analyse(path).rms, first.rms)
    np.testing.assert_array_equal(np.load(kept_file(path))["rms"], first.rms)


def test_no_cache_is_no_error(song_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert analyse(song_file(120, seconds=4.0)[0]).duration == pytest.approx(4, abs=0.05)


def test_codecs_do_not_move_the_beats(song_file, clip):
    path, song = song_file(120)
    music = analyse(clip("song.mp3", "-i", path))
    assert min(songs.matched(music.beats, song.beats)) >= 0.95
    assert min(songs.matched(music.onsets, song.onsets)) >= 0.95


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.mp3", None, "no such file"),
        ("a.mp3", b"", "is empty"),
        ("a.mp3", b"no song" * 500, "not a song or a film with sound"),
        (".", None, "is a folder"),
    ],
)
def test_what_is_no_song(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StreamfxError, match=reason) as caught:
        analyse(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_film_without_sound(clip, moving):
    with pytest.raises(StreamfxError, match="has no sound"):
        analyse(clip("silent.mp4", *moving()))


def test_librosa_is_loaded_only_to_listen():
    code = (
        "import sys, streamfx.animation.audio_track, streamfx.animation.audio_features\n"
        "print({'librosa', 'av'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"set()\n"

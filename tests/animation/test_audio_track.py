"""Audio variables in each video frame at any frame rate, and the cache of analyses."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import synthetic_audio

from streamfx.animation import audio_track
from streamfx.animation.audio_track import ATTACK, AudioAnalysis, analyze_audio, cache_file
from streamfx.animation.expression import AUDIO_VARIABLES
from streamfx.animation.schedule import parse_schedule
from streamfx.errors import StreamfxError


@pytest.fixture
def analysis():
    """Ten seconds with three beats, three onsets, two sections, and rising curves."""
    ramp = np.linspace(0, 1, 1000)
    return AudioAnalysis(
        duration=10.0,
        feature_rate=100.0,
        beats=np.array([1.0, 2.0, 3.0]),
        onsets=np.array([1.0, 1.5, 2.0]),
        strengths=np.array([1.0, 0.5, 0.25]),
        sections=np.array([0.0, 5.0]),
        **dict.fromkeys(("bass", "mid", "high", "rms", "pitch", "wave"), ramp),
    )


@pytest.mark.parametrize("fps", [24.0, 30.0, 30000 / 1001, 7.5, 200.0])
def test_variables_are_complete_and_in_range(analysis, fps):
    count = int(12 * fps)
    tracks = analysis.variables(fps, count)
    assert set(tracks) == set(AUDIO_VARIABLES)
    for name, track in tracks.items():
        assert track.shape == (count,)
        assert track.min() >= 0
        if name not in ("section", "bpm"):
            assert track.max() <= 1
    np.testing.assert_array_equal(tracks["bpm"], 60)
    assert tracks["section"][round(4.8 * fps)] == 0
    assert tracks["section"][round(5 * fps)] == tracks["section"][-1] == 1


def test_beats_peak_in_their_frame_and_decay(analysis):
    beat = analysis.variables(30, 300)["beat"]
    assert (beat[[30, 60, 90]] == 1).all()
    assert beat[25] < 0.01
    assert beat[29] == pytest.approx(np.exp(-1 / (30 * ATTACK)))
    assert beat[36] == pytest.approx(np.exp(-1))  # 0.2 s later
    slower = analysis.variables(30, 300, release=1.0)["beat"]
    assert slower[45] == pytest.approx(np.exp(-0.5))
    onset = analysis.variables(30, 300)["onset"]
    np.testing.assert_allclose(onset[[30, 45, 60]], [1, 0.5, max(0.25, 0.5 * np.exp(-2.5))])


def test_levels_are_the_maximum_of_each_frame_and_0_after_the_audio(analysis):
    tracks = analysis.variables(10, 120, attack=1e-4, release=1e-4)
    np.testing.assert_allclose(tracks["bass"][:100], analysis.bass[9::10])
    np.testing.assert_allclose(tracks["bass"][100:], 0, atol=1e-12)
    np.testing.assert_allclose(analysis.variables(200, 100)["pitch"][::2], analysis.pitch[:50], atol=1e-12)


def test_schedules_use_audio_variables_and_beats(analysis):
    context = analysis.context(30, 300, seed=5)
    assert (context.last, context.fps, context.seed) == (299, 30, 5)
    values = parse_schedule("0:(1) hold, 1b:(1+beat)").values(300, context)
    np.testing.assert_array_equal(values[[0, 59, 60, 90]], [1, 1, 2, 2])


def test_analyses_are_cached_by_file_content(audio_file, cache, tmp_path, monkeypatch):
    path, audio = audio_file(120)
    first = analyze_audio(path)
    assert min(synthetic_audio.match_rates(first.beats, audio.beats)) >= 0.95
    assert first.bpm == pytest.approx(120, rel=0.005)
    assert first.duration == pytest.approx(16, abs=0.05)
    assert [file.name for file in cache.iterdir()] == [cache_file(path).name]
    assert cache_file(path).stat().st_size < 200_000
    monkeypatch.setattr(audio_track, "_analyze", None)  # must not be called again
    again = analyze_audio(shutil.copy(path, tmp_path / "other.wav"))
    for name in AudioAnalysis.__slots__:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * 99])
def test_damaged_cache_entries_are_rebuilt(audio_file, cache, damage):
    path, _ = audio_file(120, seconds=4.0)
    first = analyze_audio(path)
    cache_file(path).write_bytes(damage(cache_file(path).read_bytes()))
    np.testing.assert_array_equal(analyze_audio(path).rms, first.rms)
    np.testing.assert_array_equal(np.load(cache_file(path))["rms"], first.rms)


def test_an_unwritable_cache_is_ignored(audio_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert analyze_audio(audio_file(120, seconds=4.0)[0]).duration == pytest.approx(4, abs=0.05)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_the_audio_of_a_url_is_analyzed(audio_file):
    file, _ = audio_file(120)
    handler = functools.partial(QuietHandler, directory=file.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        analysis = analyze_audio(f"http://127.0.0.1:{server.server_port}/{file.name}")
        server.shutdown()
    expected = analyze_audio(file)
    assert analysis.duration == expected.duration
    np.testing.assert_array_equal(analysis.beats, expected.beats)
    np.testing.assert_array_equal(analysis.bass, expected.bass)


def test_mp3_compression_does_not_shift_beats(audio_file, clip):
    path, audio = audio_file(120)
    analysis = analyze_audio(clip("audio.mp3", "-i", path))
    assert min(synthetic_audio.match_rates(analysis.beats, audio.beats)) >= 0.95
    assert min(synthetic_audio.match_rates(analysis.onsets, audio.onsets)) >= 0.95


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.mp3", None, "no such file"),
        ("a.mp3", b"", "is empty"),
        ("a.mp3", b"no audio" * 500, "not a file with audio"),
        (".", None, "is a folder"),
    ],
)
def test_files_that_are_not_audio_are_rejected(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StreamfxError, match=reason) as caught:
        analyze_audio(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_videos_without_audio_are_rejected(clip, moving):
    with pytest.raises(StreamfxError, match="has no audio"):
        analyze_audio(clip("silent.mp4", *moving()))


def test_importing_does_not_load_librosa_or_av():
    code = (
        "import sys, streamfx.animation.audio_track, streamfx.animation.audio_features\n"
        "print({'librosa', 'av'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"set()\n"

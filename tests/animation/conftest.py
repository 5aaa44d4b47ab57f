"""Synthetic audio files with known beats, and an isolated cache."""

import pytest
import synthetic_audio


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of audio analyses, in the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streamfx" / "music"


@pytest.fixture(scope="session")
def audio_file(tmp_path_factory):
    """audio_file(bpm, ...): (WAV file, its `SyntheticAudio`) synthesized with these settings; made once per session."""
    folder = tmp_path_factory.mktemp("audio")
    files = {}

    def audio_file(bpm, **settings):
        key = (bpm, *sorted(settings.items()))
        if key not in files:
            audio = synthetic_audio.synthesize(bpm, **settings)
            files[key] = synthetic_audio.write(folder / f"{len(files)}.wav", audio.samples), audio
        return files[key]

    return audio_file

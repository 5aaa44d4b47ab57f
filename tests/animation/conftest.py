"""Songs as files, and a cache of our own."""

import pytest
import songs


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "streamfx" / "music"


@pytest.fixture(scope="session")
def song_file(tmp_path_factory):
    """song_file(bpm, ...): a song made with these settings, as a wav, and what is in it."""
    folder = tmp_path_factory.mktemp("songs")
    made = {}

    def song_file(bpm, **settings):
        key = (bpm, *sorted(settings.items()))
        if key not in made:
            song = songs.song(bpm, **settings)
            made[key] = songs.write(folder / f"{len(made)}.wav", song.samples), song
        return made[key]

    return song_file

"""Sound comes as samples of one channel at the rate that is asked for, in time with its file."""

import logging

import numpy as np
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.input.audio_decoder import read_sound

RATE = 22050
SINE = ["-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*440*t)|0.5*sin(2*PI*440*t):s=44100:d=2.5"]
CODECS = [("s.wav", []), ("s.flac", []), ("s.mp3", []), ("s.m4a", []), ("s.ogg", ["-c:a", "libvorbis"]), ("s.opus", [])]


def sound(path, rate=RATE, seconds=10.0):
    return np.concatenate(list(read_sound(str(path), rate, seconds)))


@pytest.mark.parametrize(("name", "codec"), CODECS, ids=[name for name, _ in CODECS])
def test_any_codec_gives_the_same_samples(clip, name, codec):
    made = sound(clip(name, *SINE, *codec))
    assert made.dtype == np.float32
    assert len(made) == pytest.approx(2.5 * RATE, abs=0.06 * RATE)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert np.abs(made[: 2 * RATE] - expected)[2000:].max() < 0.05  # so it lies within a fraction of a millisecond


def test_blocks_join_to_the_whole(clip):
    path = clip("s.wav", *SINE)
    blocks = list(read_sound(str(path), RATE, 0.4))
    assert [len(block) for block in blocks[:-1]] == [8820] * 6
    assert 0 < len(blocks[-1]) <= 8820
    np.testing.assert_array_equal(np.concatenate(blocks), sound(path))


def test_the_sound_of_a_film(film):
    assert len(sound(film, 8000)) == pytest.approx(8000, abs=800)


def test_channels_are_mixed(clip):
    path = clip("two.wav", "-f", "lavfi", "-i", "aevalsrc=0.5|-0.5:s=22050:d=0.5")
    assert np.abs(sound(path)).max() < 1e-3


def test_sound_that_sets_in_late_begins_with_silence(clip, film):
    shifted = clip("late.mkv", "-i", film, "-itsoffset", "0.5", "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy")
    made = sound(shifted)
    assert np.abs(made[: int(0.45 * RATE)]).max() == 0
    assert np.abs(made[int(0.55 * RATE) : RATE]).max() > 0.05


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "none.mp3", "no such file"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _written(folder / "a.mp3", b""), "is empty"),
        (lambda folder: _written(folder / "a.mp3", b"no song at all" * 500), "not a song or a film with sound"),
        (lambda folder: _written(folder / "a.txt", b"words\n" * 500), "not a song or a film with sound"),
    ],
)
def test_what_is_no_song(tmp_path, make, reason):
    with pytest.raises(StreamfxError, match=reason) as caught:
        sound(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [0x7FFFFFFF, 0x7FFFFF00])
def test_a_rate_that_nobody_has(rate, clip, tmp_path):
    data = bytearray(clip("tone.wav", "-f", "lavfi", "-i", "sine=duration=0.2").read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path = _written(tmp_path / "fast.wav", bytes(data))
    with pytest.raises(StreamfxError, match=f"{rate} samples a second in 1 channels, which cannot be converted"):
        sound(path)


def _written(path, content):
    path.write_bytes(content)
    return path


def test_a_film_without_sound(clip, moving):
    with pytest.raises(StreamfxError, match="has no sound; give a song"):
        sound(clip("silent.mp4", *moving()))


def test_sound_that_cannot_be_decoded(clip, tmp_path):
    whole = clip("s.flac", *SINE).read_bytes()
    path = _written(tmp_path / "a.flac", whole[:8300] + bytes(len(whole) - 8300))
    with pytest.raises(StreamfxError, match="has no sound that can be decoded"):
        sound(path)


def test_sound_that_breaks_off_is_told(clip, tmp_path, caplog):
    whole = bytearray(clip("s.m4a", *SINE).read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 3000] = b"\xff" * 3000
    with caplog.at_level(logging.WARNING, "streamfx"):
        made = sound(_written(tmp_path / "a.m4a", bytes(whole)))
    assert len(made) > RATE
    assert "some of its sound is damaged" in caplog.text

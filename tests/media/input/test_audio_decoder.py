"""Audio is decoded to mono samples at the requested rate, in sync with the file."""

import logging

import numpy as np
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.input.audio_decoder import read_audio

RATE = 22050
SINE = ["-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*440*t)|0.5*sin(2*PI*440*t):s=44100:d=2.5"]
CODECS = [("s.wav", []), ("s.flac", []), ("s.mp3", []), ("s.m4a", []), ("s.ogg", ["-c:a", "libvorbis"]), ("s.opus", [])]


def decode(path, rate=RATE, seconds=10.0):
    return np.concatenate(list(read_audio(str(path), rate, seconds)))


@pytest.mark.parametrize(("name", "codec"), CODECS, ids=[name for name, _ in CODECS])
def test_any_codec_gives_the_same_samples(clip, name, codec):
    samples = decode(clip(name, *SINE, *codec))
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2.5 * RATE, abs=0.06 * RATE)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    assert np.abs(samples[: 2 * RATE] - expected)[2000:].max() < 0.05  # in sync within a fraction of a millisecond


def test_blocks_join_to_the_complete_audio(clip):
    path = clip("s.wav", *SINE)
    blocks = list(read_audio(str(path), RATE, 0.4))
    assert [len(block) for block in blocks[:-1]] == [8820] * 6
    assert 0 < len(blocks[-1]) <= 8820
    np.testing.assert_array_equal(np.concatenate(blocks), decode(path))


def test_the_audio_of_a_video(video):
    assert len(decode(video, 8000)) == pytest.approx(8000, abs=800)


def test_channels_are_mixed_to_mono(clip):
    path = clip("two.wav", "-f", "lavfi", "-i", "aevalsrc=0.5|-0.5:s=22050:d=0.5")
    assert np.abs(decode(path)).max() < 1e-3


def test_late_audio_starts_with_silence(clip, video):
    inputs = ["-i", video, "-itsoffset", "0.5", "-i", video]
    shifted = clip("late.mkv", *inputs, "-map", "0:v", "-map", "1:a", "-c", "copy")
    samples = decode(shifted)
    assert np.abs(samples[: int(0.45 * RATE)]).max() == 0
    assert np.abs(samples[int(0.55 * RATE) : RATE]).max() > 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", ["bad.wav", "bad.mkv"])
def test_samples_that_are_not_numbers_are_silent(bad, name, clip, tmp_path, caplog):
    """Audio workstations write such files."""
    samples = np.full((RATE, 2), 0.25, np.float32)
    samples[1000:1010] = bad
    (tmp_path / "bad.raw").write_bytes(samples.tobytes())
    source = ["-f", "f32le", "-ar", RATE, "-ac", "2", "-i", tmp_path / "bad.raw"]
    decoded = decode(clip(name, *source, "-c:a", "pcm_f32le"))
    assert np.abs(decoded).max() == 0.25
    assert (decoded == 0).sum() == 10
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"samples in the audio of '{clip(name, *source, '-c:a', 'pcm_f32le')}' are not numbers, or much too "
        "large; they count as 0"
    ]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "none.mp3", "no such file"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _write(folder / "a.mp3", b""), "is empty"),
        (lambda folder: _write(folder / "a.mp3", b"no audio at all" * 500), "not a file with audio"),
        (lambda folder: _write(folder / "a.txt", b"words\n" * 500), "not a file with audio"),
    ],
)
def test_files_without_decodable_audio_are_errors(tmp_path, make, reason):
    with pytest.raises(StreamfxError, match=reason) as caught:
        decode(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [0x7FFFFFFF, 0x7FFFFF00])
def test_an_impossible_sample_rate_is_an_error(rate, clip, tmp_path):
    data = bytearray(clip("tone.wav", "-f", "lavfi", "-i", "sine=duration=0.2").read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path = _write(tmp_path / "fast.wav", bytes(data))
    with pytest.raises(StreamfxError, match=rf"cannot resample .* \({rate} Hz, 1 channels\)"):
        decode(path)


def _write(path, content):
    path.write_bytes(content)
    return path


def test_a_video_without_audio_is_an_error(clip, moving):
    with pytest.raises(StreamfxError, match="has no audio; give a file with audio"):
        decode(clip("silent.mp4", *moving()))


def test_audio_that_cannot_be_decoded_is_an_error(clip, tmp_path):
    whole = clip("s.flac", *SINE).read_bytes()
    path = _write(tmp_path / "a.flac", whole[:8300] + bytes(len(whole) - 8300))
    with pytest.raises(StreamfxError, match=r"no audio of .* can be decoded"):
        decode(path)


def test_damaged_audio_is_reported(clip, tmp_path, caplog):
    whole = bytearray(clip("s.m4a", *SINE).read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 3000] = b"\xff" * 3000
    with caplog.at_level(logging.WARNING, "streamfx"):
        samples = decode(_write(tmp_path / "a.m4a", bytes(whole)))
    assert len(samples) > RATE
    assert "some audio of " in caplog.text

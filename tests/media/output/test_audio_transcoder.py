"""Audio is re-encoded at the nearest sample rate and channel layout, with each channel in its place."""

import numpy as np
import pytest

from streamfx.media.output.audio_transcoder import nearest_layout, nearest_rate


@pytest.mark.parametrize(
    ("encoder", "rate", "nearest"),
    [
        ("aac", 44100, 44100),
        ("aac", 192000, 96000),
        ("aac", 352800, 96000),
        ("aac", 22222, 22050),
        ("aac", 4000, 7350),
        ("libopus", 44100, 48000),
    ],
)
def test_nearest_rate(encoder, rate, nearest):
    assert nearest_rate(encoder, rate) == nearest


@pytest.mark.parametrize(
    ("encoder", "layout", "nearest"),
    [
        ("aac", "2.1", "2.1"),
        ("libopus", "2.1", "5.1"),
        ("libopus", "5.1(side)", "5.1"),
        ("libopus", "octagonal", "7.1"),
        ("libopus", "downmix", "stereo"),
        ("aac", "22.2", "7.1"),
        ("aac", "9 channels", "mono"),
        ("aac", "ambisonic 1", "mono"),
    ],
)
def test_nearest_layout(encoder, layout, nearest):
    assert nearest_layout(encoder, 48000, layout) == nearest


@pytest.fixture
def track(convert, probe, clip, moving):
    """track(target, layout, rate, *values): the audio stream that a video with constant channels gets, and the path."""

    def track(target, layout, rate, *values, codec="pcm_s24le"):
        expression = "|".join(f"{value}*sin(2*PI*300*t)" for value in values)
        audio = ["-f", "lavfi", "-i", f"aevalsrc={expression}:d=1:s={rate}{f':c={layout}' * bool(layout)}"]
        source = clip(
            "source.mov" if layout else "source.mkv", *moving(rate="5"), *audio, "-c:v", "mpeg4", "-c:a", codec
        )
        made = convert(source, target)
        (stream,) = [stream for stream in probe(made.path)["streams"] if stream["codec_type"] == "audio"]
        return stream, made.path

    return track


@pytest.mark.parametrize(
    ("target", "layout", "rate", "count", "expected"),
    [
        ("a.ts", "stereo", 192000, 2, ("aac", "96000", 2)),
        ("a.ts", "mono", 22222, 1, ("aac", "22050", 1)),
        ("a.webm", "2.1", 48000, 3, ("opus", "48000", 6)),
        ("a.webm", "quad", 48000, 4, ("opus", "48000", 4)),
        ("a.webm", "", 44100, 8, ("opus", "48000", 8)),
        ("a.ts", "", 48000, 9, ("aac", "48000", 1)),
    ],
)
def test_rates_and_layouts_that_the_encoder_lacks(track, ffmpeg, target, layout, rate, count, expected):
    stream, path = track(target, layout, rate, *[0.3] * count)
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == expected
    samples = np.frombuffer(ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-f", "f32le", "-"), np.float32)
    assert len(samples) / int(stream["sample_rate"]) == pytest.approx(1, abs=0.1)
    assert np.abs(samples).max() > 0.1


def test_channels_in_custom_order_go_to_their_places(track, ffmpeg):
    _, path = track("a.ts", "FR+FL", 48000, 0.1, 0.6)
    samples = np.frombuffer(ffmpeg("-i", path, "-map", "0:a", "-f", "f32le", "-"), np.float32).reshape(-1, 2)
    left, right = np.abs(samples[4800:-4800]).max(axis=0)
    assert (left, right) == pytest.approx((0.6, 0.1), abs=0.06)


def test_pcm_in_mp4_is_transcoded_because_players_cannot_read_it(track):
    stream, _ = track("a.mp4", "", 352800, 0.1, 0.6, codec="pcm_s32le")
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("aac", "96000", 2)


def test_audio_that_changes_its_layout_is_transcoded(clip, moving, tone, convert, probe):
    parts = []
    for layout, rate in (("stereo", 48000), ("mono", 32000)):
        audio = ["-c:a", "mp2", "-ar", rate, "-ac", "2" if layout == "stereo" else "1"]
        parts.append(clip(f"{layout}.ts", *moving(), *tone(), "-c:v", "mpeg2video", *audio).read_bytes())
    source = clip("one.ts", *moving(), "-c:v", "mpeg2video").with_name("both.ts")
    source.write_bytes(b"".join(parts))
    made = convert(source, "a.webm")
    (stream,) = [stream for stream in probe(made.path)["streams"] if stream["codec_type"] == "audio"]
    assert (stream["codec_name"], stream["channels"]) == ("opus", 2)


def test_packets_that_cannot_be_decoded_are_left_out_with_a_warning(clip, moving, tone, convert, tmp_path):
    source = clip("tta.mkv", *moving(rate="5"), *tone("3"), "-c:v", "mpeg4", "-c:a", "flac")
    data = bytearray(source.read_bytes())
    frames = [at for at in range(len(data) - 2) if data[at : at + 2] == b"\xff\xf8"]
    data[frames[4] + 2 : frames[4] + 40] = bytes(38)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    assert convert(broken, "a.ts").warned("of the audio are damaged and left out")


@pytest.mark.parametrize("target", ["a.webm", "a.mp4", "a.ts"])
@pytest.mark.parametrize(
    ("codec", "channels", "bad"),
    [
        ("pcm_f32le", 2, np.nan),
        ("pcm_f64le", 1, np.inf),
        ("pcm_f32le", 8, -np.inf),
        ("pcm_f32le", 12, np.nan),
        ("pcm_f64le", 2, 1e300),
    ],
)
def test_samples_that_are_not_numbers_become_silence(ffmpeg, moving, convert, tmp_path, target, codec, channels, bad):
    samples = np.tile(np.sin(np.arange(44100) / 20)[:, None] * 0.5, channels)
    samples[20000:30000] = bad
    raw = codec.removeprefix("pcm_")
    (tmp_path / "bad.raw").write_bytes(samples.astype("<f4" if raw == "f32le" else "<f8").tobytes())
    source = ["-f", raw, "-ar", 44100, "-ac", channels, "-i", tmp_path / "bad.raw"]
    ffmpeg(*moving(rate="5"), *source, "-c:v", "mpeg4", "-c:a", codec, tmp_path / "bad.mkv")
    made = convert(tmp_path / "bad.mkv", target)
    assert [text for text in made.warnings if "not numbers" in text] == [
        "samples of the audio are not numbers, or much too large; they are silent in the output"
    ]
    sound = ffmpeg("-i", made.path, "-map", "0:a", "-ac", "1", "-ar", "44100", "-f", "f32le", "-")
    heard = np.abs(np.frombuffer(sound, np.float32))
    assert len(heard) == pytest.approx(44100, rel=0.1)
    assert heard[22500:27500].max() < 0.01
    assert heard[5000:15000].max() > 0.2
    assert heard[35000:40000].max() > 0.2
    assert heard.max() < 1 + channels  # mixed to mono without a limit

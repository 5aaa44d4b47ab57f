"""Channel layouts that crash PyAV are replaced before it reads them."""

from fractions import Fraction

import av
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.input.audio_decoder import read_audio
from streamfx.media.input.channel_layout import channel_names, default_layout, settle_layout


def channels(*values):
    """Arguments of ffmpeg for audio with one constant value per channel."""
    return ["-f", "lavfi", "-i", f"aevalsrc={'|'.join(map(str, values))}:d=0.2:s=48000"]


def with_layout(layout, *values):
    *first, source = channels(*values)
    return [*first, f"{source}:c={layout}"]


@pytest.mark.parametrize(
    ("name", "arguments", "layout", "order"),
    [
        ("stereo.mov", with_layout("stereo", 0.1, 0.2), "stereo", ()),
        ("swapped.mov", with_layout("FR+FL", 0.1, 0.2), "stereo", ("FR", "FL")),
        ("swapped3.mov", with_layout("FR+FL+LFE", 0.1, 0.2, 0.3), "2.1", ("FR", "FL", "LFE")),
        ("rear.mov", with_layout("7.1", *[0.1] * 8), "7.1", ("FL", "FR", "FC", "LFE", "SL", "SR", "BL", "BR")),
        ("unnamed.mkv", channels(*[0.1] * 6), "5.1", ()),
        ("many.mkv", channels(*[0.1] * 9), "9 channels", ()),
    ],
)
def test_every_layout_becomes_native(clip, name, arguments, layout, order):
    source = clip(name, *arguments, "-c:a", "pcm_s16le")
    with av.open(str(source)) as container:
        (stream,) = container.streams.audio
        assert settle_layout(stream) == order
        assert (stream.layout.name, settle_layout(stream)) == (layout, ())
        assert sum(frame.samples for packet in container.demux(stream) for frame in packet.decode()) == 9600


@pytest.mark.parametrize("count", [7, 8, 9, 12, 16, 24])
def test_any_number_of_channels_is_mixed_to_mono(clip, count):
    values = [number / 40 for number in range(count)]
    source = clip(f"{count}.mkv", *channels(*values), "-c:a", "pcm_s16le")
    (samples,) = read_audio(str(source), 48000)
    assert len(samples) == 9600
    assert samples == pytest.approx(sum(values) / count, abs=1e-3)


def test_default_layouts_are_those_of_ffmpeg():
    for count in range(1, 30):
        if layout := default_layout(count):
            assert av.AudioLayout(layout).nb_channels == count
    assert (default_layout(6), default_layout(9)) == ("5.1", "")


def test_side_and_back_channels_count_as_the_same():
    assert channel_names("5.1(side)") == channel_names("5.1")
    assert channel_names("7.1") != channel_names("7.1(wide)")


def test_audio_whose_channels_are_unknown(tmp_path):
    path = tmp_path / "zeros.ts"
    with av.open(str(path), "w") as output:
        stream = output.add_mux_stream("mp2", rate=48000)
        for number in range(20):
            packet = av.Packet(bytes(500))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 40)
            output.mux(packet)
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        assert settle_layout(stream) == ()
        assert stream.channels == 0
    with pytest.raises(StreamfxError, match="no audio of"):
        list(read_audio(str(path), 22050))

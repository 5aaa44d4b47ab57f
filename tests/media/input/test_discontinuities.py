"""Timestamps that start over or jump continue, for video and audio alike, in trimmed and resumed runs too."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.media.input.audio_decoder import read_audio
from streamfx.media.input.discontinuities import Discontinuities
from streamfx.media.input.reader import Reader
from streamfx.media.output.soundtrack import Soundtrack

PICTURE = ["-c:v", "mpeg2video", "-g", "5", "-bf", "2", "-c:a", "mp2"]
ONE = Fraction(1, 25)


@pytest.fixture(scope="session")
def part(clip, tone):
    """part(name, source, offset): ten frames of a test pattern, with a tone."""

    def part(name, source="testsrc2", offset="0", *options):
        pattern = ["-f", "lavfi", "-i", f"{source}=size=64x48:rate=25:duration=0.4"]
        return clip(name, *pattern, *tone("0.4"), *(options or PICTURE), "-output_ts_offset", offset)

    return part


@pytest.fixture(scope="session")
def joined(part, tmp_path_factory):
    """joined(kind): a file of two different parts with a discontinuity between them."""
    folder = tmp_path_factory.mktemp("joined")

    def joined(kind):
        vob, offset = kind == "vob", {"ahead": "5000", "far": "90000"}.get(kind, "0")
        parts = [part("1.vob" if vob else "1.ts"), part("2.vob" if vob else "2.ts", "testsrc", offset)]
        if kind == "back":
            parts = [part("3.ts", "testsrc2", "5000"), part("2.ts", "testsrc")]
        if kind == "playlist":
            return playlist(parts)
        path = folder / f"{kind}.{'vob' if vob else 'ts'}"
        path.write_bytes(b"".join(file.read_bytes() for file in parts))
        return path

    def playlist(parts):
        names = [f"part{number}.ts" for number in range(2)]
        for name, file in zip(names, parts):
            (folder / name).write_bytes(file.read_bytes())
        entries = "#EXT-X-DISCONTINUITY\n".join(f"#EXTINF:0.4,\n{name}\n" for name in names)
        path = folder / "list.m3u8"
        path.write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n{entries}#EXT-X-ENDLIST\n")
        return path

    return joined


KINDS = ["restart", "ahead", "far", "back", "vob", "playlist"]


@pytest.mark.parametrize("kind", KINDS)
def test_both_parts_are_kept_without_a_gap(kind, joined, convert, times, rgb, part):
    made = convert(joined(kind), "out.mkv", "null")
    assert made.damaged_at is None
    assert made.warned("jump at 0.4")
    video, audio = times(made.path), times(made.path, "a:0")
    assert len(video) == 20
    assert [float(time - video[0]) for time in video] == pytest.approx([n / 25 for n in range(20)], abs=0.03)
    assert len(audio) == 2 * len(times(part("1.ts"), "a:0"))
    assert float(audio[-1] - audio[0]) == pytest.approx(0.8, abs=0.06)
    frames = rgb(made.path).astype(int)
    assert np.abs(frames[10] - frames[9]).mean() > 20  # the other pattern starts at once
    assert np.abs(frames[11] - frames[10]).mean() < 20


@pytest.mark.parametrize("kind", ["restart", "ahead", "playlist"])
@pytest.mark.parametrize(("start", "end"), [("0.2", "0.6"), ("0.56", "0.72")])
def test_trimming_counts_from_the_start_of_the_first_part(kind, start, end, joined, rgb, convert, times):
    whole = rgb(convert(joined(kind), "whole.nut", "null", audio=False).path)
    first, last = round(float(start) * 25), round(float(end) * 25)
    made = convert(joined(kind), "part.nut", "null", reading={"start": Fraction(start), "end": Fraction(end)})
    frames = rgb(made.path)
    assert abs(len(frames) - (last - first)) <= 1
    best = min(range(19, -1, -1), key=lambda n: np.abs(frames[1].astype(int) - whole[n]).mean())
    assert abs(best - first - 1) <= 2  # some frames of the pattern are the same
    assert max(times(made.path, "a:0")) <= Fraction(end) - Fraction(start) + ONE


@pytest.mark.parametrize("kind", ["restart", "ahead", "back"])
def test_a_resumed_run_finds_the_same_frame(kind, joined):
    with Reader(joined(kind)) as reader:
        reader.resume_interval = 5
        shown = [frame.to_ndarray() for frame in reader.video_frames()]
        points = reader.resume_points
    for number in (5, 15):
        with Reader(joined(kind)) as reader:
            reader.resume_at(points[number])
            frames = [frame.to_ndarray() for frame in reader.video_frames()]
        assert len(frames) == 20 - number
        assert all((one == other).all() for one, other in zip(frames, shown[number:], strict=True))


def test_formats_without_discontinuities_are_not_changed(clip, moving):
    source = clip("gap.mkv", *moving(rate="1", seconds="3"), "-vf", "setpts=PTS*20", "-c:v", "mpeg4")
    with av.open(str(source)) as container:
        discontinuities = Discontinuities(container)
        assert not discontinuities.possible
        for packet in container.demux():
            before = packet.pts, packet.dts
            discontinuities.correct(packet)
            assert before in ((packet.pts, packet.dts), (None, None))
    assert (discontinuities.count, discontinuities.offset) == (0, 0)


def test_packets_lost_away_from_a_discontinuity_are_damage(clip, tone, tmp_path, convert):
    pattern = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=4"]
    packets = clip("long.ts", *pattern, *tone("4"), *PICTURE).read_bytes()
    lost = tmp_path / "lost.ts"
    middle = len(packets) // 2 // 188 * 188
    lost.write_bytes(packets[:middle] + packets[middle + 20 * 188 :])
    assert float(convert(lost, "out.nut", "null").damaged_at) == pytest.approx(2, abs=0.6)


CHAINS = {"c.ogg": ["-c:a", "libvorbis"], "c.opus": ["-c:a", "libopus"], "c.oga": ["-c:a", "flac"]}


@pytest.mark.parametrize("name", CHAINS)
def test_chained_ogg_files_are_read_and_copied_whole(name, clip, tone, tmp_path):
    """Each link of a chain, such as a recording of web radio, starts over at 0."""
    links = [clip(f"{pitch}{name}", *tone("2", pitch), *CHAINS[name]) for pitch in ("400", "800")]
    chain = tmp_path / name
    chain.write_bytes(b"".join(link.read_bytes() for link in links))
    samples = np.concatenate(list(read_audio(str(chain), 48000)))
    assert len(samples) / 48000 == pytest.approx(4, abs=0.05)
    for second, pitch in ((1, 400), (3, 800)):
        part = samples[second * 48000 : second * 48000 + 4800]
        assert np.count_nonzero(np.diff(np.sign(part))) / 0.2 == pytest.approx(pitch, rel=0.1)
    with Soundtrack(chain) as soundtrack:
        soundtrack.read_until(None)
        times = [packet.pts * packet.time_base for packet in soundtrack.take_packets()]
    assert times == sorted(set(times))
    assert float(times[-1]) == pytest.approx(4, abs=0.1)


def test_a_chain_that_ffmpeg_cannot_read_keeps_all_frames_of_its_first_link(
    clip, moving, tone, convert, tmp_path, times
):
    """With several streams."""
    code = ["-c:v", "libtheora", "-c:a", "libvorbis"]
    link, other = clip("link.ogv", *moving(), *tone(), *code), clip("other.ogv", *moving(rate="20"), *tone(), *code)
    (tmp_path / "chain.ogv").write_bytes(link.read_bytes() + other.read_bytes())
    made = convert(tmp_path / "chain.ogv", "out.mkv", "null")
    assert float(made.damaged_at) == pytest.approx(1, abs=0.05)
    assert len(times(made.path)) == len(times(convert(link, "link.mkv", "null").path))

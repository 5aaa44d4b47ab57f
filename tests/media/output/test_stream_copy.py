"""Stream copy: audio, subtitles, chapters, tags, attachments and cover art are kept."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SRT = "1\n00:00:00,200 --> 00:00:00,700\nHallo\n\n2\n00:00:00,750 --> 00:00:00,950\nWelt\n"
CHAPTERS = """;FFMETADATA1
title=A video
artist=Somebody
[CHAPTER]
TIMEBASE=1/1000
START=0
END=400
title=One
[CHAPTER]
TIMEBASE=1/1000
START=400
END=1000
title=Two
"""


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Subtitles, chapters and a font."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "words.srt").write_text(SRT)
    (folder / "chapters.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 20)
    return folder


@pytest.fixture(scope="session")
def rich(clip, files, moving, tone):
    """rich(name, audio, subtitles, *options): a video with two audio tracks, subtitles, chapters and tags."""

    def rich(name, audio="aac", subtitles="srt", *options):
        inputs = [*moving(), *tone(), *tone(pitch="880"), "-i", files / "words.srt", "-i", files / "chapters.txt"]
        maps = ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map_metadata", "4", "-map_chapters", "4"]
        tags = [
            "-metadata:s:a:0",
            "language=ita",
            "-metadata:s:a:1",
            "language=spa",
            "-metadata:s:s:0",
            "language=fra",
        ]
        dispositions = ["-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:s:0", "forced"]
        code = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", audio, "-c:s", subtitles]
        return clip(name, *inputs, *maps, *tags, *dispositions, *code, *options)

    return rich


def streams(info, kind):
    return [stream for stream in info["streams"] if stream["codec_type"] == kind]


@pytest.mark.parametrize(
    ("source", "target", "audio", "subtitles"),
    [
        ("a.mkv", "b.mkv", "aac", "srt"),
        ("a.mkv", "b.mkv", "flac", "ass"),
        ("a.mkv", "b.mkv", "pcm_s24le", "srt"),
        ("a.mp4", "b.mp4", "aac", "mov_text"),
        ("a.mp4", "b.mov", "aac", "mov_text"),
        ("a.mov", "b.mov", "pcm_s16le", "mov_text"),
        ("a.webm", "b.webm", "libopus", "webvtt"),
        ("a.webm", "b.mkv", "libopus", "webvtt"),
    ],
)
def test_other_streams_are_copied(source, target, audio, subtitles, rich, convert, probe, hashes):
    code = ["-c:v", "libvpx-vp9", "-deadline", "realtime"] if source.endswith("webm") else []
    source = rich(source, audio, subtitles, *code)
    made = convert(source, target, "null")
    assert made.warnings == []
    assert hashes(made.path, "a") == hashes(source, "a")
    assert hashes(made.path, "s") == hashes(source, "s")
    before, after = probe(source), probe(made.path)
    for kind in ("audio", "subtitle"):
        for old, new in zip(streams(before, kind), streams(after, kind), strict=True):
            assert old["codec_name"] == new["codec_name"]
            if "language" in old.get("tags", {}):  # some muxers of ffmpeg drop it
                assert new["tags"]["language"] == old["tags"]["language"]
            keys = ["default"] if target == "b.mov" else list(old["disposition"])  # mov has no others
            assert [new["disposition"][key] for key in keys] == [old["disposition"][key] for key in keys]
    chapters = [
        [(c["start_time"], c["end_time"], c["tags"]["title"]) for c in info["chapters"]] for info in (before, after)
    ]
    assert chapters[0] == chapters[1]
    assert len(chapters[1]) == 2
    tags = {key.lower(): value for key, value in after["format"]["tags"].items()}
    assert tags["title"] == "A video"
    assert tags["artist"] == "Somebody"
    assert tags["comment"] if "comment" in {k.lower() for k in before["format"]["tags"]} else "comment" not in tags


@pytest.mark.parametrize(
    ("target", "codec", "message"),
    [
        ("b.webm", "opus", "transcoded to libopus"),
        ("b.mp4", "mp3", None),
        ("b.ts", "mp3", None),
        ("b.avi", "mp3", None),
    ],
)
def test_unsupported_audio_is_transcoded(target, codec, message, rich, convert, probe, hashes, ffmpeg):
    source = rich("a.mkv", "libmp3lame", "srt")
    made = convert(source, target, "null", audio=True)
    tracks = streams(probe(made.path), "audio")
    assert [track["codec_name"] for track in tracks] == [codec, codec]
    assert [line for line in made.warnings if "transcoded" in line] == (
        [line for line in made.warnings if message in line] if message else []
    )
    if message:
        assert sum(message in line for line in made.warnings) == 2
    else:
        assert hashes(made.path, "a") == hashes(source, "a")
    for track in ("0:a:0", "0:a:1"):
        samples = ffmpeg("-i", made.path, "-map", track, "-f", "s16le", "-ac", "1", "-ar", "8000", "-")
        assert abs(len(samples) / 16000 - 1) < 0.1
    assert any("subtitles" in line for line in made.warnings)


@pytest.mark.parametrize("target", ["b.mkv", "b.ts"])
def test_packets_with_equal_times_are_copied(target, clip, moving, tone, convert, times):
    """TrueHD frames last 0.83 ms, and Matroska counts milliseconds."""
    source = clip("thd.mkv", *moving(rate="5"), *tone(), "-c:v", "libx264", "-c:a", "truehd", "-strict", "-2")
    before = times(source, "a:0")
    assert len(set(before)) < len(before) == 1200
    made = convert(source, target, "null")
    after = times(made.path, "a:0")
    assert made.damaged_at is None
    assert len(after) == 1200 or target == "b.ts"  # ffprobe splits its packets in other places
    assert [float(time - after[0]) for time in after[-1:]] == pytest.approx([float(before[-1] - before[0])], abs=0.01)


@pytest.mark.parametrize("target", ["b.mkv", "b.webm"])
def test_subtitles_out_of_order_are_copied(target, clip, moving, tmp_path, convert, times):
    text = tmp_path / "words.vtt"
    text.write_text("WEBVTT\n\n" + "".join(f"00:00.{n}00 --> 00:00.{n}90\nword {n}\n\n" for n in (2, 4, 6)))
    codec = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:s", "webvtt"]
    source = clip("ordered.webm", *moving(rate="5"), "-i", text, *codec)
    data = source.read_bytes()
    at = data.index(b"word 2")
    late = data.rindex((200).to_bytes(2, "big"), 0, at)  # its time code in the cluster, in milliseconds
    shuffled = tmp_path / "shuffled.webm"
    shuffled.write_bytes(data[:late] + (500).to_bytes(2, "big") + data[late + 2 :])
    assert len(times(shuffled, "s:0")) == 3
    made = convert(shuffled, target, "null")
    assert made.damaged_at is None
    assert len(times(made.path, "s:0")) == 3


ABORTING = """
import sys
from streamfx.media.input.open import open_input
from streamfx.media.output.formats import FORMATS
from streamfx.media.output.stream_copy import VIDEO_ONLY, can_hold

for name in sys.argv[1:]:
    with open_input(name, None, None) as source:
        (stream,) = source.streams.audio
        muxers = [form.muxer for form in FORMATS.values() if form.muxer not in VIDEO_ONLY]
        print(name, *[muxer for muxer in muxers if can_hold(muxer, stream)])
"""


def test_no_muxer_aborts_the_process(clip, tone):
    """A trial header of flv with audio that flv cannot hold fails an assertion of libavformat."""
    names = [
        clip(f"{codec}{rate}.nut", *tone("0.1"), "-c:a", codec, "-ar", rate, "-ac", channels)
        for codec, rate, channels in [
            ("pcm_s16le", 8000, 1),
            ("pcm_s16be", 44100, 6),
            ("pcm_u8", 44100, 6),
            ("pcm_alaw", 8000, 1),
            ("pcm_mulaw", 44100, 6),
            ("adpcm_swf", 44100, 2),
            ("aac", 48000, 2),
        ]
    ]
    done = subprocess.run([sys.executable, "-c", ABORTING, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    holders = [line.split()[1:] for line in done.stdout.splitlines()]
    assert ["flv" in muxers for muxers in holders] == [False] * 6 + [True]
    assert all("nut" in muxers for muxers in holders)


def test_audio_that_would_abort_flv_is_transcoded(clip, moving, tone, convert, probe):
    source = clip("a.mkv", *moving(rate="5"), *tone(), "-c:v", "libx264", "-c:a", "pcm_mulaw", "-ar", "8000")
    made = convert(source, "b.flv")
    (track,) = streams(probe(made.path), "audio")
    assert (track["codec_name"], track["sample_rate"]) == ("aac", "8000")
    assert made.warnings == ["flv does not support pcm_mulaw audio: transcoded to aac"]


def test_transcoded_audio_sounds_the_same(clip, tone, moving, convert, ffmpeg, probe):
    source = clip("tta.mkv", *moving(), *tone(), "-c:v", "libx264", "-c:a", "tta")
    made = convert(source, "b.mp4")
    assert made.warnings == ["mp4 does not support tta audio: transcoded to aac"]
    (track,) = streams(probe(made.path), "audio")
    assert (track["codec_name"], track["sample_rate"], track["channels"]) == ("aac", "48000", 1)
    volumes = []
    for path in (source, made.path):
        samples = np.frombuffer(ffmpeg("-i", path, "-map", "0:a", "-f", "s16le", "-"), "<i2")[4800:43200].astype(float)
        volumes.append((np.sqrt((samples**2).mean()), np.abs(np.fft.rfft(samples)).argmax()))
    assert volumes[1][0] == pytest.approx(volumes[0][0], rel=0.03)
    assert volumes[1][1] == volumes[0][1]


def test_surround_sound_is_transcoded(clip, moving, convert, probe, ffmpeg):
    noise = [
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=d=1:r=48000,aformat=channel_layouts=mono,pan=5.1(side)|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0",
    ]
    source = clip("surround.mkv", *moving(), *noise, "-c:v", "libx264", "-c:a", "ac3")
    for target in ("b.webm", "b.mp4"):
        made = convert(source, target)
        (track,) = streams(probe(made.path), "audio")
        assert track["channels"] == 6
    assert made.warnings == []  # mp4 supports ac3


@pytest.mark.parametrize(
    ("target", "lines"), [("b.gif", 1), ("b.apng", 1), ("b.png", 1), ("b%02d.png", 1), ("b.y4m", 1), ("b.yuv", 1)]
)
def test_video_only_formats_warn_about_audio(target, lines, video, convert):
    made = convert(video, target, "trim=end_frame=1" if target == "b.png" else "null")
    assert sum("does not support audio: omitted" in line for line in made.warnings) == lines


def test_no_audio(video, convert, probe):
    made = convert(video, "b.mp4", audio=False)
    assert streams(probe(made.path), "audio") == []
    assert made.warnings == []
    assert convert(video, "b.gif", audio=False).warnings == []


def test_attachments(rich, files, convert, probe, ffmpeg, tmp_path):
    font = ["-attach", files / "font.ttf", "-metadata:s:t", "mimetype=font/ttf", "-metadata:s:t", "filename=font.ttf"]
    source = rich("a.mkv", "aac", "ass", *font)
    made = convert(source, "b.mkv")
    (attached,) = streams(probe(made.path), "attachment")
    assert attached["tags"]["filename"] == "font.ttf"
    assert attached["tags"]["mimetype"] == "font/ttf"
    out = tmp_path / "dumped.ttf"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-dump_attachment:t:0", out, "-i", made.path, "-f", "null", "-"], check=True
    )
    assert out.read_bytes() == (files / "font.ttf").read_bytes()
    assert streams(probe(convert(source, "b.mp4").path), "attachment") == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_cover_art_is_copied_but_not_processed(name, clip, video, convert, probe):
    still = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=300x300:d=1", "-frames:v", "1")
    if name.endswith("mp4"):
        source = clip(
            name, "-i", video, "-i", still, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic"
        )
    else:
        source = clip(
            name,
            "-i",
            video,
            "-c",
            "copy",
            "-attach",
            still,
            "-metadata:s:t",
            "mimetype=image/jpeg",
            "-metadata:s:t",
            "filename=cover.jpg",
        )
    made = convert(source, "b" + name[1:], "mirror,mirror")
    assert made.frames == 25
    found = [s for s in probe(made.path)["streams"] if s["codec_type"] in ("video", "attachment")]
    assert [s["codec_name"] for s in found][:1] == ["h264"]
    assert found[0]["width"] == 64
    (cover,) = [s for s in found if s["disposition"]["attached_pic"]]
    assert cover["width"] == 300
    assert made.warnings == []


def timecodes(probe, path):
    info = probe(path)
    tags = [entry.get("tags", {}) for entry in (*info["streams"], info["format"])]
    return {value for group in tags for name, value in group.items() if name.lower() == "timecode"}


@pytest.mark.parametrize("target", ["b.mov", "b.mp4", "b.mkv"])
@pytest.mark.parametrize("start", [0, Fraction(1, 5)])
def test_the_timecode_is_kept(target, start, clip, video, convert, probe):
    source = clip("tc.mov", "-i", video, "-c", "copy", "-timecode", "01:02:03:04")
    done = convert(source, target, "mirror", reading={"start": start})
    assert timecodes(probe, done.path) == {"01:02:03:09" if start else "01:02:03:04"}
    assert not done.warned("omitted")


def test_a_timecode_that_cannot_be_kept_is_reported(clip, video, convert):
    source = clip("tc.mov", "-i", video, "-c", "copy", "-timecode", "01:02:03:04")
    assert convert(source, "b.ts", "hflip").warned("mpegts does not support timecodes: omitted")


def with_klv(video, path):
    """Remux an mp4 to MPEG-TS with KLV packets."""
    with av.open(str(video)) as source, av.open(str(path), "w", format="mpegts") as target:
        stream = source.streams.video[0]
        copy, data = target.add_stream_from_template(stream), target.add_data_stream("klv")
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in source.demux(stream):
            for filtered in annex_b.filter(packet) if packet.dts is not None else ():
                picture, klv = av.Packet(bytes(filtered)), av.Packet(b"\x06\x0e+4" + bytes(20))
                for new, into in ((picture, copy), (klv, data)):
                    new.pts, new.dts, new.time_base = filtered.pts, filtered.dts, filtered.time_base
                    new.is_keyframe, new.stream = filtered.is_keyframe, into
                    target.mux(new)
    return path


def test_data_is_copied_or_reported(video, tmp_path, convert, probe):
    source = with_klv(video, tmp_path / "a.ts")
    kinds = [stream["codec_type"] for stream in probe(convert(source, "b.ts", "hflip").path)["streams"]]
    assert kinds == ["video", "data"]
    assert convert(source, "b.mkv", "hflip").warned("matroska does not support data stream 1 (klv): omitted")


@pytest.mark.parametrize("target", ["b.mkv", "b.mov", "b.nut"])
def test_tags_that_are_not_utf8_are_copied_as_they_are(target, clip, video, convert, tmp_path):
    tagged = clip("tagged.mkv", "-i", video, "-c", "copy", "-metadata", "title=XXXXXX")
    odd = tmp_path / "a.mkv"
    odd.write_bytes(tagged.read_bytes().replace(b"XXXXXX", b"S\xfc\xdfer!"))
    assert b"S\xfc\xdfer!" in convert(odd, target, "hflip").path.read_bytes()


def test_the_comment_tag_is_appended_to(clip, video, convert, probe):
    source = clip("comment.mp4", "-i", video, "-c", "copy", "-metadata", "comment=shot at dawn")
    made = convert(source, "b.mp4", comment="streamfx: chain")
    assert probe(made.path)["format"]["tags"]["comment"] == "shot at dawn\nstreamfx: chain"


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
@pytest.mark.parametrize("chain", ["null", "trails=0.5"])
def test_an_audio_delay_is_kept(name, chain, clip, moving, tone, convert, probe, times):
    source = clip(
        name,
        *moving(seconds="2"),
        "-itsoffset",
        "0.5",
        *tone(),
        "-c:v",
        "libx264",
        "-c:a",
        "ac3",
        "-pix_fmt",
        "yuv420p",
    )
    made = convert(source, "b" + name[1:], chain).path
    gaps = [min(times(path, "a:0")) - min(times(path)) for path in (source, made)]
    assert abs(gaps[1] - gaps[0]) < Fraction(2, 1000)
    assert abs(gaps[1] - Fraction(1, 2)) < Fraction(1, 10)


def test_a_video_delay_is_kept(clip, moving, tone, convert, times):
    source = clip(
        "late.mkv", "-itsoffset", "0.4", *moving(), *tone("2"), "-c:v", "libx264", "-c:a", "ac3", "-pix_fmt", "yuv420p"
    )
    made = convert(source, "b.mp4").path
    assert min(times(made)) - min(times(made, "a:0")) == min(times(source)) - min(times(source, "a:0"))


def test_chapters_move_with_the_cut(rich, convert, probe):
    made = convert(rich("a.mkv"), "b.mkv", reading={"start": Fraction(1, 5), "end": Fraction(4, 5)})
    chapters = [(float(c["start_time"]), float(c["end_time"])) for c in probe(made.path)["chapters"]]
    assert chapters == [(0, 0.2), (0.2, 0.6)]


def test_a_real_clip_keeps_its_audio(real_clip, clip, convert, hashes, probe):
    whole = real_clip("bigbuckbunny.mp4")
    assert isinstance(whole, Path)
    source = clip("bunny.mp4", "-t", "1", "-i", whole, "-vf", "scale=160:-2", "-c:v", "libx264", "-c:a", "copy")
    made = convert(source, "b.mp4")
    assert hashes(made.path, "a") == hashes(source, "a")
    assert streams(probe(made.path), "audio")[0]["channels"] == streams(probe(whole), "audio")[0]["channels"]


@pytest.mark.parametrize("target", ["b.mkv", "b.ts", "b.mp4"])
def test_audio_without_data_is_omitted(target, clip, moving, tone, convert, probe):
    """FFmpeg announces an AC-3 core beside each TrueHD stream of Blu-ray, which may be missing."""
    code = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "truehd", "-strict", "-2"]
    made = convert(clip("a.m2ts", *moving(), *tone(), *code), target, "null")
    assert [stream["codec_type"] for stream in probe(made.path)["streams"]] == ["video", "audio"]
    assert made.warned("audio stream 2 (ac3) has no data: omitted")

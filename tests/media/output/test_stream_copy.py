"""What is no picture comes through: sound, subtitles, chapters, tags, attachments, cover art."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

SRT = "1\n00:00:00,200 --> 00:00:00,700\nHallo\n\n2\n00:00:00,750 --> 00:00:00,950\nWelt\n"
CHAPTERS = """;FFMETADATA1
title=A film
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
def texts(tmp_path_factory):
    """Subtitles and chapters as files."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "words.srt").write_text(SRT)
    (folder / "chapters.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 20)
    return folder


@pytest.fixture(scope="session")
def rich(clip, texts, moving, tone):
    """rich(name, *codecs): a film with two tracks of sound, subtitles, chapters and tags."""

    def rich(name, sound="aac", words="srt", *more):
        inputs = [*moving(), *tone(), *tone(pitch="880"), "-i", texts / "words.srt", "-i", texts / "chapters.txt"]
        maps = ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map_metadata", "4", "-map_chapters", "4"]
        names = [
            "-metadata:s:a:0",
            "language=ita",
            "-metadata:s:a:1",
            "language=spa",
            "-metadata:s:s:0",
            "language=fra",
        ]
        shown = ["-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:s:0", "forced"]
        code = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", sound, "-c:s", words]
        return clip(name, *inputs, *maps, *names, *shown, *code, *more)

    return rich


def kinds(said, kind):
    return [stream for stream in said["streams"] if stream["codec_type"] == kind]


@pytest.mark.parametrize(
    ("source", "target", "sound", "words"),
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
def test_everything_else_is_copied(source, target, sound, words, rich, convert, probe, hashes):
    code = ["-c:v", "libvpx-vp9", "-deadline", "realtime"] if source.endswith("webm") else []
    source = rich(source, sound, words, *code)
    made = convert(source, target, "null")
    assert made.lines == []
    assert hashes(made.path, "a") == hashes(source, "a")
    assert hashes(made.path, "s") == hashes(source, "s")
    before, after = probe(source), probe(made.path)
    for kind in ("audio", "subtitle"):
        for old, new in zip(kinds(before, kind), kinds(after, kind), strict=True):
            assert old["codec_name"] == new["codec_name"]
            if "language" in old.get("tags", {}):  # some muxers of the real ffmpeg lose it
                assert new["tags"]["language"] == old["tags"]["language"]
            kept = ["default"] if target == "b.mov" else list(old["disposition"])  # mov has no other
            assert [new["disposition"][key] for key in kept] == [old["disposition"][key] for key in kept]
    marks = [
        [(c["start_time"], c["end_time"], c["tags"]["title"]) for c in said["chapters"]] for said in (before, after)
    ]
    assert marks[0] == marks[1]
    assert len(marks[1]) == 2
    tags = {key.lower(): value for key, value in after["format"]["tags"].items()}
    assert tags["title"] == "A film"
    assert tags["artist"] == "Somebody"
    assert tags["comment"] if "comment" in {k.lower() for k in before["format"]["tags"]} else "comment" not in tags


@pytest.mark.parametrize(
    ("target", "codec", "said"),
    [
        ("b.webm", "opus", "coded anew as libopus"),
        ("b.mp4", "mp3", None),
        ("b.ts", "mp3", None),
        ("b.avi", "mp3", None),
    ],
)
def test_sound_is_coded_anew_where_it_must_be(target, codec, said, rich, convert, probe, hashes, ffmpeg):
    source = rich("a.mkv", "libmp3lame", "srt")
    made = convert(source, target, "null", audio=True)
    tracks = kinds(probe(made.path), "audio")
    assert [track["codec_name"] for track in tracks] == [codec, codec]
    assert [line for line in made.lines if "coded anew" in line] == (
        [line for line in made.lines if said in line] if said else []
    )
    if said:
        assert sum(said in line for line in made.lines) == 2
    else:
        assert hashes(made.path, "a") == hashes(source, "a")
    for track in ("0:a:0", "0:a:1"):
        heard = ffmpeg("-i", made.path, "-map", track, "-f", "s16le", "-ac", "1", "-ar", "8000", "-")
        assert abs(len(heard) / 16000 - 1) < 0.1
    assert any("subtitles" in line for line in made.lines)


def test_sound_coded_anew_is_the_same_sound(clip, tone, moving, convert, ffmpeg, probe):
    source = clip("tta.mkv", *moving(), *tone(), "-c:v", "libx264", "-c:a", "tta")
    made = convert(source, "b.mp4")
    assert made.lines == ["mp4 holds no tta sound: coded anew as aac"]
    (track,) = kinds(probe(made.path), "audio")
    assert (track["codec_name"], track["sample_rate"], track["channels"]) == ("aac", "48000", 1)
    volumes = []
    for path in (source, made.path):
        heard = np.frombuffer(ffmpeg("-i", path, "-map", "0:a", "-f", "s16le", "-"), "<i2")[4800:43200].astype(float)
        volumes.append((np.sqrt((heard**2).mean()), np.abs(np.fft.rfft(heard)).argmax()))
    assert volumes[1][0] == pytest.approx(volumes[0][0], rel=0.03)
    assert volumes[1][1] == volumes[0][1]


def test_surround_is_coded_anew(clip, moving, convert, probe, ffmpeg):
    noise = [
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=d=1:r=48000,aformat=channel_layouts=mono,pan=5.1(side)|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0",
    ]
    source = clip("surround.mkv", *moving(), *noise, "-c:v", "libx264", "-c:a", "ac3")
    for target in ("b.webm", "b.mp4"):
        made = convert(source, target)
        (track,) = kinds(probe(made.path), "audio")
        assert track["channels"] == 6
    assert made.lines == []  # mp4 holds ac3


@pytest.mark.parametrize(
    ("target", "lines"), [("b.gif", 1), ("b.apng", 1), ("b.png", 1), ("b%02d.png", 1), ("b.y4m", 1), ("b.yuv", 1)]
)
def test_formats_of_pictures_say_that_sound_is_left_out(target, lines, film, convert):
    made = convert(film, target, "trim=end_frame=1" if target == "b.png" else "null")
    assert sum("no sound: left out" in line for line in made.lines) == lines


def test_no_audio(film, convert, probe):
    made = convert(film, "b.mp4", audio=False)
    assert kinds(probe(made.path), "audio") == []
    assert made.lines == []
    assert convert(film, "b.gif", audio=False).lines == []


def test_attachments(rich, texts, convert, probe, ffmpeg, tmp_path):
    font = ["-attach", texts / "font.ttf", "-metadata:s:t", "mimetype=font/ttf", "-metadata:s:t", "filename=font.ttf"]
    source = rich("a.mkv", "aac", "ass", *font)
    made = convert(source, "b.mkv")
    (attached,) = kinds(probe(made.path), "attachment")
    assert attached["tags"]["filename"] == "font.ttf"
    assert attached["tags"]["mimetype"] == "font/ttf"
    out = tmp_path / "dumped.ttf"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-dump_attachment:t:0", out, "-i", made.path, "-f", "null", "-"], check=True
    )
    assert out.read_bytes() == (texts / "font.ttf").read_bytes()
    assert kinds(probe(convert(source, "b.mp4").path), "attachment") == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_cover_art_is_no_video_but_comes_along(name, clip, film, convert, probe):
    still = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=300x300:d=1", "-frames:v", "1")
    if name.endswith("mp4"):
        source = clip(
            name, "-i", film, "-i", still, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic"
        )
    else:
        source = clip(
            name,
            "-i",
            film,
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
    said = [s for s in probe(made.path)["streams"] if s["codec_type"] in ("video", "attachment")]
    assert [s["codec_name"] for s in said][:1] == ["h264"]
    assert said[0]["width"] == 64
    (cover,) = [s for s in said if s["disposition"]["attached_pic"]]
    assert cover["width"] == 300
    assert made.lines == []


def test_a_tag_comment_of_the_source_stays_beside_ours(clip, film, convert, probe):
    source = clip("said.mp4", "-i", film, "-c", "copy", "-metadata", "comment=shot at dawn")
    made = convert(source, "b.mp4", settings="streamfx: chain")
    assert probe(made.path)["format"]["tags"]["comment"] == "shot at dawn\nstreamfx: chain"


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
@pytest.mark.parametrize("chain", ["null", "trails=0.5"])
def test_a_delayed_start_of_sound_stays(name, chain, clip, moving, tone, convert, probe, times):
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


def test_a_delayed_start_of_the_picture_stays(clip, moving, tone, convert, times):
    source = clip(
        "late.mkv", "-itsoffset", "0.4", *moving(), *tone("2"), "-c:v", "libx264", "-c:a", "ac3", "-pix_fmt", "yuv420p"
    )
    made = convert(source, "b.mp4").path
    assert min(times(made)) - min(times(made, "a:0")) == min(times(source)) - min(times(source, "a:0"))


def test_chapters_move_with_the_cut(rich, convert, probe):
    made = convert(rich("a.mkv"), "b.mkv", reading={"start": Fraction(1, 5), "end": Fraction(4, 5)})
    marks = [(float(c["start_time"]), float(c["end_time"])) for c in probe(made.path)["chapters"]]
    assert marks == [(0, 0.2), (0.2, 0.6)]


def test_packets_do_not_gather_where_nobody_takes_them(film):
    from streamfx.media.input.reader import Reader

    with Reader(film) as reader:
        assert sum(1 for _ in reader.pictures()) == 25
        assert list(reader.take_packets()) == []


def test_real_clip_keeps_its_sound(real_clip, clip, convert, hashes, probe):
    whole = real_clip("bigbuckbunny.mp4")
    assert isinstance(whole, Path)
    source = clip("bunny.mp4", "-t", "1", "-i", whole, "-vf", "scale=160:-2", "-c:v", "libx264", "-c:a", "copy")
    made = convert(source, "b.mp4")
    assert hashes(made.path, "a") == hashes(source, "a")
    assert kinds(probe(made.path), "audio")[0]["channels"] == kinds(probe(whole), "audio")[0]["channels"]

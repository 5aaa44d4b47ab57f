"""Text subtitles are converted to what the container supports."""

import pytest

SRT = "1\n00:00:00,200 --> 00:00:00,700\nHallo <i>du</i>\n\n2\n00:00:00,750 --> 00:00:00,950\nWelt\nzwei\n"


@pytest.fixture(scope="module")
def subtitled(clip, video, tmp_path_factory):
    """subtitled(name, codec): a video with subtitles in that codec."""
    words = tmp_path_factory.mktemp("words") / "words.srt"
    words.write_text(SRT)

    def subtitled(name, codec):
        code = ["-c:v", "libvpx", "-an"] if name.endswith("webm") else ["-c:v", "copy", "-c:a", "copy"]
        return clip(name, "-i", video, "-i", words, "-map", "0:v", "-map", "1", *code, "-c:s", codec)

    return subtitled


@pytest.mark.parametrize(
    ("source", "codec", "target", "converted"),
    [
        ("a.mkv", "srt", "b.mp4", "mov_text"),
        ("a.mkv", "ass", "b.mp4", "mov_text"),
        ("a.webm", "webvtt", "b.mov", "mov_text"),
        ("a.mp4", "mov_text", "b.mkv", "subrip"),
        ("a.mkv", "srt", "b.webm", "webvtt"),
        ("a.mp4", "mov_text", "b.webm", "webvtt"),
    ],
)
def test_subtitles_are_converted(source, codec, target, converted, subtitled, convert, probe, ffmpeg):
    done = convert(subtitled(source, codec), target, "hflip")
    assert done.warned(f"subtitles: converted to {converted}")
    (stream,) = [stream for stream in probe(done.path)["streams"] if stream["codec_type"] == "subtitle"]
    assert stream["codec_name"] == converted
    text = ffmpeg("-i", done.path, "-map", "0:s", "-f", "srt", "-").decode().replace("\r", "")
    assert text.replace("</i>", "").strip() == SRT.replace("</i>", "").strip()


def test_subtitles_move_with_the_cut(subtitled, convert, ffmpeg):
    done = convert(subtitled("a.mkv", "srt"), "b.mp4", "hflip", reading={"start": 0.5})
    text = ffmpeg("-i", done.path, "-map", "0:s", "-f", "srt", "-").decode().replace("\r", "")
    assert text.startswith("1\n00:00:00,250 --> 00:00:00,450\nWelt\nzwei")


def test_subtitles_that_cannot_be_converted_are_omitted(subtitled, convert, probe):
    done = convert(subtitled("a.mkv", "srt"), "b.ts", "hflip")
    assert done.warned("mpegts does not support subtitles (subrip): omitted")
    assert not [stream for stream in probe(done.path)["streams"] if stream["codec_type"] == "subtitle"]

"""Opening a source and selecting its video stream."""

import functools
import http.server
import logging
import os
import threading
from fractions import Fraction

import pytest

import streamfx
from streamfx.errors import StreamfxError
from streamfx.media.input import open as opening
from streamfx.media.input.open import HLS_TIMEOUT, can_seek, default_video_stream, demux, open_input, video_streams
from streamfx.media.input.reader import Reader
from streamfx.media.limits import DEFAULT_MAX_PIXELS, limit_pixels

H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]


@pytest.fixture
def log_lines(caplog):
    """log_lines(): all log messages so far."""
    caplog.set_level(logging.INFO, "streamfx")
    return lambda: [record.getMessage() for record in caplog.records]


# --- sources that cannot be opened


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.mp4", None, "no such file: '.*none.mp4'"),
        ("a" * 300, None, "no such file"),
        ("empty.mp4", b"", "empty.mp4' is empty"),
        (
            "notes.txt",
            b"Once upon a time there was no video.\n" * 50,
            "notes.txt' is a text file, not a video or image",
        ),
        ("zeros.mkv", bytes(5000), "zeros.mkv' is not a video or image that FFmpeg can read"),
        ("cut.mp4", b"\0\0\0\x18ftypisom" + bytes(100), r"cut.mp4': this mp4 has no readable index \(moov\)"),
    ],
)
def test_files_that_cannot_be_opened(name, content, reason, tmp_path, capfd):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StreamfxError, match=reason) as caught:
        open_input(str(tmp_path / name), None, None)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


ODD = b"S\xfc\xdfer!"  # Latin-1
MP3_TAG = b"TAG" + "Привет".encode("cp1251").ljust(30, b"\0") + bytes(60) + b"1999" + bytes(31)


@pytest.mark.parametrize(
    "name", ["a.mkv", "a.webm", "a.avi", "a.mov", "a.mp4", "a.flv", "a.nut", "a.wav", "a.flac", "a.png"]
)
def test_tags_that_are_not_utf8(name, clip, video, tmp_path):
    """Their bytes are kept, as surrogates."""
    data = {"a.wav": ["-vn"], "a.flac": ["-vn"], "a.png": ["-frames:v", "1"]}.get(name, ["-an", "-c:v", "copy"])
    if name == "a.webm":
        data = ["-an", "-c:v", "libvpx", "-t", "0.1"]
    tagged = clip(name, "-i", video, *data, "-metadata", "title=XXXXXX").read_bytes()
    assert name == "a.png" or b"XXXXXX" in tagged
    (tmp_path / name).write_bytes(tagged.replace(b"XXXXXX", ODD))
    with open_input(str(tmp_path / name), None, None) as container:
        assert name == "a.png" or container.metadata["title"].encode("utf-8", "surrogateescape") == ODD


@pytest.mark.parametrize("name", ["a.mp3", "a.3gp", "a.gif"])
def test_other_text_that_is_not_utf8(name, clip, video, tone, tmp_path):
    """The ID3 tag of an mp3, the names of tracks, the comment of a gif."""
    if name == "a.mp3":
        data = clip(name, *tone(), "-id3v2_version", "0").read_bytes() + MP3_TAG
    elif name == "a.3gp":
        code = ["-c:v", "mpeg4", "-c:a", "aac", "-metadata:s:v", "handler_name=XXXXXX"]
        data = clip(name, "-i", video, *code).read_bytes().replace(b"XXXXXX", ODD)
    else:
        data = clip(name, "-i", video).read_bytes()
        data = data.replace(b"\x21\xff", b"\x21\xfe\x06" + ODD + b"\0\x21\xff", 1)
    (tmp_path / name).write_bytes(data)
    with open_input(str(tmp_path / name), None, None) as container:
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    assert any("\udcfc" in value or "\udccf" in value for group in tags for value in group.values())


def test_no_error_of_pyav_is_taken_for_an_unknown_format(video, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a track is odd")

    monkeypatch.setattr("av.open", fail)
    with pytest.raises(StreamfxError, match=r"cannot open '.*video\.mp4': a track is odd"):
        open_input(str(video), None, None)


def test_folders_and_unknown_formats_are_errors(tmp_path, video):
    with pytest.raises(StreamfxError, match=r"is a folder; give a file, or its images as '.*/\*\.jpg'"):
        open_input(str(tmp_path), None, None)
    with pytest.raises(StreamfxError, match="unknown input format 'nonsense'; ffmpeg -demuxers lists them"):
        open_input(str(video), "nonsense", None)
    with pytest.raises(StreamfxError, match=r"cannot open 'nix': .* \(as lavfi\)"):
        open_input("nix", "lavfi", None)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read all files")
def test_unreadable_files_are_errors(tmp_path):
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "secret.mp4").chmod(0)
    with pytest.raises(StreamfxError, match="check its permissions"):
        open_input(str(tmp_path / "secret.mp4"), None, None)


def test_errors_name_what_was_expected(tmp_path):
    (tmp_path / "a.wav").write_bytes(bytes(5000))
    with pytest.raises(StreamfxError, match="is not a file with audio that FFmpeg can read"):
        open_input(str(tmp_path / "a.wav"), None, None, "a file with audio")


# --- devices, network and playlists


def test_raw_video_has_the_requested_rate(clip, moving):
    source = str(clip("raw.mjpeg", *moving(seconds="0.2"), "-f", "mjpeg"))
    for rate in (Fraction(30000, 1001), Fraction(7, 2)):
        with open_input(source, None, rate) as container:
            assert container.streams.video[0].guessed_rate == rate


def test_an_input_format(convert, times):
    """Devices are opened by an input format, like FFmpeg's lavfi test sources."""
    result = convert("testsrc2=s=64x48:r=10:d=0.5", "out.mp4", reading={"input_format": "lavfi"})
    assert len(times(result.path)) == 5


def test_a_network_stream(video):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=video.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with streamfx.open(f"http://127.0.0.1:{server.server_port}/video.mp4") as reader:
            assert sum(1 for _ in reader) == 25
        with pytest.raises(StreamfxError, match="cannot open"):
            streamfx.open(f"http://127.0.0.1:{server.server_port}/none.mp4")
        server.shutdown()


def test_the_largest_of_several_video_streams_is_used_with_a_warning(clip, moving, convert, video_stream):
    code = ["-map", "0", "-map", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-disposition:v", "0"]
    source = clip("two.mkv", *moving("32x32"), *moving(), *code)
    result = convert(source, "out.mp4")
    assert video_stream(result.path)["width"] == 64
    assert result.warned("2 video streams")


def test_an_undecodable_video_codec_is_an_error(video, tmp_path):
    data = video.read_bytes()
    assert b"avc1" in data
    (tmp_path / "video.mp4").write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(StreamfxError, match="cannot decode the video codec"):
        Reader(tmp_path / "video.mp4")


def test_reading_a_playlist_without_an_end_marker_times_out(tmp_path, moving, ffmpeg, convert, monkeypatch):
    code = ["-c:v", "libx264", "-g", "5", "-hls_time", "0.2", "-hls_list_size", "0"]
    ffmpeg(*moving(), *code, tmp_path / "list.m3u8")
    text = (tmp_path / "list.m3u8").read_text().replace("#EXT-X-ENDLIST", "")
    (tmp_path / "live.m3u8").write_text(text.replace("TARGETDURATION:0", "TARGETDURATION:60"))
    monkeypatch.setattr(opening, "HLS_TIMEOUT", 0.6)
    result = convert(tmp_path / "live.m3u8", "out.mkv")
    assert result.frames > 5
    assert result.warned("has no end marker")


@pytest.mark.parametrize(
    ("content", "timeout", "warnings"),
    [
        (b"#EXTM3U\n#EXTINF:1\na.ts\n#EXT-X-ENDLIST\n", HLS_TIMEOUT, 0),
        (b"#EXTM3U\n#EXTINF:1\na.ts\n", HLS_TIMEOUT, 1),
        (b"#EXTM3U8"[:6], None, 0),
        (b"RIFF#EXTM3U", None, 0),
        (b"", None, 0),
    ],
)
def test_only_playlists_have_a_timeout(content, timeout, warnings, tmp_path, log_lines):
    (tmp_path / "list.m3u8").write_bytes(content)
    assert opening._playlist_timeout(tmp_path / "list.m3u8") == timeout
    assert len([line for line in log_lines() if "has no end marker" in line]) == warnings


def test_pipes_are_not_read_to_find_playlists(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert opening._playlist_timeout(tmp_path / "pipe") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("-", False),
        ("none.mkv", False),
        ("a" * 5000, False),
        ("/dev/null", False),
        ("testsrc2=s=64x48", False),
        ("http://host/a.mp4", True),
        ("HTTPS://host/a.mp4", True),
        ("tcp://host:1", False),
        ("rtmp://host/live", False),
    ],
)
def test_only_files_and_their_urls_can_seek(name, expected):
    assert can_seek(name) == expected


def test_files_can_seek_and_pipes_cannot(tmp_path):
    (tmp_path / "a").touch()
    os.mkfifo(tmp_path / "pipe")
    assert can_seek(str(tmp_path / "a"))
    assert not can_seek(str(tmp_path / "pipe"))
    assert not can_seek(str(tmp_path))


# --- stream selection


@pytest.fixture
def two_streams(clip, moving):
    """two_streams(*options): a small and a large video stream in one file."""

    def two_streams(*options):
        return str(clip("two.mkv", *moving("32x32"), *moving(), "-map", "0", "-map", "1", *H264, *options))

    return two_streams


def test_the_default_stream_is_preferred_to_a_larger_one(two_streams, log_lines):
    source = two_streams("-disposition:v:0", "default", "-disposition:v:1", "0")
    with open_input(source, None, None) as container:
        assert default_video_stream(source, container).index == 0
    assert log_lines() == [f"2 video streams in '{source}'; using stream 0"]


def test_of_two_default_streams_the_larger_one_is_used(two_streams):
    source = two_streams("-disposition:v", "default")
    with open_input(source, None, None) as container:
        assert default_video_stream(source, container).index == 1


def test_cover_art_is_not_a_video_stream(clip, video, tone, log_lines):
    cover = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=300x300:d=1", "-frames:v", "1")
    art = ["-c", "copy", "-disposition:v:1", "attached_pic"]
    source = str(clip("cover.mp4", "-i", video, "-i", cover, "-map", "0", "-map", "1", *art))
    with open_input(source, None, None) as container:
        assert len(container.streams.video) == 2
        assert [stream.width for stream in video_streams(container)] == [64]
        assert default_video_stream(source, container).width == 64
    assert log_lines() == []
    art = ["-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic"]
    audio = str(clip("audio.mp3", *tone(), "-i", cover, *art))
    with pytest.raises(StreamfxError, match="has only audio and cover art; give a video or an image"):
        default_video_stream(audio, open_input(audio, None, None))


def test_files_without_video_are_errors(clip, tone, tmp_path):
    audio = str(clip("audio.wav", *tone()))
    with pytest.raises(StreamfxError, match=r"audio\.wav' has only audio; give a video"):
        default_video_stream(audio, open_input(audio, None, None))
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    with pytest.raises(StreamfxError, match=r"a\.srt' has no video; give a video"):
        default_video_stream(str(subtitles), open_input(str(subtitles), None, None))


def test_the_size_of_the_selected_stream_is_limited(two_streams):
    source = two_streams("-disposition:v:0", "default", "-disposition:v:1", "0")
    limit_pixels(1024)
    try:
        container = open_input(source, None, None)
        assert default_video_stream(source, container).index == 0  # the other, larger stream is not decoded
        container.close()
        limit_pixels(1023)
        with pytest.raises(StreamfxError, match=r"two\.mkv' is 32x32 pixels"):
            default_video_stream(source, open_input(source, None, None))
    finally:
        limit_pixels(DEFAULT_MAX_PIXELS)


@pytest.mark.parametrize("name", ["beside.mp4", "beside.mov", "beside.mkv", "beside.avi", "beside.nut", "beside.ts"])
def test_a_video_comes_before_a_larger_default_image(name, clip, moving, convert):
    image = "mpeg2video" if name == "beside.ts" else "mjpeg"
    still = clip("large.mkv", "-f", "lavfi", "-i", "color=red:s=320x240:r=25:d=0.04", "-c:v", image)
    video = clip("small.mkv", *moving(), "-c:v", "mpeg2video" if name == "beside.ts" else "mpeg4")
    order = ["-i", still, "-i", video, "-map", "0", "-map", "1", "-c", "copy"]
    source = clip(name, *order, "-disposition:v:0", "default", "-disposition:v:1", "0")
    made = convert(source, "out.mkv", "null")
    assert made.frames == 25
    assert not made.warned("video streams")


def test_streams_that_ffmpeg_finds_late_do_not_end_in_an_error():
    """PyAV flushes them at the end, but does not know them."""

    class Container:
        def demux(self, *_):
            yield "packet"
            raise IndexError("list index out of range")

    assert list(demux(Container())) == ["packet"]

"""Files with a colon in their names are files, not URLs."""

import os
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.media.encoding import Output
from streamfx.media.file_names import file_name
from streamfx.media.frame_cache import read_chunk, write_chunk
from streamfx.media.input.audio_decoder import read_audio
from streamfx.media.input.reader import Reader
from streamfx.media.output.paths import comment_of
from streamfx.media.output.writer import Writer
from streamfx.pipeline import run


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.mp4", "a.mp4"),
        ("12:30.mp4", "./12:30.mp4"),
        (Path("data:x.mp4"), "./data:x.mp4"),
        ("a/b:c.mp4", "./a/b:c.mp4"),
        ("./a:b.mp4", "././a:b.mp4"),
        ("/a:b.mp4", "/a:b.mp4"),
    ],
)
def test_file_name(path, expected):
    assert file_name(path) == expected
    assert os.path.normpath(file_name(path)) == os.path.normpath(path)


@pytest.mark.parametrize("name", ["12:30.mp4", "data:x.mkv", "http:x.mp4", "a:b/c.mp4", "%d:a.png", "concat:a|b.nut"])
def test_videos_are_written_and_read(name, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    with Reader(video, end=Fraction(1, 5)) as reader, Writer(name, reader, Output(comment="made here")) as writer:
        run(reader, [], writer)
    with Reader(name) as reader:
        assert sum(1 for _ in reader) == 5
    if "%" not in name:
        assert comment_of(name) == "made here"


@pytest.mark.parametrize("name", [b"f\xff.mkv", b"\xe5\xfc.mp4", b"a:\xff.nut"])
def test_names_that_are_not_utf8(name, video, tmp_path, monkeypatch):
    """Also in the comment, which lists the files that effects read."""
    monkeypatch.chdir(tmp_path)
    text = os.fsdecode(name)
    with Reader(video, end=Fraction(1, 5)) as reader, Writer(text, reader, Output(comment=f"mask={text}")) as writer:
        run(reader, [], writer)
    assert os.listdir(b".") == [name]
    with Reader(text) as reader:
        assert sum(1 for _ in reader) == 5
    assert comment_of(text).startswith("mask=")


def test_a_file_named_like_a_protocol_is_read_itself(video, tmp_path, monkeypatch):
    """'concat:a.mp4' is not the video a.mp4."""
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(video.read_bytes())
    for name in ("concat:a.mp4", "subfile,,start,0,end,0,,:a.mp4", "crypto:a.mp4"):
        Path(name).write_text("this is a text\n")
        with pytest.raises(StreamfxError):
            Reader(name)


def test_audio_and_cached_frames_are_read(clip, tone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("1:2.wav").write_bytes(clip("tone.wav", *tone()).read_bytes())
    assert sum(len(block) for block in read_audio("1:2.wav", 8000)) == pytest.approx(8000, abs=10)
    images = torch.randint(0, 256, (2, 3, 6, 8), dtype=torch.uint8)
    write_chunk(Path("a:b/1.nut"), images)
    assert torch.equal(read_chunk(Path("a:b/1.nut")), images)

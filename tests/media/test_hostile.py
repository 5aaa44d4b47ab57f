"""Damaged and malicious files: cases found by fuzzing, and a short fuzzing run."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamfx.errors import StreamfxError
from streamfx.media.input.audio_decoder import read_audio

FUZZ = Path(__file__).parents[1] / "soak" / "fuzz.py"
KINDS = "h264.mp4 fragments.mp4 h264.mkv mpeg4.avi ffv1.nut still.png still.jpg"


def test_mutated_files_give_a_video_or_a_one_line_error():
    kinds = [word for name in KINDS.split() for word in ("--kind", name)]
    command = [sys.executable, FUZZ, "--files", "3", "--seed", "7", *kinds]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.endswith("0 failed\n")
    assert sum(int(line.split()[1]) for line in result.stdout.splitlines()[1:-1]) == 3 * len(KINDS.split())


def test_an_undecodable_audio_codec_is_an_error_or_dropped(clip, moving, tone, tmp_path, convert):
    source = clip("video.mkv", *moving(), *tone(), "-c:v", "libx264", "-c:a", "flac")
    unknown = tmp_path / "video.mkv"
    data = source.read_bytes()
    assert b"A_FLAC" in data
    unknown.write_bytes(data.replace(b"A_FLAC", b"A_XYZQ"))
    with pytest.raises(StreamfxError, match="cannot decode the audio codec"):
        list(read_audio(str(unknown), 8000))
    result = convert(unknown, "out.mp4", "null")
    assert result.frames == 25
    assert result.warned("omitted")

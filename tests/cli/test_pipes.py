"""The real command between the real ffmpeg on both sides."""

import subprocess
import sys
from pathlib import Path

import pytest

FORMATS = {
    "nut": ["-f", "nut"],
    "matroska": ["-f", "matroska"],
    "mpegts": ["-f", "mpegts"],
    "yuv4mpegpipe": ["-f", "yuv4mpegpipe", "-an"],
    "fmp4": ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov"],
}


def piped(*commands):
    """Run commands, each reading the output of the one before; returns their exit codes and stderr texts."""
    running, source = [], None
    for command in commands:
        last = command is commands[-1]
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=source or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if last else subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if source:
            source.close()  # otherwise the writer does not notice when its reader ends
        source = process.stdout
        running.append(process)
    errors = [process.communicate(timeout=60)[1].decode() for process in reversed(running)][::-1]
    return [process.returncode for process in running], errors


def streamfx_run(*arguments):
    return [Path(sys.executable).with_name("streamfx"), "run", *arguments]


def sender(video, name):
    return ["ffmpeg", "-v", "error", "-nostdin", "-i", video, *FORMATS[name], "-"]


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("chain", ["null", "negate,mirror"])
def test_ffmpeg_on_both_ends(name, chain, video, tmp_path, times, probe):
    out = tmp_path / "out.mp4"
    receiver = ["ffmpeg", "-v", "error", "-i", "-", "-fps_mode", "passthrough", out]
    codes, errors = piped(sender(video, name), streamfx_run("-", "-", "--chain", chain, "--format", name), receiver)
    assert codes == [0, 0, 0], errors
    assert errors[1] == ""
    assert len(times(out)) == 25
    assert len(probe(out)["streams"]) == (1 if name == "yuv4mpegpipe" else 2)


def test_stdout_is_lossless_nut_by_default(video, tmp_path, probe, ffmpeg):
    out = tmp_path / "out.nut"
    with out.open("wb") as stream:
        subprocess.run(list(map(str, streamfx_run(video, "-", "--chain", "null"))), stdout=stream, check=True)
    assert probe(out)["format"]["format_name"] == "nut"
    sums = [
        ffmpeg("-i", path, "-map", "0:v", "-f", "rawvideo", "-c:v", "rawvideo", "-f", "md5", "-")
        for path in (video, out)
    ]
    assert sums[0] == sums[1]


def test_raw_frames_to_ffmpeg(video, tmp_path, times):
    out = tmp_path / "out.mp4"
    receiver = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-s",
        "64x48",
        "-r",
        "25",
        "-i",
        "-",
        out,
    ]
    codes, errors = piped(streamfx_run(video, "-", "--chain", "null", "--format", "rawvideo", "--no-audio"), receiver)
    assert (codes, errors) == ([0, 0], ["", ""])
    assert len(times(out)) == 25


def test_images_through_a_pipe(tmp_path, video, times):
    still = ["ffmpeg", "-v", "error", "-nostdin", "-i", video, "-frames:v", "3", "-f", "image2pipe", "-c:v", "png", "-"]
    codes, errors = piped(still, streamfx_run("-", tmp_path / "out.mp4", "--chain", "null"))
    assert codes == [0, 0], errors
    assert len(times(tmp_path / "out.mp4")) == 3


@pytest.mark.parametrize("name", ["nut", "yuv4mpegpipe", "rawvideo"])
@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_a_closed_pipe_ends_the_run_quietly(name, chain, clip, moving):
    source = clip(
        "big.mkv", *moving("640x480", seconds="2"), "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"
    )
    codes, errors = piped(streamfx_run(source, "-", "--chain", chain, "--format", name), ["head", "-c", "1000"])
    assert errors == ["", ""]
    assert codes[0] in (0, 1)


def test_an_mp4_with_its_index_at_the_end(clip, moving, tmp_path):
    source = clip("slow.mp4", *moving("640x480", seconds="2"), "-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
    codes, errors = piped(["cat", source], streamfx_run("-", tmp_path / "out.mp4", "--chain", "null"))
    assert codes[1] == 1
    assert errors[1].count("\n") == 1
    assert "file name" in errors[1]
    assert "-movflags +faststart" in errors[1]
    assert list(tmp_path.iterdir()) == []


def test_an_mp4_with_its_index_at_the_start(video, clip, tmp_path, times):
    source = clip("fast.mp4", "-i", video, "-c", "copy", "-movflags", "faststart")
    codes, errors = piped(["cat", source], streamfx_run("-", tmp_path / "out.mp4", "--chain", "null"))
    assert codes == [0, 0], errors
    assert len(times(tmp_path / "out.mp4")) == 25


def test_nothing_on_stdin(tmp_path):
    codes, errors = piped(["true"], streamfx_run("-", tmp_path / "out.mp4", "--chain", "null"))
    assert codes[1] == 1
    assert errors[1].startswith("streamfx: stdin is not a video")
    assert errors[1].count("\n") == 1


@pytest.mark.parametrize("name", ["mp4", "mov", "avi", "apng"])
def test_formats_that_cannot_be_piped(name, video):
    done = subprocess.run(
        list(map(str, streamfx_run(video, "-", "--chain", "null", "--format", name))), capture_output=True
    )
    assert done.returncode == 1
    assert done.stdout == b""
    stderr = done.stderr.decode()
    assert stderr.count("\n") == 1
    assert all(word in stderr for word in ["fmp4", "nut", "matroska", "mpegts", "yuv4mpegpipe", "rawvideo"])

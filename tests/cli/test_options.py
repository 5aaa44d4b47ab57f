"""The options of all commands that write a video: parsing, and what they do."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.cli._options import Misuse, parse_rate, parse_size, parse_time


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_times_are_exact(hours, minutes, seconds, thousandths):
    total = Fraction(hours * 3600 + minutes * 60 + seconds) + Fraction(thousandths, 1000)
    assert parse_time(f"{hours}:{minutes:02d}:{seconds:02d}.{thousandths:03d}") == total
    assert parse_time(f"{hours * 60 + minutes}:{seconds}.{thousandths:03d}") == total
    assert parse_time(f" {hours * 3600 + minutes * 60 + seconds}.{thousandths:03d} ") == total


@given(st.text(max_size=8).filter(lambda text: not any(character.isdecimal() for character in text)))
def test_text_that_is_not_a_time_rate_or_size(text):
    for parse in (parse_time, parse_rate, parse_size):
        with pytest.raises(Misuse):
            parse(text)


@pytest.mark.parametrize("text", ["1:2:3:4", "-1", "1:", ":1", "1e3", "1.", "٣"])
def test_near_misses_of_times(text):
    with pytest.raises(Misuse, match="is not a time"):
        parse_time(text)


@given(st.fractions(min_value=Fraction(1, 100), max_value=1000))
def test_rates(rate):
    assert parse_rate(str(rate)) == rate


def test_a_rate_with_a_zero_denominator():
    with pytest.raises(Misuse):
        parse_rate("1/0")


@given(st.integers(1, 9999), st.integers(1, 9999), st.sampled_from("xX:"))
def test_sizes(width, height, mark):
    assert parse_size(f"{width}{mark}{height}") == (width, height)
    for keep in (-1, -2):
        assert parse_size(f"{width}:{keep}") == (width, keep)
        assert parse_size(f"{keep}:{height}") == (keep, height)


@pytest.mark.parametrize("text", ["0x5", "5x0", "-2:-2", "-3:5", "5", "5x", "5x5x5"])
def test_near_misses_of_sizes(text):
    with pytest.raises(Misuse, match="is not a size"):
        parse_size(text)


def test_a_run_with_many_options(streamfx, video, probe, video_stream, times):
    options = ["--encoder", "libx264", "--crf", "30", "-e", "preset=ultrafast", "-e", "g=5", "--pix-fmt", "yuv444p"]
    part = ["--from", "0.2", "--duration", "0:00.4", "--size", "32:-2", "--no-audio"]
    done = streamfx("run", video, "out.mp4", "--chain", "hflip", *options, *part, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    output = streamfx.home / "out.mp4"
    stream = video_stream(output)
    assert (stream["width"], stream["height"], stream["pix_fmt"]) == (32, 24, "yuv444p")
    assert [stream["codec_type"] for stream in probe(output)["streams"]] == ["video"]
    assert len(times(output)) == 10
    flags = probe(output, "-select_streams", "v", "-show_entries", "packet=flags")
    assert sum("K" in packet["flags"] for packet in flags["packets"]) == 2
    assert b"crf=30" in output.read_bytes()
    assert "hflip" in probe(output)["format"]["tags"]["comment"]
    report = json.loads(done.stdout)
    assert report["frames"] == 10
    assert report["output"] == "out.mp4"
    assert report["encoder"] == "libx264"
    assert {"seconds", "fps", "device"} <= set(report)


def test_source_and_result_side_by_side(streamfx, video, probe, video_stream):
    done = streamfx("dream", video, "out.mp4", "--compare", "--to", "0.08", "--octaves", "1", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    stream = video_stream(streamfx.home / "out.mp4")
    assert (stream["width"], stream["height"]) == (128, 48)
    assert "compare(dream=layer=" in probe(streamfx.home / "out.mp4")["format"]["tags"]["comment"]


def test_files_are_not_overwritten_without_yes(streamfx, video):
    target = streamfx.home / "out.mp4"
    target.write_bytes(b"kept")
    done = streamfx("run", video, "out.mp4", "--chain", "null")
    assert done.returncode == 1
    assert done.stderr == "streamfx: 'out.mp4' exists; give -y to overwrite it, or another name\n"
    assert target.read_bytes() == b"kept"
    assert streamfx("run", video, "out.mp4", "--chain", "null", "-y").returncode == 0
    assert target.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "soon"], "is not a time"),
        (["--size", "big"], "is not a size"),
        (["--input-fps", "fast"], "is not a frame rate"),
        (["--fps", "0"], "is not a frame rate"),
        (["--width", "3.5"], "is not a width"),
        (["-e", "preset"], "key=value"),
        (["--to", "1", "--duration", "1"], "not both"),
    ],
)
def test_misuse_exits_with_2_and_one_line(arguments, message, streamfx, video):
    done = streamfx("run", video, "out.mp4", "--chain", "null", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(streamfx.home.iterdir()) == []


def test_unknown_options_exit_with_2(streamfx, video):
    done = streamfx("run", video, "out.mp4", "--chain", "null", "--fast")
    assert done.returncode == 2
    assert "--fast" in done.stderr


def test_image_sequences_with_a_rate(streamfx, video, times):
    assert streamfx("run", video, "p%03d.png", "--chain", "null", "--no-audio").returncode == 0
    assert streamfx("run", "p*.png", "out.mp4", "--chain", "null", "--input-fps", "10").returncode == 0
    assert times(streamfx.home / "out.mp4") == [Fraction(n, 10) for n in range(25)]


@pytest.mark.parametrize(
    ("chain", "target", "width", "size"),
    [
        ("null", "out.gif", 33, (33, 25)),
        ("mirror", "out.mp4", 34, (34, 26)),
        ("mirror", "out.mkv", 96, (96, 72)),
        ("hflip,mirror,negate", "out.png", 33, (33, 25)),
        ("split[a][b];[a]hflip[c];[b][c]hstack[d]", "out.mp4", 64, (64, 24)),
        ("split[a][b];[a]hflip[c];[b][c]hstack", "out.gif", 63, (63, 24)),
    ],
)
def test_width_scales_the_output_of_every_chain(chain, target, width, size, streamfx, video, video_stream):
    done = streamfx("run", video, target, "--chain", chain, "--no-audio", "--width", width, "--to", "0.04")
    assert (done.returncode, done.stderr) == (0, "")
    stream = video_stream(streamfx.home / target)
    assert (stream["width"], stream["height"]) == size


def test_width_makes_pixels_square(streamfx, clip, moving, video_stream):
    source = clip("wide.mkv", *moving("72x60", seconds="0.1"), "-vf", "setsar=5/3", "-pix_fmt", "yuv420p")
    assert streamfx("run", source, "out.mp4", "--chain", "null", "--width", "60").returncode == 0
    stream = video_stream(streamfx.home / "out.mp4")
    assert (stream["width"], stream["height"], stream["sample_aspect_ratio"]) == (60, 30, "1:1")


@pytest.mark.parametrize(("rate", "chain"), [("10", "null"), ("10", "mirror"), ("50", "hflip,mirror")])
def test_fps_sets_the_rate_before_every_chain(rate, chain, streamfx, video, times):
    done = streamfx("run", video, "out.mp4", "--chain", chain, "--fps", rate, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    count = int(rate)
    assert times(streamfx.home / "out.mp4") == [Fraction(n, count) for n in range(count)]
    assert json.loads(done.stdout)["frames_read"] == count

"""What every command that makes a film understands and reports."""

import json
import math
import re
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.cli._framing import no_larger_than_needed
from streamfx.cli._options import Misuse, parse_rate, parse_size, parse_time
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.media.filters.effect import Filter, Filters
from streamfx.styletransfer.working_resolution import AREA


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_times_are_exact(hours, minutes, seconds, thousandths):
    total = Fraction(hours * 3600 + minutes * 60 + seconds) + Fraction(thousandths, 1000)
    assert parse_time(f"{hours}:{minutes:02d}:{seconds:02d}.{thousandths:03d}") == total
    assert parse_time(f"{hours * 60 + minutes}:{seconds}.{thousandths:03d}") == total
    assert parse_time(f" {hours * 3600 + minutes * 60 + seconds}.{thousandths:03d} ") == total


@given(st.text(max_size=8).filter(lambda text: not any(character.isdecimal() for character in text)))
def test_what_is_no_time_rate_or_size(text):
    for parse in (parse_time, parse_rate, parse_size):
        with pytest.raises(Misuse):
            parse(text)


@pytest.mark.parametrize("text", ["1:2:3:4", "-1", "1:", ":1", "1e3", "1.", "٣"])
def test_near_misses_of_times(text):
    with pytest.raises(Misuse, match="is no time"):
        parse_time(text)


@given(st.fractions(min_value=Fraction(1, 100), max_value=1000))
def test_rates(rate):
    assert parse_rate(str(rate)) == rate


def test_a_rate_of_nothing():
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
    with pytest.raises(Misuse, match="is no size"):
        parse_size(text)


def test_a_run_with_everything_asked_for(streamfx, film, probe, picture, times):
    asked = ["--encoder", "libx264", "--crf", "30", "-e", "preset=ultrafast", "-e", "g=5", "--pix-fmt", "yuv444p"]
    cut = ["--from", "0.2", "--duration", "0:00.4", "--size", "32:-2", "--no-audio"]
    done = streamfx("run", film, "out.mp4", "--chain", "hflip", *asked, *cut, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    made = streamfx.home / "out.mp4"
    said = picture(made)
    assert (said["width"], said["height"], said["pix_fmt"]) == (32, 24, "yuv444p")
    assert [stream["codec_type"] for stream in probe(made)["streams"]] == ["video"]
    assert len(times(made)) == 10
    flags = probe(made, "-select_streams", "v", "-show_entries", "packet=flags")
    assert sum("K" in packet["flags"] for packet in flags["packets"]) == 2
    assert b"crf=30" in made.read_bytes()
    assert "hflip" in probe(made)["format"]["tags"]["comment"]
    report = json.loads(done.stdout)
    assert report["frames"] == 10
    assert report["output"] == "out.mp4"
    assert report["encoder"] == "libx264"
    assert {"seconds", "fps", "device"} <= set(report)


def test_json_gives_one_object_on_stdout_and_only_where_asked(streamfx, film):
    assert streamfx("run", film, "a.mkv", "--chain", "null").stdout == b""
    done = streamfx("run", film, "b.mkv", "--chain", "null", "--json")
    assert len(done.stdout.splitlines()) == 1
    json.loads(done.stdout)


def test_nothing_is_overwritten_without_yes(streamfx, film):
    target = streamfx.home / "out.mp4"
    target.write_bytes(b"precious")
    done = streamfx("run", film, "out.mp4", "--chain", "null")
    assert done.returncode == 1
    assert done.stderr == "streamfx: 'out.mp4' exists; give -y to overwrite it, or another name\n"
    assert target.read_bytes() == b"precious"
    assert streamfx("run", film, "out.mp4", "--chain", "null", "-y").returncode == 0
    assert target.stat().st_size > 1000


def test_quiet_and_progress(streamfx, film):
    target = ["--chain", "null", "-y"]
    assert streamfx("run", film, "out.gif", *target).stderr == "streamfx: gif holds no sound: left out\n"
    assert streamfx("run", film, "out.gif", *target, "--quiet").stderr == ""
    shown = streamfx("run", film, "out.gif", *target, "--progress").stderr
    assert "25 frames" in shown


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--from", "soon"], "is no time"),
        (["--size", "big"], "is no size"),
        (["--input-fps", "fast"], "is no frame rate"),
        (["--fps", "0"], "is no frame rate"),
        (["--width", "3.5"], "is no width"),
        (["-e", "preset"], "key=value"),
        (["--to", "1", "--duration", "1"], "not both"),
    ],
)
def test_misuse_exits_with_2_and_one_line(arguments, word, streamfx, film):
    done = streamfx("run", film, "out.mp4", "--chain", "null", *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(streamfx.home.iterdir()) == []


def test_unknown_options_exit_with_2(streamfx, film):
    done = streamfx("run", film, "out.mp4", "--chain", "null", "--fast")
    assert done.returncode == 2
    assert "--fast" in done.stderr


def test_numbered_pictures_with_their_rate(streamfx, film, times):
    assert streamfx("run", film, "p%03d.png", "--chain", "null", "--no-audio").returncode == 0
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
def test_a_width_at_the_end_of_every_chain(chain, target, width, size, streamfx, film, picture):
    done = streamfx("run", film, target, "--chain", chain, "--no-audio", "--width", width, "--to", "0.04")
    assert (done.returncode, done.stderr) == (0, "")
    made = picture(streamfx.home / target)
    assert (made["width"], made["height"]) == size


def test_a_width_makes_pixels_square(streamfx, clip, moving, picture):
    source = clip("wide.mkv", *moving("72x60", seconds="0.1"), "-vf", "setsar=5/3", "-pix_fmt", "yuv420p")
    assert streamfx("run", source, "out.mp4", "--chain", "null", "--width", "60").returncode == 0
    made = picture(streamfx.home / "out.mp4")
    assert (made["width"], made["height"], made["sample_aspect_ratio"]) == (60, 30, "1:1")


@pytest.mark.parametrize(("rate", "chain"), [("10", "null"), ("10", "mirror"), ("50", "hflip,mirror")])
def test_a_rate_in_front_of_every_chain(rate, chain, streamfx, film, times):
    done = streamfx("run", film, "out.mp4", "--chain", chain, "--fps", rate, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    count = int(rate)
    assert times(streamfx.home / "out.mp4") == [Fraction(n, count) for n in range(count)]
    assert json.loads(done.stdout)["frames_read"] == count


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(1, 4000), st.floats(0.5, 2))
def test_scaled_down_first_only_to_what_is_painted_or_shown(high, wide, width, stroke):
    (scale,) = no_larger_than_needed([Style(stroke=stroke)], width)
    share = re.search(r"round\(iw\*(.*)\)':'", scale.options)[1]
    names = {"iw": wide, "ih": high, "min": min, "max": max, "sqrt": math.sqrt}
    factor = eval(share, {"__builtins__": {}}, names)
    assert factor <= 1
    if factor < 1:
        assert wide * factor >= width * 0.999
        assert wide * high * factor**2 >= AREA / stroke**2 * 0.999


def test_other_effects_see_the_source_in_its_own_size():
    for chain in ([], [Mirror()], [Style(), Mirror()], [Filters((Filter("crop", "9:9"),)), Style()]):
        assert no_larger_than_needed(chain, 100) == []


def test_verbose_says_what_is_done_where(streamfx, film, tmp_path):
    done = streamfx("run", film, tmp_path / "out.mp4", "--chain", "mirror", "-v", "--device", "cpu")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert f"streamfx: '{film}' is decoded on the CPU" in lines
    assert "streamfx: effects work on the CPU" in lines
    assert "streamfx: encoding with libx264 on the CPU" in lines
    assert streamfx("run", film, tmp_path / "two.mp4", "--chain", "mirror").stderr == ""


def test_filters_alone_need_no_torch(clip, moving, tmp_path):
    arguments = ["streamfx", "run", str(clip("in.mkv", *moving())), str(tmp_path / "out.mkv"), "--chain", "hflip"]
    code = f"import sys; from streamfx.cli import main; sys.argv = {arguments}; main()"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"False\n"
    assert (tmp_path / "out.mkv").exists()

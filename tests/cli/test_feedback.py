"""Videos that `streamfx dream` makes from one image: their size, length, audio and schedules."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from streamfx.cli._feedback import MAX_FRAMES, VideoPlan, describe_schedules, plan_video
from streamfx.cli._options import VideoOptions
from streamfx.errors import Misuse, StreamfxError

TINY = ("--size", "64x48", "--fps", "8", "--layer", "block2", "--octaves", "1")


@pytest.fixture(scope="session")
def soundtrack(clip, tone):
    """An mp3 file of 1.5 seconds with a beat every half second."""
    beats = "volume='if(lt(mod(t,0.5),0.1),1,0.05)':eval=frame"
    return clip("soundtrack.mp3", *tone("1.5"), "-af", beats, "-c:a", "libmp3lame")


def test_a_video_from_an_image_is_as_long_as_its_audio(streamfx, noise, soundtrack, probe, hashes, empty_cache):
    arguments = ["dream", "--start", noise, "--audio", soundtrack, "out.mp4", *TINY, "--zoom", "1+beat/50", "--json"]
    done = streamfx(*arguments, env=empty_cache)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 12
    video, audio = probe(streamfx.home / "out.mp4")["streams"]
    assert (video["width"], video["height"], video["avg_frame_rate"]) == (64, 48, "8/1")
    assert float(video["duration"]) == 1.5
    assert float(audio["duration"]) == pytest.approx(1.5, abs=0.06)
    assert hashes(streamfx.home / "out.mp4", "a") == hashes(soundtrack, "a")
    assert "zoom='1+beat/50'" in probe(streamfx.home / "out.mp4")["format"]["tags"]["comment"]


def test_duration_cuts_the_audio_and_no_audio_is_needed(streamfx, noise, soundtrack, probe, empty_cache):
    arguments = ["dream", "--start", noise, "out.mp4", *TINY, "--duration", "0.5"]
    assert streamfx(*arguments, "--audio", soundtrack, env=empty_cache).returncode == 0
    streams = probe(streamfx.home / "out.mp4")["streams"]
    durations = {stream["codec_type"]: float(stream["duration"]) for stream in streams}
    assert durations == pytest.approx({"video": 0.5, "audio": 0.5}, abs=0.06)
    again = streamfx(*arguments, env=empty_cache)
    assert (again.returncode, "give -y to overwrite" in again.stderr) == (1, True)
    assert streamfx(*arguments, "-y", env=empty_cache).returncode == 0
    assert [stream["codec_type"] for stream in probe(streamfx.home / "out.mp4")["streams"]] == ["video"]


def test_a_dry_run_shows_the_values_of_the_schedules(streamfx, soundtrack, empty_cache):
    schedules = ["--zoom", "0:(1), 4:(2)", "--shift-x", "t", "--plot", "plan.png", "--dry-run"]
    arguments = ["dream", "--start", "none.png", "--audio", soundtrack, "out.mp4", *TINY, *schedules]
    done = streamfx(*arguments, env=empty_cache)
    assert done.returncode == 0, done.stderr
    heading, *rows = done.stdout.decode().splitlines()
    assert heading.split() == ["frame", "time", "zoom", "angle", "shift_x", "shift_y", "step", "view", "layer"]
    assert [row.split()[0] for row in rows] == [str(number) for number in range(12)]
    assert [row.split()[2] for row in rows[:5]] == ["1", "1.25", "1.5", "1.75", "2"]
    assert [row.split()[4] for row in rows[:5]] == ["0", "1", "2", "3", "4"]
    assert [file.name for file in streamfx.home.iterdir()] == ["plan.png"]
    with Image.open(streamfx.home / "plan.png") as plan:
        assert plan.width > 1000


# --- plans


def test_the_default_is_ten_seconds_in_hd():
    plan = plan_video(None, 7, VideoOptions())
    assert (plan.size, plan.rate, plan.count, plan.audio, plan.analysis) == ((720, 1280), 30, 300, None, None)
    assert (plan.context.last, plan.context.fps, plan.context.seed) == (299, 30.0, 7)


@given(st.integers(0, 3_000_000), st.fractions(Fraction(1, 10), 100, max_denominator=1001))
def test_the_length_is_rounded_to_whole_frames(milliseconds, rate):
    length = Fraction(milliseconds, 1000)
    plan = plan_video(
        None, 0, VideoOptions(duration=f"{milliseconds // 1000}.{milliseconds % 1000:03d}", fps=str(rate))
    )
    assert plan.rate == rate
    assert plan.count == plan.context.last + 1
    assert plan.count >= 1
    assert abs(plan.count / rate - length) <= (1 / rate if plan.count == 1 else 1 / rate / 2)
    assert plan.context.fps == float(rate)


def test_the_audio_sets_the_length_unless_there_is_a_duration(soundtrack):
    plan = plan_video(str(soundtrack), 3, VideoOptions(fps="10"))
    assert plan.count == pytest.approx(15, abs=1)
    assert (plan.audio, plan.context.seed) == (str(soundtrack), 3)
    assert {"beat", "bass", "rms"} <= plan.context.audio.keys()
    assert all(len(track) == plan.count for track in plan.context.audio.values())
    longer = plan_video(str(soundtrack), 3, VideoOptions(fps="10", duration="3"))
    assert (longer.count, longer.context.last) == (30, 29)
    assert longer.context.audio["rms"][-1] < 0.01  # after the end of the audio


def test_the_number_of_frames_has_a_maximum():
    assert plan_video(None, 0, VideoOptions(duration="100000", fps="10")).count == MAX_FRAMES
    with pytest.raises(StreamfxError, match=r"^1000001 frames are more than 1000000; give a shorter --duration or"):
        plan_video(None, 0, VideoOptions(duration="100000.1", fps="10"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "0"}, "--from needs a source video; a video from --start takes --size, --fps and --duration"),
        ({"end": "3"}, "--to needs a source video"),
        ({"width": "64"}, "--width needs a source video"),
        ({"input_format": "lavfi"}, "--input-format needs a source video"),
        ({"input_fps": "24"}, "--input-fps needs a source video"),
        ({"compare": True}, "--compare needs a source video"),
        ({"size": "64:-2"}, "a video from --start has no aspect ratio to keep; give both sides in --size, not '64:-2'"),
        ({"size": "big"}, "'big' is not a size"),
        ({"fps": "0"}, "'0' is not a frame rate"),
        ({"duration": "long"}, "'long' is not a time"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(Misuse) as error:
        plan_video(None, 0, VideoOptions(**options))
    assert str(error.value).startswith(message)


def test_missing_audio_is_an_error():
    with pytest.raises(StreamfxError, match=r"no such file: 'none\.mp3'"):
        plan_video("none.mp3", 0, VideoOptions())


# --- schedules


@pytest.fixture
def plan():
    return VideoPlan((48, 64), Fraction(8), 4, plan_video(None, 0, VideoOptions()).context, None, None)


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("plot", ["plot.png", None])
def test_schedules_are_shown_as_a_plot_a_table_or_both(dry, plot, plan, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    describe_schedules({"zoom": np.arange(4.0)}, plan, plot, dry=dry, overwrite=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-1:]] == ([["3", "0:00.38", "3"]] if dry else [])
    assert [path.name for path in tmp_path.iterdir()] == ([plot] if plot else [])


def test_plots_are_overwritten_only_on_request(plan, tmp_path, capsys):
    file = tmp_path / "plot.png"
    file.write_bytes(b"kept")
    with pytest.raises(StreamfxError, match="exists; give -y"):
        describe_schedules({"zoom": np.arange(4.0)}, plan, str(file), dry=True, overwrite=False)
    assert (file.read_bytes(), capsys.readouterr().out) == (b"kept", "")
    describe_schedules({"zoom": np.arange(4.0)}, plan, str(file), dry=False, overwrite=True)
    with Image.open(file) as image:
        assert image.format == "PNG"

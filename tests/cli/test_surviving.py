"""Runs that are killed or interrupted, or that lose their files or their disk."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import kills
import pytest

from streamfx.jobs.manifest import load

CHAIN = ["--chain", "hflip"]


@pytest.fixture(scope="module")
def long(clip, moving, tone):
    """Half a minute, so that a run can be stopped in it."""
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return clip("long.mp4", *moving("160x120", seconds="30"), *tone("30"), *code)


@pytest.fixture
def here(tmp_path, monkeypatch):
    home = tmp_path / "work"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def command(here, in_process):
    return in_process


def refused(done, *words, code=1):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def segments(folder):
    return len(list(folder.glob("*.packets"))) if folder.is_dir() else 0


def when_closed(process, folder, count=2):
    """Wait until a run has closed so many segments."""
    while process.poll() is None:
        if segments(folder) >= count:
            return
        time.sleep(0.002)
    pytest.fail(process.stderr.read().decode())


@pytest.fixture(scope="module")
def wreck(long, tmp_path_factory):
    """The folder of a run that was killed with kill -9 after two or more segments, and the uninterrupted video."""
    folder = tmp_path_factory.mktemp("wreck")
    run = [*kills.COMMAND, "run", str(long), "out.mkv", *CHAIN, "--segment", "20"]
    process = subprocess.Popen(run, cwd=folder, stderr=subprocess.PIPE)
    when_closed(process, folder / "out.mkv.streamfx")
    process.kill()
    process.communicate()
    assert [path.name for path in folder.iterdir()] == ["out.mkv.streamfx"]
    whole = ["whole.mkv" if each == "out.mkv" else each for each in run]
    subprocess.run(whole, cwd=folder, check=True)
    return folder


@pytest.fixture
def stopped(wreck, here):
    """A run that was killed, here; the number of frames in its segments."""
    shutil.copytree(wreck / "out.mkv.streamfx", here / "out.mkv.streamfx")
    return load(here / "out.mkv.streamfx").points[-1].number


def same(video, other):
    assert kills.seen_and_heard(video) == kills.seen_and_heard(other)


def run_arguments(long, *more):
    return ["run", long, "out.mkv", *CHAIN, *more]


# --- resume


@pytest.mark.parametrize("name", ["dream", "render"])  # tests/soak/kills.py kills all, and often
def test_runs_killed_at_random_moments_resume_to_the_same_video(name, tmp_path):
    kind = next(kind for kind in kills.kinds(tmp_path) if kind.name == name)
    kills.learn(kind, tmp_path)
    assert kills.kill_one(kind, tmp_path, random.Random(7), 0)[0] >= 1


def test_resume_after_a_kill(command, stopped, long, here, wreck):
    done = command(*run_arguments(long, "--resume", "--json"))
    assert done.returncode == 0
    assert done.stderr == f"streamfx: resuming at frame {stopped}\n"
    report = json.loads(done.stdout)
    assert (report["resumed_frames"], report["frames"], report["frames_read"]) == (stopped, 750, 750)
    assert [path.name for path in here.iterdir()] == ["out.mkv"]
    same(here / "out.mkv", wreck / "whole.mkv")


def test_a_checkpoint_is_not_overwritten_by_mistake(command, stopped, long, here):
    refused(command(*run_arguments(long)), "contains", "--resume to continue, -y to start over", "--join-partial")
    assert load(here / "out.mkv.streamfx").points[-1].number == stopped
    done = command(*run_arguments(long, "-y", "--json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 750
    assert [path.name for path in here.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (["--crf", "30"], ["crf was not given, is 30"]),
        (["--from", "1"], ["start was 0, is 1"]),
        (["--segment", "50"], ["segment was 20, is 50"]),
        (["-e", "g=5", "--no-audio"], ["encoder options was not given, is g=5", "audio was True, is False"]),
        (["--chain", "vflip"], ["chain was hflip, is vflip"]),
    ],
)
def test_changed_settings_are_refused(changed, words, command, stopped, long, here):
    refused(
        command(*run_arguments(long, "-y", "--resume", *changed)),
        "cannot resume 'out.mkv'",
        "-y without --resume",
        *words,
    )
    assert load(here / "out.mkv.streamfx").points[-1].number == stopped


def test_a_changed_source_is_refused(command, stopped, video):
    refused(command(*run_arguments(video, "--resume")), "the source has changed")


def test_resume_without_a_checkpoint(command, long, here):
    done = command(*run_arguments(long, "--resume", "--json", "--to", "1"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["resumed_frames"] == 0
    assert [path.name for path in here.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut", "out.mov", "out.avi", "out.flv"])
def test_a_finished_video_is_not_changed(name, command, video, here):
    made = ["run", video, name, *CHAIN, "--segment", "10"]
    assert command(*made).returncode == 0
    state = (here / name).stat()
    for more in (["--resume"], ["-y", "--resume"]):
        done = command(*made, *more)
        assert (done.returncode, done.stderr) == (0, f"streamfx: '{name}' is already finished\n")
    assert (here / name).stat().st_mtime_ns == state.st_mtime_ns
    refused(command(*made, "--resume", "--crf", "30"), "exists; give -y")
    assert command(*made, "-y", "--resume", "--crf", "30").returncode == 0
    assert (here / name).stat().st_mtime_ns != state.st_mtime_ns
    assert [path.name for path in here.iterdir()] == [name]


def test_join_partial(command, stopped, long, here, times, hashes, probe):
    done = command(*run_arguments(long, "--join-partial"))
    assert done.returncode == 0, done.stderr
    assert "frames are in 'out.partial.mkv'; resume with --resume" in done.stderr
    shown = times(here / "out.partial.mkv")
    assert len(shown) == stopped
    kinds = [stream["codec_type"] for stream in probe(here / "out.partial.mkv")["streams"]]
    assert kinds == ["video", "audio"]
    heard = times(here / "out.partial.mkv", "a:0")
    assert abs(float(heard[-1]) - float(shown[-1])) < 0.1
    assert command(*run_arguments(long, "--resume")).returncode == 0
    refused(command(*run_arguments(long, "--join-partial")), "no closed segments")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{film}", "out.gif", "--chain", "mirror"], "the format of 'out.gif' cannot be joined from segments"),
        (["{film}", "p%02d.png", "--chain", "mirror"], "'p%02d.png' is not a regular file"),
        (["{film}", "out.mp4", "--chain", "mirror,tmix"], "the filter tmix after an effect depends on earlier frames"),
        (
            ["{film}", "out.mp4", "--chain", "mirror,hue=H=n/9"],
            "the filter hue after an effect depends on earlier frames",
        ),
        (["{film}", "out.mp4", "--chain", "mirror", "--segment", "0"], "checkpoints are off: segment is 0"),
    ],
)
def test_what_cannot_be_resumed_is_reported_only_with_resume(arguments, words, command, video):
    arguments = [str(video) if each == "{film}" else each for each in arguments]
    said = command("run", *arguments, "--no-audio", "--resume")
    assert said.returncode == 0
    assert f"this run cannot be resumed: {words}" in said.stderr
    assert "resume" not in command("run", *arguments, "--no-audio", "-y").stderr


def test_stdin_cannot_be_resumed(video, here, streamfx):
    done = streamfx("run", "-", "out.mp4", *CHAIN, "--resume", stdin=video.read_bytes())
    assert done.returncode == 0
    assert "stdin can be read only once" in done.stderr


# --- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_the_segments_and_says_how_to_resume(number, start, here, long, command):
    process = start(*run_arguments(long, "--segment", "20", "--json"), cwd=here)
    when_closed(process, here / "out.mkv.streamfx")
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "stopping at the next frame" in said
    assert "repeat the command with --resume to continue, or with --join-partial" in said
    assert said.count("\n") == 2
    count = int(said.split(" frames are saved")[0].split()[-1])
    assert count == load(here / "out.mkv.streamfx").points[-1].number >= 40
    assert [path.name for path in here.iterdir()] == ["out.mkv.streamfx"]
    done = command(*run_arguments(long, "--resume", "--json"))
    assert json.loads(done.stdout)["resumed_frames"] == count


def test_a_second_interrupt_stops_at_once(start, here, video):
    """In the middle of a frame that takes minutes."""
    slow = ["--layer", "block10", "--steps", "1000", "--octaves", "3", "--segment", "2", "--quiet"]
    process = start("dream", video, "out.mp4", *slow, cwd=here)
    while not (here / "out.mp4.streamfx").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(1.5)  # it dreams
    process.send_signal(signal.SIGINT)
    assert b"stopping at the next frame" in process.stderr.readline()
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert list(here.iterdir()) == []


# --- faults


def test_a_full_disk(small_disk, command, long, wreck):
    options = [long, small_disk / "out.mkv", *CHAIN, "--segment", "20"]
    done = command("run", *options)
    refused(done, "cannot write", "No space left on device", "frames are saved in", "--resume")
    assert [path.name for path in small_disk.iterdir()] == ["out.mkv.streamfx"]
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    done = command("run", *options, "--resume", "--json")
    assert json.loads(done.stdout)["resumed_frames"] >= 20
    same(small_disk / "out.mkv", wreck / "whole.mkv")


def test_a_folder_that_goes_away(start, here, long, command, wreck):
    home = here / "home"
    home.mkdir()
    process = start("run", long, home / "out.mkv", *CHAIN, "--segment", "20")
    when_closed(process, home / "out.mkv.streamfx", 1)
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert said.startswith("streamfx: cannot write")
    assert (said.count("\n"), "Traceback" in said, "are saved" in said) == (1, False, False)
    home.mkdir()
    assert command("run", long, home / "out.mkv", *CHAIN, "--segment", "20", "--resume").returncode == 0
    same(home / "out.mkv", wreck / "whole.mkv")


def test_a_source_that_is_cut_short_while_it_is_read(start, here, long, times, command):
    source = here / "in.mkv"
    subprocess.run([*kills.FFMPEG, "-i", long, "-c", "copy", source], check=True)
    process = start("run", source, "out.mkv", *CHAIN, "--segment", "20", cwd=here)
    when_closed(process, here / "out.mkv.streamfx", 1)
    with source.open("r+b") as stream:
        stream.truncate(source.stat().st_size * 3 // 4)
    said = process.communicate(timeout=60)[1].decode()
    if process.returncode == 0:  # it had been read by then
        assert len(times(here / "out.mkv")) == 750
        return
    assert "ends early or is damaged" in said
    assert said.count("\n") == 1
    assert len(times(here / "out.mkv")) >= 20
    assert sorted(path.name for path in here.iterdir()) == ["in.mkv", "out.mkv"]


def test_a_writer_that_stalls_and_a_second_run_on_its_film(start, here, video, clip, times, command):
    source = clip("pipe.mkv", "-i", video, "-c", "copy")
    process = start("run", "-", "out.mp4", *CHAIN, cwd=here, stdin=subprocess.PIPE)
    data = source.read_bytes()
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    while not (here / "out.mp4.streamfx").exists():
        assert process.poll() is None
        time.sleep(0.01)
    for more in ([], ["-y"], ["-y", "--resume"]):
        refused(command("run", video, "out.mp4", *CHAIN, *more), "another run is writing 'out.mp4'")
    process.stdin.write(data[len(data) // 2 :])
    said = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, said) == (0, "")
    assert len(times(here / "out.mp4")) == 25
    assert [path.name for path in here.iterdir()] == ["out.mp4"]


JUMPS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
static long jump() { static unsigned n = 1; n = n * 1103515245 + 12345; return (long)(n % 200000000) - 100000000; }
extern "C" int clock_gettime(clockid_t id, struct timespec *at) {
    static auto real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, at);
    if (id == CLOCK_REALTIME) at->tv_sec += jump();
    return done;
}
extern "C" time_t time(time_t *at) {
    struct timespec now; clock_gettime(CLOCK_REALTIME, &now); if (at) *at = now.tv_sec; return now.tv_sec;
}
extern "C" int gettimeofday(struct timeval *at, void *) noexcept {
    struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; return 0;
}
"""


def test_a_clock_that_jumps(start, here, long, wreck):
    """By up to three years back and forth, each time it is looked at."""
    (here / "jumps.cpp").write_text(JUMPS)
    library = here / "jumps.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", library, here / "jumps.cpp", "-ldl"], check=True)
    jumping = os.environ | {"LD_PRELOAD": str(library)}
    shown = [subprocess.run(["date", "+%s"], env=jumping, capture_output=True).stdout for _ in range(2)]
    assert abs(int(shown[0]) - time.time()) > 3600
    process = start(*run_arguments(long, "--segment", "20"), cwd=here, env=jumping)
    when_closed(process, here / "out.mkv.streamfx")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    process = start(*run_arguments(long, "--resume", "--json"), cwd=here, env=jumping, stdout=subprocess.PIPE)
    told, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert json.loads(told)["resumed_frames"] >= 20
    same(here / "out.mkv", wreck / "whole.mkv")


def test_a_preset_that_changes_under_a_run(start, here, video, command, video_stream):
    from streamfx.presets import load_preset

    preset = load_preset("vangogh")
    for path in (preset.path, preset.weights("fast")):
        shutil.copy(path, here / path.name)
    own = here / preset.path.name
    made = ["style", video, "out.mkv", "--preset", own, "--quality", "fast", "--segment", "5"]
    process = start(*made, cwd=here)
    when_closed(process, here / "out.mkv.streamfx")
    process.kill()
    process.communicate()
    weights = here / preset.weights("fast").name
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    refused(command(*made, "-y", "--resume"), f"'{weights}' has changed")
    data[-1] ^= 1
    weights.write_bytes(data)
    own.write_text(own.read_text() + "\n# another day\n")
    refused(command(*made, "-y", "--resume"), f"'{own}' has changed")
    assert segments(here / "out.mkv.streamfx") >= 2

"""Runs that are killed, or that lose their files or their disk, and how they are resumed."""

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


@pytest.fixture
def command(work, in_process):
    """The command, run in this process in `work`."""
    return in_process


def assert_error(done, *words, code=1):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def segments(folder):
    return len(list(folder.glob("*.packets"))) if folder.is_dir() else 0


@pytest.fixture(scope="module")
def killed_run(long_video, tmp_path_factory, wait_for_segments):
    """The folder of a run that was killed with kill -9 after two or more segments, and the uninterrupted video."""
    folder = tmp_path_factory.mktemp("killed_run")
    command = [*kills.COMMAND, "run", str(long_video), "out.mkv", *CHAIN, "--segment", "20"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    wait_for_segments(process, folder / "out.mkv.streamfx")
    process.kill()
    process.communicate()
    assert [path.name for path in folder.iterdir()] == ["out.mkv.streamfx"]
    uninterrupted = ["whole.mkv" if word == "out.mkv" else word for word in command]
    subprocess.run(uninterrupted, cwd=folder, check=True)
    return folder


@pytest.fixture
def saved_frames(killed_run, work):
    """A killed run in `work`; the number of frames in its segments."""
    shutil.copytree(killed_run / "out.mkv.streamfx", work / "out.mkv.streamfx")
    return load(work / "out.mkv.streamfx").points[-1].number


def same(video, other):
    assert kills.content_hashes(video) == kills.content_hashes(other)


def run_arguments(long_video, *options):
    return ["run", long_video, "out.mkv", *CHAIN, *options]


# --- resume


@pytest.mark.parametrize("name", ["dream", "render"])  # tests/soak/kills.py kills all, and often
def test_runs_killed_at_random_moments_resume_to_the_same_video(name, tmp_path):
    kind = next(kind for kind in kills.kinds(tmp_path) if kind.name == name)
    kills.measure(kind, tmp_path)
    assert kills.kill_one(kind, tmp_path, random.Random(7), 0)[0] >= 1


def test_resume_after_a_kill(command, saved_frames, long_video, work, killed_run):
    done = command(*run_arguments(long_video, "--resume", "--json"))
    assert done.returncode == 0
    assert done.stderr == f"streamfx: resuming at frame {saved_frames}\n"
    report = json.loads(done.stdout)
    assert (report["resumed_frames"], report["frames"], report["frames_read"]) == (saved_frames, 750, 750)
    assert [path.name for path in work.iterdir()] == ["out.mkv"]
    same(work / "out.mkv", killed_run / "whole.mkv")


def test_a_checkpoint_is_not_overwritten_by_mistake(command, saved_frames, long_video, work):
    assert_error(
        command(*run_arguments(long_video)), "contains", "--resume to continue, -y to start over", "--join-partial"
    )
    assert load(work / "out.mkv.streamfx").points[-1].number == saved_frames
    done = command(*run_arguments(long_video, "-y", "--json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["frames"] == 750
    assert [path.name for path in work.iterdir()] == ["out.mkv"]


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
def test_changed_settings_are_errors(changed, words, command, saved_frames, long_video, work):
    assert_error(
        command(*run_arguments(long_video, "-y", "--resume", *changed)),
        "cannot resume 'out.mkv'",
        "-y without --resume",
        *words,
    )
    assert load(work / "out.mkv.streamfx").points[-1].number == saved_frames


def test_a_changed_source_is_an_error(command, saved_frames, video):
    assert_error(command(*run_arguments(video, "--resume")), "the source has changed")


def test_resume_without_a_checkpoint(command, long_video, work):
    done = command(*run_arguments(long_video, "--resume", "--json", "--to", "1"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["resumed_frames"] == 0
    assert [path.name for path in work.iterdir()] == ["out.mkv"]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.nut", "out.mov", "out.avi", "out.flv"])
def test_a_finished_video_is_not_changed(name, command, video, work):
    arguments = ["run", video, name, *CHAIN, "--segment", "10"]
    assert command(*arguments).returncode == 0
    state = (work / name).stat()
    for options in (["--resume"], ["-y", "--resume"]):
        done = command(*arguments, *options)
        assert (done.returncode, done.stderr) == (0, f"streamfx: '{name}' is already finished\n")
    assert (work / name).stat().st_mtime_ns == state.st_mtime_ns
    assert_error(command(*arguments, "--resume", "--crf", "30"), "exists; give -y")
    assert command(*arguments, "-y", "--resume", "--crf", "30").returncode == 0
    assert (work / name).stat().st_mtime_ns != state.st_mtime_ns
    assert [path.name for path in work.iterdir()] == [name]


def test_join_partial(command, saved_frames, long_video, work, times, hashes, probe):
    done = command(*run_arguments(long_video, "--join-partial"))
    assert done.returncode == 0, done.stderr
    assert "frames are in 'out.partial.mkv'; resume with --resume" in done.stderr
    video_times = times(work / "out.partial.mkv")
    assert len(video_times) == saved_frames
    kinds = [stream["codec_type"] for stream in probe(work / "out.partial.mkv")["streams"]]
    assert kinds == ["video", "audio"]
    audio_times = times(work / "out.partial.mkv", "a:0")
    assert abs(float(audio_times[-1]) - float(video_times[-1])) < 0.1
    assert command(*run_arguments(long_video, "--resume")).returncode == 0
    assert_error(command(*run_arguments(long_video, "--join-partial")), "no closed segments")


# --- faults


def test_a_full_disk(small_disk, command, long_video, killed_run):
    arguments = [long_video, small_disk / "out.mkv", *CHAIN, "--segment", "20"]
    done = command("run", *arguments)
    assert_error(done, "cannot write", "No space left on device", "frames are saved in", "--resume")
    assert [path.name for path in small_disk.iterdir()] == ["out.mkv.streamfx"]
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    done = command("run", *arguments, "--resume", "--json")
    assert json.loads(done.stdout)["resumed_frames"] >= 20
    same(small_disk / "out.mkv", killed_run / "whole.mkv")


def test_a_folder_that_goes_away(start, work, long_video, command, killed_run, wait_for_segments):
    home = work / "home"
    home.mkdir()
    process = start("run", long_video, home / "out.mkv", *CHAIN, "--segment", "20")
    wait_for_segments(process, home / "out.mkv.streamfx", 1)
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert stderr.startswith("streamfx: cannot write")
    assert (stderr.count("\n"), "Traceback" in stderr, "are saved" in stderr) == (1, False, False)
    home.mkdir()
    assert command("run", long_video, home / "out.mkv", *CHAIN, "--segment", "20", "--resume").returncode == 0
    same(home / "out.mkv", killed_run / "whole.mkv")


def test_a_source_that_is_cut_short_while_it_is_read(start, work, long_video, times, command, wait_for_segments):
    source = work / "in.mkv"
    subprocess.run([*kills.FFMPEG, "-i", long_video, "-c", "copy", source], check=True)
    process = start("run", source, "out.mkv", *CHAIN, "--segment", "20", cwd=work)
    wait_for_segments(process, work / "out.mkv.streamfx", 1)
    with source.open("r+b") as stream:
        stream.truncate(source.stat().st_size * 3 // 4)
    stderr = process.communicate(timeout=60)[1].decode()
    if process.returncode == 0:  # it had already been read
        assert len(times(work / "out.mkv")) == 750
        return
    assert "ends early or is damaged" in stderr
    assert stderr.count("\n") == 1
    assert len(times(work / "out.mkv")) >= 20
    assert sorted(path.name for path in work.iterdir()) == ["in.mkv", "out.mkv"]


def test_a_source_that_stalls_and_a_second_run_with_the_same_output(start, work, video, clip, times, command):
    source = clip("pipe.mkv", "-i", video, "-c", "copy")
    process = start("run", "-", "out.mp4", *CHAIN, cwd=work, stdin=subprocess.PIPE)
    data = source.read_bytes()
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    while not (work / "out.mp4.streamfx").exists():
        assert process.poll() is None
        time.sleep(0.01)
    for options in ([], ["-y"], ["-y", "--resume"]):
        assert_error(command("run", video, "out.mp4", *CHAIN, *options), "another run is writing 'out.mp4'")
    process.stdin.write(data[len(data) // 2 :])
    stderr = process.communicate(timeout=60)[1].decode()
    assert (process.returncode, stderr) == (0, "")
    assert len(times(work / "out.mp4")) == 25
    assert [path.name for path in work.iterdir()] == ["out.mp4"]


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


def test_a_clock_that_jumps(start, work, long_video, killed_run, wait_for_segments):
    """By up to three years back and forth, whenever it is read."""
    (work / "jumps.cpp").write_text(JUMPS)
    library = work / "jumps.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", library, work / "jumps.cpp", "-ldl"], check=True)
    jumping = os.environ | {"LD_PRELOAD": str(library)}
    dates = [subprocess.run(["date", "+%s"], env=jumping, capture_output=True).stdout for _ in range(2)]
    assert abs(int(dates[0]) - time.time()) > 3600
    process = start(*run_arguments(long_video, "--segment", "20"), cwd=work, env=jumping)
    wait_for_segments(process, work / "out.mkv.streamfx")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    process = start(*run_arguments(long_video, "--resume", "--json"), cwd=work, env=jumping, stdout=subprocess.PIPE)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["resumed_frames"] >= 20
    same(work / "out.mkv", killed_run / "whole.mkv")


def test_a_preset_that_changes_between_two_runs(start, work, video, command, video_stream, wait_for_segments):
    from streamfx.presets import load_preset

    preset = load_preset("vangogh")
    for path in (preset.path, preset.weights("fast")):
        shutil.copy(path, work / path.name)
    own = work / preset.path.name
    arguments = ["style", video, "out.mkv", "--preset", own, "--quality", "fast", "--segment", "5"]
    process = start(*arguments, cwd=work)
    wait_for_segments(process, work / "out.mkv.streamfx")
    process.kill()
    process.communicate()
    weights = work / preset.weights("fast").name
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert_error(command(*arguments, "-y", "--resume"), f"'{weights}' has changed")
    data[-1] ^= 1
    weights.write_bytes(data)
    own.write_text(own.read_text() + "\n# edited\n")
    assert_error(command(*arguments, "-y", "--resume"), f"'{own}' has changed")
    assert segments(work / "out.mkv.streamfx") >= 2

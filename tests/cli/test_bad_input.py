"""Bad input to the real command: one line on stderr, exit code 1, and no files left behind or damaged."""

import glob
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest


def assert_error(done, *words, code=1):
    """The run ended with one line on stderr that contains these words."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("streamfx: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def audio(clip, tone):
    return clip("audio.m4a", *tone(), "-c:a", "aac")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.mp4", ["no such file: 'none.mp4'"]),
        ("folder", ["is a folder", "folder/*.jpg"]),
        ("empty.mp4", ["'empty.mp4' is empty"]),
        ("text.txt", ["text file"]),
        ("text.mp4", ["'text.mp4'"]),
        ("text.srt", ["no video"]),
        ("zeros.mkv", ["not a video or image"]),
        ("%05d.png", ["no file matches"]),
        ("audio.m4a", ["has only audio"]),
        ("cover.mp3", ["has only audio and cover art"]),
    ],
)
def test_sources_without_video(name, words, streamfx, audio, clip, tone):
    home = streamfx.home
    (home / "folder").mkdir()
    (home / "empty.mp4").touch()
    for text in ("text.txt", "text.mp4"):
        (home / text).write_text("Once upon a time there was no video.\n" * 50)
    (home / "text.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (home / "zeros.mkv").write_bytes(bytes(5000))
    shutil.copy(audio, home / "audio.m4a")
    cover = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=64x64:d=1", "-frames:v", "1")
    attached = ["-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic"]
    shutil.copy(clip("cover.mp3", *tone(), "-i", cover, *attached), home)
    before = sorted(home.iterdir())
    assert_error(streamfx("run", name, "out.mp4", "--chain", "null"), *words)
    assert sorted(home.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["out.mp4", "--chain", "vignete"], ["unknown filter 'vignete'", "vignette"]),
        (["out.mp4", "--chain", "miror"], ["mirror"]),
        (["out.mp4", "--chain", "scale=w=big"], ["scale"]),
        (["out.mp4", "--chain", "null", "--encoder", "libx624"], ["unknown encoder 'libx624'", "libx264"]),
        (["out.mp4", "--chain", "null", "-e", "presett=slow"], ["libx264 has no option 'presett'"]),
        (["out.mp4", "--chain", "null", "--pix-fmt", "yuv422p99"], ["unknown pixel format", "yuv422p"]),
        (["out.mp4", "--chain", "null", "--pix-fmt", "rgb24"], ["libx264 does not support rgb24"]),
        (["out.mp4", "--chain", "null", "--device", "gpu"], ["unknown device 'gpu'", "cuda"]),
        (["out.mp4", "--chain", "null", "--format", "matroshka"], ["unknown format 'matroshka'", "matroska"]),
        (["out.mp4", "--chain", "null", "--input-format", "nonsense"], ["unknown input format 'nonsense'"]),
        (["out.webm", "--chain", "null", "--encoder", "libx264"], ["webm", "libx264"]),
        (["out.xyz", "--chain", "null"], ["cannot tell the format of 'out.xyz'", ".mp4"]),
        (["nowhere/out.mp4", "--chain", "null"], ["folder 'nowhere' not found"]),
        ([".", "--chain", "null"], ["is a folder"]),
        ([f"{'a' * 237}.mp4", "--chain", "null"], ["'aaaa", "is too long", "at most 240"]),
        (["in.mp4", "--chain", "null", "-y"], ["is the input itself"]),
        (["./in.mp4", "--chain", "null"], ["is the input itself"]),
        (["-", "--chain", "null", "--format", "mp4"], ["fmp4", "matroska", "nut"]),
        (["out.png", "--chain", "null", "--no-audio"], ["is a still image", "%05d"]),
        (["out.mp4", "--chain", "null", "--from", "9"], ["after 9 s can be decoded"]),
        (["out.mp4", "--chain", "select=0"], ["the chain produced no frames"]),
    ],
)
def test_options_that_cannot_be_used(arguments, words, streamfx, video):
    shutil.copy(video, streamfx.home / "in.mp4")
    assert_error(streamfx("run", "in.mp4", *arguments), *words)
    assert [path.name for path in streamfx.home.iterdir()] == ["in.mp4"]
    assert (streamfx.home / "in.mp4").read_bytes() == video.read_bytes()


def test_the_longest_name(streamfx, video):
    name = f"{'a' * 236}.mp4"
    done = streamfx("run", video, name, "--chain", "hflip", "--segment", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in streamfx.home.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a/" * 2100 + "b.png"])
def test_names_that_are_too_long(name, streamfx, video):
    assert_error(streamfx("run", video, name, "--chain", "null"), "too long")
    assert_error(streamfx("sheet", video, name), "too long")
    assert_error(streamfx("run", name, "out.mp4", "--chain", "null"), "no such file")


def test_images_are_not_written_over_themselves(streamfx, video):
    streamfx("run", video, "%d.png", "--chain", "null", "--no-audio")
    before = (streamfx.home / "3.png").read_bytes()
    assert_error(streamfx("run", "%d.png", "%d.png", "--chain", "negate", "-y"), "input itself")
    assert (streamfx.home / "3.png").read_bytes() == before


def test_an_unwritable_folder(streamfx, video):
    closed = streamfx.home / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if os.access(closed, os.W_OK):  # root can write everywhere but in /proc
        assert_error(streamfx("run", video, "/proc/out.mp4", "--chain", "null"), "/proc")
    else:
        assert_error(streamfx("run", video, "closed/out.mp4", "--chain", "null"), "is not writable")
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize("chain", ["vignete", "scale=9999999:2"])
def test_an_existing_output_is_kept(chain, streamfx, video):
    target = streamfx.home / "out.mp4"
    target.write_bytes(b"kept")
    assert_error(streamfx("run", video, "out.mp4", "--chain", chain, "-y"))
    assert target.read_bytes() == b"kept"
    assert len(list(streamfx.home.iterdir())) == 1


@pytest.fixture(scope="module")
def long_video_as(clip, moving, tone):
    """long_video_as(name): a video of four seconds with this file name."""

    def long_video_as(name):
        index = {"fast.mp4": ["-movflags", "faststart"], "frag.mp4": ["-movflags", "frag_keyframe+empty_moov"]}.get(
            name, []
        )
        video = "mpeg4" if name.endswith("avi") else "libx264"
        audio = "libmp3lame" if name.endswith("avi") else "aac"
        return clip(
            name,
            *moving(seconds="4"),
            *tone("4"),
            "-c:v",
            video,
            "-g",
            "10",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            audio,
            *index,
        )

    return long_video_as


def cut(source, target, share):
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", ["fast.mp4", "cut.mkv", "cut.avi"])
def test_a_video_that_ends_early(name, streamfx, long_video_as, times, hashes):
    cut(long_video_as(name), streamfx.home / name, 0.55)
    done = streamfx("run", name, "out.mp4", "--chain", "null")
    assert_error(done, f"'{name}' ends early", " s of ", "'out.mp4' contains the")
    seconds = float(done.stderr.split(" at ")[1].split()[0])
    assert 1 < seconds < 3.5
    video_times = times(streamfx.home / "out.mp4")
    assert 20 < len(video_times) < 90
    assert abs(float(video_times[-1]) - seconds) < 0.5
    assert hashes(streamfx.home / "out.mp4", "a")
    assert sorted(path.name for path in streamfx.home.iterdir()) == sorted([name, "out.mp4"])


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_a_fragmented_mp4_that_ends_early(chain, streamfx, long_video_as, times):
    """Its header declares no length, but its last fragment is cut in the middle of a packet."""
    cut(long_video_as("frag.mp4"), streamfx.home / "frag.mp4", 0.55)
    done = streamfx("run", "frag.mp4", "out.mp4", "--chain", chain)
    assert done.returncode in (0, 1)
    if done.returncode:
        assert_error(done, "ends early")
    assert len(times(streamfx.home / "out.mp4")) > 20


@pytest.mark.parametrize("name", ["cut.ts", "cut.nut", "cut.h264"])
def test_formats_without_a_length_do_not_show_that_a_video_was_cut(name, streamfx, long_video_as, moving, clip, times):
    source = (
        clip(name, *moving(seconds="2"), "-c:v", "libx264", "-g", "5", "-pix_fmt", "yuv420p")
        if name.endswith("h264")
        else long_video_as(name)
    )
    cut(source, streamfx.home / name, 0.5)
    done = streamfx("run", name, "out.mp4", "--chain", "null")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(times(streamfx.home / "out.mp4")) > 15


def test_damage_in_the_middle(streamfx, long_video_as, times):
    data = bytearray(long_video_as("fast.mp4").read_bytes())
    middle = len(data) // 2
    for at in range(middle, middle + 6000):
        data[at] = at * 7 % 251
    (streamfx.home / "in.mp4").write_bytes(data)
    done = streamfx("run", "in.mp4", "out.mp4", "--chain", "null")
    assert_error(done, "damaged at", "'out.mp4' contains the")
    assert 1 < float(done.stderr.split(" at ")[1].split()[0]) < 3
    assert len(times(streamfx.home / "out.mp4")) > 50
    assert float(times(streamfx.home / "out.mp4")[-1]) > 3.5


def test_an_option_value_that_an_encoder_rejects(streamfx, video):
    done = streamfx("run", video, "out.mp4", "--chain", "null", "-e", "preset=slowest")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("streamfx: encoder libx264")  # after the message of libx264
    assert "slowest" in done.stderr.splitlines()[-1]
    assert list(streamfx.home.iterdir()) == []


def test_an_mp4_without_its_index(streamfx, video):
    data = video.read_bytes()
    (streamfx.home / "in.mp4").write_bytes(data[: data.index(b"moov") - 4])
    assert_error(streamfx("run", "in.mp4", "out.mp4", "--chain", "null"), "'in.mp4'", "no readable index (moov)")
    assert [path.name for path in streamfx.home.iterdir()] == ["in.mp4"]


# --- interrupts


@pytest.fixture
def endless(tmp_path):
    """An hour of video through a FIFO, which does not end before it is stopped."""
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=50:d=3600", "-f", "lavfi", "-i", "sine=d=3600"]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    sender = subprocess.Popen(["ffmpeg", "-v", "quiet", "-nostdin", "-y", *source, *code, "-f", "matroska", fifo])
    yield fifo
    sender.kill()
    sender.wait()


def when_written(folder, process):
    """Wait until the output in `folder` has some data."""
    while process.poll() is None:
        if any(path.stat().st_size > 20_000 for path in folder.glob(".*.part")):
            return
    pytest.fail(process.stderr.read().decode())


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "out.mkv"), (signal.SIGTERM, "out.ts"), (signal.SIGHUP, "out.mkv")]
)
def test_an_interrupt_keeps_the_finished_part(number, name, endless, start, streamfx, times, probe):
    process = start(
        "run", endless, name, "--chain", "null", "-e", "g=10", "-e", "tune=zerolatency", "--crf", "1", cwd=streamfx.home
    )
    when_written(streamfx.home, process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    kept = f"{Path(name).stem}.partial{Path(name).suffix}"
    assert process.returncode == 130
    assert f"are in '{kept}'" in stderr.decode()
    assert stderr.decode().count("\n") == 1
    assert [path.name for path in streamfx.home.iterdir()] == [kept]
    count = int(stderr.decode().split(" frames are in ")[0].split()[-1])
    assert abs(len(times(streamfx.home / kept)) - count) <= 1
    assert len(probe(streamfx.home / kept)["streams"]) == 2


def test_nohup_is_respected(endless, streamfx, start):
    process = start(
        *("run", endless, "out.nut", "--chain", "null", "--duration", "4"),
        cwd=streamfx.home,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    when_written(streamfx.home, process)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [path.name for path in streamfx.home.iterdir()] == ["out.nut"]


def test_an_interrupted_mp4_can_be_played(endless, start, streamfx, times):
    process = start(
        "run",
        endless,
        "out.mp4",
        "--chain",
        "mirror",
        "-e",
        "g=10",
        "-e",
        "tune=zerolatency",
        "--crf",
        "1",
        cwd=streamfx.home,
    )
    when_written(streamfx.home, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    assert len(times(streamfx.home / "out.partial.mp4")) > 5


def test_an_interrupt_while_waiting_for_input(start, streamfx):
    """A pipe that sends nothing can be interrupted before the first frame."""
    process = start("run", "-", "out.mp4", "--chain", "null", cwd=streamfx.home, stdin=subprocess.PIPE)
    waiting = f"/proc/{process.pid}/task/*/wchan"  # where in the kernel each thread waits
    while process.poll() is None:
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            if any("pipe_read" in Path(task).read_text() for task in glob.glob(waiting)):
                break
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in process.stderr.read()
    assert list(streamfx.home.iterdir()) == []


# --- the disk


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_a_full_disk(name, chain, small_disk, streamfx, long_video_as):
    (small_disk / "other.txt").write_text("kept")
    done = streamfx("run", long_video_as("cut.mkv"), small_disk / name, "--chain", chain, "--crf", "1", "-e", "g=1")
    assert_error(done, "cannot write", "No space left on device", "nothing was kept")
    assert [path.name for path in small_disk.iterdir()] == ["other.txt"]


# --- memory


def peak_memory(source, target):
    """Peak memory of a run in kB, as measured by the system."""
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [
        Path(sys.executable).with_name("streamfx"),
        "run",
        source,
        target,
        "--chain",
        "null",
        "-e",
        "preset=ultrafast",
    ]
    return int(subprocess.run([sys.executable, "-c", measure, *command], check=True, stdout=subprocess.PIPE).stdout)


def test_memory_does_not_grow_with_length(clip, moving, tone, streamfx):
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    peaks = []
    for seconds in ("10", "100"):
        source = clip(f"{seconds}.mkv", *moving("160x120", seconds=seconds), *tone(seconds), *code)
        peaks.append(peak_memory(source, streamfx.home / f"{seconds}.mkv"))
    assert peaks[1] < peaks[0] * 1.05

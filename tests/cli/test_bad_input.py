"""Bad input to the real command: one line, exit code 1, nothing left and nothing lost."""

import glob
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest


def refused(done, *words, code=1):
    """The run ended with one line that has these words in it."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("streamfx: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.fixture(scope="module")
def sound(clip, tone):
    return clip("sound.m4a", *tone(), "-c:a", "aac")


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
        ("sound.m4a", ["has only audio"]),
        ("song.mp3", ["has only audio and cover art"]),
    ],
)
def test_sources_that_are_no_video(name, words, streamfx, sound, clip, tone):
    home = streamfx.home
    (home / "folder").mkdir()
    (home / "empty.mp4").touch()
    for text in ("text.txt", "text.mp4"):
        (home / text).write_text("Once upon a time there was no video.\n" * 50)
    (home / "text.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (home / "zeros.mkv").write_bytes(bytes(5000))
    shutil.copy(sound, home / "sound.m4a")
    cover = clip("cover.jpg", "-f", "lavfi", "-i", "color=red:s=64x64:d=1", "-frames:v", "1")
    shutil.copy(
        clip(
            "song.mp3", *tone(), "-i", cover, "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic"
        ),
        home,
    )
    before = sorted(home.iterdir())
    refused(streamfx("run", name, "out.mp4", "--chain", "null"), *words)
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
def test_requests_that_cannot_be_met(arguments, words, streamfx, video):
    shutil.copy(video, streamfx.home / "in.mp4")
    refused(streamfx("run", "in.mp4", *arguments), *words)
    assert [path.name for path in streamfx.home.iterdir()] == ["in.mp4"]
    assert (streamfx.home / "in.mp4").read_bytes() == video.read_bytes()


def test_the_longest_name(streamfx, video):
    name = f"{'a' * 236}.mp4"
    done = streamfx("run", video, name, "--chain", "hflip", "--segment", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in streamfx.home.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a/" * 2100 + "b.png"])
def test_names_that_no_disk_takes(name, streamfx, video):
    refused(streamfx("run", video, name, "--chain", "null"), "too long")
    refused(streamfx("sheet", video, name), "too long")
    refused(streamfx("run", name, "out.mp4", "--chain", "null"), "no such file")


def test_pictures_are_not_written_over_themselves(streamfx, video):
    streamfx("run", video, "%d.png", "--chain", "null", "--no-audio")
    before = (streamfx.home / "3.png").read_bytes()
    refused(streamfx("run", "%d.png", "%d.png", "--chain", "negate", "-y"), "input itself")
    assert (streamfx.home / "3.png").read_bytes() == before


def test_an_unwritable_folder(streamfx, video):
    closed = streamfx.home / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    if os.access(closed, os.W_OK):  # the superuser may write anywhere but where nobody can
        refused(streamfx("run", video, "/proc/out.mp4", "--chain", "null"), "/proc")
    else:
        refused(streamfx("run", video, "closed/out.mp4", "--chain", "null"), "is not writable")
    assert list(closed.iterdir()) == []


@pytest.mark.parametrize("chain", ["vignete", "scale=9999999:2"])
def test_an_existing_output_is_unharmed(chain, streamfx, video):
    target = streamfx.home / "out.mp4"
    target.write_bytes(b"precious")
    refused(streamfx("run", video, "out.mp4", "--chain", chain, "-y"))
    assert target.read_bytes() == b"precious"
    assert len(list(streamfx.home.iterdir())) == 1


@pytest.fixture(scope="module")
def long_film(clip, moving, tone):
    """long_film(name): four seconds that can be cut short."""

    def long_film(name):
        index = {"fast.mp4": ["-movflags", "faststart"], "frag.mp4": ["-movflags", "frag_keyframe+empty_moov"]}.get(
            name, []
        )
        video = "mpeg4" if name.endswith("avi") else "libx264"
        sound = "libmp3lame" if name.endswith("avi") else "aac"
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
            sound,
            *index,
        )

    return long_film


def cut(source, target, share):
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", ["fast.mp4", "film.mkv", "film.avi"])
def test_a_film_that_breaks_off(name, streamfx, long_film, times, hashes):
    cut(long_film(name), streamfx.home / name, 0.55)
    done = streamfx("run", name, "out.mp4", "--chain", "null")
    refused(done, f"'{name}' ends early", " s of ", "'out.mp4' contains the")
    moment = float(done.stderr.split(" at ")[1].split()[0])
    assert 1 < moment < 3.5
    shown = times(streamfx.home / "out.mp4")
    assert 20 < len(shown) < 90
    assert abs(float(shown[-1]) - moment) < 0.5
    assert hashes(streamfx.home / "out.mp4", "a")
    assert sorted(path.name for path in streamfx.home.iterdir()) == sorted([name, "out.mp4"])


@pytest.mark.parametrize("chain", ["null", "mirror"])
def test_a_fragmented_film_that_breaks_off(chain, streamfx, long_film, times):
    """Its header declares no length, but its last fragment is cut in the middle of a packet."""
    cut(long_film("frag.mp4"), streamfx.home / "frag.mp4", 0.55)
    done = streamfx("run", "frag.mp4", "out.mp4", "--chain", chain)
    assert done.returncode in (0, 1)
    if done.returncode:
        refused(done, "ends early")
    assert len(times(streamfx.home / "out.mp4")) > 20


@pytest.mark.parametrize("name", ["film.ts", "film.nut", "film.h264"])
def test_where_the_format_cannot_tell_a_cut_film_is_whole(name, streamfx, long_film, moving, clip, times):
    source = (
        clip(name, *moving(seconds="2"), "-c:v", "libx264", "-g", "5", "-pix_fmt", "yuv420p")
        if name.endswith("h264")
        else long_film(name)
    )
    cut(source, streamfx.home / name, 0.5)
    done = streamfx("run", name, "out.mp4", "--chain", "null")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(times(streamfx.home / "out.mp4")) > 15


def test_damage_in_the_middle(streamfx, long_film, times):
    data = bytearray(long_film("fast.mp4").read_bytes())
    middle = len(data) // 2
    for at in range(middle, middle + 6000):
        data[at] = at * 7 % 251
    (streamfx.home / "in.mp4").write_bytes(data)
    done = streamfx("run", "in.mp4", "out.mp4", "--chain", "null")
    refused(done, "damaged at", "'out.mp4' contains the")
    assert 1 < float(done.stderr.split(" at ")[1].split()[0]) < 3
    assert len(times(streamfx.home / "out.mp4")) > 50
    assert float(times(streamfx.home / "out.mp4")[-1]) > 3.5


def test_a_setting_that_an_encoder_refuses(streamfx, video):
    done = streamfx("run", video, "out.mp4", "--chain", "null", "-e", "preset=slowest")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("streamfx: encoder libx264")  # behind what libx264 itself says
    assert "slowest" in done.stderr.splitlines()[-1]
    assert list(streamfx.home.iterdir()) == []


def test_an_mp4_without_its_index(streamfx, video):
    data = video.read_bytes()
    (streamfx.home / "in.mp4").write_bytes(data[: data.index(b"moov") - 4])
    refused(streamfx("run", "in.mp4", "out.mp4", "--chain", "null"), "'in.mp4'", "no readable index (moov)")
    assert [path.name for path in streamfx.home.iterdir()] == ["in.mp4"]


# --- interrupts


@pytest.fixture
def endless(tmp_path):
    """A film that comes through a FIFO, an hour long: it does not end before it is stopped."""
    fifo = tmp_path / "endless"
    os.mkfifo(fifo)
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=50:d=3600", "-f", "lavfi", "-i", "sine=d=3600"]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    sender = subprocess.Popen(["ffmpeg", "-v", "quiet", "-nostdin", "-y", *source, *code, "-f", "matroska", fifo])
    yield fifo
    sender.kill()
    sender.wait()


def when_written(folder, process):
    """Wait until the film that grows in `folder` has bytes in it."""
    while process.poll() is None:
        if any(path.stat().st_size > 20_000 for path in folder.glob(".*.part")):
            return
    pytest.fail(process.stderr.read().decode())


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "out.mkv"), (signal.SIGTERM, "out.ts")])
def test_an_interrupt_keeps_what_is_there(number, name, endless, start, streamfx, times, probe):
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


def test_an_interrupted_mp4_is_whole(endless, start, streamfx, times):
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


def test_an_interrupt_while_nothing_comes(start, streamfx):
    """A pipe that sends nothing can be given up, before the first picture."""
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
def test_a_full_disk(name, chain, small_disk, streamfx, long_film):
    (small_disk / "other.txt").write_text("precious")
    done = streamfx("run", long_film("film.mkv"), small_disk / name, "--chain", chain, "--crf", "1", "-e", "g=1")
    refused(done, "cannot write", "No space left on device", "nothing was kept")
    assert [path.name for path in small_disk.iterdir()] == ["other.txt"]


# --- memory


def peak_memory(source, target):
    """Peak memory of a run in kB, by the system's own account."""
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


def test_too_little_memory_of_a_gpu_is_one_line():
    """As torch tells it, at any place of a run."""
    code = "import torch; from streamfx import cli; raised = torch.OutOfMemoryError('CUDA out of memory.')\n"
    code += "def app(): raise raised\ncli.app = app; cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    refused(done, "the GPU is out of memory", "--tile", "--device cpu")

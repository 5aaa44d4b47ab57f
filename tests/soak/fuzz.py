"""Runs mutated files through the real command: each must end with exit code 0, or with 1 and a one-line error.

    python tests/soak/fuzz.py --files 500            500 files per kind; prints a line per kind and per failure
    python tests/soak/fuzz.py --files 100 --tensors  the same with an effect on tensors, which is slower
    python tests/soak/fuzz.py --files 4 --seed 7     a quick run

ffmpeg makes small clips of every kind. Mutations flip bits, write extreme numbers, remove, repeat and swap parts, and
truncate files. Each file goes through `streamfx run` with `--max-pixels 1M` in its own process, a fork of one that has
already imported everything; audio files go through the audio decoder and the soundtrack reader. Kinds called "joined"
have timestamps that start over or jump, "tags" get titles of random bytes, and "links" are read and written through
symbolic links, which must stay links. Failures are tracebacks, death by a signal, more than 20 seconds or 1 GiB of
memory, and any other exit code or number of lines. Files that fail are copied to the folder --keep.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VIDEO = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4"]
AUDIO = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.4:sample_rate=48000"]
BOTH = [*VIDEO, *AUDIO]
STILL = [*VIDEO, "-frames:v", "1"]
TITLE = ["-metadata", "title=TITLETITLE"]
LATER = ["-output_ts_offset", "3000"]
PARTS = {  # of the joined files
    "part.ts": [*BOTH, "-c:v", "mpeg2video", "-g", "5", "-c:a", "mp2"],
    "later.ts": [*BOTH, "-c:v", "mpeg2video", "-g", "5", "-c:a", "mp2", *LATER],
    "part.vob": [*BOTH, "-c:v", "mpeg2video", "-g", "5", "-c:a", "ac3"],
    "part.ogv": [*BOTH, "-c:v", "libtheora", "-c:a", "libvorbis"],
    "part.ogg": [*AUDIO, "-c:a", "libopus"],
}
JOINED = {  # file name -> its parts
    "joined-restart.ts": ["part.ts", "part.ts"],
    "joined-jump.ts": ["part.ts", "later.ts"],
    "joined-back.ts": ["later.ts", "part.ts", "part.ts"],
    "joined.vob": ["part.vob", "part.vob"],
    "joined.ogv": ["part.ogv", "part.ogv"],
    "audiojoined.ogg": ["part.ogg", "part.ogg"],
}
KINDS = {  # file name -> ffmpeg's arguments
    "h264.mp4": [*BOTH, "-c:v", "libx264", "-g", "5", "-pix_fmt", "yuv420p", "-c:a", "aac"],
    "hevc10.mp4": [*VIDEO, "-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"],
    "fragments.mp4": [*BOTH, "-c:v", "libx264", "-g", "3", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
    "prores.mov": [*VIDEO, "-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"],
    "h264.mkv": [*BOTH, "-c:v", "libx264", "-pix_fmt", "yuv422p", "-c:a", "libopus"],
    "vp9.webm": [*VIDEO, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-cpu-used", "8"],
    "av1.mkv": [*VIDEO, "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"],
    "h264.ts": [*BOTH, "-c:v", "libx264", "-g", "5", "-c:a", "aac"],
    "mpeg2.ts": [*BOTH, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-c:a", "mp2"],
    "mpeg4.avi": [*BOTH, "-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"],
    "mpeg1.mpg": [*BOTH, "-c:v", "mpeg1video", "-c:a", "mp2"],
    "h264.flv": [*BOTH, "-c:v", "libx264", "-ar", "44100", "-c:a", "aac"],
    "wmv2.asf": [*BOTH, "-c:v", "wmv2", "-c:a", "wmav2"],
    "theora.ogv": [*BOTH, "-c:v", "libtheora", "-c:a", "libvorbis"],
    "ffv1.nut": [*BOTH, "-c:v", "ffv1", "-c:a", "pcm_s16le"],
    "raw.y4m": [*VIDEO, "-t", "0.1"],
    "raw.h264": [*VIDEO, "-c:v", "libx264", "-bsf:v", "h264_mp4toannexb"],
    "moving.gif": VIDEO,
    "moving.apng": [*VIDEO, "-plays", "0"],
    "still.png": [*STILL, "-pix_fmt", "rgba"],
    "still.jpg": STILL,
    "still.webp": STILL,
    "still.bmp": STILL,
    "still.tif": STILL,
    "still.ppm": STILL,
    "still.tga": STILL,
    "still.jp2": STILL,
    "tags.mkv": [*BOTH, "-c:v", "libx264", "-c:a", "libmp3lame", *TITLE],
    "tags.mp4": [*BOTH, "-c:v", "libx264", "-c:a", "aac", *TITLE],
    "tags.avi": [*BOTH, "-c:v", "mpeg4", "-c:a", "libmp3lame", *TITLE],
    "tags.flv": [*VIDEO, "-c:v", "flv", *TITLE],
    "tags.ts": [*VIDEO, "-c:v", "mpeg2video", "-metadata", "service_name=TITLETITLE"],
    "links.mp4": [*BOTH, "-c:v", "libx264", "-c:a", "aac"],
    "links.mkv": [*BOTH, "-c:v", "mpeg4", "-c:a", "libmp3lame"],
    "audiotags.mp3": [*AUDIO, "-c:a", "libmp3lame", *TITLE],
    "audio.mp3": [*AUDIO, "-c:a", "libmp3lame"],
    "audio.m4a": [*AUDIO, "-c:a", "aac"],
    "audio.flac": AUDIO,
    "audio.ogg": [*AUDIO, "-c:a", "libvorbis"],
    "audio.wav": AUDIO,
}
TEXTS = {  # playlists that refer to other files, and subtitles
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nh264.ts\n#EXTINF:0.4,\nh264.ts\n#EXT-X-ENDLIST\n",
    "joined.m3u8": (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\npart.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:0.4,\nlater.ts\n"
        "#EXT-X-ENDLIST\n"
    ),
    "list.ffconcat": "ffconcat version 1.0\nfile h264.mkv\nduration 0.4\nfile h264.mp4\n",
    "subtitles.srt": "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:02,000 --> 00:00:03,000\nWorld\n",
}
REFERENCED = {"h264.ts", "h264.mkv", "h264.mp4"}  # by the playlists
SECONDS, MEMORY = 20.0, 1 << 30
STOPPED = 1.0  # seconds; a longer time between two checks, usually milliseconds, means the machine was suspended
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Verdict:
    """The result for one file."""

    word: str  # "done", "refused", or what went wrong
    text: str  # stderr
    seconds: float
    memory: int  # bytes more than the idle program

    @property
    def good(self) -> bool:
        return self.word in ("done", "refused")


def make_kinds(folder: Path, selected: list[str] | None) -> list[Path]:
    """One small file of each selected kind; None selects all."""
    referenced = REFERENCED if selected and not TEXTS.keys().isdisjoint(selected) else set()
    for name, arguments in KINDS.items():
        if selected and name not in {*selected, *referenced}:
            continue
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name, arguments in PARTS.items():
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name, parts in JOINED.items():
        (folder / name).write_bytes(b"".join((folder / part).read_bytes() for part in parts))
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return [folder / name for name in (*KINDS, *JOINED, *TEXTS) if not selected or name in selected]


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The bytes after one to four random mutations; `other` is a file from which parts are inserted."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _mutate(result, other, rng)
    return bytes(result)


def _mutate(data: bytearray, other: bytes, rng: random.Random) -> None:
    if not data:
        return
    # headers matter more than samples, so most mutations are in the first or last bytes
    length = len(data)
    at = rng.choice((rng.randrange(length), rng.randrange(min(length, 400)), max(0, length - 300)))
    at = min(length - 1, at + rng.randrange(64))
    span = rng.choice((1, 4, 16, 100, 1000))
    kind = rng.randrange(8)
    if kind == 0:
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(length)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.randrange(256)
    elif kind == 2:
        number = rng.choice(EXTREMES)
        size = next(count for count in (1, 2, 4) if number < 1 << 8 * count)
        data[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))
    elif kind == 3:
        del data[at : at + span]
    elif kind == 4:
        data[at:at] = data[at : at + span] * rng.choice((1, 1, 10))
    elif kind == 5:
        data[at : at + span] = rng.randbytes(min(span, length - at))
    elif kind == 6:
        start = rng.randrange(max(1, len(other)))
        data[at : at + span] = other[start : start + span]
    else:
        del data[at:]


def truncated(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def with_size(data: bytes, name: str, rng: random.Random) -> bytes:
    """A still image whose header has an enormous width and height."""
    side = struct.pack({".png": ">I", ".bmp": "<I"}.get(name[-4:], ">H"), rng.choice((40_000, 65_535)))
    at = {".png": 16, ".bmp": 18}.get(name[-4:], data.find(b"\xff\xc0") + 5)
    return data[:at] + side * 2 + data[at + 2 * len(side) :]


def files_of(kind: Path, others: list[Path], count: int, seed: int) -> Iterator[Path]:
    """Yield `count` files, each deleted after use: the original, a tenth of them truncated, the rest mutated.

    The same seed gives the same files.
    """
    original = kind.read_bytes()
    for number in range(count):
        rng = random.Random(f"{seed} {kind.name} {number}")
        data = original.replace(b"TITLETITLE", rng.randbytes(10))
        if number == 0 or (data != original and number % 2):
            changed = data
        elif number == 1 and kind.suffix in (".png", ".bmp", ".jpg"):
            changed = with_size(data, kind.name, rng)
        elif number % 10 == 1:
            changed = truncated(data, rng)
        else:
            changed = mutated(data, rng.choice(others).read_bytes(), rng)
        file = kind.with_name(f"{kind.stem}-{number:04}{kind.suffix}")
        file.write_bytes(changed)
        yield file
        file.unlink()


def arguments_of(file: Path, target: Path, chain: str) -> list[str]:
    """The command line for a file; some runs are trimmed."""
    number = int(file.stem.rpartition("-")[2])
    trim = ["--from", "0.1", "--duration", "0.2"] if number % 7 == 3 and not file.name.startswith("still") else []
    flags = ["-y", "--quiet", "--no-progress", "--device", "cpu", "--max-pixels", "1M"]
    return ["run", str(file), str(target), "--chain", chain, *flags, *trim]


def judge(file: Path, scratch: Path, chain: str, idle: int) -> Verdict:
    """Process one file in a new process; `idle` is the memory of such a process at its start, in bytes."""
    log, target = scratch / "stderr.txt", scratch / "out.nut"
    target.unlink(missing_ok=True)
    links = Links(file, scratch) if file.name.startswith("links") else None
    if links:
        file, target = links.source, links.target
    began = last = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(file, target, log, chain)
    most, word = 0, ""
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        most = max(most, _resident(child) - idle)
        last, before = time.monotonic(), last
        if last - before > STOPPED:  # the machine was suspended, not only this process
            began += last - before
        if most > MEMORY or last - began > SECONDS:
            word = word or ("memory" if most > MEMORY else "hang")
            os.kill(child, signal.SIGKILL)
        time.sleep(0.004)
    seconds = time.monotonic() - began
    most = max(most, usage.ru_maxrss * 1024 - idle)
    text = log.read_text(errors="replace") if log.exists() else ""
    word = word or _word(status, text, most)
    if links and word in ("done", "refused"):
        word = links.problem(written=word == "done" or "that could be read" in text) or word  # of a damaged file
    return Verdict(word, text.strip(), seconds, most)


class Links:
    """A link to the input, and one to the output, which exists for every other file."""

    def __init__(self, file: Path, scratch: Path) -> None:
        number = int(file.stem.rpartition("-")[2])
        self.source, self.target = scratch / f"in-{number:04}{file.suffix}", scratch / "link.nut"
        self._real, between = scratch / "real.nut", scratch / "between.nut"
        self._before = b"before" if number % 2 else None
        for path in (self.source, self.target, self._real, between):
            path.unlink(missing_ok=True)
        self.source.symlink_to(file)
        if self._before:
            self._real.write_bytes(self._before)
            self._real.chmod(0o600)
        between.symlink_to(self._real.name)
        self.target.symlink_to(between if number % 3 else self._real)

    def problem(self, *, written: bool) -> str:
        """What is wrong after a run that succeeded or refused the file; empty if nothing is."""
        self.source.unlink()
        if not self.target.is_symlink():
            return "link replaced"
        content = self._real.read_bytes() if self._real.exists() else None
        if not written:
            return "" if content == self._before else "output lost"
        if not content or content == self._before:
            return "not written"
        return "mode" if self._before and self._real.stat().st_mode & 0o777 != 0o600 else ""


def _word(status: int, text: str, memory: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    if "Traceback" in text:
        return "traceback"
    if memory > MEMORY:
        return "memory"
    code, lines = os.WEXITSTATUS(status), text.count("\n")
    if code == 0:
        return "done" if not lines else "lines"
    if code != 1:
        return f"exit {code}"
    return "refused" if lines == 1 and text.startswith("streamfx: ") else "lines"


def _run(file: Path, target: Path, log: Path, chain: str) -> None:
    """Run the command in this process and exit."""
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        code = _read_audio_file(file) if file.name.startswith("audio") else _run_command(file, target, chain)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _run_command(file: Path, target: Path, chain: str) -> int:
    from streamfx.cli import main

    sys.argv = ["streamfx", *arguments_of(file, target, chain)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _read_audio_file(file: Path) -> int:
    """Read an audio file as samples, and as the packets of a soundtrack."""
    import logging

    from streamfx.errors import StreamfxError
    from streamfx.media.input.audio_decoder import read_audio
    from streamfx.media.output.soundtrack import Soundtrack

    logging.disable(logging.WARNING)
    try:
        for _ in read_audio(str(file), 22050):
            pass
        with Soundtrack(file) as soundtrack:
            soundtrack.read_until(None)
    except StreamfxError as error:
        print(f"streamfx: {error}", file=sys.stderr)
        return 1
    return 0


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def load_everything(tensors: bool) -> int:
    """Import what the command needs, so that forks have it; returns the memory of a fork in bytes."""
    import streamfx.chain
    import streamfx.cli
    import streamfx.effects.dream
    import streamfx.media.input.audio_decoder
    import streamfx.media.output.soundtrack
    import streamfx.media.output.writer
    import streamfx.pipeline

    if tensors:
        import torch

        import streamfx.ops.color  # noqa: F401

        torch.set_num_threads(1)
    child = os.fork()
    if child == 0:
        signal.pause()
    time.sleep(0.2)
    memory = _resident(child)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return memory


def main() -> int:
    options = argparse.ArgumentParser(description="Run mutated files through the real command.")
    options.add_argument("--files", type=int, default=500, help="number per kind")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kind", action="append", help="file name of a kind to test; may be repeated")
    options.add_argument("--tensors", action="store_true", help="use an effect on tensors, not FFmpeg's null filter")
    options.add_argument("--keep", type=Path, help="folder for copies of the files that fail")
    arguments = options.parse_args()
    idle = load_everything(arguments.tensors)
    bad = 0
    print(f"{'kind':16} {'files':>6} {'done':>6} {'refused':>8} {'failed':>7} {'longest s':>10} {'most MiB':>9}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        kinds = make_kinds(folder, arguments.kind)
        for kind in kinds:
            bad += _judge_kind(kind, kinds, arguments, idle)
    print(f"{bad} failed")
    return 1 if bad else 0


def _judge_kind(kind: Path, kinds: list[Path], arguments: argparse.Namespace, idle: int) -> int:
    words: Counter[str] = Counter()
    longest, most, failures = 0.0, 0, []
    for file in files_of(kind, kinds, arguments.files, arguments.seed):
        chain = "mirror" if arguments.tensors else "null"
        verdict = judge(file, kind.parent, chain, idle)
        if verdict.word == "hang":  # perhaps the machine was busy
            verdict = judge(file, kind.parent, chain, idle)
        words[verdict.word] += 1
        longest, most = max(longest, verdict.seconds), max(most, verdict.memory)
        if not verdict.good:
            lines = verdict.text.splitlines()
            failures.append(f"  {file.name}: {verdict.word}: {lines[-1] if lines else 'no message'}")
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / file.name).write_bytes(file.read_bytes())
                (arguments.keep / f"{file.name}.txt").write_text(f"{verdict}\n{verdict.text}\n")
    total, failed = words.total(), len(failures)
    row = f"{kind.name:16} {total:6} {words['done']:6} {words['refused']:8} {failed:7} {longest:10.2f} {most >> 20:9}"
    print("\n".join([row, *failures]), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

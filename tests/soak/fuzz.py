"""Mutated files through the real command: every file must end in exit 0, or in exit 1 with one line.

    python tests/soak/fuzz.py --files 500            of each kind; one line for each kind, and each failure by its file
    python tests/soak/fuzz.py --files 100 --tensors  the same through an effect of ours, which is slower
    python tests/soak/fuzz.py --files 4 --seed 7     quick

Small clips of every kind are made by ffmpeg, then bytes are flipped, numbers replaced by extreme ones, parts removed,
doubled and swapped, files cut off and stuck together. Each goes through `streamfx run` with `--max-pixels 1M` in a
process of its own, forked from one that has everything imported; songs go through the reader of sound. Fails: a
traceback, death by a signal, 20 seconds without an end, a gibibyte more memory than before, any other exit code or
number of lines. What fails is kept in --keep.
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

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.4:sample_rate=48000"]
BOTH = [*PICTURES, *SOUND]
ONE = [*PICTURES, "-frames:v", "1"]
KINDS = {  # file name -> ffmpeg's arguments
    "h264.mp4": [*BOTH, "-c:v", "libx264", "-g", "5", "-pix_fmt", "yuv420p", "-c:a", "aac"],
    "hevc10.mp4": [*PICTURES, "-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"],
    "fragments.mp4": [*BOTH, "-c:v", "libx264", "-g", "3", "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"],
    "prores.mov": [*PICTURES, "-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"],
    "h264.mkv": [*BOTH, "-c:v", "libx264", "-pix_fmt", "yuv422p", "-c:a", "libopus"],
    "vp9.webm": [*PICTURES, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-cpu-used", "8"],
    "av1.mkv": [*PICTURES, "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"],
    "h264.ts": [*BOTH, "-c:v", "libx264", "-g", "5", "-c:a", "aac"],
    "mpeg2.ts": [*BOTH, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-c:a", "mp2"],
    "mpeg4.avi": [*BOTH, "-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"],
    "mpeg1.mpg": [*BOTH, "-c:v", "mpeg1video", "-c:a", "mp2"],
    "h264.flv": [*BOTH, "-c:v", "libx264", "-ar", "44100", "-c:a", "aac"],
    "wmv2.asf": [*BOTH, "-c:v", "wmv2", "-c:a", "wmav2"],
    "theora.ogv": [*BOTH, "-c:v", "libtheora", "-c:a", "libvorbis"],
    "ffv1.nut": [*BOTH, "-c:v", "ffv1", "-c:a", "pcm_s16le"],
    "raw.y4m": [*PICTURES, "-t", "0.1"],
    "raw.h264": [*PICTURES, "-c:v", "libx264", "-bsf:v", "h264_mp4toannexb"],
    "moving.gif": PICTURES,
    "moving.apng": [*PICTURES, "-plays", "0"],
    "still.png": [*ONE, "-pix_fmt", "rgba"],
    "still.jpg": ONE,
    "still.webp": ONE,
    "still.bmp": ONE,
    "still.tif": ONE,
    "still.ppm": ONE,
    "still.tga": ONE,
    "still.jp2": ONE,
    "song.mp3": [*SOUND, "-c:a", "libmp3lame"],
    "song.m4a": [*SOUND, "-c:a", "aac"],
    "song.flac": SOUND,
    "song.ogg": [*SOUND, "-c:a", "libvorbis"],
    "song.wav": SOUND,
}
TEXTS = {  # what is no clip at all, and reads others
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nh264.ts\n#EXTINF:0.4,\nh264.ts\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile h264.mkv\nduration 0.4\nfile h264.mp4\n",
    "subtitles.srt": "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:02,000 --> 00:00:03,000\nWorld\n",
}
READ = {"h264.ts", "h264.mkv", "h264.mp4"}  # by those
SECONDS, MEMORY = 20.0, 1 << 30
STOPPED = 1.0  # seconds between two looks at a process, which otherwise come after some milliseconds
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Verdict:
    """How one file ended: "done", "refused", or what went wrong."""

    word: str
    said: str
    seconds: float
    memory: int  # bytes over the idle program

    @property
    def good(self) -> bool:
        return self.word in ("done", "refused")


def make_kinds(folder: Path, wanted: list[str] | None) -> list[Path]:
    """One small file of each kind that is wanted; None: of all."""
    read = READ if wanted and not TEXTS.keys().isdisjoint(wanted) else set()
    for name, arguments in KINDS.items():
        if wanted and name not in {*wanted, *read}:
            continue
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments, str(folder / name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return [folder / name for name in (*KINDS, *TEXTS) if not wanted or name in wanted]


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """The bytes, changed in one or a few of many ways; `other` is another file to take parts from."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        _change(made, other, chance)
    return bytes(made)


def _change(made: bytearray, other: bytes, chance: random.Random) -> None:
    if not made:
        return
    # headers decide more than samples do, so half of all changes fall into the first bytes or the last
    length = len(made)
    at = chance.choice((chance.randrange(length), chance.randrange(min(length, 400)), max(0, length - 300)))
    at = min(length - 1, at + chance.randrange(64))
    span = chance.choice((1, 4, 16, 100, 1000))
    way = chance.randrange(8)
    if way == 0:
        for _ in range(chance.choice((1, 3, 30))):
            made[chance.randrange(length)] ^= 1 << chance.randrange(8)
    elif way == 1:
        made[at] = chance.randrange(256)
    elif way == 2:
        number = chance.choice(EXTREMES)
        size = next(each for each in (1, 2, 4) if number < 1 << 8 * each)
        made[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))
    elif way == 3:
        del made[at : at + span]
    elif way == 4:
        made[at:at] = made[at : at + span] * chance.choice((1, 1, 10))
    elif way == 5:
        made[at : at + span] = chance.randbytes(min(span, length - at))
    elif way == 6:
        start = chance.randrange(max(1, len(other)))
        made[at : at + span] = other[start : start + span]
    else:
        del made[at:]


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def with_size(data: bytes, name: str, chance: random.Random) -> bytes:
    """A still whose header tells of sides that nobody has."""
    side = struct.pack({".png": ">I", ".bmp": "<I"}.get(name[-4:], ">H"), chance.choice((40_000, 65_535)))
    at = {".png": 16, ".bmp": 18}.get(name[-4:], data.find(b"\xff\xc0") + 5)
    return data[:at] + side * 2 + data[at + 2 * len(side) :]


def files_of(kind: Path, others: list[Path], count: int, seed: int) -> Iterator[Path]:
    """`count` files of a kind, each there until the next: itself, a tenth truncated, the rest mutated.

    The same seed makes the same files.
    """
    data = kind.read_bytes()
    for number in range(count):
        chance = random.Random(f"{seed} {kind.name} {number}")
        if number == 0:
            changed = data
        elif number == 1 and kind.suffix in (".png", ".bmp", ".jpg"):
            changed = with_size(data, kind.name, chance)
        elif number % 10 == 1:
            changed = truncated(data, chance)
        else:
            changed = mutated(data, chance.choice(others).read_bytes(), chance)
        file = kind.with_name(f"{kind.stem}-{number:04}{kind.suffix}")
        file.write_bytes(changed)
        yield file
        file.unlink()


def arguments_of(file: Path, target: Path, chain: str) -> list[str]:
    """The command line for a file; some are cut."""
    number = int(file.stem.rpartition("-")[2])
    cut = ["--from", "0.1", "--duration", "0.2"] if number % 7 == 3 and not file.name.startswith("still") else []
    flags = ["-y", "--quiet", "--no-progress", "--device", "cpu", "--max-pixels", "1M"]
    return ["run", str(file), str(target), "--chain", chain, *flags, *cut]


def judge(file: Path, scratch: Path, chain: str, idle: int) -> Verdict:
    """What becomes of one file, in a process of its own; `idle` is how much memory such a process has at first."""
    said, target = scratch / "said.txt", scratch / "out.nut"
    target.unlink(missing_ok=True)
    began = last = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(file, target, said, chain)
    most, word = 0, ""
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        most = max(most, _resident(child) - idle)
        last, before = time.monotonic(), last
        if last - before > STOPPED:  # all of this was: a suspended machine
            began += last - before
        if most > MEMORY or last - began > SECONDS:
            word = word or ("memory" if most > MEMORY else "hang")
            os.kill(child, signal.SIGKILL)
        time.sleep(0.004)
    seconds = time.monotonic() - began
    most = max(most, usage.ru_maxrss * 1024 - idle)
    text = said.read_text(errors="replace") if said.exists() else ""
    return Verdict(word or _word(status, text, most), text.strip(), seconds, most)


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


def _run(file: Path, target: Path, said: Path, chain: str) -> None:
    """The command in this process, which ends here."""
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        code = _sing(file) if file.name.startswith("song") else _film(file, target, chain)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _film(file: Path, target: Path, chain: str) -> int:
    from streamfx.cli import main

    sys.argv = ["streamfx", *arguments_of(file, target, chain)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _sing(file: Path) -> int:
    """The two ways in which a song is read: as samples, and as packets for a film."""
    import logging

    from streamfx.errors import StreamfxError
    from streamfx.media.input.audio_decoder import read_audio
    from streamfx.media.output.soundtrack import Soundtrack

    logging.disable(logging.WARNING)
    try:
        for _ in read_audio(str(file), 22050):
            pass
        with Soundtrack(file) as song:
            song.read_until(None)
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
    """Import what the command imports while it works, so that a fork has it; how much memory a fork then has."""
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
    options = argparse.ArgumentParser(description="Mutated files through the real command.")
    options.add_argument("--files", type=int, default=500, help="of each kind")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kind", action="append", help="only these, by the file's name")
    options.add_argument("--tensors", action="store_true", help="through an effect of ours, not only FFmpeg's null")
    options.add_argument("--keep", type=Path, help="folder for the files that fail")
    given = options.parse_args()
    idle = load_everything(given.tensors)
    bad = 0
    print(f"{'kind':16} {'files':>6} {'done':>6} {'refused':>8} {'failed':>7} {'longest s':>10} {'most MiB':>9}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        kinds = make_kinds(folder, given.kind)
        for kind in kinds:
            bad += _judge_kind(kind, kinds, given, idle)
    print(f"{bad} failed")
    return 1 if bad else 0


def _judge_kind(kind: Path, kinds: list[Path], given: argparse.Namespace, idle: int) -> int:
    words: Counter[str] = Counter()
    longest, most, failures = 0.0, 0, []
    for file in files_of(kind, kinds, given.files, given.seed):
        chain = "mirror" if given.tensors else "null"
        verdict = judge(file, kind.parent, chain, idle)
        if verdict.word == "hang":  # or the machine stood still
            verdict = judge(file, kind.parent, chain, idle)
        words[verdict.word] += 1
        longest, most = max(longest, verdict.seconds), max(most, verdict.memory)
        if not verdict.good:
            lines = verdict.said.splitlines()
            failures.append(f"  {file.name}: {verdict.word}: {lines[-1] if lines else 'no word'}")
            if given.keep:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / file.name).write_bytes(file.read_bytes())
                (given.keep / f"{file.name}.txt").write_text(f"{verdict}\n{verdict.said}\n")
    whole, failed = words.total(), len(failures)
    row = f"{kind.name:16} {whole:6} {words['done']:6} {words['refused']:8} {failed:7} {longest:10.2f} {most >> 20:9}"
    print("\n".join([row, *failures]), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

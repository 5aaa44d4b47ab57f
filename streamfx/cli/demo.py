"""`streamfx demo`: a first painted film that needs nothing of the user's."""

from __future__ import annotations

import logging
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from streamfx.cli._options import VideoOptions, parse_size
from streamfx.cli._run import make_video
from streamfx.errors import StreamfxError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from streamfx.frame import Frame, Memory, Step

RATE = 25  # frames a second
FADE = 0.08  # share of the film in which one photograph becomes the next
# photographs inside scikit-image's wheel, and how the camera moves over each: where it looks (0..1 across and down) and
# how much of the width it sees, at the start and at the end
SCENES = (
    ("coffee.png", (0.50, 0.45, 0.95), (0.56, 0.52, 0.62)),
    ("chelsea.png", (0.55, 0.42, 0.60), (0.48, 0.45, 0.90)),
    ("astronaut.png", (0.42, 0.30, 0.62), (0.52, 0.36, 0.95)),
    ("rocket.jpg", (0.52, 0.72, 0.70), (0.50, 0.40, 0.95)),
)
MELODY = (0, 7, 12, 15, 17, 15, 12, 7, 3, 10, 15, 19, 22, 19, 15, 12)  # semitones above the lowest note
LOWEST, BEAT = 220.0, 0.28  # Hz, seconds
LOUDNESS, SAMPLE_RATE = 0.35, 48000


def demo(
    output: Annotated[Path, typer.Argument(help="Film to write; its source is kept beside it.")] = Path(
        "streamfx-demo.mp4"
    ),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Overwrite the two films.")] = False,
    preset: Annotated[str, typer.Option(help="Whose manner: see 'streamfx presets'.")] = "vangogh",
    size: Annotated[str, typer.Option(metavar="WxH", help="Of the picture.")] = "1280x720",
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="How long.")] = 5.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    report: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Make a five-second film with sound from photographs that came with the program, and paint it."""
    from streamfx.effects.style import Style
    from streamfx.presets import load_preset

    load_preset(preset)  # for its error, before the work
    width, height = parse_size(size)
    if min(width, height) < 16:
        raise StreamfxError(f"--size is '{size}', but must be at least 16x16")
    source = output.with_name(f"{output.stem}-source{output.suffix}")
    for film in (source, output):
        if film.exists() and not yes:
            raise StreamfxError(f"'{film}' exists; give -y to overwrite it, or another name")
    if not quiet:
        Console(stderr=True, highlight=False).print(f"making {source} to paint ...", soft_wrap=True, markup=False)
    make_source(source, width, height, seconds)
    options = VideoOptions(yes=yes, device=device, quiet=quiet, report=report)
    make_video(str(source), str(output), [Style(preset=preset)], options, {"preset": preset, "source": str(source)})
    if not quiet and not report:
        Console(highlight=False).print(f"painted: {output}\nfrom:    {source}", soft_wrap=True, markup=False)


def make_source(target: Path, width: int, height: int, seconds: float) -> None:
    """Write the film that is to be painted: photographs under a moving camera, and a melody."""
    from streamfx.media.input.reader import Reader
    from streamfx.media.output.encoder_selection import Output
    from streamfx.media.output.writer import Writer
    from streamfx.pipeline import run

    log = logging.getLogger("streamfx")
    level = log.level
    with TemporaryDirectory() as folder:
        sound, black = Path(folder, "melody.wav"), Path(folder, "black.ts")
        _write_wave(sound, melody(seconds))
        # black pictures and the melody, from FFmpeg's own source of films; mpegts, because that makes AAC of the sound
        quoted = sound.as_posix().replace("'", r"\'").replace(":", r"\:")
        graph = f"color=black:s={width}x{height}:r={RATE}:d={seconds}[out0];amovie='{quoted}'[out1]"
        log.setLevel(logging.ERROR)
        try:
            with Reader(graph, input_format="lavfi") as reader, Writer(black, reader) as writer:
                run(reader, [], writer)
        finally:
            log.setLevel(level)
        start = Fraction(1024, SAMPLE_RATE)  # AAC's first packet, before the first picture, only primes the decoder
        with Reader(black, start=start) as reader, Writer(target, reader, Output(overwrite=True)) as writer:
            run(reader, [Photographs(seconds)], writer, device="cpu")


@dataclass(frozen=True, slots=True)
class Photographs:
    """Show the demo's photographs in place of each frame, one after the other with a fade between."""

    seconds: float  # of the film

    def build(self, device: torch.device) -> Step:
        """The step that looks through the camera at each frame's time."""
        photos = [_load_photo(name).to(device) for name, _, _ in SCENES]
        share = (1 + FADE * (len(SCENES) - 1)) / len(SCENES)  # of the film, in which one is on screen

        def step(frame: Frame | None, memory: Memory) -> Iterable[Frame]:
            if frame is None:
                return
            image = None
            for number, (photo, scene) in enumerate(zip(photos, SCENES)):
                at = float(frame.pts) / self.seconds - number * (share - FADE)  # since it appeared, in shares
                if not 0 <= at <= share:
                    continue
                view = _view(photo, scene[1], scene[2], at / share, (frame.image.shape[1], frame.image.shape[2]))
                image = view if image is None else image.lerp(view, min(1.0, at / FADE))
            yield frame if image is None else frame.with_image(image)

        return step


def _load_photo(name: str) -> Tensor:
    """A photograph of scikit-image's, [3, H, W] float 0..1."""
    import skimage
    import torch
    from skimage.io import imread

    pixels = imread(Path(skimage.__file__).parent / "data" / name)
    return torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255


def _view(photo: Tensor, start: tuple[float, ...], end: tuple[float, ...], at: float, size: tuple[int, int]) -> Tensor:
    """What the camera sees [3, *size] on its way from start to end, gently set off and stopped."""
    import torch
    from torch.nn.functional import grid_sample

    at = at * at * (3 - 2 * at)
    x, y, wide = (a + (b - a) * at for a, b in zip(start, end))
    high = wide * photo.shape[2] * size[0] / size[1] / photo.shape[1]
    x = min(max(x, wide / 2), 1 - wide / 2)  # the camera stays inside the photograph
    y = min(max(y, high / 2), 1 - high / 2)
    down, across = (
        (middle + extent * ((torch.arange(pixels) + 0.5) / pixels - 0.5)) * 2 - 1
        for middle, extent, pixels in zip((y, x), (high, wide), size)
    )
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).to(photo.device)  # [H, W, 2]
    view = grid_sample(photo[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    return view[0].clamp(0, 1)


def melody(seconds: float) -> NDArray[np.int16]:
    """Plucked notes over two held ones, [samples, 2]."""
    import numpy as np

    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros((len(time), 2))
    for number in range(max(1, int(seconds / BEAT) - 1)):
        semitones, since = MELODY[number % len(MELODY)], time - number * BEAT
        sounding = since >= 0
        pitch = LOWEST * 2 ** (semitones / 12)
        tone = sum(np.sin(2 * np.pi * pitch * k * since) / k**2 * np.exp(-since * 3 * k) for k in (1, 2, 3, 4))
        side = 0.5 + 0.3 * (-1) ** number
        sound += np.where(sounding, tone * np.minimum(1, since * 200), 0)[:, None] * [1 - side, side]
    for pitch in (LOWEST / 2, LOWEST * 3 / 4):
        sound += 0.15 * np.sin(2 * np.pi * pitch * time)[:, None]
    ends = np.minimum(1, np.minimum(time * 20, (seconds - time) * 2))  # no click at the start, a fade at the end
    sound *= ends[:, None] * LOUDNESS / np.abs(sound).max()
    return (sound * 32767).astype(np.int16)


def _write_wave(target: Path, samples: NDArray[np.int16]) -> None:
    with wave.open(str(target), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())

"""Training data: photos and video frames, randomly cropped, scaled, mirrored and given noise and plain skies."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from streamfx.errors import StreamfxError
from streamfx.media.input.reader import Reader
from streamfx.styletransfer.training.images import SUFFIXES, load_image

_log = logging.getLogger("streamfx")

_VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".flv", ".ogv"}
_MAX_SIDE = 1024  # pixels; larger photos are scaled down to this
_MAX_FILES = 256  # photos and frames in memory, 2 MB each
_MAX_VIDEO_FRAMES = 16  # of one video
_INSTALLED = {  # photos that these packages ship, so that training needs no download
    "skimage": (
        *("data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg"),
        *("data/motorcycle_left.png", "data/hubble_deep_field.jpg"),
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def load_photos(folder: Path | None, min_side: int, held_out: tuple[str, ...] = ()) -> list[Tensor]:
    """All photos and some video frames in `folder` and its subfolders: [3, H, W] uint8, with sides >= `min_side`.

    Without a folder, returns the photos that scikit-image and scikit-learn ship. Skips files whose names begin with
    one of `held_out`. Skips unreadable files with a warning that names them.
    """
    if folder is None:
        return [_fit(load_image(file), min_side) for file in installed_photos()]
    if not folder.is_dir():
        raise StreamfxError(f"{folder} is not a folder of photos or videos")
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in SUFFIXES | _VIDEOS and f.is_file()]
    files = [file for file in files if not file.name.startswith(held_out)] if held_out else files
    if len(files) > _MAX_FILES:
        _log.warning("using %d of the %d photos and videos in %s", _MAX_FILES, len(files), folder)
        files = [files[i * len(files) // _MAX_FILES] for i in range(_MAX_FILES)]
    count = min(_MAX_VIDEO_FRAMES, max(1, _MAX_FILES // max(1, len(files))))
    photos = []
    for file in files:
        try:
            is_video = file.suffix.lower() in _VIDEOS
            images = _video_frames(file, count) if is_video else [load_image(file, draft_side=_MAX_SIDE)]
            photos += [_fit(image, min_side) for image in images]
        except StreamfxError as error:
            _log.warning("skipped: %s", error)
    if not photos:
        raise StreamfxError(f"no readable photos or videos in {folder}; give a folder of JPEG, PNG or MP4 files")
    return photos


def installed_photos() -> list[Path]:
    """The photos that installed packages ship. Raises StreamfxError if there are none."""
    files = []
    for package, names in _INSTALLED.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            files += [Path(spec.origin).parent / name for name in names]
    photos = [file for file in files if file.is_file()]
    if not photos:
        raise StreamfxError("training photos not found; run pip install scikit-image, or give --photos")
    return photos


def _video_frames(file: Path, count: int) -> list[Tensor]:
    """`count` evenly spaced frames [3, H, W] uint8 of a video; fewer if it is short."""
    with closing(Reader(file)) as reader:
        duration = reader.info.duration
        if duration is None:
            return _sample_evenly((frame.image for frame in reader), count)
    times = (duration * (2 * i + 1) / (2 * count) for i in range(count))
    return [image for time in times for image in _frame_at(file, time)]


def _frame_at(file: Path, time: Fraction) -> Iterator[Tensor]:
    try:
        with closing(Reader(file, start=time)) as reader:
            yield from (_to_uint8(frame.image) for frame in islice(reader, 1))
    except StreamfxError:  # the container overstates the duration
        return


def _sample_evenly(images: Iterable[Tensor], count: int) -> list[Tensor]:
    """`count` to `2 * count` evenly spaced images of a stream of unknown length; all of a shorter one."""
    samples: list[Tensor] = []
    interval = 1
    for index, image in enumerate(images):
        if index % interval == 0:
            samples.append(_to_uint8(image))
        if len(samples) > 2 * count:
            samples, interval = samples[::2], 2 * interval
    return samples


def _fit(image: Tensor, min_side: int) -> Tensor:
    """`image` scaled to sides of at most _MAX_SIDE and at least `min_side`; the latter wins."""
    height, width = image.shape[-2:]
    scale = max(min(1.0, _MAX_SIDE / max(height, width)), min_side / min(height, width))
    size = (max(min_side, round(height * scale)), max(min_side, round(width * scale)))
    return _to_uint8(_resize(image.float() / 255, size))


def _to_uint8(image: Tensor) -> Tensor:
    return (image * 255).round().byte()


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`image` [3, H, W] float 0..1, resized to (height, width)."""
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def build_batch(photos: list[Tensor], crop: int, batch: int, rng: random.Random) -> tuple[Tensor, Tensor]:
    """(noisy, clean): random crops of the photos with and without camera noise, on the photos' device.

    Both are [batch, 3, crop, crop] float 0..1. Each crop shows a random square of a photo, up to its full height or
    width.
    """
    clean = torch.stack([_crop(photos, crop, rng) for _ in range(batch)])
    generator = torch.Generator(clean.device).manual_seed(rng.getrandbits(32))
    sigma = torch.tensor([rng.choice((0.0, rng.uniform(0.0, 0.04))) for _ in range(batch)]).view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    return (clean + sigma.to(clean.device) * noise).clamp(0, 1), clean


def _crop(photos: list[Tensor], crop: int, rng: random.Random) -> Tensor:
    photo = rng.choice(photos)
    height, width = photo.shape[-2:]
    side = round(rng.uniform(min(0.6 * crop, height, width), min(height, width)))
    top, left = rng.randint(0, height - side), rng.randint(0, width - side)
    image = _resize(photo[:, top : top + side, left : left + side].float() / 255, (crop, crop))
    if rng.random() < 0.5:
        image = image.flip(-1)
    if rng.random() < 0.15:
        image = _with_sky(image, rng)
    return image


def _with_sky(image: Tensor, rng: random.Random) -> Tensor:
    """`image` with its upper part replaced by a smooth gradient, like a sky or a wall."""
    size = image.shape[-1]
    bottom = torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(rng.getrandbits(32)))
    top = (bottom + rng.uniform(-0.3, 0.3)).clamp(0, 1)
    rows = torch.linspace(0, 1, size).view(1, size, 1)
    sky = torch.lerp(top, bottom, rows).expand(3, size, size)
    columns = torch.linspace(-0.5, 0.5, size).view(1, 1, size)
    edge = rng.uniform(0.3, 1.2) + columns * rng.uniform(-0.6, 0.6)  # a tilted horizon
    return torch.where((rows < edge).to(image.device), sky.to(image.device), image)

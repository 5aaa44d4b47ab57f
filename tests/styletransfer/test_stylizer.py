"""The stylizer: every precision gives nearly the same image, and detail changes without another compilation."""

import pytest
import torch

from streamfx.inference import engine
from streamfx.resources import resource
from streamfx.styletransfer import stylizer
from streamfx.styletransfer.network import load_network
from streamfx.styletransfer.stylizer import Stylizer

CPU = torch.device("cpu")
FILE = resource("presets") / "vangogh-fast.safetensors"


@pytest.fixture(scope="module")
def frame():
    y, x = torch.meshgrid(torch.linspace(0, 9, 72), torch.linspace(0, 12, 104), indexing="ij")
    return torch.stack([torch.sin(x), torch.sin(y), torch.sin(x + y)]) / 2 + 0.5


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.02), ("int8", 0.03), ("auto", 0.03)])
def test_all_precisions_give_nearly_the_same_image(frame, precision, tolerance):
    network = load_network(FILE)
    with torch.no_grad():
        expected = network(frame[None], network.parameters_at(0.3))[0]
    image = Stylizer([(FILE, 1.0)], precision, CPU)(frame, 0.3)
    assert (image - expected).abs().mean() < tolerance


def test_detail_is_an_input_of_the_compiled_network(frame, monkeypatch):
    compiled = []

    def build(*arguments, **options):
        compiled.append(arguments)
        return engine.build_engine(*arguments, **options)

    monkeypatch.setattr(stylizer, "build_engine", build)
    stylize = Stylizer([(FILE, 1.0)], "fp32", CPU)
    images = [stylize(frame, detail) for detail in (0.0, 0.5, 1.0)]
    assert len(compiled) == 1
    stylize(frame[:, :40], 0.0)
    assert len(compiled) == 2
    assert all(image.shape == frame.shape for image in images)

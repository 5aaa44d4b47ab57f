"""Steps do not wait for the device: no value of a tensor is read on the CPU, no image is copied between them.

The "meta" device stands in for a GPU: its tensors have shapes but no values, so `.item()`, `.cpu()`, `.tolist()`,
`.numpy()` and conditions on tensors raise. What runs only on CUDA, such as recording graphs, is not covered.
"""

from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.frame import Frame
from streamfx.motion.occlusion import Motion
from streamfx.motion.temporal import estimate_motions, remember, warp_previous

META = torch.device("meta")
SIZE = 720, 1280  # the working resolution of styles, at which nothing is resized
CHAINS = [
    "style=quality=fast",
    "style=coherence=off:preserve_color=true:strength=0.5",
    "style=preset=monet:coherence=off",
    "mirror",
    "trails",
]


@pytest.mark.parametrize("chain", CHAINS)
def test_steps_read_nothing_from_the_device(chain):
    (effect,) = build_chain(chain)
    step, memory, outputs = effect.build(META), {}, []
    for number in range(2):
        outputs += step(Frame(torch.empty(3, *SIZE, device=META), Fraction(number), Fraction(1)), memory)
    outputs += step(None, memory)
    assert len(outputs) == 2
    assert all(output.image.device == META and output.image.shape == (3, *SIZE) for output in outputs)


def test_an_older_frame_is_chosen_without_looking():
    size, memory = (12, 16), {}

    def estimate(previous, current):
        return Motion(current.new_empty(2, *size), current.new_empty(1, *size))

    image = torch.empty(3, *size, device=META)
    for number in range(12):
        remember(memory, image, {"white": image}, Fraction(number, 4))
    motions = estimate_motions(memory, image, size, estimate)
    assert list(motions) == ["last", "old"]
    assert warp_previous(memory, "white", motions).warped.shape == (3, *size)


@pytest.mark.parametrize("read", [torch.Tensor.item, torch.Tensor.cpu, torch.Tensor.tolist, bool])
def test_reads_are_detected(read):
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.zeros(1, device=META).sum())

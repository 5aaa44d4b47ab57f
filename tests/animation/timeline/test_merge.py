"""Merges of two sections: by alternating passes, and by blending."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from streamfx.animation.timeline.merge import MergeRenderer, morph
from streamfx.animation.timeline.scene import Scene
from streamfx.deepdream.networks import find_network
from streamfx.errors import StreamfxError
from streamfx.ops.color import luma

CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["passes", "pyramid", "flow", "fade"])
def test_a_merge_changes_gradually_from_one_section_to_the_other(method, render, difference, merged_sections):
    images = render(merged_sections("other") + f'method = "{method}"\n')
    first, last = images[0], images[-1]
    progress = [difference(image, first) / difference(last, first) for image in images]
    assert progress[:2] == pytest.approx([0, 0], abs=0.02)
    assert progress[6:] == pytest.approx([1] * 4, abs=0.02)
    assert all(later > earlier for earlier, later in pairwise(progress[1:7]))


@pytest.fixture
def merge(plan_of, merged_sections):
    """merge(keys): the renderer of a merge of frames 2 to 5, without ascent and stabilization unless in `keys`."""

    def merge(keys="", stride=1):
        text = merged_sections() if "step = " in keys else merged_sections().replace("steps = 1\n", "steps = 0\n")
        plan = plan_of(text + keys, stride=stride)
        scene = Scene(plan, (48, 64), find_network("lite0"), "", 0, True, CPU)
        return MergeRenderer(scene, 2, plan.timeline.sections[2])

    return merge


@pytest.fixture
def canvases():
    """Two gray canvases, which differ in brightness."""
    return torch.full((3, 56, 72), 0.3), torch.full((3, 56, 72), 0.7)


@pytest.mark.parametrize("method", ["fade", "pyramid"])
def test_shares_of_a_blend_grow_by_equal_steps_and_leave_out_the_ends(merge, canvases, method):
    first, second = canvases
    renderer = merge(f'method = "{method}"\n')
    means = [float(renderer.blend(first, second, frame).mean()) for frame in range(2, 6)]
    if method == "fade":
        assert means == pytest.approx([0.3 + 0.4 * share for share in (0.2, 0.4, 0.6, 0.8)])
    assert 0.3 < means[0] < means[1] < means[2] < means[3] < 0.7


def test_clouds_cover_each_pixel_once_and_for_good(merge, canvases):
    first, second = canvases
    renderer = merge('method = "pyramid"\n')
    images = [renderer.blend(first, second, frame) for frame in range(2, 6)]
    assert images[1].std() > 0.05  # parts of the image, not the whole
    assert all((later >= earlier - 0.02).all() for earlier, later in pairwise(images))


def test_a_pass_starts_from_its_own_canvas_and_ends_with_the_weight_of_the_pass(merge, canvases):
    own, opposite = canvases
    renderer = merge()
    shares = {}  # of the pass's own canvas
    for number in (1, 2):
        images = [renderer.advance(own, opposite, frame - 1, frame, number) for frame in range(2, 6)]
        shares[number] = [float((image.mean() - 0.7) / -0.4) for image in images]
    for number, end in ((1, 0.8), (2, 0.0)):
        start = 1 - 0.01 * (1 - end)
        expected = [start + (end - start) * progress for progress in (0.2, 0.4, 0.6, 0.8)]
        assert shares[number] == pytest.approx(expected, abs=1e-4)
    backward = [renderer.advance(own, opposite, frame + 1, frame, 1) for frame in range(5, 1, -1)]
    assert [float((image.mean() - 0.7) / -0.4) for image in backward] == pytest.approx(shares[1], abs=1e-4)


def test_passes_after_the_last_weight_repeat_it(merge, canvases):
    renderer = merge()
    assert torch.equal(renderer.advance(*canvases, 3, 4, 2), renderer.advance(*canvases, 3, 4, 9))


def test_a_stride_compounds_the_shares(merge, canvases):
    one, four = (merge(stride=stride).advance(*canvases, 3, 4, 1) for stride in (1, 4))
    share = float((one.mean() - 0.7) / -0.4)
    assert float((four.mean() - 0.7) / -0.4) == pytest.approx(share**4, abs=1e-4)


def test_the_ascent_of_a_merge_changes_the_image(merge, canvases):
    noise = 0.05 * torch.randn(3, 56, 72)
    first, second = (canvas + noise for canvas in canvases)
    plain, ascended, other_pass = (
        merge(keys).advance(first, second, 2, 3, number)
        for keys, number in (("", 1), ("step = 0.05\n", 1), ("step = 0.05\n", 2))
    )
    assert not torch.equal(plain, ascended)
    assert not torch.equal(ascended, other_pass)


def test_morphing_moves_content_instead_of_blending_it():
    """Halfway between two positions of a bright disk, it is halfway, and as bright."""
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    texture = F.interpolate(torch.rand(1, 3, 24, 32), (96, 128), mode="bicubic")[0].clamp(0, 1) * 0.3

    def disk(center):
        return torch.where(torch.hypot(x - center, y - 48) < 14, 1.0, texture)

    first, second = disk(58.0), disk(70.0)
    middle = morph(first, second, 0.5)

    def bright_columns(image):
        return torch.nonzero(luma(image)[0, 48] > 0.8).flatten().float()

    assert bright_columns(middle).mean() == pytest.approx(64, abs=2)
    assert len(bright_columns(middle)) >= 20  # a plain blend has 16
    assert (morph(first, second, 0.0) - first).abs().mean() < 1e-3
    assert (morph(first, second, 1.0) - second).abs().mean() < 1e-3


def test_morphing_equal_images_changes_nothing():
    image = F.interpolate(torch.rand(1, 3, 12, 16), (48, 64), mode="bicubic")[0].clamp(0, 1)
    assert (morph(image, image, 0.4) - image).abs().max() < 0.02


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('step = "1 + t"\n', r"line \d+, section\[3\].step: step is 3 at frame 2, but must be from 0 to 1"),
        ('zoom = "3 - t"\n', r"section\[3\].zoom: zoom is 0 at frame 3"),
    ],
)
def test_invalid_merges_are_reported(keys, reason, merge):
    with pytest.raises(StreamfxError, match=reason):
        merge(keys)

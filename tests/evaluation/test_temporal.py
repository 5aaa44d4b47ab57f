"""What is said of how coherent a processed video is."""

import math
import weakref
from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch
from clips import crossing, pan

from streamfx.errors import StreamfxError
from streamfx.evaluation.flow_files import find_flows, load_flow
from streamfx.evaluation.temporal import FAR, build_lpips, measure, sharpness, stab_error, visible, warp_error
from streamfx.frame import Frame
from streamfx.motion.flow import Motion

SIZE = 48, 64


def film(images, cuts=()):
    return [
        Frame(image, Fraction(number, 25), Fraction(1, 25), cut=number in cuts) for number, image in enumerate(images)
    ]


def noise(frames, seed=0, size=SIZE):
    chance = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=chance) for _ in range(frames)]


def photo(height=80, width=100, seed=1):
    """Something smooth with texture, as photos are."""
    chance = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 6, width // 6, generator=chance)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


def resting(previous, current):
    """Nothing moves, and all of it is trusted."""
    return Motion(torch.zeros(2, *current.shape[1:]), torch.ones(1, *current.shape[1:]))


def known(moments):
    """The true motion between neighbours of a made clip; none that could be trusted between others."""
    places = {id_of(moment.image): number for number, moment in enumerate(moments)}

    def motion(previous, current):
        here = places[id_of(current)]
        if places[id_of(previous)] == here - 1:
            return Motion(moments[here].flow, moments[here].visible * moments[here].sure)
        return Motion(moments[here].flow, torch.zeros_like(moments[here].visible))

    return motion


def id_of(image):
    return round(float(image.half().double().sum()), 6)


def write_flows(folder, flows):
    """.flo files as Sintel has them: magic, width, height, then x and y of each pixel."""
    folder.mkdir(exist_ok=True)
    for number, flow in enumerate(flows, 1):
        _, height, width = flow.shape
        head = b"PIEH" + torch.tensor([width, height], dtype=torch.int32).numpy().tobytes()
        values = flow.permute(1, 2, 0).contiguous().numpy().astype("<f4")
        (folder / f"frame_{number:04d}.flo").write_bytes(head + values.tobytes())
    return folder


# --- each figure by itself


def test_warp_error_is_the_mean_square_over_trusted_pixels():
    target, moved = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    moved[0, 0, 0], moved[:, 1, 1] = 0.6, 1.0
    trust = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    assert warp_error(target, moved, trust) == pytest.approx(0.36 / 3 / 3)
    assert stab_error(target, moved, trust) == pytest.approx(0.36 / 3 / 4)
    assert warp_error(target, moved, torch.zeros(1, 2, 2)) is None
    assert stab_error(target, moved, torch.zeros(1, 2, 2)) == 0


def test_sharpness_is_the_slope_of_luma():
    ramp = torch.arange(64).expand(3, 48, 64) * 2 / 255
    assert sharpness(ramp) == pytest.approx(2, abs=1e-4)
    both = ramp + torch.arange(48).view(1, 48, 1) * 1.5 / 255
    assert sharpness(both) == pytest.approx(2.5, abs=1e-4)
    assert sharpness(torch.rand(3, 1, 1)) == 0
    assert sharpness(torch.arange(9).expand(3, 1, 9) / 255) == pytest.approx(8 / 9)


def test_what_leaves_the_picture_or_looks_different_is_not_visible():
    image = torch.full((3, 4, 6), 0.5)
    flow = torch.zeros(2, 4, 6)
    flow[0, 0, 0], flow[1, 3, 3], flow[:, 2, 2] = -1, 0.5, torch.nan
    other = image.clone()
    other[:, 1, 1] = 1.0
    found = visible(image, other, flow)
    assert found.shape == (1, 4, 6)
    assert [float(found[0, y, x]) for y, x in ((0, 0), (3, 3), (2, 2), (3, 0))] == [0, 0, 0, 1]
    assert float(found[0, 1, 1]) == pytest.approx(math.exp(-50 * 0.75))


# --- whole videos


def test_a_still_has_no_error_and_no_drift():
    images = [photo(*SIZE)] * 12
    found = measure(film(images), film(images), resting)
    figures = found.processed.figures()
    assert found.frames == 12
    assert (figures.warp_near, figures.warp_far, figures.stab, figures.tlp) == (0, 0, 0, None)
    assert (figures.drift_largest, figures.drift_last) == (0, 0)
    assert figures.sharpness == found.source.figures().sharpness == pytest.approx(sharpness(images[0]), rel=1e-2)


def test_flicker_is_measured_at_both_lags():
    source = [torch.full((3, *SIZE), 0.5)] * 14
    processed = [image + (0.1 if number % 2 else 0.0) for number, image in enumerate(source)]
    figures = measure(film(source), film(processed), resting).processed.figures()
    assert figures.warp_near == pytest.approx(0.01, rel=1e-2)
    assert figures.warp_far == 0  # ten frames later it is as it was
    assert figures.stab == pytest.approx(0.1, rel=1e-2)
    assert figures.drift_largest == pytest.approx(math.sqrt(3) * 25.5, rel=1e-2)
    assert measure(film(source), film(processed), resting).source.figures().warp_near == 0


def test_far_pairs_are_ten_apart():
    seen = []

    def motion(previous, current):
        seen.append((round(float(previous.mean()) * 50), round(float(current.mean()) * 50)))
        return resting(previous, current)

    images = [torch.full((3, 4, 4), number / 50) for number in range(13)]
    found = measure(film(images), film(images), motion)
    assert [pair for pair in seen if pair[1] - pair[0] != 1] == [(0, 10), (1, 11), (2, 12)]
    assert [error is None for error in found.processed.warp_far] == [True] * FAR + [False] * 3
    assert [error is None for error in found.processed.warp_near] == [True] + [False] * 12


def test_pairs_over_a_cut_do_not_count_and_drift_begins_anew():
    dark, bright = torch.full((3, *SIZE), 0.25), torch.full((3, *SIZE), 0.75)
    images = [dark] * 8 + [bright] * 8
    processed = [image * 0.5 for image in images]
    found = measure(film(images, cuts=[8]), film(processed), resting).processed
    assert found.warp_near[8] is None
    assert found.warp_far == [None] * 16
    figures = found.figures()
    assert (figures.warp_near, figures.stab) == (0, 0)
    assert figures.drift_largest == 0
    over = measure(film(images), film(processed), resting).processed.figures()
    assert over.warp_near == pytest.approx(0.0625 / 15)
    assert over.drift_last == pytest.approx(math.sqrt(3) * 0.25 * 255)


def test_along_the_known_motion_only_noise_is_left():
    moments = list(pan(photo(), 5, SIZE, noise=0))
    images = [moment.image for moment in moments]
    steady = measure(film(images), film(images), known(moments)).processed.figures()
    flicker = measure(film(images), film(noise(5)), known(moments)).processed.figures()
    assert steady.warp_near < 2e-4
    assert flicker.warp_near > 0.05
    assert measure(film(images), film(images), resting).processed.figures().warp_near > 5 * steady.warp_near


def test_one_frame_is_no_pair():
    figures = measure(film(noise(1)), film(noise(1)), resting).processed.figures()
    assert (figures.warp_near, figures.warp_far, figures.stab, figures.tlp) == (None, None, None, None)
    assert figures.drift_last == 0


def test_perceived_change_beside_the_source():
    source, processed = film(noise(4)), film([image * 0.5 for image in noise(4)])
    found = measure(source, processed, resting, distance=lambda one, other: float((one - other).abs().mean()))
    both = [float((one.image - other.image).abs().mean()) for one, other in pairwise(source)]
    assert found.processed.tlp[0] is None
    assert found.processed.figures().tlp == pytest.approx(50 * sum(both) / 3, rel=1e-2)
    assert found.source.figures().tlp == 0


@pytest.mark.skipif(find_spec("lpips") is not None, reason="LPIPS is installed")
def test_lpips_says_how_to_get_it():
    with pytest.raises(StreamfxError, match="pip install lpips"):
        build_lpips(torch.device("cpu"))


def test_frames_are_let_go():
    given, most = [], []

    def frames():
        for number in range(30):
            given.append(weakref.ref(image := torch.rand(3, 8, 8)))
            most.append(sum(each() is not None for each in given))
            yield Frame(image, Fraction(number), Fraction(1))

    pairs = []
    measure(frames(), frames(), lambda previous, current: pairs.append(1) or resting(previous, current))
    assert len(pairs) == 29 + 20
    assert max(most) <= 6  # of both films


@pytest.mark.parametrize(
    ("counts", "words"), [((5, 3), "5 frames, but 'b' has 3"), ((3, 6), "3 frames, but 'b' has 6")]
)
def test_other_numbers_of_frames(counts, words):
    with pytest.raises(StreamfxError, match=words):
        measure(film(noise(counts[0])), film(noise(counts[1])), resting, names=("a", "b"))


def test_another_size():
    with pytest.raises(StreamfxError, match=r"'a' is 64x48, but 'b' is 32x48; .* --size 64x48"):
        measure(film(noise(2)), film(noise(2, size=(48, 32))), resting, names=("a", "b"))


# --- true motion


def test_true_motion_forward_warps_the_next_frame_back(tmp_path):
    moments = list(pan(photo(), 4, SIZE, step=(2.0, 1.0), zoom=1.0, noise=0))
    images = [moment.image for moment in moments]
    folder = write_flows(tmp_path / "flow", [-moment.flow for moment in moments[1:]])  # one motion for all pixels
    flows = find_flows(folder, *SIZE)
    assert torch.equal(load_flow(flows[0]), -moments[1].flow)
    found = measure(film(images), film(images), resting, flows=flows)
    assert found.processed.figures().warp_near < 1e-5
    backwards = write_flows(tmp_path / "back", [moment.flow for moment in moments[1:]])
    other = measure(film(images), film(images), resting, flows=find_flows(backwards, *SIZE))
    assert other.processed.figures().warp_near > 1e-3


def test_motion_that_is_not_known_is_not_judged(tmp_path):
    flow = torch.zeros(2, *SIZE)
    flow[:, :, 32:] = 1e10
    processed = [torch.zeros(3, *SIZE), torch.zeros(3, *SIZE)]
    processed[1][:, :, 32:] = 1
    flows = find_flows(write_flows(tmp_path / "flow", [flow]), *SIZE)
    figures = measure(film([photo(*SIZE)] * 2), film(processed), resting, flows=flows).processed.figures()
    assert figures.warp_near == 0


@pytest.mark.parametrize(("frames", "flows"), [(4, 2), (3, 4), (1, 1)])
def test_another_number_of_flows(tmp_path, frames, flows):
    folder = write_flows(tmp_path / "flow", [torch.zeros(2, *SIZE)] * flows)
    images, files = film([photo(*SIZE)] * frames), find_flows(folder, *SIZE)
    with pytest.raises(StreamfxError, match=f"{flows} .flo files, but 'a' has {frames} frames"):
        measure(images, images, resting, flows=files, names=("a", "b"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(b"RIFF" + file.read_bytes()[4:]), "no .flo file"),
        (lambda file: file.write_bytes(b"PIEH"), "no .flo file"),
        (lambda file: file.write_bytes(b""), "no .flo file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-8]), "bytes"),
        (lambda file: write_flows(file.parent, [torch.zeros(2, 4, 6)]), "6x4 pixels, but the source has 64x48"),
        (lambda file: file.unlink(), "no .flo files"),
    ],
)
def test_flows_that_are_none(tmp_path, spoil, words):
    folder = write_flows(tmp_path / "flow", [torch.zeros(2, *SIZE)])
    spoil(folder / "frame_0001.flo")
    with pytest.raises(StreamfxError, match=words) as error:
        find_flows(folder, *SIZE)
    assert "\n" not in str(error.value)
    with pytest.raises(StreamfxError, match="no folder"):
        find_flows(tmp_path / "none", *SIZE)


# --- the clips that benchmarks make


def test_made_clips_know_their_motion():
    moments = list(crossing(photo(), photo(60, 60, 2), 6, SIZE, radius=0.2, noise=0))
    images = [moment.image for moment in moments]
    hidden = [float((1 - moment.visible).sum()) for moment in moments[1:]]
    assert min(hidden) > 20
    error = measure(film(images), film(images), known(moments)).processed.figures().warp_near
    assert error < 5e-4
    assert measure(film(images), film(images), resting).processed.figures().warp_near > 10 * error

"""Metrics of temporal coherence."""

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
from streamfx.evaluation.temporal import FAR, build_lpips, measure, sharpness, stab_error, visibility, warp_error
from streamfx.frame import Frame
from streamfx.motion.occlusion import Motion

SIZE = 48, 64


def video(images, cuts=()):
    return [
        Frame(image, Fraction(number, 25), Fraction(1, 25), cut=number in cuts) for number, image in enumerate(images)
    ]


def noise(frames, seed=0, size=SIZE):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(3, *size, generator=generator) for _ in range(frames)]


def photo(height=80, width=100, seed=1):
    """A smooth image with texture, similar to a photo."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 6, width // 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(0, 1)


def no_motion(previous, current):
    """Zero flow with confidence 1."""
    return Motion(torch.zeros(2, *current.shape[1:]), torch.ones(1, *current.shape[1:]))


def known(moments):
    """The true motion between consecutive frames of a synthetic clip; confidence 0 for other pairs."""
    numbers = {id_of(moment.image): number for number, moment in enumerate(moments)}

    def motion(previous, current):
        moment = moments[numbers[id_of(current)]]
        if numbers[id_of(previous)] == numbers[id_of(current)] - 1:
            return Motion(moment.flow, moment.visible * moment.sure)
        return Motion(moment.flow, torch.zeros_like(moment.visible))

    return motion


def id_of(image):
    return round(float(image.half().double().sum()), 6)


def write_flows(folder, flows):
    """.flo files in Sintel's format: magic, width, height, then x and y of each pixel."""
    folder.mkdir(exist_ok=True)
    for number, flow in enumerate(flows, 1):
        _, height, width = flow.shape
        head = b"PIEH" + torch.tensor([width, height], dtype=torch.int32).numpy().tobytes()
        values = flow.permute(1, 2, 0).contiguous().numpy().astype("<f4")
        (folder / f"frame_{number:04d}.flo").write_bytes(head + values.tobytes())
    return folder


# --- single metrics


def test_warp_error_is_the_weighted_mean_square():
    target, warped = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    warped[0, 0, 0], warped[:, 1, 1] = 0.6, 1.0
    confidence = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    assert warp_error(target, warped, confidence) == pytest.approx(0.36 / 3 / 3)
    assert stab_error(target, warped, confidence) == pytest.approx(0.36 / 3 / 4)
    assert warp_error(target, warped, torch.zeros(1, 2, 2)) is None
    assert stab_error(target, warped, torch.zeros(1, 2, 2)) == 0


def test_sharpness_is_the_luma_gradient():
    ramp = torch.arange(64).expand(3, 48, 64) * 2 / 255
    assert sharpness(ramp) == pytest.approx(2, abs=1e-4)
    both = ramp + torch.arange(48).view(1, 48, 1) * 1.5 / 255
    assert sharpness(both) == pytest.approx(2.5, abs=1e-4)
    assert sharpness(torch.rand(3, 1, 1)) == 0
    assert sharpness(torch.arange(9).expand(3, 1, 9) / 255) == pytest.approx(8 / 9)


def test_pixels_that_leave_the_frame_or_change_are_not_visible():
    image = torch.full((3, 4, 6), 0.5)
    flow = torch.zeros(2, 4, 6)
    flow[0, 0, 0], flow[1, 3, 3], flow[:, 2, 2] = -1, 0.5, torch.nan
    other = image.clone()
    other[:, 1, 1] = 1.0
    weights = visibility(image, other, flow)
    assert weights.shape == (1, 4, 6)
    assert [float(weights[0, y, x]) for y, x in ((0, 0), (3, 3), (2, 2), (3, 0))] == [0, 0, 0, 1]
    assert float(weights[0, 1, 1]) == pytest.approx(math.exp(-50 * 0.75))


# --- whole videos


def test_static_video_has_no_error_and_no_drift():
    images = [photo(*SIZE)] * 12
    result = measure(video(images), video(images), no_motion)
    metrics = result.processed.metrics()
    assert result.frames == 12
    assert (metrics.warp_near, metrics.warp_far, metrics.stab, metrics.tlp) == (0, 0, 0, None)
    assert (metrics.drift_largest, metrics.drift_last) == (0, 0)
    assert metrics.sharpness == result.source.metrics().sharpness == pytest.approx(sharpness(images[0]), rel=1e-2)


def test_flicker_is_measured_at_both_lags():
    source = [torch.full((3, *SIZE), 0.5)] * 14
    processed = [image + (0.1 if number % 2 else 0.0) for number, image in enumerate(source)]
    metrics = measure(video(source), video(processed), no_motion).processed.metrics()
    assert metrics.warp_near == pytest.approx(0.01, rel=1e-2)
    assert metrics.warp_far == 0  # the same again ten frames later
    assert metrics.stab == pytest.approx(0.1, rel=1e-2)
    assert metrics.drift_largest == pytest.approx(math.sqrt(3) * 25.5, rel=1e-2)
    assert measure(video(source), video(processed), no_motion).source.metrics().warp_near == 0


def test_far_pairs_are_ten_frames_apart():
    pairs = []

    def motion(previous, current):
        pairs.append((round(float(previous.mean()) * 50), round(float(current.mean()) * 50)))
        return no_motion(previous, current)

    images = [torch.full((3, 4, 4), number / 50) for number in range(13)]
    result = measure(video(images), video(images), motion)
    assert [pair for pair in pairs if pair[1] - pair[0] != 1] == [(0, 10), (1, 11), (2, 12)]
    assert [error is None for error in result.processed.warp_far] == [True] * FAR + [False] * 3
    assert [error is None for error in result.processed.warp_near] == [True] + [False] * 12


def test_cuts_are_skipped_and_reset_the_drift():
    dark, bright = torch.full((3, *SIZE), 0.25), torch.full((3, *SIZE), 0.75)
    images = [dark] * 8 + [bright] * 8
    processed = [image * 0.5 for image in images]
    result = measure(video(images, cuts=[8]), video(processed), no_motion).processed
    assert result.warp_near[8] is None
    assert result.warp_far == [None] * 16
    metrics = result.metrics()
    assert (metrics.warp_near, metrics.stab) == (0, 0)
    assert metrics.drift_largest == 0
    without_cut = measure(video(images), video(processed), no_motion).processed.metrics()
    assert without_cut.warp_near == pytest.approx(0.0625 / 15)
    assert without_cut.drift_last == pytest.approx(math.sqrt(3) * 0.25 * 255)


def test_error_along_known_motion_is_small():
    moments = list(pan(photo(), 5, SIZE, noise=0))
    images = [moment.image for moment in moments]
    steady = measure(video(images), video(images), known(moments)).processed.metrics()
    flicker = measure(video(images), video(noise(5)), known(moments)).processed.metrics()
    assert steady.warp_near < 2e-4
    assert flicker.warp_near > 0.05
    assert measure(video(images), video(images), no_motion).processed.metrics().warp_near > 5 * steady.warp_near


def test_single_frame_has_no_pairs():
    metrics = measure(video(noise(1)), video(noise(1)), no_motion).processed.metrics()
    assert (metrics.warp_near, metrics.warp_far, metrics.stab, metrics.tlp) == (None, None, None, None)
    assert metrics.drift_last == 0


def test_tlp_compares_changes_with_the_source():
    source, processed = video(noise(4)), video([image * 0.5 for image in noise(4)])
    result = measure(source, processed, no_motion, distance=lambda one, other: float((one - other).abs().mean()))
    both = [float((one.image - other.image).abs().mean()) for one, other in pairwise(source)]
    assert result.processed.tlp[0] is None
    assert result.processed.metrics().tlp == pytest.approx(50 * sum(both) / 3, rel=1e-2)
    assert result.source.metrics().tlp == 0


@pytest.mark.skipif(find_spec("lpips") is not None, reason="LPIPS is installed")
def test_missing_lpips_error_says_how_to_install_it():
    with pytest.raises(StreamfxError, match="pip install lpips"):
        build_lpips(torch.device("cpu"))


def test_frames_are_released():
    references, counts = [], []

    def frames():
        for number in range(30):
            references.append(weakref.ref(image := torch.rand(3, 8, 8)))
            counts.append(sum(reference() is not None for reference in references))
            yield Frame(image, Fraction(number), Fraction(1))

    pairs = []
    measure(frames(), frames(), lambda previous, current: pairs.append(1) or no_motion(previous, current))
    assert len(pairs) == 29 + 20
    assert max(counts) <= 6  # of both videos


@pytest.mark.parametrize(
    ("counts", "words"), [((5, 3), "5 frames, but 'b' has 3"), ((3, 6), "3 frames, but 'b' has 6")]
)
def test_different_numbers_of_frames_are_an_error(counts, words):
    with pytest.raises(StreamfxError, match=words):
        measure(video(noise(counts[0])), video(noise(counts[1])), no_motion, names=("a", "b"))


def test_different_sizes_are_an_error():
    with pytest.raises(StreamfxError, match=r"'a' is 64x48, but 'b' is 32x48; .* --size 64x48"):
        measure(video(noise(2)), video(noise(2, size=(48, 32))), no_motion, names=("a", "b"))


# --- true motion


def test_true_motion_forward_warps_the_next_frame_back(tmp_path):
    moments = list(pan(photo(), 4, SIZE, step=(2.0, 1.0), zoom=1.0, noise=0))
    images = [moment.image for moment in moments]
    folder = write_flows(tmp_path / "flow", [-moment.flow for moment in moments[1:]])  # the same motion for all pixels
    flows = find_flows(folder, *SIZE)
    assert torch.equal(load_flow(flows[0]), -moments[1].flow)
    result = measure(video(images), video(images), no_motion, flows=flows)
    assert result.processed.metrics().warp_near < 1e-5
    backwards = write_flows(tmp_path / "back", [moment.flow for moment in moments[1:]])
    other = measure(video(images), video(images), no_motion, flows=find_flows(backwards, *SIZE))
    assert other.processed.metrics().warp_near > 1e-3


def test_unknown_motion_is_ignored(tmp_path):
    flow = torch.zeros(2, *SIZE)
    flow[:, :, 32:] = 1e10
    processed = [torch.zeros(3, *SIZE), torch.zeros(3, *SIZE)]
    processed[1][:, :, 32:] = 1
    flows = find_flows(write_flows(tmp_path / "flow", [flow]), *SIZE)
    metrics = measure(video([photo(*SIZE)] * 2), video(processed), no_motion, flows=flows).processed.metrics()
    assert metrics.warp_near == 0


@pytest.mark.parametrize(("frames", "flows"), [(4, 2), (3, 4), (1, 1)])
def test_wrong_number_of_flow_files_is_an_error(tmp_path, frames, flows):
    folder = write_flows(tmp_path / "flow", [torch.zeros(2, *SIZE)] * flows)
    images, files = video([photo(*SIZE)] * frames), find_flows(folder, *SIZE)
    with pytest.raises(StreamfxError, match=f"{flows} .flo files, but 'a' has {frames} frames"):
        measure(images, images, no_motion, flows=files, names=("a", "b"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_bytes(b"RIFF" + file.read_bytes()[4:]), "not a .flo file"),
        (lambda file: file.write_bytes(b"PIEH"), "not a .flo file"),
        (lambda file: file.write_bytes(b""), "not a .flo file"),
        (lambda file: file.write_bytes(file.read_bytes()[:-8]), "bytes"),
        (lambda file: write_flows(file.parent, [torch.zeros(2, 4, 6)]), "6x4 pixels, but the source has 64x48"),
        (lambda file: file.unlink(), "no .flo files"),
    ],
)
def test_invalid_flow_files_are_refused(tmp_path, damage, words):
    folder = write_flows(tmp_path / "flow", [torch.zeros(2, *SIZE)])
    damage(folder / "frame_0001.flo")
    with pytest.raises(StreamfxError, match=words) as error:
        find_flows(folder, *SIZE)
    assert "\n" not in str(error.value)
    with pytest.raises(StreamfxError, match="folder not found"):
        find_flows(tmp_path / "none", *SIZE)


# --- the synthetic clips of the benchmarks


def test_synthetic_clips_have_exact_motion():
    moments = list(crossing(photo(), photo(60, 60, 2), 6, SIZE, radius=0.2, noise=0))
    images = [moment.image for moment in moments]
    hidden = [float((1 - moment.visible).sum()) for moment in moments[1:]]
    assert min(hidden) > 20
    error = measure(video(images), video(images), known(moments)).processed.metrics().warp_near
    assert error < 5e-4
    assert measure(video(images), video(images), no_motion).processed.metrics().warp_near > 10 * error

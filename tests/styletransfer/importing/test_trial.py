"""Trials on photos find the value range and the order of channels."""

import pytest
import torch

from streamfx.presets import ImportedNetwork
from streamfx.styletransfer.importing.network import ImportedStylizer
from streamfx.styletransfer.importing.trial import run_trials

NETWORK = ImportedNetwork(kind="onnx")


@pytest.mark.parametrize(("factor", "value_range"), [(255.0, "0..255"), (1.0, "0..1")])
def test_a_network_of_blue_green_red(factor, value_range, write_onnx, photo):
    run = ImportedStylizer(write_onnx("blur.onnx", factor=factor), NETWORK, "fp32", torch.device("cpu")).run
    across, down = torch.linspace(0, 1, 192).expand(128, 192), torch.linspace(0, 1, 128)[:, None].expand(128, 192)
    colors = torch.stack([across, photo[1] * 0.3, down])  # red and blue that have nothing in common
    best = run_trials(NETWORK, [colors], lambda known, images: run(images))[0]
    assert (best.network.channels, best.network.input_range) == ("bgr", value_range)
    assert best.network.output_range == value_range
    assert best.score > 0.9


def test_what_is_given_is_not_tried(photo):
    trials = run_trials(NETWORK, [photo], lambda known, images: images, channels="bgr", value_range="-1..1")
    assert [(t.network.channels, t.network.input_range, t.network.output_range) for t in trials] == [
        ("bgr", "-1..1", "-1..1")
    ]


def test_ties_are_decided_by_convention(photo):
    def normalized(known, images):
        images = (images - images.mean()) / images.std()
        return (images * 0.2 + 0.5).clamp(0, 1)

    best = run_trials(NETWORK, [photo], normalized)[0].network
    assert (best.channels, best.input_range, best.output_range) == ("rgb", "0..1", "0..1")


def test_flat_clipped_and_signed_results(photo):
    scores = {}
    for name, result in (("flat", photo * 0.02 + 0.5), ("clipped", photo * 50 - 15), ("same", photo)):
        trials = run_trials(NETWORK, [photo], lambda known, x, y=result: y[None], channels="rgb", value_range="0..1")
        scores[name] = trials[0].score
    assert scores["same"] == pytest.approx(1, abs=1e-3)
    assert scores["flat"] < 0.2
    assert scores["clipped"] < 0.6
    signed = run_trials(NETWORK, [photo], lambda known, x: photo[None] * 2 - 1, channels="rgb")[0]
    assert signed.network.output_range == "-1..1"

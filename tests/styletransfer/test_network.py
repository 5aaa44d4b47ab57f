"""The style network: any size, its range, detail, int8, blends, and the files that hold it."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamfx.errors import StreamfxError
from streamfx.styletransfer.network import (
    SIZES,
    Conv,
    Sizes,
    StyleNetwork,
    blend_networks,
    is_style_network,
    load_network,
    save_network,
)

SMALL = Sizes(8, 12, 16, encoder4=1, encoder8=1, bottleneck=1, decoder8=1, decoder4=1)


def new_network(seed=1, sizes=SMALL):
    torch.manual_seed(seed)
    network = StyleNetwork(sizes).eval().requires_grad_(False)
    network.style.copy_(0.3 * torch.randn_like(network.style))
    return network


@pytest.fixture(scope="module")
def network():
    return new_network()


@pytest.fixture(scope="module")
def photo():
    """Shapes of even brightness and color."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 40), torch.linspace(0, 8, 56), indexing="ij")
    return (torch.stack([torch.sin(x), torch.sin(y), torch.sin(x + y)]) / 2 + 0.5)[None]


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (33, 1), (3, 5), (16, 16), (17, 8), (33, 47), (64, 64)])
@pytest.mark.parametrize("encoder4", [0, 1])
def test_any_size_keeps_its_size_and_range(size, encoder4):
    network = new_network(sizes=replace(SMALL, encoder4=encoder4))
    image = network(torch.rand(2, 3, *size), network.parameters_at(0))
    assert image.shape == (2, 3, *size)
    assert image.isfinite().all()
    assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("quality", SIZES)
def test_shipped_sizes_run(quality):
    network = StyleNetwork(SIZES[quality]).eval().requires_grad_(False)
    assert network(torch.rand(1, 3, 30, 41), network.parameters_at(0.5)).shape == (1, 3, 30, 41)


def test_fast_is_less_than_half_of_fine():
    fine, fast = (sum(p.numel() for p in StyleNetwork(SIZES[quality]).parameters()) for quality in ("fine", "fast"))
    assert fast < fine / 2


def test_detail_interpolates_the_style_parameters(network, photo):
    bold, middle, detailed = (network.parameters_at(detail) for detail in (0.0, 0.5, 1.0))
    torch.testing.assert_close(middle, (bold + detailed) / 2)
    assert not torch.allclose(network(photo, bold), network(photo, detailed))


def test_most_style_parameters_change_the_image(photo):
    network = StyleNetwork(SMALL).eval()
    style = torch.zeros(1, sum(network.layout), requires_grad=True)
    (network(photo, style) * torch.rand_like(photo)).sum().backward()
    # a shift before an instance norm cancels out, and a channel may be dead
    assert all((part != 0).float().mean() > 0.4 for part in style.grad[0].split(network.layout))


def test_each_frame_of_a_batch_can_have_its_own_style(network, photo):
    styles = torch.cat([network.parameters_at(0), network.parameters_at(1)])
    both = network(photo.expand(2, -1, -1, -1), styles)
    for number in range(2):
        torch.testing.assert_close(both[number : number + 1], network(photo, styles[number : number + 1]))


def test_noise_pattern_is_uncorrelated(network):
    pattern = network.pattern
    assert abs(pattern.mean()) < 0.02
    assert abs(pattern.std() - 3**-0.5) < 0.02  # uniform in -1..1
    for shift in ((0, 1), (1, 0), (1, 1), (0, 16)):
        assert abs((pattern * pattern.roll(shift, (-2, -1))).mean()) < 0.02


@pytest.mark.parametrize(("conv", "inputs", "factor"), [("up8", 16, 2), ("up4", 12, 2), ("out", 8, 4)])
def test_new_networks_have_no_checkerboard(network, conv, inputs, factor):
    """ICNR: the output of a sub-pixel convolution is constant within its square."""
    output = getattr(network, conv)(torch.rand(1, inputs, 6, 6))
    squares = output.view(1, -1, factor**2, 6, 6)
    torch.testing.assert_close(squares, squares[:, :, :1].expand_as(squares))


def without_noise():
    network = new_network()
    network.noise.weight.zero_()
    network.noise.bias.zero_()
    return network


@pytest.mark.parametrize("light", [0.0, 0.4, 1.0])
def test_uniform_frames_stay_uniform_without_the_noise_pattern(light):
    network = without_noise()
    image = network(torch.full((1, 3, 35, 50), light), network.parameters_at(0))
    torch.testing.assert_close(image, image[..., :1, :1].expand_as(image), atol=1e-5, rtol=0)


def test_the_noise_pattern_gives_uniform_frames_texture(network):
    assert network(torch.full((1, 3, 35, 50), 0.5), network.parameters_at(0)).std(dim=(-2, -1)).max() > 1e-3


def test_no_position_is_special_in_training():
    network, frame = without_noise().train(), torch.rand(1, 3, 32, 48)
    moved = network(frame.roll((16, -32), (-2, -1)), network.parameters_at(0))
    expected = network(frame, network.parameters_at(0)).roll((16, -32), (-2, -1))
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_training_tracks_the_range_of_inputs():
    conv = Conv(3, 4).train()
    for _ in range(400):
        conv(3 * torch.ones(1, 3, 8, 8))
    assert conv.input_range.item() == pytest.approx(3, rel=0.01)


def test_int8_changes_little_and_can_be_undone(photo):
    network = new_network()
    network.train()
    for _ in range(300):
        network(photo[..., :32, :48], network.parameters_at(0))
    network.eval()
    exact = network(photo, network.parameters_at(0))
    rounded = network.quantize()(photo, network.parameters_at(0))
    assert 0 < (rounded - exact).abs().mean() < 0.02
    assert torch.equal(network.quantize(False)(photo, network.parameters_at(0)), exact)


def test_gradients_pass_through_int8(photo):
    network = StyleNetwork(SMALL).train().quantize()
    network(photo[..., :32, :48], network.parameters_at(0)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network.stem.weight.grad.abs().max() > 0


def test_files_contain_int8_weights(network, photo, tmp_path):
    save_network(file := tmp_path / "x.safetensors", network)
    assert is_style_network(file)
    assert load_file(file)["stem.weight"].dtype == torch.int8
    loaded = load_network(file)
    assert loaded.sizes == network.sizes
    style = network.parameters_at(0)
    assert (loaded(photo, style) - network(photo, style)).abs().mean() < 0.01
    save_network(again := tmp_path / "y.safetensors", loaded)
    assert load_file(again)["stem.weight"].equal(load_file(file)["stem.weight"])


def test_blends_are_interpolations_of_weights(tmp_path):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, file in enumerate(files):
        save_network(file, new_network(seed))
    states = [load_network(file).state_dict() for file in files]
    mixed = blend_networks([(files[0], 0.25), (files[1], 0.75)]).state_dict()
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, 0.25 * states[0][name] + 0.75 * states[1][name])


def rewritten(file, change):
    """The file again, with `change` made to its tensors."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    state = load_file(file)
    change(state)
    save_file(state, file, metadata)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("stem.weight"), "does not|do not fit|missing"),
        (lambda state: state.update({"stem.weight_range": torch.zeros(3)}), "does not fit its weights"),
        (lambda state: state.update({"extra": torch.zeros(3)}), "do not fit"),
    ],
)
def test_wrong_files_are_refused(network, tmp_path, change, words):
    save_network(file := tmp_path / "x.safetensors", network)
    rewritten(file, change)
    with pytest.raises(StreamfxError, match=words):
        load_network(file)


def test_sizes_that_exceed_the_file_are_errors(network, tmp_path):
    save_network(file := tmp_path / "x.safetensors", network)
    data = file.read_bytes().replace(b'\\"channels4\\": 8', b'\\"channels4\\": 9')
    file.write_bytes(data)
    with pytest.raises(StreamfxError):
        load_network(file)
    assert not is_style_network(tmp_path / "none.safetensors")


def test_networks_of_different_sizes_cannot_be_blended(network, tmp_path):
    save_network(first := tmp_path / "a.safetensors", network)
    save_network(second := tmp_path / "b.safetensors", new_network(sizes=replace(SMALL, bottleneck=2)))
    with pytest.raises(StreamfxError, match="differ in size"):
        blend_networks([(first, 0.5), (second, 0.5)])

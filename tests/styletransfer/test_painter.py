"""The older style network: sizes, range, styles and their blends, and its files."""

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.inference.weights import load_weights, save_weights
from streamfx.styletransfer.painter import SIZES, Painter, load_painter, mix_painters, save_painter

SMALL = {"channels": 8, "wide": 12, "blocks": 2, "before": 1, "after": 1}


def new_painter(seed=1, **sizes):
    torch.manual_seed(seed)
    return Painter(**{**SMALL, **sizes}).eval().requires_grad_(False)


def some_style(painter, seed):
    return 0.3 * torch.randn(painter.numbers, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def painter():
    return new_painter()


@pytest.fixture(scope="module")
def style(painter):
    return some_style(painter, 2)[None]


@pytest.fixture(scope="module")
def photo():
    """Shapes of even brightness and color."""
    y, x = torch.meshgrid(torch.linspace(0, 6, 40), torch.linspace(0, 8, 56), indexing="ij")
    return (torch.stack([torch.sin(x), torch.sin(y), torch.sin(x + y)]) / 2 + 0.5)[None]


@pytest.fixture
def file(tmp_path, painter):
    """A weights file with two styles, a and b."""
    path = tmp_path / "p.safetensors"
    save_painter(path, painter, {name: some_style(painter, seed) for name, seed in (("a", 3), ("b", 4))})
    return path


# --- the network


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (17, 1), (2, 2), (3, 5), (4, 4), (9, 8), (33, 47), (64, 64)])
@pytest.mark.parametrize("before", [0, 1])
def test_any_size_keeps_its_size_and_range(size, before):
    painter = new_painter(before=before)
    stylized = painter(torch.rand(2, 3, *size), some_style(painter, 1)[None])
    assert stylized.shape == (2, 3, *size)
    assert stylized.isfinite().all()
    assert stylized.min() >= 0
    assert stylized.max() <= 1


@pytest.mark.parametrize("quality", SIZES)
def test_shipped_sizes_run(quality):
    painter = Painter(**SIZES[quality]).eval().requires_grad_(False)
    assert painter(torch.rand(1, 3, 30, 41), torch.zeros(1, painter.numbers)).shape == (1, 3, 30, 41)
    assert sum(painter.layout) == painter.numbers


def test_fast_is_less_than_half_of_fine():
    fine, fast = (sum(p.numel() for p in Painter(**SIZES[quality]).parameters()) for quality in ("fine", "fast"))
    assert fast < fine / 2


def test_no_previous_frame_equals_zeros(painter, style):
    frame = torch.rand(1, 3, 30, 41)
    torch.testing.assert_close(painter(frame, style), painter(frame, style, torch.zeros(1, 4, 30, 41)))


def test_a_previous_frame_changes_the_image(painter, style, photo):
    previous = torch.rand(1, 4, *photo.shape[-2:])
    assert not torch.allclose(painter(photo, style), painter(photo, style, previous))


def test_most_style_parameters_change_the_image(photo):
    painter = Painter(**SMALL).eval()
    style = torch.zeros(1, painter.numbers, requires_grad=True)
    (painter(photo, style) * torch.rand_like(photo)).sum().backward()
    # a shift before an instance norm cancels out, and a channel may be dead
    assert all((part != 0).float().mean() > 0.4 for part in style.grad[0].split(painter.layout))


def test_each_frame_of_a_batch_can_have_its_own_style(painter, photo):
    styles = torch.stack([some_style(painter, 5), some_style(painter, 6)])
    together = painter(photo.expand(2, -1, -1, -1), styles)
    for number in range(2):
        torch.testing.assert_close(together[number : number + 1], painter(photo, styles[number : number + 1]))


def test_runs_are_reproducible(painter, style, photo):
    assert torch.equal(painter(photo, style), painter(photo, style))


def test_the_noise_pattern_is_uncorrelated(painter):
    canvas = painter.canvas
    assert abs(canvas.mean()) < 0.02
    assert abs(canvas.std() - 3**-0.5) < 0.02  # uniform in -1..1
    for shift in ((0, 1), (1, 0), (1, 1), (0, 16)):
        assert abs((canvas * canvas.roll(shift, (-2, -1))).mean()) < 0.02


@pytest.mark.parametrize(("conv", "inputs", "stride"), [("back", 12, 2), ("out", 8, 4)])
def test_new_networks_have_no_checkerboard(painter, conv, inputs, stride):
    """ICNR: the output of a sub-pixel convolution is constant within its square."""
    output = getattr(painter, conv)(torch.rand(1, inputs, 6, 6))
    squares = output.view(1, -1, stride**2, 6, 6)
    torch.testing.assert_close(squares, squares[:, :, :1].expand_as(squares))


def without_noise():
    painter = new_painter()
    painter.grain.weight.zero_()
    painter.grain.bias.zero_()
    return painter


@pytest.mark.parametrize("light", [0.0, 0.4, 1.0])
def test_uniform_frames_stay_uniform_without_the_noise_pattern(light, style):
    stylized = without_noise()(torch.full((1, 3, 35, 50), light), style)
    torch.testing.assert_close(stylized, stylized[..., :1, :1].expand_as(stylized), atol=1e-5, rtol=0)


def test_the_noise_pattern_gives_uniform_frames_texture(painter, style):
    assert painter(torch.full((1, 3, 35, 50), 0.5), style).std(dim=(-2, -1)).max() > 1e-3


def test_no_position_is_special_in_training(photo, style):
    """Rolling the frame rolls the stylized frame, by multiples of the total stride."""
    painter = without_noise().train()
    moved = painter(photo.roll((8, -16), (-2, -1)), style)
    torch.testing.assert_close(moved, painter(photo, style).roll((8, -16), (-2, -1)), atol=1e-5, rtol=0)


# --- files


def test_networks_survive_a_round_trip_through_a_file(painter, style, photo, tmp_path):
    file = tmp_path / "p.safetensors"
    save_painter(file, painter, {"mine": style[0]})
    loaded, styles = load_painter(file)
    assert loaded.sizes == painter.sizes
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert list(styles) == ["mine"]
    torch.testing.assert_close(loaded(photo, styles["mine"][None]), painter(photo, style), atol=5e-3, rtol=0)
    parameters = painter.numbers + sum(p.numel() for p in painter.parameters())
    assert file.stat().st_size < 2 * parameters + 6000  # half precision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, sizes: sizes.update(channels=16), "do not fit this network"),
        (lambda state, sizes: sizes.pop("wide"), "made for another painter"),
        (lambda state, sizes: sizes.update(girth=3), "made for another painter"),
        (lambda state, sizes: state.pop("stem.weight"), "do not fit this network: 'stem.weight'"),
        (lambda state, sizes: state.update(extra=torch.zeros(1)), "do not fit this network: 'extra'"),
        (lambda state, sizes: state.update({"style.b": torch.zeros(7)}), "the style 'b' has not the"),
    ],
)
def test_files_of_other_networks_are_one_line_errors(file, change, message):
    state, sizes = load_weights(file, "painter")
    change(state, sizes)
    save_weights(file, state, "painter", sizes)
    with pytest.raises(StreamfxError) as error:
        load_painter(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:40], lambda data: b"x" * 999])
def test_damaged_files_are_errors(file, damage):
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(StreamfxError, match=r"p\.safetensors is not a valid safetensors file"):
        mix_painters([(file, "a", 1.0)])


# --- blends


def stylize(parts, photo):
    painter, numbers = mix_painters(parts)
    assert numbers.shape == (1, painter.numbers)
    return painter(photo, numbers)


def test_blending_a_style_with_itself_changes_nothing(file, photo):
    alone = stylize([(file, "a", 1.0)], photo)
    torch.testing.assert_close(stylize([(file, "a", 0.3), (file, "a", 0.7)], photo), alone)


def test_styles_of_one_file_blend_their_parameters(file, painter, photo):
    mixed, numbers = mix_painters([(file, "a", 0.25), (file, "b", 0.75)])
    _, styles = load_painter(file)
    torch.testing.assert_close(numbers[0], 0.25 * styles["a"] + 0.75 * styles["b"])
    for key, tensor in load_painter(file)[0].state_dict().items():
        assert torch.equal(mixed.state_dict()[key], tensor)


def test_blending_is_continuous(file, photo):
    ends = [stylize([(file, name, 1.0)], photo) for name in "ab"]
    distance = (ends[0] - ends[1]).abs().max()
    at = {
        share: stylize([(file, "a", share), (file, "b", 1 - share)], photo) for share in (0.0, 0.499, 0.5, 0.501, 1.0)
    }
    torch.testing.assert_close(at[1.0], ends[0])
    torch.testing.assert_close(at[0.0], ends[1])
    for near in (0.499, 0.501):
        assert 0 < (at[near] - at[0.5]).abs().max() < 0.05 * distance


def test_networks_of_two_files_are_interpolated(file, tmp_path, photo):
    other, second = tmp_path / "q.safetensors", new_painter(seed=9)
    save_painter(other, second, {"c": some_style(second, 7)})
    mixed, numbers = mix_painters([(file, "a", 0.2), (other, "c", 0.5), (file, "b", 0.3)])
    first, second = load_painter(file), load_painter(other)
    torch.testing.assert_close(numbers[0], 0.2 * first[1]["a"] + 0.3 * first[1]["b"] + 0.5 * second[1]["c"])
    for key, tensor in mixed.state_dict().items():
        torch.testing.assert_close(tensor, (first[0].state_dict()[key] + second[0].state_dict()[key]) / 2)
    assert not mixed.training
    assert not any(p.requires_grad for p in mixed.parameters())
    near_first = stylize([(file, "a", 0.9999), (other, "c", 0.0001)], photo)
    torch.testing.assert_close(near_first, stylize([(file, "a", 1.0)], photo), atol=5e-3, rtol=0)


def test_blending_a_copy_of_a_file_changes_nothing(file, tmp_path, photo):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(file.read_bytes())
    both = stylize([(file, "a", 0.5), (copy, "a", 0.5)], photo)
    torch.testing.assert_close(both, stylize([(file, "a", 1.0)], photo), atol=1e-5, rtol=0)


def test_unknown_styles_are_errors(file):
    with pytest.raises(StreamfxError, match=r"unknown style in .*p\.safetensors 'vangogh'; known: a, b"):
        mix_painters([(file, "vangogh", 1.0)])


def test_networks_of_different_sizes_cannot_be_blended(file, tmp_path):
    other, larger = tmp_path / "q.safetensors", new_painter(channels=16)
    save_painter(other, larger, {"c": some_style(larger, 7)})
    with pytest.raises(
        StreamfxError, match=r"q\.safetensors cannot be blended with .*p\.safetensors: .* differ in size"
    ):
        mix_painters([(file, "a", 0.5), (other, "c", 0.5)])

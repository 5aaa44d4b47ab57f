"""Contact sheets: their layout, the photos that they sample, and thumbnails."""

import pytest
import torch
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.styletransfer.network import Sizes, StyleNetwork
from streamfx.styletransfer.training.contact_sheets import stylize, write_grid, write_sheet, write_thumbnail
from streamfx.styletransfer.training.images import load_image

SMALL = Sizes(8, 8, 8, encoder4=0, encoder8=0, bottleneck=0, decoder8=0, decoder4=0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    network = StyleNetwork(SMALL)
    network.style.data.normal_(0, 0.3)
    return network


def uniform(value, height=30, width=40):
    """A photo [3, H, W] uint8."""
    return torch.full((3, height, width), value, dtype=torch.uint8)


def plane(value, height=10, width=8):
    """An image [3, H, W] 0..1."""
    return torch.full((3, height, width), value)


def gray(file):
    return load_image(file)[0].int()


def test_grids_have_no_gaps(tmp_path):
    write_grid(file := tmp_path / "grid.png", [[plane(0.2), plane(0.4)], [plane(0.6), plane(0.8)]])
    pixels = gray(file)
    assert pixels.shape == (20, 16)
    cells = [pixels[:10, :8], pixels[:10, 8:], pixels[10:, :8], pixels[10:, 8:]]
    assert [cell.unique().tolist() for cell in cells] == [[51], [102], [153], [204]]


def test_columns_are_as_wide_as_their_widest_image(tmp_path):
    rows = [[plane(1.0, width=4), plane(1.0, width=6)], [plane(1.0, width=9), plane(1.0, width=2)]]
    write_grid(file := tmp_path / "grid.png", rows)
    pixels = gray(file)
    assert pixels.shape == (20, 15)
    assert [int((row > 0).sum()) for row in (pixels[0], pixels[10])] == [10, 11]  # the rest is black
    assert pixels[0].nonzero().flatten().tolist() == [*range(4), *range(9, 15)]


def test_values_are_rounded_and_clamped(tmp_path):
    image = torch.tensor([-0.5, 0.0, 0.4999, 0.5021, 1.0, 7.0]).expand(3, 2, 6)
    write_grid(file := tmp_path / "grid.png", [[image]])
    assert gray(file)[0].tolist() == [0, 0, 127, 128, 255, 255]


@pytest.mark.parametrize(
    ("count", "sampled", "rows"),
    [(1, [0], 1), (3, [0, 1, 2], 1), (10, [0, 1, 2, 3, 5, 6, 7, 8], 2)],
)
def test_sheets_show_up_to_eight_photos_above_their_stylized_frames(count, sampled, rows, network, tmp_path):
    photos = [uniform(10 * number) for number in range(count)]
    write_sheet(file := tmp_path / "sheet.png", network, photos)
    pixels = gray(file)
    columns = min(4, len(sampled))
    assert pixels.shape == (2 * 480 * rows, 640 * columns)
    for number, photo in enumerate(sampled):
        top, left = number // 4 * 960, number % 4 * 640
        assert pixels[top : top + 480, left : left + 640].unique().tolist() == [10 * photo]
    assert pixels[480:960, :640].float().std() > 0  # the noise pattern gives stylized frames texture


def test_wide_and_tall_photos_are_fitted(network, tmp_path):
    write_sheet(file := tmp_path / "sheet.png", network, [uniform(255, 30, 90), uniform(255, 60, 30)])
    first = gray(file)[0]
    assert len(first) == 720 + 240  # 1440 wide at this height, cut to the largest width
    assert first.unique().tolist() == [255]


def test_stylized_frames_equal_those_of_the_network(network):
    photo = torch.rand(3, 24, 32)
    image = stylize(network, photo, 0.5)
    network.eval()
    with torch.no_grad():
        expected = network(photo[None], network.parameters_at(0.5))[0]
    assert (image.shape, image.dtype, image.requires_grad) == (photo.shape, torch.float32, False)
    assert (image - expected).abs().mean() < 0.02  # bfloat16
    assert not torch.equal(stylize(network, photo, 0.0), stylize(network, photo, 1.0))


@pytest.mark.parametrize("training", [True, False])
def test_stylizing_leaves_the_training_mode_alone(training, network):
    network.train(training)
    stylize(network, torch.rand(3, 16, 16), 0.0)
    assert network.training is training


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (320, 240)), ((50, 20), (320, 128)), ((1000, 2), (320, 1))]
)
def test_thumbnails_have_a_fixed_width(size, expected, tmp_path):
    Image.new("RGB", size, (200, 30, 40)).save(tmp_path / "painting.png")
    write_thumbnail(tmp_path / "small.jpg", tmp_path / "painting.png")
    with Image.open(tmp_path / "small.jpg") as thumbnail:
        assert thumbnail.size == expected


def test_unwritable_files_are_errors(tmp_path):
    with pytest.raises(StreamfxError, match=r"cannot write .*grid\.png: No such file or directory"):
        write_grid(tmp_path / "none" / "grid.png", [[plane(0.5)]])
    with pytest.raises(StreamfxError, match="does not exist"):
        write_thumbnail(tmp_path / "small.jpg", tmp_path / "none.png")

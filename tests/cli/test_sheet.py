"""`streamfx sheet`."""

import importlib
import logging
import math

import pytest
import typer
from PIL import ExifTags, Image
from typer.testing import CliRunner

from streamfx.cli._options import Misuse
from streamfx.cli.sheet import PAPER, Tile, draw
from streamfx.errors import StreamfxError
from streamfx.presets import load_preset, preset_files, user_presets

module = importlib.import_module("streamfx.cli.sheet")  # the package has the command under this name
app = typer.Typer()
app.command()(module.sheet)

FAST = ["--quality", "fast", "--width", "64"]
ONE = [*FAST, "--preset", "vangogh"]
OWN = """
kind = "style"
title = "Mine"
license = "CC0"
weights = { fast = "mine.safetensors" }

[[painting]]
file = "mine.jpg"
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small stylized frames, and networks run by torch without compilation."""
    monkeypatch.setattr("streamfx.styletransfer.working_resolution.AREA", 64 * 48)
    for name in ("styletransfer.stylizer", "inference.engine"):
        monkeypatch.setattr(f"streamfx.{name}.build_engine", lambda network, *_, **__: network)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working folder, and no presets of the user's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    home = tmp_path / "work"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def photo(home):
    """A red image, 64x48."""
    Image.new("RGB", (64, 48), (200, 40, 30)).save(home / "photo.png")
    return "photo.png"


@pytest.fixture
def tiles(home, monkeypatch):
    """tiles(*arguments): the tiles that the command draws."""
    drawn = []

    def record(tiles, *sizes):
        drawn.extend(tiles)
        return draw(tiles, *sizes)

    def tiles(*arguments):
        drawn.clear()
        CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        return list(drawn)

    monkeypatch.setattr(module, "draw", record)
    return tiles


def mean_color(image):
    """The mean color, rounded to multiples of 50."""
    pixel = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return tuple(round(value / 50) * 50 for value in pixel)


def test_source_and_all_presets_are_drawn(tiles, photo, home):
    drawn = tiles(photo, "sheet.png", *FAST)
    names = list(preset_files())
    assert [tile.name for tile in drawn] == ["source", *names]
    assert drawn[0].line == "photo.png"
    assert drawn[-1].line == "Vincent van Gogh, The Starry Night, 1889"
    assert {tile.picture.size for tile in drawn} == {(64, 48)}
    assert mean_color(drawn[0].picture) == (200, 50, 50)
    assert len({tile.picture.tobytes() for tile in drawn}) == len(drawn)
    with Image.open(home / "sheet.png") as image:
        assert image.getpixel((0, 0)) == PAPER
        assert image.width > 3 * 64
    assert sorted(path.name for path in home.iterdir()) == ["photo.png", "sheet.png"]


def test_own_presets_replace_shipped_ones(tiles, photo, home):
    user_presets().mkdir(parents=True)
    shipped = load_preset("vangogh")
    (user_presets() / "vangogh.toml").write_text(OWN)
    (user_presets() / "mine.safetensors").write_bytes(shipped.weights("fast").read_bytes())
    drawn = tiles(photo, "sheet.png", *FAST)
    assert drawn[-1].name == "vangogh"
    assert drawn[-1].line == "Mine"


def test_selected_presets_and_blends_are_drawn_in_order(tiles, photo):
    selected = ["--preset", "vangogh", "--preset", "munch:0.3,monet:0.7", "--preset", "cezanne"]
    drawn = tiles(photo, "sheet.png", *FAST, *selected)
    assert [tile.name for tile in drawn] == ["source", "vangogh", "munch 30% + monet 70%", "cezanne"]
    assert drawn[2].line == "Edvard Munch, Claude Monet"


@pytest.mark.parametrize(
    ("name", "format"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.png", "PNG")]
)
def test_file_suffix_selects_the_format(tiles, photo, home, name, format):
    tiles(photo, name, *ONE)
    with Image.open(home / name) as image:
        assert image.format == format
        assert all(abs(value - expected) < 8 for value, expected in zip(image.convert("RGB").getpixel((1, 1)), PAPER))


@pytest.mark.parametrize(("at", "expected"), [("0", (250, 0, 0)), ("1.5", (0, 0, 250)), ("0:00:01.5", (0, 0, 250))])
def test_frame_of_a_video(tiles, clip, at, expected):
    red_blue = "color=red:s=64x48:r=10:d=1[a];color=blue:s=64x48:r=10:d=1[b];[a][b]concat"
    video = clip("two.mp4", "-f", "lavfi", "-i", red_blue, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    drawn = tiles(video, "sheet.png", *ONE, "--at", at)
    assert mean_color(drawn[0].picture) == expected
    assert drawn[0].line == ("two.mp4" if at == "0" else f"two.mp4, at {at}")


def test_rotated_and_anamorphic_sources_are_shown_as_displayed(tiles, ffmpeg, home, moving):
    ffmpeg(*moving(), "-vf", "setsar=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", home / "wide.mp4")
    assert tiles("wide.mp4", "wide.png", *ONE)[0].picture.size == (64, 24)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 48)).save(home / "rotated.jpg", exif=exif)
    assert tiles("rotated.jpg", "rotated.png", *ONE)[0].picture.size == (64, 85)


@pytest.mark.parametrize(("size", "shown"), [((1, 1), (64, 64)), ((20, 400), (5, 102)), ((400, 2), (64, 1))])
def test_extreme_sizes(tiles, home, size, shown):
    Image.new("RGB", size).save(home / "odd.png")
    assert [tile.picture.size for tile in tiles("odd.png", "sheet.png", *ONE)] == [shown, shown]


def test_large_sources_are_scaled_to_the_working_resolution(home, monkeypatch, tiles):
    monkeypatch.setattr("streamfx.styletransfer.working_resolution.AREA", 120 * 90)
    Image.new("RGB", (1600, 1200)).save(home / "large.png")
    shapes = []
    monkeypatch.setattr(module, "_stylize", lambda frame, *_, **__: shapes.append(frame.image.shape) or [])
    tiles("large.png", "sheet.png", *ONE)
    assert shapes == [(3, 90, 120)]


def test_transparent_parts_show_the_sheet(tiles, home):
    Image.new("RGBA", (64, 48), (200, 40, 30, 0)).save(home / "glass.png")
    drawn = tiles("glass.png", "sheet.png", *ONE)
    assert [tile.picture.getpixel((9, 9)) for tile in drawn] == [PAPER, PAPER]


def test_source_from_stdin(streamfx, photo, home):
    done = streamfx("sheet", "-", "sheet.png", *ONE, stdin=(home / photo).read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", "")
    with Image.open(streamfx.home / "sheet.png") as image:
        assert image.width > 64


# --- errors and skipped presets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", "sheet.png"], "no such file: 'none.jpg'"),
        (["text.txt", "sheet.png"], "text.txt"),
        (["photo.png", "sheet.mp4"], "'sheet.mp4' must end in one of .png .jpg .jpeg .webp"),
        (["photo.png", "sheet"], "'sheet' must end in one of"),
        (["photo.png", "-"], "'-' must end in one of"),
        (["photo.png", "%03d.png"], "a sheet is one image"),
        (["photo.png", "nowhere/sheet.png"], "folder 'nowhere' not found; create it first"),
        (["photo.png", "photo.png", "-y"], "is the input itself"),
        (["photo.png", "kept.png"], "'kept.png' exists; give -y"),
        (["photo.png", "kept.png", "-y", "--preset", "vangoh"], "unknown preset 'vangoh'; did you mean vangogh"),
        (["photo.png", "kept.png", "-y", "--preset", "vangogh:0"], "the sum must be finite and above 0"),
        (["photo.png", "kept.png", "-y", "--device", "gpu"], "unknown device 'gpu'"),
        (["photo.png", "kept.png", "-y", "--at", "5"], "no frame of 'photo.png' after 5 s can be decoded"),
        (["photo.png", "kept.png", "-y", "--at", "soon"], "'soon' is not a time"),
    ],
)
def test_errors_are_one_line_and_change_no_files(home, photo, arguments, message):
    (home / "text.txt").write_text("This is not an image.\n" * 50)
    (home / "kept.png").write_bytes(b"kept")
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    error = CliRunner().invoke(app, [*arguments, *FAST[2:]]).exception
    assert isinstance(error, Misuse if "soon" in arguments else StreamfxError)
    assert message in str(error)
    assert "\n" not in str(error)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before


@pytest.mark.parametrize(
    "arguments", [["--width", "9"], ["--columns", "0"], ["--stroke", "3"], ["--columns", "two"], ["--at"]]
)
def test_misuse_exits_with_2(photo, arguments):
    assert CliRunner().invoke(app, [photo, "sheet.png", *arguments]).exit_code == 2


def test_y_overwrites(tiles, photo, home):
    (home / "sheet.png").write_bytes(b"old")
    tiles(photo, "sheet.png", "-y", *ONE)
    with Image.open(home / "sheet.png") as image:
        assert image.format == "PNG"


def test_presets_without_usable_weights_are_skipped_with_a_warning(tiles, photo, caplog):
    user_presets().mkdir(parents=True)
    (user_presets() / "mine.toml").write_text(OWN)
    (user_presets() / "slow.toml").write_text(OWN.replace("fast =", "fine ="))
    (user_presets() / "torn.toml").write_text(OWN.replace("mine.s", "torn.s"))
    (user_presets() / "torn.safetensors").write_bytes(b"torn")
    with caplog.at_level(logging.WARNING, "streamfx"):
        names = [tile.name for tile in tiles(photo, "sheet.png", *FAST)]
    assert "vangogh" in names
    assert not {"mine", "slow", "torn"} & set(names)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    for line, name, reason in zip(lines, ("mine", "slow", "torn"), ("not found", "no fast network", "safetensors")):
        assert line.startswith(f"skipping preset {name}: ")
        assert reason in line


def test_selected_presets_without_weights_are_errors(tiles, photo, home):
    user_presets().mkdir(parents=True)
    (user_presets() / "mine.toml").write_text(OWN)
    with pytest.raises(StreamfxError, match=r"not found: .*mine\.safetensors"):
        tiles(photo, "sheet.png", *FAST, "--preset", "vangogh", "--preset", "mine")
    assert not (home / "sheet.png").exists()


# --- drawing


def green_tiles(number, size=(80, 60)):
    return [Tile(Image.new("RGB", size, (0, 90, 0)), f"name {i}", "a line") for i in range(number)]


def top_left_corners(sheet):
    """(x, y) of the top left corners of green tiles, row by row."""
    pixels = sheet.load()
    return [
        (x, y)
        for y in range(1, sheet.height)
        for x in range(1, sheet.width)
        if pixels[x, y] == (0, 90, 0) and pixels[x - 1, y] == PAPER and pixels[x, y - 1] == PAPER
    ]


@pytest.mark.parametrize(("number", "columns"), [(1, 1), (3, 2), (9, 3), (9, 5), (9, 20)])
def test_tiles_are_arranged_in_rows_with_equal_margins(number, columns):
    sheet = draw(green_tiles(number), 80, columns)
    corners = top_left_corners(sheet)
    row = min(columns, number)
    assert len(corners) == number
    assert len({x for x, _ in corners}) == row
    assert len({y for _, y in corners}) == -(-number // row)
    assert corners[0][0] == corners[0][1] == round(module.MARGIN * 80)
    assert sheet.width - max(x for x, _ in corners) - 80 == corners[0][0]


def test_default_columns_give_a_good_aspect_ratio():
    for size in ((160, 90), (90, 160), (100, 100)):
        sheet = draw(green_tiles(9, size), max(size))
        assert abs(math.log(sheet.width / sheet.height / 1.3)) < 0.6


def test_names_stay_below_their_own_tile():
    tiles = [Tile(Image.new("RGB", (80, 60), (0, 90, 0)), "a very long name " * 9, "Cézanne " * 20)] * 2
    sheet = draw(tiles, 80, 2)
    (left, top), (right, _) = top_left_corners(sheet)
    below = sheet.crop((left, top + 60, left + 80, sheet.height))
    assert below.convert("L").getextrema()[0] < 100
    assert sheet.crop((left + 81, 0, right, sheet.height)).getcolors() == [((right - left - 81) * sheet.height, PAPER)]


def test_characters_missing_in_the_font_are_replaced():
    font = module._font(20)
    assert module._fit("Cézanne, Hašek", font, 500) == "Cezanne, Hasek"
    assert module._fit("北斎\n", font, 500) == "???"
    assert module._fit("hello world", font, 50).endswith("…")
    assert module._fit("hello", font, 1) == "…"

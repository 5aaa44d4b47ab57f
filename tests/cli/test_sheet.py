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
    """Painted small and by torch itself, where nothing need be compiled: here it is about the sheet."""
    monkeypatch.setattr("streamfx.styletransfer.working_resolution.AREA", 64 * 48)
    monkeypatch.setattr("streamfx.inference.engine.build_engine", lambda painter, *_: painter)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in; the user has no presets."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    home = tmp_path / "work"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def photo(home):
    """A red picture of 64x48."""
    Image.new("RGB", (64, 48), (200, 40, 30)).save(home / "photo.png")
    return "photo.png"


@pytest.fixture
def tiles(home, monkeypatch):
    """tiles(*arguments): the tiles that the command puts on a sheet."""
    found = []

    def drawing(given, *sizes):
        found.extend(given)
        return draw(given, *sizes)

    def tiles(*arguments):
        found.clear()
        CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        return list(found)

    monkeypatch.setattr(module, "draw", drawing)
    return tiles


def colour(picture):
    """The mean colour, to the nearest fifty."""
    pixel = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return tuple(round(value / 50) * 50 for value in pixel)


def test_all_presets_behind_the_source(tiles, photo, home):
    made = tiles(photo, "sheet.png", *FAST)
    names = list(preset_files())
    assert [tile.name for tile in made] == ["source", *names]
    assert made[0].line == "photo.png"
    assert made[-1].line == "Vincent van Gogh, The Starry Night, 1889"
    assert {tile.picture.size for tile in made} == {(64, 48)}
    assert colour(made[0].picture) == (200, 50, 50)
    assert len({tile.picture.tobytes() for tile in made}) == len(made)
    with Image.open(home / "sheet.png") as picture:
        assert picture.getpixel((0, 0)) == PAPER
        assert picture.width > 3 * 64
    assert sorted(path.name for path in home.iterdir()) == ["photo.png", "sheet.png"]


def test_own_presets_are_shown_too(tiles, photo, home):
    user_presets().mkdir(parents=True)
    shipped_one = load_preset("vangogh")
    (user_presets() / "vangogh.toml").write_text(OWN)  # instead of the shipped one of this name
    (user_presets() / "mine.safetensors").write_bytes(shipped_one.weights("fast").read_bytes())
    made = tiles(photo, "sheet.png", *FAST)
    assert made[-1].name == "vangogh"
    assert made[-1].line == "Mine"


def test_chosen_presets_and_blends_in_the_order_given(tiles, photo):
    chosen = ["--preset", "vangogh", "--preset", "munch:0.3,monet:0.7", "--preset", "cezanne"]
    made = tiles(photo, "sheet.png", *FAST, *chosen)
    assert [tile.name for tile in made] == ["source", "vangogh", "munch 30% + monet 70%", "cezanne"]
    assert made[2].line == "Edvard Munch, Claude Monet"


@pytest.mark.parametrize(
    ("name", "format"), [("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.png", "PNG")]
)
def test_the_ending_names_the_format(tiles, photo, home, name, format):
    tiles(photo, name, *ONE)
    with Image.open(home / name) as picture:
        assert picture.format == format
        assert all(abs(one - other) < 8 for one, other in zip(picture.convert("RGB").getpixel((1, 1)), PAPER))


@pytest.mark.parametrize(("at", "wanted"), [("0", (250, 0, 0)), ("1.5", (0, 0, 250)), ("0:00:01.5", (0, 0, 250))])
def test_a_frame_of_a_video(tiles, clip, at, wanted):
    two = "color=red:s=64x48:r=10:d=1[a];color=blue:s=64x48:r=10:d=1[b];[a][b]concat"
    film = clip("two.mp4", "-f", "lavfi", "-i", two, "-c:v", "libx264", "-pix_fmt", "yuv420p")
    made = tiles(film, "sheet.png", *ONE, "--at", at)
    assert colour(made[0].picture) == wanted
    assert made[0].line == ("two.mp4" if at == "0" else f"two.mp4, at {at}")


def test_turned_and_anamorphic_sources_are_shown_as_players_show_them(tiles, ffmpeg, home, moving):
    ffmpeg(*moving(), "-vf", "setsar=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", home / "wide.mp4")
    assert tiles("wide.mp4", "wide.png", *ONE)[0].picture.size == (64, 24)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 48)).save(home / "turned.jpg", exif=exif)
    assert tiles("turned.jpg", "turned.png", *ONE)[0].picture.size == (64, 85)


@pytest.mark.parametrize(("size", "shown"), [((1, 1), (64, 64)), ((20, 400), (5, 102)), ((400, 2), (64, 1))])
def test_odd_sizes(tiles, home, size, shown):
    Image.new("RGB", size).save(home / "odd.png")
    assert [tile.picture.size for tile in tiles("odd.png", "sheet.png", *ONE)] == [shown, shown]


def test_a_large_source_is_seen_no_larger_than_it_is_painted(home, monkeypatch, tiles):
    monkeypatch.setattr("streamfx.styletransfer.working_resolution.AREA", 120 * 90)
    Image.new("RGB", (1600, 1200)).save(home / "large.png")
    seen = []
    monkeypatch.setattr(module, "_painted", lambda frame, *_, **__: seen.append(frame.image.shape) or [])
    tiles("large.png", "sheet.png", *ONE)
    assert seen == [(3, 90, 120)]


def test_transparency_shows_the_paper(tiles, home):
    Image.new("RGBA", (64, 48), (200, 40, 30, 0)).save(home / "glass.png")
    made = tiles("glass.png", "sheet.png", *ONE)
    assert [tile.picture.getpixel((9, 9)) for tile in made] == [PAPER, PAPER]


def test_from_stdin_by_the_real_command(streamfx, photo, home):
    done = streamfx("sheet", "-", "sheet.png", *ONE, stdin=(home / photo).read_bytes())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", "")
    with Image.open(streamfx.home / "sheet.png") as picture:
        assert picture.width > 64


# --- what is refused, and what is left out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", "sheet.png"], "no such file: 'none.jpg'"),
        (["text.txt", "sheet.png"], "text.txt"),
        (["photo.png", "sheet.mp4"], "'sheet.mp4' must end in one of .png .jpg .jpeg .webp"),
        (["photo.png", "sheet"], "'sheet' must end in one of"),
        (["photo.png", "-"], "'-' must end in one of"),
        (["photo.png", "%03d.png"], "a sheet is one picture"),
        (["photo.png", "nowhere/sheet.png"], "no folder 'nowhere'"),
        (["photo.png", "photo.png", "-y"], "is the input itself"),
        (["photo.png", "kept.png"], "'kept.png' exists; give -y"),
        (["photo.png", "kept.png", "-y", "--preset", "vangoh"], "unknown preset 'vangoh'; did you mean vangogh"),
        (["photo.png", "kept.png", "-y", "--preset", "vangogh:0"], "at least one must be above 0"),
        (["photo.png", "kept.png", "-y", "--device", "gpu"], "unknown device 'gpu'"),
        (["photo.png", "kept.png", "-y", "--at", "5"], "no picture from 5 s on"),
        (["photo.png", "kept.png", "-y", "--at", "soon"], "'soon' is no time"),
    ],
)
def test_bad_input_is_one_line_and_harms_nothing(home, photo, arguments, message):
    (home / "text.txt").write_text("Once upon a time there was no picture.\n" * 50)
    (home / "kept.png").write_bytes(b"precious")
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


def test_overwriting_when_asked(tiles, photo, home):
    (home / "sheet.png").write_bytes(b"old")
    tiles(photo, "sheet.png", "-y", *ONE)
    with Image.open(home / "sheet.png") as picture:
        assert picture.format == "PNG"


def test_a_preset_without_weights_is_left_out_by_name(tiles, photo, caplog):
    user_presets().mkdir(parents=True)
    (user_presets() / "mine.toml").write_text(OWN)
    (user_presets() / "slow.toml").write_text(OWN.replace("fast =", "fine ="))
    (user_presets() / "torn.toml").write_text(OWN.replace("mine.s", "torn.s"))
    (user_presets() / "torn.safetensors").write_bytes(b"torn")
    with caplog.at_level(logging.WARNING, "streamfx"):
        names = [tile.name for tile in tiles(photo, "sheet.png", *FAST)]
    assert "vangogh" in names
    assert not {"mine", "slow", "torn"} & set(names)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    for line, name, word in zip(said, ("mine", "slow", "torn"), ("missing", "no fast painter", "safetensors")):
        assert line.startswith(f"the preset {name} is left out: ")
        assert word in line


def test_a_preset_that_was_asked_for_is_not_left_out(tiles, photo, home):
    user_presets().mkdir(parents=True)
    (user_presets() / "mine.toml").write_text(OWN)
    with pytest.raises(StreamfxError, match=r"mine\.safetensors are missing"):
        tiles(photo, "sheet.png", *FAST, "--preset", "vangogh", "--preset", "mine")
    assert not (home / "sheet.png").exists()


# --- the drawing


def some(number, size=(80, 60)):
    return [Tile(Image.new("RGB", size, (0, 90, 0)), f"name {i}", "a line") for i in range(number)]


def greens(sheet):
    """Corners of the tiles: where green begins, row by row."""
    pixels = sheet.load()
    return [
        (x, y)
        for y in range(1, sheet.height)
        for x in range(1, sheet.width)
        if pixels[x, y] == (0, 90, 0) and pixels[x - 1, y] == PAPER and pixels[x, y - 1] == PAPER
    ]


@pytest.mark.parametrize(("number", "columns"), [(1, 1), (3, 2), (9, 3), (9, 5), (9, 20)])
def test_tiles_stand_in_rows_with_equal_margins(number, columns):
    sheet = draw(some(number), 80, columns)
    corners = greens(sheet)
    across = min(columns, number)
    assert len(corners) == number
    assert len({x for x, _ in corners}) == across
    assert len({y for _, y in corners}) == -(-number // across)
    assert corners[0][0] == corners[0][1] == round(module.MARGIN * 80)
    assert sheet.width - max(x for x, _ in corners) - 80 == corners[0][0]


def test_columns_are_chosen_for_the_shape():
    for size in ((160, 90), (90, 160), (100, 100)):
        sheet = draw(some(9, size), max(size))
        assert abs(math.log(sheet.width / sheet.height / 1.3)) < 0.6


def test_names_are_written_below_and_never_reach_the_next_tile():
    tiles = [Tile(Image.new("RGB", (80, 60), (0, 90, 0)), "a very long name " * 9, "Cézanne " * 20)] * 2
    sheet = draw(tiles, 80, 2)
    (left, top), (right, _) = greens(sheet)
    below = sheet.crop((left, top + 60, left + 80, sheet.height))
    assert below.convert("L").getextrema()[0] < 100
    assert sheet.crop((left + 81, 0, right, sheet.height)).getcolors() == [((right - left - 81) * sheet.height, PAPER)]


def test_letters_that_the_font_lacks_are_replaced():
    font = module._font(20)
    assert module._fitted("Cézanne, Hašek", font, 500) == "Cezanne, Hasek"
    assert module._fitted("北斎\n", font, 500) == "???"
    assert module._fitted("hello world", font, 50).endswith("…")
    assert module._fitted("hello", font, 1) == "…"

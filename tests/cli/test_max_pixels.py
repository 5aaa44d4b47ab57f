"""--max-pixels: the numbers it accepts, and the commands that have it."""

from fractions import Fraction

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streamfx.cli import app
from streamfx.cli._max_pixels import MAX_PIXELS, MaxPixels, parse_pixels
from streamfx.errors import Misuse, StreamfxError
from streamfx.media.limits import DEFAULT_MAX_PIXELS, check_size, limit_pixels


@pytest.fixture(autouse=True)
def _default_limit():
    yield
    limit_pixels(DEFAULT_MAX_PIXELS)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8192x8192", 8192**2),
        (" 640X480 ", 307_200),
        ("1M", 10**6),
        ("1.5m", 1_500_000),
        ("500k", 500_000),
        ("7", 7),
        ("2G", 2 * 10**9),
        ("1.9", 1),
        ("0.0015k", 1),
    ],
)
def test_pixel_limits_are_parsed(text, count):
    assert parse_pixels(text) == count
    assert parse_pixels(MAX_PIXELS) == DEFAULT_MAX_PIXELS


NEAR_MISSES = ["0", "0x100", "100x0", "1T", "-5", "1e9", "nan", "8192x", "9x9x9", "1Mx1M", "1.", ".5M", "0.5", "٣"]


@pytest.mark.parametrize("text", [*NEAR_MISSES, "", "8192 x", "5\n6", "9" * 40])
def test_invalid_pixel_limits_are_rejected(text):
    with pytest.raises(Misuse) as error:
        parse_pixels(text)
    assert str(error.value) == f"'{text}' is not a number of pixels; give WIDTHxHEIGHT (8192x8192) or a count (1M)"


@given(st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1))
def test_a_size_is_its_number_of_pixels(width, height):
    assert parse_pixels(f"{width}x{height}") == parse_pixels(f"{height}X{width}") == width * height


@given(st.integers(1, 10**12 - 1), st.integers(0, 999), st.sampled_from([("k", 3), ("m", 6), ("G", 9)]))
def test_units_are_powers_of_ten(whole, thousandths, unit):
    letter, exponent = unit
    count = (whole + Fraction(thousandths, 1000)) * 10**exponent
    assert parse_pixels(f"{whole}.{thousandths:03d}{letter}") == count


@given(st.text(max_size=8) | st.text("0123456789.xXkKmMgG ", max_size=12))
def test_any_text_is_a_number_of_pixels_or_misuse(text):
    try:
        count = parse_pixels(text)
    except Misuse:
        return
    assert count >= 1
    assert any(character in "123456789" for character in text)


def test_the_option_sets_the_limit():
    single = typer.Typer()

    @single.command()
    def open_image(max_pixels: MaxPixels = MAX_PIXELS):
        check_size("in.png", 100, 100)

    def run(*options):
        return CliRunner().invoke(single, options).exception

    assert run("--max-pixels", "10k") is None
    error = run("--max-pixels", "99x101")
    assert isinstance(error, StreamfxError)
    assert "100x100 pixels, but the limit is 9999; raise it with --max-pixels" in str(error)
    assert run() is None  # back to the default
    assert isinstance(run("--max-pixels", "many"), Misuse)


def test_all_commands_that_read_images_have_the_option():
    commands = typer.main.get_command(app).commands
    without = {name for name, command in commands.items() if "max_pixels" not in {p.name for p in command.params}}
    # live has the default limit, batch takes any option, and the studio's renders have that of the commands
    assert without == {"presets", "effects", "doctor", "models", "demo", "live", "batch", "studio"}

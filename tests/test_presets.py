"""Presets: shipped ones, the user's own, files, blends, and error messages for invalid ones."""

import logging
import math
from contextlib import suppress
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from streamfx.errors import StreamfxError
from streamfx.presets import load_preset, parse_blend, preset_files, presets, user_presets
from streamfx.resources import resource
from streamfx.settings import QUALITIES
from streamfx.styletransfer.network import is_style_network, load_network
from streamfx.styletransfer.painter import mix_painters

MASTERS = ["cezanne", "hokusai", "monet", "munch", "renoir", "seurat", "turner", "vangogh"]
GOOD = """
kind = "style"
title = "Mine"
license = "CC0"
weights = { fine = "mine.safetensors" }

[[painting]]
file = "mine.jpg"
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's preset folder, empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = user_presets()
    assert tmp_path in folder.parents
    folder.mkdir(parents=True)
    return folder


# --- shipped presets


def test_eight_masters_are_shipped():
    assert list(preset_files()) == MASTERS


def test_timelines_are_listed_separately(own):
    assert list(preset_files("timeline")) == ["tabea"]
    assert preset_files("timeline")["tabea"] == resource("presets") / "tabea.toml"
    with pytest.raises(StreamfxError, match="streamfx render tabea"):
        load_preset("tabea")
    (own / "broken.toml").write_text("kind = ")
    assert "broken" in preset_files()


@pytest.mark.parametrize("name", MASTERS)
def test_shipped_presets_are_complete(name):
    preset = load_preset(str(resource("presets") / f"{name}.toml"))
    style = preset.style
    assert all((style.title, style.artist, style.year, style.license))
    assert all(painting.title for painting in style.painting)
    assert set(style.weights) == set(QUALITIES)
    assert preset.thumbnail == preset.path.with_name(f"{name}.jpg")
    with Image.open(preset.thumbnail) as thumbnail:
        assert (thumbnail.format, thumbnail.width) == ("JPEG", 320)
    assert preset.thumbnail.stat().st_size < 30_000


@pytest.mark.parametrize("quality", QUALITIES)
def test_shipped_presets_stylize_differently(quality):
    files = {name: load_preset(str(resource("presets") / f"{name}.toml")).weights(quality) for name in MASTERS}
    torch.manual_seed(0)
    photo = torch.rand(1, 3, 48, 64)
    stylized = {}
    for name, file in files.items():
        if is_style_network(file):
            network = load_network(file)
            stylized[name] = network(photo, network.parameters_at(0))
        else:
            painter, parameters = mix_painters([(file, name, 1.0)])
            stylized[name] = painter(photo, parameters)
        assert stylized[name].shape == photo.shape
        assert stylized[name].isfinite().all()
        assert stylized[name].std() > 0.01
    for name, other in pairwise(MASTERS):
        assert (stylized[name] - stylized[other]).abs().mean() > 1e-3


def test_shipped_presets_are_small():
    assert sum(file.stat().st_size for file in resource("presets").iterdir()) < 48 * 2**20


def test_preset_folder_has_no_unused_files():
    used = {*preset_files("timeline").values(), *preset_files("dream").values()}
    for name in MASTERS:
        preset = load_preset(str(resource("presets") / f"{name}.toml"))
        used |= {preset.path, preset.thumbnail, preset.targets, *map(preset.weights, preset.style.weights)}
    assert set(resource("presets").iterdir()) == used


# --- locations of presets


def test_own_presets_replace_shipped_ones_of_the_same_name(own):
    (own / "mine.toml").write_text(GOOD)
    assert load_preset("mine").weights("fine") == own / "mine.safetensors"
    assert [p.name for p in presets()] == sorted([*MASTERS, "mine"])
    (own / "vangogh.toml").write_text(GOOD)
    assert load_preset("vangogh").style.title == "Mine"


def test_thumbnails_are_optional(own):
    (own / "mine.toml").write_text(GOOD)
    assert load_preset("mine").thumbnail is None
    (own / "mine.jpg").write_bytes(b"")
    assert load_preset("mine").thumbnail == own / "mine.jpg"


def test_old_spellings_of_artist_and_license_are_read(own):
    (own / "mine.toml").write_text('painter = "Me"\n' + GOOD.replace("license", "licence"))
    style = load_preset("mine").style
    assert (style.artist, style.license) == ("Me", "CC0")


@pytest.mark.usefixtures("own")
def test_presets_can_be_given_as_files(tmp_path):
    file = tmp_path / "other.toml"
    file.write_text(GOOD + "[training]\nminutes = 3\n")
    preset = load_preset(str(file))
    assert (preset.name, preset.style.training.minutes) == ("other", 3)


def test_a_byte_order_mark_is_ignored(tmp_path, own):
    for folder in (tmp_path, own):
        (folder / "other.toml").write_text("\ufeff" + GOOD, encoding="utf-8")
    assert load_preset(str(tmp_path / "other.toml")).style == load_preset("other").style
    (own / "tour.toml").write_text('\ufeffkind = "timeline"\n', encoding="utf-8")
    assert "tour" in preset_files("timeline")


def test_missing_quality_names_an_existing_one(own):
    (own / "mine.toml").write_text(GOOD)
    with pytest.raises(StreamfxError, match="preset mine has no fast network; use --quality fine"):
        load_preset("mine").weights("fast")


@pytest.mark.usefixtures("own")
def test_unknown_names_suggest_similar_ones():
    with pytest.raises(StreamfxError, match="unknown preset 'vangoh'; did you mean vangogh"):
        load_preset("vangoh")


def test_invalid_own_presets_are_skipped_with_a_warning(own, caplog):
    (own / "broken.toml").write_text("kind = ")
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert "broken" not in [p.name for p in presets()]
    assert "broken.toml is not valid TOML" in caplog.text


# --- errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind = ", "is not valid TOML"),
        ("wieghts = 1\n" + GOOD, "unknown key 'wieghts'; known: kind, title, artist"),
        (GOOD + "[training]\nminuts = 1", "unknown key 'training.minuts'; known: crop, batch"),
        (GOOD + "[training]\nminutes = -1", "'training.minutes': input should be greater than 0"),
        (GOOD + "[training]\ncrop = 48", "'training.crop': input should be greater than or equal to 64"),
        (GOOD + "hight = 700", "unknown key 'painting.0.hight'; known: file, title, year, height"),
        (GOOD + "height = 7", "'painting.0.height': input should be greater than or equal to 32"),
        (GOOD.replace('file = "mine.jpg"', ""), "the key 'painting.0.file' is missing"),
        (GOOD[: GOOD.index("[[")], "the key 'painting' is missing"),
        (GOOD.replace('"style"', '"video"'), "'kind': input should be 'style'"),
        (GOOD.replace('title = "Mine"', ""), "the key 'title' is missing"),
        (GOOD.replace('"Mine"', "[1]"), "'title': input should be a valid string"),
        (GOOD.replace('"mine.s', '"../mine.s'), "'weights.fine': "),
        (GOOD.replace("fine =", "finest ="), "'weights.finest"),
        (GOOD.replace('{ fine = "mine.safetensors" }', '"mine.safetensors"'), "'weights': "),
        (GOOD.replace('fine = "mine.safetensors"', ""), "'weights': "),
    ],
)
def test_errors_are_one_line(tmp_path, text, message):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(StreamfxError) as error:
        load_preset(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_binary_files_are_errors(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read the preset"):
        load_preset(str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StreamfxError, match="is not valid TOML"):
        load_preset(str(tmp_path / "bytes.toml"))


# --- blends

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,12}(\.toml)?", fullmatch=True)
shares = st.floats(0.001, 1000).map(lambda number: f"{number:.4f}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("vangogh", [("vangogh", 1)]),
        ("vangogh:0.6,munch:0.4", [("vangogh", 0.6), ("munch", 0.4)]),
        ("vangogh:3,munch:1", [("vangogh", 0.75), ("munch", 0.25)]),
        ("vangogh,munch", [("vangogh", 0.5), ("munch", 0.5)]),
        (" vangogh : .5 , munch : 1. ", [("vangogh", 1 / 3), ("munch", 2 / 3)]),
        ("vangogh:1,munch:0", [("vangogh", 1)]),
        ("munch:0.3,munch:0.7", [("munch", 1)]),
        ("own/mine.toml:3,munch", [("own/mine.toml", 0.75), ("munch", 0.25)]),
        (r"C:\own\mine.toml", [(r"C:\own\mine.toml", 1)]),
    ],
)
def test_blends(text, parts):
    assert [name for name, _ in parse_blend(text)] == [name for name, _ in parts]
    assert [share for _, share in parse_blend(text)] == pytest.approx([share for _, share in parts])


@given(st.lists(st.tuples(names, shares), min_size=1, max_size=6, unique_by=lambda part: part[0]))
def test_shares_are_scaled_to_sum_to_one(parts):
    blend = parse_blend(",".join(f"{name}:{share}" for name, share in parts))
    assert [name for name, _ in blend] == [name for name, _ in parts]
    assert sum(share for _, share in blend) == pytest.approx(1)
    total = sum(float(share) for _, share in parts)
    assert [share for _, share in blend] == pytest.approx([float(share) / total for _, share in parts])


@given(st.lists(names, min_size=1, max_size=6, unique=True))
def test_default_shares_are_equal(blended):
    assert parse_blend(",".join(blended)) == [(name, pytest.approx(1 / len(blended))) for name in blended]


@given(st.text(max_size=30))
@example("a:\x1c0")
def test_any_text_is_a_blend_or_a_one_line_error(text):
    try:
        blend = parse_blend(text)
    except StreamfxError as error:
        assert text in str(error)  # noqa: PT017  (both outcomes are valid)
        return
    assert all(name == name.strip() != "" for name, _ in blend)
    assert all(0 < share <= 1 for _, share in blend)
    assert math.isclose(sum(share for _, share in blend), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a preset; give a name, or a blend like vangogh:0.6,munch:0.4"),
        (",", "',' is not a preset"),
        ("vangogh,", "'vangogh,' is not a preset"),
        (":0.5", "':0.5' is not a preset"),
        ("vangogh:0", "the shares of 'vangogh:0' sum to 0; the sum must be finite and above 0"),
        ("vangogh:0,munch:0.0", "sum to 0"),
        ("vangogh:" + "9" * 400, "sum to inf"),
    ],
)
def test_invalid_blends_are_errors(text, message):
    with pytest.raises(StreamfxError) as error:
        parse_blend(text)
    assert message in str(error.value)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", ["vangogh:-1", "vangogh:nan", "vangogh:half", "vangogh:1e3"])
def test_invalid_shares_count_as_part_of_the_name(name):
    assert parse_blend(name) == [(name, 1)]
    with pytest.raises(StreamfxError, match=f"unknown preset '{name}'; did you mean vangogh"):
        load_preset(name)


def test_folder_names_of_preset_files_may_contain_separators(tmp_path):
    folder = tmp_path / "a:1,b"
    folder.mkdir()
    file = folder / "mine.toml"
    file.touch()
    assert parse_blend(str(file)) == [(str(file), 1.0)]


# --- untrusted files


@pytest.mark.parametrize("name", ["../up.safetensors", "/etc/passwd", "a/b.safetensors", "a\\\\b", ""])
@pytest.mark.parametrize("key", ["weights = { fine = '%s' }", "targets = '%s'"])
def test_weight_files_must_be_in_the_folder_of_the_preset(tmp_path, name, key):
    file = tmp_path / "mine.toml"
    line = key.replace("'", '"') % name
    file.write_text(GOOD.replace('weights = { fine = "mine.safetensors" }', line) if "weights" in key else line + GOOD)
    with pytest.raises(StreamfxError, match=r"weights|targets"):
        load_preset(str(file))


def test_huge_files_are_errors(tmp_path):
    file = tmp_path / "mine.toml"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(StreamfxError, match=r"the preset .* is too large"):
        load_preset(str(file))


SYMBOLS = '[ ] [[ ]] { } = , . # " \' """ painting training minutes nan inf -1 1e999 true 1979-05-27'
pieces = st.sampled_from([*GOOD.split(), *SYMBOLS.split(), "\n"])


@given(st.one_of(st.binary(max_size=80), st.lists(pieces, max_size=20).map(lambda words: " ".join(words).encode())))
@example(GOOD.encode().replace(b"mine.jpg", b"\xff\xfe"))
@example(GOOD.encode() + b"[training]\nminutes = nan")
@example(GOOD.encode() + b"[training]\nsteps = 99999999999999999999999999")
@example(b"a=" + b"[" * 2000)
@example(b"a=" + b"9" * 5000)
def test_any_bytes_are_a_preset_or_a_streamfx_error(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    with suppress(StreamfxError):
        load_preset(str(file))

"""Timeline files: the line and key in errors, the files that they name, and the shipped timeline."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan, schedule_tracks
from streamfx.animation.timeline.scene import choose_model
from streamfx.animation.timeline.schema import MergeSection
from streamfx.errors import ParseError, StreamfxError
from streamfx.resources import resource


def test_keys_of_older_files_are_read(load, two_sections):
    text = two_sections.replace("octaves = 2", "octaves = 2\ncentre_x = 0.3")
    first, second = load(text.replace("to = 10", "to = 10\ncentre_y = 0.4")).sections
    assert (first.center_x, first.center_y, second.center_x, second.center_y) == (0.3, 0.4, 0.3, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("to = 10", "too = 10", "too = 10", "section[1].too: unknown key 'too'; did you mean to"),
        ("to = 10", 'to = "x"', 'to = "x"', "section[1].to: 'x'"),
        ("to = 10", "to = 10.5", "to = 10.5", "section[1].to"),
        ("to = 10", "to = 0", "to = 0", "give at least one frame"),
        ("to = 10", 'to = "4b"', '"4b"', "--audio"),
        ("to = 10", 'to = "max_f"', "max_f", "max_f needs audio"),
        ("to = 10", "to = 10\nlength = 3", "length = 3", "not both"),
        ('length = "0.5s"', "", '[[section]]\nname = "two"', "section[2]: give 'to' or 'length'"),
        ("octaves = 2", "octaves = 99", "octaves = 99", "defaults.octaves"),
        ("octaves = 2", "octave = 2", "octave = 2", "did you mean octaves"),
        ('name = "two"', 'name = "one"', 'name = "one"\nstart = "one"', "already used by section 1"),
        ('name = "two"', 'name = "begin"', 'name = "begin"', "already used by a picture"),
        ('start = "one"', 'start = "begn"', "begn", "did you mean begin"),
        ('start = "begin"', 'start = "two"', 'start = "two"', "one -> two -> one"),
        ('start = "begin"', 'start = "begin"\nkind = "dreem"', "dreem", "did you mean dream"),
        ('begin = "begin.png"', "begin = 3", "begin = 3", "pictures.begin"),
        ("fade = 5", "fads = 5", "fads", "section[2].layer[2].fads: unknown key 'fads'"),
        ("size = [64, 48]", "size = [64, 8]", "size", "size[2]"),
        ('name = "two"', 'name = "two"\nfrom = 12', "from = 12", "no section covers frames 10 to 11"),
        ('name = "two"', 'name = "two"\nfrom = 8', "from = 8", "'one' and 'two' both cover frames 8 to 9"),
        ("to = 10", 'to = 10\nfade = [{ to = "#12", share = 1 }]', "#12", "#rrggbb"),
        ("to = 10", "to = 10\nview = [1]", "view", "section[1].view"),
        ("to = 10", "to = 10\ncentre_x = [1]", "centre_x", "section[1].center_x"),
        ("to = 10", "to = 10\nguide = [{ pictures = [], share = 1 }]", "guide", "section[1].guide[1].pictures"),
        ("to = 10", "to = 10\nring = [{ at = 0, radius = [9] }]", "ring", "radius: 'radius' has too few values"),
        ("size = [64, 48]", "size = [64]", "size", "size: 'size' has too few values"),
        ("to = 10", 'to = "5:(1), 9"', 'to = "5', "is a schedule; give a single position"),
    ],
)
def test_errors_state_the_line_and_key(old, new, line, reason, load, two_sections):
    text = two_sections.replace(old, new, 1)
    with pytest.raises(StreamfxError) as error:
        build_plan(load(text), None)
    message = str(error.value)
    assert "\n" not in message
    assert reason in message
    match = re.match(r"video\.toml, line (\d+), ", message)
    assert match, message
    expected = text[: text.index(line)].count("\n") + 1
    assert int(match[1]) == expected, message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kind = ", "is not valid TOML"),
        ('kind = "style"', "is a style preset"),
        ('kind = "timeline"', "'section' is missing"),
        ("a = " + "[" * 2000, "is not valid TOML"),
        ("#" + "x" * 1_000_001, "1000002 bytes"),
    ],
)
def test_files_that_are_not_timelines_are_rejected(text, reason, load):
    with pytest.raises(StreamfxError, match=re.escape(reason)):
        load(text)


def test_a_byte_order_mark_is_ignored(load, two_sections):
    assert load("\ufeff" + two_sections).document == load(two_sections).document


def test_missing_files_and_folders_are_reported(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read the timeline"):
        load_timeline(tmp_path / "none.toml")
    with pytest.raises(StreamfxError, match=r"no such folder.*--assets"):
        load_timeline(resource("presets") / "tabea.toml", tmp_path / "none")


def test_files_are_found_next_to_the_timeline_or_in_assets(load, tmp_path, two_sections):
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "other.png").touch()
    timeline = load(two_sections, assets=folder)
    location = ("pictures", "begin")
    assert timeline.find_file("begin.png", location) == str(tmp_path / "begin.png")
    assert timeline.find_file("other.png", location) == str(folder / "other.png")
    with pytest.raises(StreamfxError, match=r"line 4, pictures.begin: no file 'none.png' in.*--assets"):
        timeline.find_file("none.png", location)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png", "a/../../secret.png", "link/secret.png", "link.png"])
def test_files_outside_the_folders_are_rejected(name, load, two_sections):
    (load.folder / "inside").mkdir()
    (load.folder / "secret.png").touch()
    (load.folder / "inside" / "link").symlink_to(load.folder)
    (load.folder / "inside" / "link.png").symlink_to(load.folder / "secret.png")
    (load.folder / "inside" / "video.toml").write_text(two_sections)
    timeline = load_timeline(load.folder / "inside" / "video.toml")
    with pytest.raises(StreamfxError, match="is outside"):
        timeline.find_file(name, ("pictures", "begin"))


def test_file_urls_are_rejected(load, two_sections):
    with pytest.raises(StreamfxError, match="is not a file path"):
        load(two_sections, network=True).find_file("file:///etc/passwd", ("pictures", "begin"))


@pytest.mark.parametrize("name", ["https://example.org/a.png", "rtsp://x/y"])
def test_urls_need_allow_network(name, load, two_sections):
    with pytest.raises(StreamfxError, match="--allow-network"):
        load(two_sections).find_file(name, ("pictures", "begin"))
    assert load(two_sections, network=True).find_file(name, ("pictures", "begin")) == name


def test_the_shipped_timeline_is_valid():
    timeline = load_timeline(resource("presets") / "tabea.toml")
    assert choose_model(timeline, "lite0").name == "lite0"
    assert choose_model(timeline, "inceptionv1").name == "inceptionv1"
    layers = timeline.document.layers
    assert layers["lite0"]
    assert layers["lite0"].keys() == layers["inceptionv1"].keys()
    plan = build_plan(timeline, None)
    assert (plan.first, plan.stop) == (0, 5446)
    assert [timeline.sections[number].name for number, _ in plan.shown] == [
        "textures",
        "join",
        "backwards",
        "feathers",
        "deeper",
    ]
    assert plan.shown[1][1] == range(961, 1191)
    assert sum(getattr(section, "direction", "") == "backward" for section in timeline.sections) == 1
    (merge,) = (section for section in timeline.sections if isinstance(section, MergeSection))
    assert len(merge.passes) == 7
    schedule_tracks(plan)


@given(st.text(max_size=300))
def test_any_invalid_text_raises_a_one_line_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "random.toml"
    path.write_text(text)
    with pytest.raises(StreamfxError) as error:
        load_timeline(path)
    assert "\n" not in str(error.value)


def test_errors_carry_the_text_and_the_offset_of_the_line(load, two_sections):
    text = two_sections.replace("[pictures]", "fpps = 3\n[pictures]", 1)
    with pytest.raises(ParseError) as caught:
        load(text)
    assert caught.value.text == text
    assert text[caught.value.offset :].startswith("fpps")

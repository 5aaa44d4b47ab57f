"""Timelines: what they may say, and the line and key of each mistake."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan, grid, shown_tracks
from streamfx.animation.timeline.scene import choose_model
from streamfx.animation.timeline.schema import Dreamed, Merge
from streamfx.errors import StreamfxError
from streamfx.resources import resource

TEXT = """kind = "timeline"
size = [64, 48]
[pictures]
begin = "begin.png"
[defaults]
octaves = 2
[[section]]
name = "one"
start = "begin"
to = 10
zoom = "1 + t/100"
[[section]]
name = "two"
start = "one"
length = "0.5s"
layer = [ { at = 10, layer = "block2" }, { at = 20, layer = "block3", fade = 5 } ]
"""
BOTH = """
[[section]]
name = "back"
direction = "backward"
start = "begin"
from = {first}
to = 40
[[section]]
name = "join"
kind = "merge"
of = ["two", "back"]
from = 16
to = 22
layer = "block2"
"""


@pytest.fixture
def read(tmp_path):
    """read(text): the timeline of a text, beside which there is a picture."""
    (tmp_path / "begin.png").write_bytes(b"picture")

    def read(text, **how):
        (tmp_path / "film.toml").write_text(text)
        return load_timeline(tmp_path / "film.toml", **how)

    read.folder = tmp_path
    return read


def test_sections_follow_each_other(read):
    plan = build_plan(read(TEXT), None)
    assert plan.spans == (range(10), range(10, 25))
    assert plan.shows == ((0, range(10)), (1, range(10, 25)))
    assert [(each.work, each.frames, each.shown) for each in plan.passes] == [
        ("dream", range(10), range(10)),
        ("dream", range(10, 25), range(10, 25)),
    ]
    assert (plan.units, plan.count) == (25, 25)
    assert [plan.find(unit)[1] for unit in (0, 9, 10, 24)] == [0, 9, 0, 14]
    assert read(TEXT).sections[0].octaves == 2
    assert shown_tracks(plan)["zoom"][[0, 9, 10]].tolist() == [1, 1.09, 1]


def test_a_merge_joins_what_overlaps(read):
    plan = build_plan(read(TEXT + BOTH.format(first=16)), None)
    assert plan.shows == ((0, range(10)), (1, range(10, 16)), (3, range(16, 22)), (2, range(22, 40)))
    works = [(each.work, each.round, each.frames) for each in plan.passes]
    there, back = range(16, 22), range(21, 15, -1)
    assert works[:3] == [("dream", 0, range(10)), ("dream", 0, range(10, 25)), ("dream", 0, range(39, 15, -1))]
    assert works[3:6] == [("forth", 1, there), ("back", 1, back), ("forth", 2, there)]
    assert works[-3:] == [("back", 7, back), ("play", 0, there), ("play", 0, range(22, 40))]
    assert plan.passes[1].shown == range(10, 16)
    assert plan.passes[1].kept == range(15, 23)
    assert plan.passes[2].kept == range(16, 40)


def test_one_section_brings_what_it_needs(read):
    plan = build_plan(read(TEXT), None, only="two")
    assert [(each.section, len(each.shown)) for each in plan.passes] == [(0, 0), (1, 15)]
    assert (plan.first, plan.count) == (10, 15)


def test_a_section_shown_later_than_it_is_needed_is_put_by(read):
    text = TEXT.replace('start = "begin"', 'start = "later"').replace('"one"\nlength', '"one"\nfrom = 10\nlength')
    text += '[[section]]\nname = "later"\nstart = "begin"\nfrom = 25\nto = 30\n'
    plan = build_plan(read(text), None)
    assert [(each.work, each.section) for each in plan.passes] == [
        ("dream", 2),
        ("dream", 0),
        ("dream", 1),
        ("play", 2),
    ]
    assert plan.passes[0].kept == range(25, 30)


def test_previews_make_some_of_the_frames():
    assert list(grid(range(10, 25), 4)) == [12, 16, 20, 24]
    assert list(grid(range(3), 4)) == [0]


def test_positions_are_frames_times_beats_and_bars(read):
    class Song:
        duration = 100.0

        def context(self, fps, count, seed=0):
            from numpy import arange

            from streamfx.animation.schedule import Context

            return Context(count - 1, fps, seed, {"beat": arange(float(count))}, arange(20) * 15.0)

    def stop(text, music=None):
        changed = TEXT.replace("to = 10", f"to = {text}").replace('length = "0.5s"', "length = 2900")
        return build_plan(read(changed), music).spans[0].stop

    assert [stop(text) for text in ("7", '"7"', '"2s"', '"0:02.5"', '"fps*3"')] == [7, 7, 60, 75, 90]
    assert [stop(text, Song()) for text in ('"4b"', '"2 bars"', '"1.5bars"', '"max_f/3"')] == [60, 120, 90, 1000]
    whole = TEXT.replace('length = "0.5s"\n', "")
    assert build_plan(read(whole), Song()).stop == 3000


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("to = 10", "too = 10", "too = 10", "section[1].too: unknown key 'too'; did you mean to"),
        ("to = 10", 'to = "x"', 'to = "x"', "section[1].to: 'x'"),
        ("to = 10", "to = 10.5", "to = 10.5", "section[1].to"),
        ("to = 10", "to = 0", "to = 0", "give at least one"),
        ("to = 10", 'to = "4b"', '"4b"', "--audio"),
        ("to = 10", 'to = "max_f"', "max_f", "with a song only"),
        ("to = 10", "to = 10\nlength = 3", "length = 3", "not both"),
        ('length = "0.5s"', "", '[[section]]\nname = "two"', "section[2]: give 'to' or 'length'"),
        ("octaves = 2", "octaves = 99", "octaves = 99", "defaults.octaves"),
        ("octaves = 2", "octave = 2", "octave = 2", "did you mean octaves"),
        ('name = "two"', 'name = "one"', 'name = "one"\nstart = "one"', "the name of section 1 too"),
        ('name = "two"', 'name = "begin"', 'name = "begin"', "the name of a picture"),
        ('start = "one"', 'start = "begn"', "begn", "did you mean begin"),
        ('start = "begin"', 'start = "two"', 'start = "two"', "one -> two -> one"),
        ('start = "begin"', 'start = "begin"\nkind = "dreem"', "dreem", "did you mean dream"),
        ('begin = "begin.png"', "begin = 3", "begin = 3", "pictures.begin"),
        ("fade = 5", "fads = 5", "fads", "section[2].layer[2].fads: unknown key 'fads'"),
        ("size = [64, 48]", "size = [64, 8]", "size", "size[2]"),
        ('name = "two"', 'name = "two"\nfrom = 12', "from = 12", "frames 10 to 11 are in no section"),
        ('name = "two"', 'name = "two"\nfrom = 8', "from = 8", "'one' and 'two' both have frames 8 to 9"),
        ("to = 10", 'to = 10\nfade = [{ to = "#12", share = 1 }]', "#12", "#rrggbb"),
        ("to = 10", "to = 10\nview = [1]", "view", "section[1].view"),
        ("to = 10", "to = 10\nguide = [{ pictures = [], share = 1 }]", "guide", "section[1].guide[1].pictures"),
    ],
)
def test_mistakes_have_a_line_and_a_key(old, new, line, said, read):
    text = TEXT.replace(old, new, 1)
    with pytest.raises(StreamfxError) as error:
        build_plan(read(text), None)
    told = str(error.value)
    assert "\n" not in told
    assert said in told
    place = re.match(r"film\.toml, line (\d+), ", told)
    assert place, told
    at = text[: text.index(line)].count("\n") + 1
    assert int(place[1]) == at, told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first": 18}, "'join' joins frames 16 to 21, but 'back' has 18 to 39"),
        ({"first": 30}, "join"),
    ],
)
def test_merges_need_both_sections(change, said, read):
    with pytest.raises(StreamfxError, match=said):
        build_plan(read(TEXT + BOTH.format(**change)), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = ", "is not TOML"),
        ('kind = "style"', "is a style"),
        ('kind = "timeline"', "'section' is missing"),
        ("a = " + "[" * 2000, "is not TOML"),
        ("#" + "x" * 1_000_001, "1000002 bytes"),
    ],
)
def test_files_that_are_no_timelines(text, said, read):
    with pytest.raises(StreamfxError, match=re.escape(said)):
        read(text)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read the timeline"):
        load_timeline(tmp_path / "none.toml")
    with pytest.raises(StreamfxError, match="--assets names one"):
        load_timeline(resource("presets") / "tabea.toml", tmp_path / "none")


def test_files_lie_beside_the_timeline_or_in_the_folder_of_assets(read, tmp_path):
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "other.png").touch()
    timeline = read(TEXT, assets=folder)
    place = ("pictures", "begin")
    assert timeline.file("begin.png", place) == str(tmp_path / "begin.png")
    assert timeline.file("other.png", place) == str(folder / "other.png")
    with pytest.raises(StreamfxError, match=r"line 4, pictures.begin: there is no file 'none.png'.*--assets"):
        timeline.file("none.png", place)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png", "a/../../secret.png", "link/secret.png", "link.png"])
def test_no_file_outside_is_read(name, read):
    (read.folder / "inside").mkdir()
    (read.folder / "secret.png").touch()
    (read.folder / "inside" / "link").symlink_to(read.folder)
    (read.folder / "inside" / "link.png").symlink_to(read.folder / "secret.png")
    (read.folder / "inside" / "film.toml").write_text(TEXT)
    timeline = load_timeline(read.folder / "inside" / "film.toml")
    with pytest.raises(StreamfxError, match="lies outside"):
        timeline.file(name, ("pictures", "begin"))


def test_what_only_looks_like_an_address_is_refused(read):
    with pytest.raises(StreamfxError, match="is no path of a file"):
        read(TEXT, network=True).file("file:///etc/passwd", ("pictures", "begin"))


@pytest.mark.parametrize("name", ["https://example.org/a.png", "rtsp://x/y"])
def test_the_network_is_asked_only_where_the_user_says_so(name, read):
    with pytest.raises(StreamfxError, match="--allow-network"):
        read(TEXT).file(name, ("pictures", "begin"))
    assert read(TEXT, network=True).file(name, ("pictures", "begin")) == name


def test_layers_have_names_for_each_network(read):
    text = TEXT.replace("block2", "stones").replace("block3", "0.5*stones - 0.5*block3:1")
    named = text + '[layers.lite0]\nstones = "block2 + block5:3"\n'
    assert choose_model(read(named), "auto").name == "lite0"
    with pytest.raises(StreamfxError, match=r"line 16, section\[2\].layer\[1\].layer: unknown layer.*stones"):
        choose_model(read(text + '[layers.lite0]\nstone = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="channels 0 to 23"):
        choose_model(read(text + '[layers.lite0]\nstones = "block2:77"\n'), "auto")
    with pytest.raises(StreamfxError, match="names its layers for lite0"):
        choose_model(read(named), "lite1")
    with pytest.raises(StreamfxError, match="is no network"):
        choose_model(read(TEXT + '[layers.lite7]\nstones = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="fetch inceptionv1"):
        choose_model(read(text + '[layers.inceptionv1]\nstones = "mixed4c"\n'), "auto")


def test_tabea_is_whole():
    timeline = load_timeline(resource("presets") / "tabea.toml")
    assert choose_model(timeline, "lite0").name == "lite0"
    assert choose_model(timeline, "inceptionv1").name == "inceptionv1"
    script = timeline.script
    assert script.layers["lite0"].keys() == script.layers["inceptionv1"].keys()
    used = {name for each in (*script.layers["lite0"],) for name in re.findall(r"[a-z_]+", each)}
    assert used
    plan = build_plan(timeline, None)
    assert (plan.first, plan.stop) == (0, 5446)
    assert [timeline.sections[number].name for number, _ in plan.shows] == [
        "textures",
        "join",
        "backwards",
        "feathers",
        "deeper",
    ]
    assert plan.shows[1][1] == range(961, 1191)
    assert sum(isinstance(each, Dreamed) and each.direction == "backward" for each in timeline.sections) == 1
    (merge,) = (each for each in timeline.sections if isinstance(each, Merge))
    assert len(merge.passes) == 7
    shown_tracks(plan)


@given(st.text(max_size=300))
def test_no_text_is_worse_than_an_error(text):
    path = Path("/nonexistent")
    try:
        tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError):
        return
    with pytest.raises(StreamfxError):
        load_timeline(path)

"""Timeline files: plans of valid ones, and the line and key in errors."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.loader import load_timeline
from streamfx.animation.timeline.planner import build_plan, rendered_frames, schedule_tracks
from streamfx.animation.timeline.scene import choose_model
from streamfx.animation.timeline.schema import MergeSection
from streamfx.errors import ParseError, StreamfxError
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
MERGE = """
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
def load(tmp_path):
    """load(text): a timeline loaded from a file in the folder `load.folder`, which also contains begin.png."""
    (tmp_path / "begin.png").write_bytes(b"picture")

    def load(text, **options):
        (tmp_path / "video.toml").write_text(text)
        return load_timeline(tmp_path / "video.toml", **options)

    load.folder = tmp_path
    return load


def test_sections_are_planned_in_order(load):
    plan = build_plan(load(TEXT), None)
    assert plan.section_frames == (range(10), range(10, 25))
    assert plan.shown == ((0, range(10)), (1, range(10, 25)))
    assert [(work.kind, work.frames, work.shown) for work in plan.passes] == [
        ("dream", range(10), range(10)),
        ("dream", range(10, 25), range(10, 25)),
    ]
    assert (plan.units, plan.count) == (25, 25)
    assert [plan.find(unit)[1] for unit in (0, 9, 10, 24)] == [0, 9, 0, 14]
    assert load(TEXT).sections[0].octaves == 2
    assert schedule_tracks(plan)["zoom"][[0, 9, 10]].tolist() == [1, 1.09, 1]


def test_a_merge_joins_overlapping_sections(load):
    plan = build_plan(load(TEXT + MERGE.format(first=16)), None)
    assert plan.shown == ((0, range(10)), (1, range(10, 16)), (3, range(16, 22)), (2, range(22, 40)))
    passes = [(work.kind, work.round, work.frames) for work in plan.passes]
    forward, backward = range(16, 22), range(21, 15, -1)
    assert passes[:3] == [("dream", 0, range(10)), ("dream", 0, range(10, 25)), ("dream", 0, range(39, 15, -1))]
    assert passes[3:6] == [("forward", 1, forward), ("backward", 1, backward), ("forward", 2, forward)]
    assert passes[-3:] == [("backward", 7, backward), ("replay", 0, forward), ("replay", 0, range(22, 40))]
    assert plan.passes[1].shown == range(10, 16)
    assert plan.passes[1].cached == range(15, 23)
    assert plan.passes[2].cached == range(16, 40)


def test_one_section_is_planned_with_its_dependencies(load):
    plan = build_plan(load(TEXT), None, only="two")
    assert [(work.section, len(work.shown)) for work in plan.passes] == [(0, 0), (1, 15)]
    assert (plan.first, plan.count) == (10, 15)


def test_a_section_rendered_before_it_is_shown_is_cached(load):
    text = TEXT.replace('start = "begin"', 'start = "later"').replace('"one"\nlength', '"one"\nfrom = 10\nlength')
    text += '[[section]]\nname = "later"\nstart = "begin"\nfrom = 25\nto = 30\n'
    plan = build_plan(load(text), None)
    assert [(work.kind, work.section) for work in plan.passes] == [
        ("dream", 2),
        ("dream", 0),
        ("dream", 1),
        ("replay", 2),
    ]
    assert plan.passes[0].cached == range(25, 30)


def test_only_multiples_of_the_stride_are_rendered():
    assert list(rendered_frames(range(10, 25), 4)) == [12, 16, 20, 24]
    assert list(rendered_frames(range(3), 4)) == [0]


def test_positions_may_be_frames_times_beats_or_bars(load):
    class Audio:
        duration = 100.0

        def context(self, fps, count, seed=0):
            from numpy import arange

            from streamfx.animation.context import Context

            return Context(count - 1, fps, seed, {"beat": arange(float(count))}, arange(20) * 15.0)

    def stop(text, audio=None):
        changed = TEXT.replace("to = 10", f"to = {text}").replace('length = "0.5s"', "length = 2900")
        return build_plan(load(changed), audio).section_frames[0].stop

    assert [stop(text) for text in ("7", '"7"', '"2s"', '"0:02.5"', '"fps*3"')] == [7, 7, 60, 75, 90]
    assert [stop(text, Audio()) for text in ('"4b"', '"2 bars"', '"1.5bars"', '"max_f/3"')] == [60, 120, 90, 1000]
    whole = TEXT.replace('length = "0.5s"\n', "")
    assert build_plan(load(whole), Audio()).stop == 3000


def test_keys_of_older_files_are_read(load):
    old = TEXT.replace("octaves = 2", "octaves = 2\ncentre_x = 0.3").replace("to = 10", "to = 10\ncentre_y = 0.4")
    first, second = load(old).sections
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
    ],
)
def test_errors_state_the_line_and_key(old, new, line, reason, load):
    text = TEXT.replace(old, new, 1)
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
    ("first", "reason"),
    [
        (18, "'join' joins frames 16 to 21, but 'back' has frames 18 to 39"),
        (30, "join"),
    ],
)
def test_merges_need_both_sections(first, reason, load):
    with pytest.raises(StreamfxError, match=reason):
        build_plan(load(TEXT + MERGE.format(first=first)), None)


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


def test_missing_files_and_folders_are_reported(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read the timeline"):
        load_timeline(tmp_path / "none.toml")
    with pytest.raises(StreamfxError, match=r"no such folder.*--assets"):
        load_timeline(resource("presets") / "tabea.toml", tmp_path / "none")


def test_files_are_found_next_to_the_timeline_or_in_assets(load, tmp_path):
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "other.png").touch()
    timeline = load(TEXT, assets=folder)
    location = ("pictures", "begin")
    assert timeline.find_file("begin.png", location) == str(tmp_path / "begin.png")
    assert timeline.find_file("other.png", location) == str(folder / "other.png")
    with pytest.raises(StreamfxError, match=r"line 4, pictures.begin: no file 'none.png' in.*--assets"):
        timeline.find_file("none.png", location)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.png", "a/../../secret.png", "link/secret.png", "link.png"])
def test_files_outside_the_folders_are_rejected(name, load):
    (load.folder / "inside").mkdir()
    (load.folder / "secret.png").touch()
    (load.folder / "inside" / "link").symlink_to(load.folder)
    (load.folder / "inside" / "link.png").symlink_to(load.folder / "secret.png")
    (load.folder / "inside" / "video.toml").write_text(TEXT)
    timeline = load_timeline(load.folder / "inside" / "video.toml")
    with pytest.raises(StreamfxError, match="is outside"):
        timeline.find_file(name, ("pictures", "begin"))


def test_file_urls_are_rejected(load):
    with pytest.raises(StreamfxError, match="is not a file path"):
        load(TEXT, network=True).find_file("file:///etc/passwd", ("pictures", "begin"))


@pytest.mark.parametrize("name", ["https://example.org/a.png", "rtsp://x/y"])
def test_urls_need_allow_network(name, load):
    with pytest.raises(StreamfxError, match="--allow-network"):
        load(TEXT).find_file(name, ("pictures", "begin"))
    assert load(TEXT, network=True).find_file(name, ("pictures", "begin")) == name


def test_layer_aliases_per_network(load):
    text = TEXT.replace("block2", "stones").replace("block3", "0.5*stones - 0.5*block3:1")
    with_aliases = text + '[layers.lite0]\nstones = "block2 + block5:3"\n'
    assert choose_model(load(with_aliases), "auto").name == "lite0"
    with pytest.raises(StreamfxError, match=r"line 16, section\[2\].layer\[1\].layer: unknown layer.*stones"):
        choose_model(load(text + '[layers.lite0]\nstone = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="channels 0 to 23"):
        choose_model(load(text + '[layers.lite0]\nstones = "block2:77"\n'), "auto")
    with pytest.raises(StreamfxError, match="has no layers for lite1; use --model lite0"):
        choose_model(load(with_aliases), "lite1")
    with pytest.raises(StreamfxError, match="unknown network 'lite7'"):
        choose_model(load(TEXT + '[layers.lite7]\nstones = "block2"\n'), "auto")
    with pytest.raises(StreamfxError, match="fetch inceptionv1"):
        choose_model(load(text + '[layers.inceptionv1]\nstones = "mixed4c"\n'), "auto")


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


def test_errors_carry_the_text_and_the_offset_of_the_line(load):
    text = TEXT.replace("[pictures]", "fpps = 3\n[pictures]", 1)
    with pytest.raises(ParseError) as caught:
        load(text)
    assert caught.value.text == text
    assert text[caught.value.offset :].startswith("fpps")

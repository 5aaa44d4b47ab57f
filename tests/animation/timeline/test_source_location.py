"""Line numbers of keys in TOML files, checked against tomllib."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.source_location import find_lines

TEXT = '''# a comment
kind = "timeline"
size = [1280,  # width
  720]
[pictures]
a = "x" # [b]
"q.r" = {file = 'a#b', n.m = 3}
[[section]]
name = """a
b"""
layer = [
  { at = 1, layer = "x" },

  { at = 2, layer = "y" },
]
[[section.ring]]
at = 3
[[section.ring]]
at = 4
[[section]]
name = 'k'
'''


def test_lines_of_keys_tables_and_elements():
    lines = find_lines(TEXT)
    assert lines["kind",] == 2
    assert (lines["size", 0], lines["size", 1]) == (3, 4)
    assert lines["pictures", "q.r", "file"] == lines["pictures", "q.r", "n", "m"] == 7
    assert lines["section", 0] == 8
    assert lines["section", 0, "layer"] == 11
    assert lines["section", 0, "layer", 1, "at"] == 14
    assert (lines["section", 0, "ring", 0, "at"], lines["section", 0, "ring", 1, "at"]) == (17, 19)
    assert lines["section", 1, "name"] == 21


def locations(value, parent=()):
    """All keys and elements of a value parsed by tomllib."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*parent, key)
        yield from locations(inner, (*parent, key))


def test_locations_match_tomllib():
    implicit = {("section",), ("section", 0, "ring"), ("pictures", "q.r", "n")}  # these have no line
    assert set(locations(tomllib.loads(TEXT))) <= {*find_lines(TEXT), *implicit}


NAMES = st.text("ab_-9", min_size=1, max_size=3)
QUOTED = st.text("xy #[]{}=,'.", max_size=6).map(lambda text: f'"{text}"')
PLAIN = st.sampled_from(["1", "-2.5", "true", "1979-05-27", "'it # s'", '"""a\n]#"""', "inf"])
VALUES = st.recursive(
    PLAIN | QUOTED,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda elements: "[" + ",\n # c\n".join(elements) + "]")
        | st.dictionaries(NAMES, PLAIN.filter(lambda text: "\n" not in text), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.lists(st.dictionaries(NAMES, VALUES, max_size=2), max_size=3))
def test_random_files_match_tomllib(pairs, tables):
    text = "".join(f"{key} = {value}\n" for key, value in pairs.items())
    for table in tables:
        text += "[[many]]\n" + "".join(f"{key} = {value} # c\n" for key, value in table.items())
    if "many" in pairs:
        return
    lines = find_lines(text)
    assert {*locations(tomllib.loads(text))} - {("many",)} <= set(lines)
    text_lines = text.split("\n")
    for location, line in lines.items():
        if isinstance(location[-1], str):
            assert location[-1] in text_lines[line - 1]


@given(st.text(max_size=200))
def test_invalid_text_does_not_crash(text):
    find_lines(text)

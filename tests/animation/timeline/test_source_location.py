"""Lines of keys in TOML files, as Python's own reader reads them."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.timeline.source_location import find_places

TEXT = '''# a film
kind = "timeline"
size = [1280,  # across
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


def test_every_key_has_its_line():
    found = find_places(TEXT)
    assert found["kind",] == 2
    assert (found["size", 0], found["size", 1]) == (3, 4)
    assert found["pictures", "q.r", "file"] == found["pictures", "q.r", "n", "m"] == 7
    assert found["section", 0] == 8
    assert found["section", 0, "layer"] == 11
    assert found["section", 0, "layer", 1, "at"] == 14
    assert (found["section", 0, "ring", 0, "at"], found["section", 0, "ring", 1, "at"]) == (17, 19)
    assert found["section", 1, "name"] == 21


def paths(value, above=()):
    """All keys and elements of what tomllib read."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*above, key)
        yield from paths(inner, (*above, key))


def test_they_are_those_that_python_reads():
    assert set(paths(tomllib.loads(TEXT))) <= {
        *find_places(TEXT),
        ("section",),
        ("section", 0, "ring"),
        ("pictures", "q.r", "n"),
    }


NAMES = st.text("ab_-9", min_size=1, max_size=3)
QUOTED = st.text("xy #[]{}=,'.", max_size=6).map(lambda text: f'"{text}"')
PLAIN = st.sampled_from(["1", "-2.5", "true", "1979-05-27", "'it # s'", '"""a\n]#"""', "inf"])
VALUES = st.recursive(
    PLAIN | QUOTED,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: "[" + ",\n # c\n".join(each) + "]")
        | st.dictionaries(NAMES, PLAIN.filter(lambda text: "\n" not in text), max_size=3).map(
            lambda each: "{" + ", ".join(f"{key} = {value}" for key, value in each.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.lists(st.dictionaries(NAMES, VALUES, max_size=2), max_size=3))
def test_any_file_that_python_reads(pairs, tables):
    text = "".join(f"{key} = {value}\n" for key, value in pairs.items())
    for table in tables:
        text += "[[many]]\n" + "".join(f"{key} = {value} # c\n" for key, value in table.items())
    if "many" in pairs:
        return
    found = find_places(text)
    assert {*paths(tomllib.loads(text))} - {("many",)} <= set(found)
    lines = text.split("\n")
    for place, line in found.items():
        if isinstance(place[-1], str):
            assert place[-1] in lines[line - 1]


@given(st.text(max_size=200))
def test_no_text_crashes_it(text):
    find_places(text)

"""Fingerprints of videos: what they depend on, and how changes are described."""

import os
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.effects.mirror import Mirror
from streamfx.errors import StreamfxError
from streamfx.jobs import fingerprint as module
from streamfx.jobs.fingerprint import Fingerprint, differences, fingerprint_of, library_changes, source_files
from streamfx.version import __version__

texts = st.text(min_size=1, max_size=3)
names = st.dictionaries(texts, texts, max_size=3)
fingerprints = st.builds(Fingerprint, names, names, names, names)


@dataclass(frozen=True)
class Reading(Mirror):
    """An effect whose output depends on files."""

    names: tuple[Path, ...] = ()

    def input_files(self):
        return list(self.names)


@pytest.fixture
def source(tmp_path):
    """A file of 1000 bytes."""
    file = tmp_path / "source.bin"
    file.write_bytes(bytes(range(250)) * 4)
    return file


def change(file, position):
    """Change one byte of a file."""
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def key(*sources, chain=(), **settings):
    return fingerprint_of(settings, sources, chain).key


def test_a_fingerprint_has_settings_and_versions(source):
    fingerprint = fingerprint_of({"crf": 30, "encoder": ""}, [source], [Mirror()])
    assert fingerprint.settings == {"crf": "30", "encoder": "", "streamfx": __version__}
    assert fingerprint.versions == {name: version(name) for name in ("av", "torch", "openvino")}
    assert fingerprint.files == {}


@given(fingerprints, fingerprints)
def test_equal_keys_mean_no_differences(one, other):
    assert differences(one, one) == library_changes(one, one) == []
    assert bool(differences(one, other)) == (one.key != other.key)
    assert one.key == replace(one, versions=other.versions).key
    assert len(one.key) == 16


def test_the_key_depends_on_settings_and_not_on_their_order(source):
    expected = key(source, crf=30, chain_text="mirror")
    assert expected == key(source, chain_text="mirror", crf=30)
    assert len({expected, key(source, crf=31, chain_text="mirror"), key(source, crf=30), key(crf=30)}) == 4


@pytest.mark.parametrize("position", [0, -1])
def test_changed_ends_of_a_source_are_noticed(source, position):
    before = fingerprint_of({}, [source], [])
    change(source, position)
    assert differences(before, fingerprint_of({}, [source], [])) == ["the source has changed"]


def test_the_middle_of_a_long_source_is_not_read(source, monkeypatch):
    monkeypatch.setattr(module, "EDGE", 100)
    before = key(source)
    change(source, 100)
    change(source, 899)
    assert key(source) == before
    change(source, 99)
    assert key(source) != before
    change(source, 99)
    change(source, 900)
    assert key(source) != before
    change(source, 900)
    os.truncate(source, 1000)
    assert key(source) == before
    with source.open("r+b") as stream:  # a longer source with the same ends
        data = stream.read()
        stream.write(data[900:])
    assert key(source) != before


def test_sequences_are_identified_by_number_size_and_ends(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 10)
    before = fingerprint_of({}, files, [])
    assert (before.source["files"], before.source["bytes"]) == ("4", "40")
    assert before != fingerprint_of({}, files[:-1], [])
    assert before != fingerprint_of({}, [files[0], files[1], files[3]], [])
    files[2].write_bytes(b"longer than the others")
    assert before != fingerprint_of({}, files, [])


def test_empty_and_short_sources(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"x")
    assert len({key(), key(tmp_path / "empty"), key(tmp_path / "short")}) == 3


def test_missing_sources_are_errors(tmp_path):
    with pytest.raises(StreamfxError, match=r"cannot read '.*none\.mp4': No such file or directory"):
        key(tmp_path / "none.mp4")


def test_files_of_effects_are_read_completely(source, monkeypatch):
    monkeypatch.setattr(module, "EDGE", 100)
    chain = [Mirror(), Reading(names=(source,))]
    before = fingerprint_of({}, [], chain)
    assert list(before.files) == [str(source)]
    change(source, 500)
    assert differences(before, fingerprint_of({}, [], chain)) == [f"'{source}' has changed"]


def test_only_the_ends_of_huge_files_of_effects_are_read(source, monkeypatch):
    monkeypatch.setattr(module, "EDGE", 100)
    chain = [Reading(names=(source,))]
    for limit, noticed in ((1000, True), (999, False)):
        monkeypatch.setattr(module, "MAX_WHOLE", limit)
        before = key(chain=chain)
        change(source, 500)
        assert (key(chain=chain) != before) == noticed
        change(source, 0)
        assert key(chain=chain) != before


def test_missing_files_of_effects_are_left_out(source, tmp_path):
    assert fingerprint_of({}, [], [Reading(names=(tmp_path / "none", tmp_path))]).files == {}


def test_differences_name_old_and_new_values():
    old = Fingerprint({"chain": "trails", "crf": "", "width": "20"}, {"bytes": "1"}, {"a": "1", "b": "1", "c": "1"})
    new = Fingerprint({"chain": "mirror", "crf": "30"}, {"bytes": "1"}, {"a": "1", "c": "2", "d": "1"})
    assert differences(old, new) == [
        "chain was trails, is mirror",
        "crf was not given, is 30",
        "width was 20, is not given",
        "'b' is no longer read",
        "'c' has changed",
        "'d' was not read before",
    ]


def test_settings_that_were_never_given_do_not_differ():
    assert differences(Fingerprint({"crf": ""}), Fingerprint({})) == []


def test_changed_libraries_are_described():
    old, new = Fingerprint({}, versions={"av": "1", "torch": "2"}), Fingerprint({}, versions={"av": "1", "torch": "3"})
    assert library_changes(old, new) == ["torch was 2, is 3"]
    assert library_changes(Fingerprint({}), new) == ["av was none, is 1", "torch was none, is 3"]
    assert differences(old, new) == []


def test_sources_that_can_be_read_twice(tmp_path, video, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_files(str(video)) == [video]
    for name in ("p10.png", "p9.png", "p%d.jpg"):
        (tmp_path / name).touch()
    assert source_files("p%d.png") == source_files("p*.png") == [Path("p9.png"), Path("p10.png")]
    assert source_files("p%d.jpg") == [Path("p%d.jpg")]  # a file with this name


def test_sources_that_can_be_read_only_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in ("-", "http://localhost/video.mp4", str(tmp_path / "fifo"), str(tmp_path / "none.mp4"), "/dev/null"):
        assert source_files(name) is None
    with pytest.raises(StreamfxError, match="no file matches"):
        source_files(str(tmp_path / "%d.png"))

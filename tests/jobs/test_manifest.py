"""The manifest: stored and loaded unchanged, replaced atomically, and checked for damage."""

import json
from dataclasses import asdict, replace
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.jobs.fingerprint import Fingerprint
from streamfx.jobs.job import Job
from streamfx.jobs.manifest import MANIFEST, PREVIOUS, VERSION, Manifest, Point, load, store
from streamfx.media.encoding import Encoding
from streamfx.media.input.resume_points import ResumePoint
from streamfx.media.output.encoder import Layout, Shape
from streamfx.media.output.segments import Segment, digest_of
from streamfx.media.probe import Coding

CODING = Coding("yuv420p10le", 1, 9, 9, 16)
SHAPE = Shape(48, 64, Fraction(30000, 1001), Fraction(1, 90000), Fraction(4, 3))
LAYOUT = Layout(Encoding("libx265", CODING, {"crf": "20"}, "yuv420p10le"), SHAPE, Fraction(1, 1000))
SEGMENT = Segment("000000.packets", 7, 6, 0, 5, "1001/5000", 2, "ab" * 32, "cd" * 32)
POINT = Point(7, 1, ResumePoint(7, Fraction(1001, 5000), "ef" * 32, "12", None), [{"n": ["int", "7"]}, {}], "7.st", "0")
FULL = Manifest(Fingerprint({"chain": "trails"}, {"bytes": "9"}), 7, LAYOUT, [SEGMENT], [POINT])
EMPTY = Manifest(Fingerprint({}), 300)

texts, counts = st.text(max_size=5), st.integers(0, 10**12)
times = st.fractions(0, 10**6, max_denominator=10**6)
names = st.dictionaries(texts, texts, max_size=2)
resume_points = st.builds(ResumePoint, counts, times, texts, texts, st.none() | times)
values = st.lists(st.dictionaries(texts, st.lists(texts, min_size=2, max_size=2), max_size=2), max_size=2)
points = st.builds(Point, counts, counts, st.none() | resume_points, values, texts, texts)
segments = st.builds(Segment, texts, counts, counts, counts, counts, texts, counts, texts, texts)
codings = st.builds(Coding, texts, *[st.integers(0, 255)] * 4)
layouts = st.builds(
    Layout,
    st.builds(Encoding, texts, codings, names, texts, texts),
    st.builds(Shape, counts, counts, *[times] * 3),
    times,
)
manifests = st.builds(
    Manifest,
    st.builds(Fingerprint, names, names, names, names),
    counts,
    st.none() | layouts,
    st.lists(segments, max_size=2),
    st.lists(points, max_size=2),
    st.booleans(),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("manifests")


@settings(max_examples=50)
@given(manifests)
@example(FULL)
@example(replace(EMPTY, identity=Fingerprint({"chain": "a name that is not UTF-8: \udcff"})))
def test_manifests_are_loaded_as_they_were_stored(folder, manifest):
    store(folder, manifest)
    assert load(folder) == manifest


def test_the_previous_manifest_is_kept(tmp_path):
    assert load(tmp_path) is None
    stored = [replace(FULL, every=number) for number in (1, 2, 3)]
    for number, manifest in enumerate(stored):
        store(tmp_path, manifest)
        assert load(tmp_path) == manifest
        assert {path.name for path in tmp_path.iterdir()} == ({MANIFEST, PREVIOUS} if number else {MANIFEST})
    (tmp_path / MANIFEST).unlink()
    assert load(tmp_path) == stored[1]


def test_a_manifest_that_was_not_replaced_is_loaded(tmp_path):
    store(tmp_path, FULL)
    (tmp_path / "manifest.part").write_bytes(b'{"form": 2, "sha')
    assert load(tmp_path) == FULL
    store(tmp_path, EMPTY)
    assert load(tmp_path) == EMPTY
    assert not (tmp_path / "manifest.part").exists()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """damaged(change, *names): what `load` returns once `change` was applied to the bytes of these files, or its error.

    The manifest is EMPTY, and the previous one FULL.
    """
    folder = tmp_path_factory.mktemp("damaged")
    store(folder, FULL)
    store(folder, EMPTY)
    intact = {name: (folder / name).read_bytes() for name in (MANIFEST, PREVIOUS)}

    def damaged(change, *names):
        for name, data in intact.items():
            (folder / name).unlink()  # PREVIOUS may be a link to the same file
            (folder / name).write_bytes(change(data) if name in names else data)
        try:
            return load(folder)
        except StreamfxError as error:
            return str(error).removeprefix(f"'{folder / MANIFEST}' ")

    assert damaged(bytes) == EMPTY
    return damaged


DAMAGED = "is damaged or from another version; start over with -y"


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_a_flipped_bit_is_damage(damaged, position, bit):
    def flip(data):
        position_in_file = position % len(data)
        changed = data[position_in_file] ^ 1 << bit
        return data[:position_in_file] + bytes([changed]) + data[position_in_file + 1 :]

    assert damaged(flip, MANIFEST) in (FULL, EMPTY)  # EMPTY if a space between two tokens became another one
    assert damaged(flip, MANIFEST, PREVIOUS) in (DAMAGED, FULL, EMPTY)


@settings(max_examples=50)
@given(st.integers(0, 10**6))
def test_a_shortened_manifest_is_damage(damaged, length):
    def shorten(data):
        return data[: length % len(data)]

    assert damaged(shorten, MANIFEST) == FULL
    assert damaged(shorten, MANIFEST, PREVIOUS) == DAMAGED


def sealed(body, form=VERSION):
    """The file of a manifest with this text as its body."""
    return json.dumps({"form": form, "sha256": digest_of(body.encode()), "body": body}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        pytest.param(b"[" * 10**5, id="deep"),
        b"\xff\xfe",
        b'{"form": 2, "sha256": "0", "body": 7}',
        sealed("{}"),
        sealed("null"),
        sealed('{"segments": [{}], "points": []}'),
        sealed('{"segments": 7, "points": []}'),
        sealed(json.dumps(asdict(FULL), default=str).replace('"1/1000"', '"1/0"')),
    ],
)
def test_files_that_are_no_manifest_are_damage(data, tmp_path):
    (tmp_path / MANIFEST).write_bytes(data)
    with pytest.raises(StreamfxError, match=r"manifest\.json' is damaged or from another version; start over with -y"):
        load(tmp_path)


def test_manifests_of_other_versions_cannot_be_read(tmp_path):
    store(tmp_path, FULL)
    body = json.loads((tmp_path / MANIFEST).read_text())["body"]
    (tmp_path / MANIFEST).write_bytes(sealed(body))
    assert load(tmp_path) == FULL
    (tmp_path / MANIFEST).write_bytes(sealed(body, VERSION - 1))
    with pytest.raises(StreamfxError, match="from another version"):
        load(tmp_path)


@pytest.fixture
def paused_run(video, tmp_path, at_frame):
    """The work folder of a video with three closed segments."""
    job = Job(video, tmp_path / "out.mkv", "trails", segment=7)
    assert job.run(at_frame(24, job.pause)).state == "paused"
    return work_folder_of(tmp_path / "out.mkv")


def test_the_manifest_of_a_run_is_json(paused_run):
    body = json.loads(json.loads((paused_run / MANIFEST).read_text())["body"])
    assert [point["number"] for point in body["points"]] == [14, 21]
    assert sum(segment["written"] for segment in body["segments"]) == 21


def test_two_damaged_manifests_are_an_error(paused_run):
    data = bytearray((paused_run / MANIFEST).read_bytes())
    data[len(data) // 2] ^= 1
    (paused_run / MANIFEST).write_bytes(data)
    assert load(paused_run).points[-1].number == 14
    (paused_run / PREVIOUS).write_text("{}")
    with pytest.raises(StreamfxError, match="damaged or from another version"):
        load(paused_run)

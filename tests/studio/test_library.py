"""The library: which files the studio uses."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.library import Library, clean_name, kind_of


def test_files_below_the_folders_are_found(library):
    (library.folder / "a").mkdir()
    (library.folder / "a" / "b.mp4").touch()
    assert library.existing("a/b.mp4") == library.folder / "a" / "b.mp4"
    assert library.existing(str(library.folder / "a" / "b.mp4")) == library.folder / "a" / "b.mp4"
    assert library.name_of(library.folder / "a" / "b.mp4") == "a/b.mp4"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../secret.mp4",
        "a/../../secret.mp4",
        "/etc/passwd",
        "link.mp4",
        "folder/secret.mp4",
        "x\0y",
        ".streamfx-studio/queue.json",
        "a/.hidden.mp4",
        "loop",
    ],
)
def test_other_files_are_refused(library, name):
    secret = library.folder.parent / "secret.mp4"
    secret.touch()
    (library.folder / "link.mp4").symlink_to(secret)
    (library.folder / "folder").symlink_to(library.folder.parent)
    (library.folder / "loop").symlink_to(library.folder / "loop")
    with pytest.raises(StreamfxError):
        library.existing(name)


def test_links_inside_the_folder_are_followed(library):
    (library.folder / "real.mp4").touch()
    (library.folder / "link.mp4").symlink_to("real.mp4")
    assert library.existing("link.mp4").name == "real.mp4"


def test_an_output_folder_elsewhere_has_absolute_names(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    library = Library(tmp_path / "in", tmp_path / "out")
    name = library.free_target("clip", "mp4")
    assert name == str(tmp_path / "out" / "clip.mp4")
    assert library.resolve(name) == tmp_path / "out" / "clip.mp4"


def test_the_list_has_media_files_in_natural_order(library):
    outside = library.folder.parent / "outside.mp4"
    outside.touch()
    for name in ("clip10.mp4", "clip2.mp4", "song.mp3", "film.toml", "notes.txt", ".hidden.mp4", "p.studio.toml"):
        (library.folder / name).touch()
    (library.folder / "linked.mp4").symlink_to(outside)
    (library.folder / "out.mp4.streamfx").mkdir()
    (library.folder / "out.mp4.streamfx" / "x.png").touch()
    found = [(file.name, file.kind) for file in library.media()]
    assert found == [
        ("clip2.mp4", "video"),
        ("clip10.mp4", "video"),
        ("film.toml", "timeline"),
        ("song.mp3", "audio"),
    ]


def test_targets_are_new_names(library):
    assert library.free_target("a", "mp4") == "renders/a.mp4"
    (library.output / "a.mp4").touch()
    (library.output / "a-2.mp4.streamfx").mkdir()
    assert library.free_target("a", "mp4", frozenset(["renders/a-3.mp4"])) == "renders/a-4.mp4"


def test_uploads_get_clean_new_names(library):
    assert library.upload_target("../../a b.mp4") == library.folder / "a b.mp4"
    (library.folder / "a b.mp4").touch()
    assert library.upload_target("C:\\clips\\a b.mp4") == library.folder / "a b-2.mp4"
    with pytest.raises(StreamfxError, match="not a video"):
        library.upload_target("run.sh")


@pytest.mark.parametrize(
    ("name", "clean"),
    [("a.mp4", "a.mp4"), ("..a|b.mp4", "a-b.mp4"), ("é ü.png", "é ü.png"), ("///", "video"), ("x", "x")],
)
def test_names_are_cleaned(name, clean):
    assert clean_name(name) == clean


def test_kinds():
    assert [kind_of(name) for name in ("A.MP4", "b.jpeg", "c.wav", "d.toml", "e.py")] == [
        "video",
        "image",
        "audio",
        "timeline",
        None,
    ]

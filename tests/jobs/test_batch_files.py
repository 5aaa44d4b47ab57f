"""What a batch reads and writes: folders, patterns, lists, and names."""

from pathlib import Path

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.batch_files import BatchItem, batch_items

NAME = "{stem}{ext}"  # the default of the command


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    (folder / "more.mp4").mkdir(parents=True)
    for name in ("clip10.mp4", "clip2.MOV", "old.wmv", "photo.jpg", ".hidden.mp4", "notes.txt"):
        (folder / name).touch()
    return folder


def names(items):
    return [(item.source.name, item.target.as_posix()) for item in items]


def test_a_folder_means_its_videos_and_images_in_natural_order(clips):
    assert names(batch_items(str(clips), Path("out"), NAME)) == [
        ("clip2.MOV", "out/clip2.MOV"),
        ("clip10.mp4", "out/clip10.mp4"),
        ("old.wmv", "out/old.mp4"),
        ("photo.jpg", "out/photo.jpg"),
    ]


def test_a_pattern_matches_any_file(clips):
    assert names(batch_items(str(clips / "*.txt"), Path("out"), NAME)) == [("notes.txt", "out/notes.mp4")]
    assert batch_items(str(clips / "*.avi"), Path("out"), NAME) == []


def test_names(clips):
    items = batch_items(str(clips / "clip*"), Path("out"), "{number}-{folder}-{stem}-{name}{ext}")
    assert items[0].target.name == "001-clips-clip2-clip2.MOV.MOV"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{stm}.mp4", "unknown field of --name 'stm'; did you mean stem"),
        ("{}.mp4", "unknown field of --name ''"),
        ("a/{stem}.mp4", "must be a file name"),
        (" ", "must be a file name"),
        ("same.mp4", "would both be written to 'out/same.mp4'; give --name with {number}"),
    ],
)
def test_invalid_names_are_errors(clips, name, reason):
    with pytest.raises(StreamfxError) as caught:
        batch_items(str(clips), Path("out"), name)
    assert reason in str(caught.value)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_list_has_sources_names_and_options(mark, tmp_path):
    file = tmp_path / "list.toml"
    second = 'source = "b.mp4"\nname = "{number}.mkv"\npreset = "munch"\nexact = true\n'
    file.write_text(f'{mark}[[video]]\nsource = "a.mp4"\n[[video]]\n{second}', "utf-8")
    assert batch_items(str(file), Path("out"), NAME) == [
        BatchItem(tmp_path / "a.mp4", Path("out/a.mp4")),
        BatchItem(tmp_path / "b.mp4", Path("out/002.mkv"), {"preset": "munch", "exact": True}),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[video", "is not a TOML file"),
        ("[[clip]]", "unknown key 'clip'"),
        ("video = 3", "list the videos as [[video]]"),
        ("[[video]]", "video 1: give the source"),
        ('[[video]]\nsource = "a"\nname = 3', "video 1: give the source, and the name"),
        ('[[video]]\nsource = "a"\nsize = [1, 2]', "video 1: size must be text, a number, true or false"),
    ],
)
def test_invalid_lists_are_errors(tmp_path, text, reason):
    file = tmp_path / "list.toml"
    file.write_text(text)
    with pytest.raises(StreamfxError) as caught:
        batch_items(str(file), Path("out"), NAME)
    assert reason in str(caught.value)
    with pytest.raises(StreamfxError, match="cannot read"):
        batch_items(str(tmp_path / "missing.toml"), Path("out"), NAME)

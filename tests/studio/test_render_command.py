"""Command lines: what the studio runs and what it refuses."""

from pathlib import Path

import pytest

from streamfx.errors import ParseError, StreamfxError
from streamfx.studio.render_command import check_command, shell_line, split_line


@pytest.fixture
def files(library):
    for name in ("in.mp4", "mask.png", "start.png", "my.toml"):
        (library.folder / name).touch()
    (library.folder.parent / "outside.png").touch()
    return library


@pytest.fixture
def check(files, read):
    """check(line): the command and its target."""
    return lambda line: check_command(split_line(line), read, files)


@pytest.mark.parametrize(
    "line",
    [
        "streamfx style in.mp4 renders/out.mp4 --preset munch --strength 0.5 --from 1 --to 2",
        "streamfx run in.mp4 renders/out.mp4 --chain 'style=vangogh:mask=mask.png,hue=s=1.2' -e preset=slow",
        "streamfx dream --start start.png renders/out.mp4 --palette 'start, mask.png' --zoom '1.01+0.01*sin(t)'",
        "cd /somewhere && streamfx run ./in.mp4 renders/out.mp4 --chain mirror -y --resume",
    ],
)
def test_commands_on_files_of_the_folder_are_taken(check, line):
    given, target = check(line)
    assert target == "renders/out.mp4"
    assert given.command in line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("streamfx train in.mp4", "runs style, dream, run"),
        ("streamfx style ../outside.png renders/out.png", "outside"),
        ("streamfx style in.mp4 ../out.mp4", "outside"),
        ("streamfx style in.mp4 /tmp/out.mp4", "outside"),
        ("streamfx style in.mp4 missing/out.mp4", "folder that exists"),
        ("streamfx style in.mp4 renders/%03d.png", "not a file"),
        ("streamfx style - renders/out.mp4", "not a file"),
        ("streamfx style http://127.0.0.1/x.mp4 renders/out.mp4", "not a file"),
        ("streamfx style in.mp4 renders/out.mp4 --mask ../outside.png", "outside"),
        ("streamfx style in.mp4 renders/out.mp4 --preset munch,../x.toml:0.5", "outside"),
        ("streamfx style in.mp4 renders/out.mp4 --preset vangogh:0.5,/etc/x.toml", "outside"),
        ("streamfx style in.mp4 renders/out.mp4 --input-format lavfi", "files only"),
        ("streamfx run in.mp4 renders/out.mp4 --chain style=mask=/etc/hostname", "outside"),
        ("streamfx run in.mp4 renders/out.mp4 --chain mirror -e x264-params=stats=/tmp/x", "does not pass"),
        ("streamfx dream --start start.png renders/o.mp4 --palette start,../outside.png", "outside"),
        ("streamfx dream --start start.png renders/o.mp4 --plot ../p.png", "leave out --plot"),
        ("streamfx style in.mp4 renders/out.mp4 --strength 2", "strength"),
        ("streamfx style in.mp4 renders/out.mp4 --no-such", "No such option"),
        ("streamfx style in.mp4", "Missing argument"),
        ("streamfx style in.mp4 renders/out.mp4 --help", "leave out --help"),
        ("streamfx style 'in.mp4", "cannot be read"),
        ("rm -rf /", "starts with streamfx"),
        ("streamfx", "not a command"),
    ],
)
def test_other_commands_are_refused(check, line, reason):
    with pytest.raises(StreamfxError, match=reason):
        check(line)


@pytest.mark.parametrize(
    "chain", ["movie=/etc/passwd[x];[0:v][x]overlay", "mirror,lut3d=x.cube", "curves=psfile=x", "metadata=print:file=x"]
)
def test_filters_that_use_files_are_refused_where_they_stand(check, chain):
    with pytest.raises(ParseError) as caught:
        check(f"streamfx run in.mp4 renders/out.mp4 --chain '{chain}'")
    assert caught.value.offset == (7 if chain.startswith("mirror") else 0)


def test_shell_lines_can_be_pasted_back():
    arguments = ["run", "my clip.mp4", "out.mp4", "--chain", "hue=s='1.2'"]
    assert split_line(shell_line(arguments)) == arguments
    line = shell_line(arguments, Path("/media/my clips"))
    assert line.startswith("cd '/media/my clips' && streamfx run 'my clip.mp4'")
    assert split_line(line) == arguments

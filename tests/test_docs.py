"""The docs: every command parses, every link exists, Python runs, chains build, and the site builds strictly."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import streamfx
from streamfx.animation.timeline.schema import KINDS
from streamfx.cli import app
from streamfx.live.audio_follower import VARIABLES as LIVE_VARIABLES
from streamfx.presets import StylePreset

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = [
    (page.relative_to(ROOT), line)
    for page in PAGES
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    if language not in ("python", "toml", "text")
    for line in block.splitlines()
    if "streamfx " in line
]
GENERATED = {  # by docs/generate.py, when the site is built
    "docs/reference/cli.md",
    "docs/reference/effects.md",
    "docs/reference/timeline-keys.md",
    "docs/schemas/preset.schema.json",
    "docs/schemas/timeline.schema.json",
}


def parse(words):
    """Parse a command line as the program does, without running it."""
    command = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context("streamfx", list(words))


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page.name}-{i}" for i, (page, _) in enumerate(COMMANDS)])
def test_commands_parse(page, line):
    for part in re.split(r" (?:\||&&) ", line.removesuffix(" &")):
        words = shlex.split(part)
        if words[0] == "streamfx":
            parse(words[1:])


def test_there_are_commands_and_wrong_ones_fail():
    assert len(COMMANDS) > 40
    with pytest.raises(Exception, match="No such option"):
        parse(["style", "in.mp4", "out.mp4", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_images_exist(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        path = (page.parent / target).resolve()
        if "://" not in target and path.relative_to(ROOT).as_posix() not in GENERATED:
            assert path.exists(), target


def test_the_tree_and_files_of_the_architecture_exist():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z0-9_]+\.py)?)`", text)
    tree = re.findall(r"^  (\w+(?:/|\.py)) ", text, re.MULTILINE)
    assert len(named) > 15
    assert len(tree) > 15
    for path in (*named, *tree):
        assert (ROOT / "streamfx" / path).exists(), path
    shown = {name.rstrip("/") for name in tree}
    packages = {file.parent.name for file in (ROOT / "streamfx").glob("*/__init__.py")}
    assert packages <= shown, packages - shown


def test_all_public_names_are_in_the_python_reference():
    shown = re.findall(r"^::: streamfx\.(\w+)$", (ROOT / "docs/reference/python-api.md").read_text("utf-8"), re.M)
    assert sorted(shown) == sorted(streamfx.__all__)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_chains_can_be_built():
    from streamfx.chain import build_chain

    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    chains = re.findall(r'(streamfx \w+) .*--chain "([^"]+)"', text)
    assert len(chains) > 3
    for command, chain in chains:
        assert build_chain(chain, audio=LIVE_VARIABLES if command == "streamfx live" else ())


@pytest.mark.parametrize(
    ("page", "name", "frames"),
    [
        ("README.md", "streamfx.Job", 12),
        ("docs/reference/python-api.md", "streamfx.Job", 13),
        ("docs/reference/python-api.md", "streamfx.open", 12),
    ],
)
def test_the_python_examples_run(page, name, frames, tmp_path):
    text = (ROOT / page).read_text("utf-8")
    example = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if name in block)
    clip = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.5", "-f", "lavfi", "-i", "sine=d=0.5"]
    subprocess.run([*clip, "in.mp4"], cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    probe = ["ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets"]
    streams = subprocess.run(
        [*probe, "-of", "csv=p=0", "out.mp4"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split(",")[0] for line in streams.split()] == ["h264", "aac"]
    assert streams.startswith(f"h264,{frames}\n")  # 12: fps=24 of half a second


def test_the_site_builds_strictly(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "site/reference/cli/index.html").read_text("utf-8")
    assert "--preserve-color" in commands
    assert "strength" in (tmp_path / "site/reference/effects/index.html").read_text("utf-8")
    preset = json.loads((tmp_path / "site/schemas/preset.schema.json").read_text("utf-8"))
    assert set(preset["properties"]) == set(StylePreset.model_fields)
    timeline = json.loads((tmp_path / "site/schemas/timeline.schema.json").read_text("utf-8"))
    assert len(timeline["properties"]["section"]["items"]["anyOf"]) == len(KINDS)
    assert (tmp_path / "site/images/demo.jpg").is_file()
    for page in (tmp_path / "site").rglob("*.html"):
        external = re.findall(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"?https?:", page.read_text("utf-8"))
        assert not external, page

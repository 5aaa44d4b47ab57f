"""Effects and presets of other packages: the template of the docs, and packages that are broken."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamfx import plugins
from streamfx.effects.mirror import Mirror
from streamfx.plugins import EFFECTS_GROUP, PRESETS_GROUP, EffectRegistry, owner_of, preset_folders

TEMPLATE = Path(__file__).parent.parent / "examples" / "streamfx-posterize"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process in which the template package is installed by pip."""
    target = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(TEMPLATE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))}


def test_the_template_is_installed_and_runs(installed, streamfx, video, rgb, probe):
    listed = streamfx("effects", "--json", env=installed, fresh=True)
    assert listed.returncode == 0, listed.stderr
    posterize = json.loads(listed.stdout)["posterize"]
    assert posterize["help"] == "Reduce each color to a few levels."
    assert [setting["name"] for setting in posterize["settings"]] == ["levels", "hold"]
    assert "poster" in streamfx("presets", env=installed, fresh=True).stdout.decode()
    chain = r"mirror,posterize=levels=2,posterize=levels='0\:(2), 20\:(3)'"
    output = ["out.mkv", "--encoder", "ffv1", "--pix-fmt", "bgr0"]
    done = streamfx("run", video, *output, "--chain", chain, env=installed, fresh=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(rgb(streamfx.home / "out.mkv").flatten().tolist()) == {0, 255}
    comment = next(v for k, v in probe(streamfx.home / "out.mkv")["format"]["tags"].items() if k.lower() == "comment")
    assert "posterize=levels=2" in comment
    wrong = streamfx("run", video, "x.mp4", "--chain", "posterize=levels=1", env=installed, fresh=True)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "posterize: levels is 1, but must be a whole number from 2 to 64" in wrong.stderr


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(effects, presets): install a package with these entry points; returns its folder."""

    def package(effects=(), presets=()):
        name = "others-1.0.dist-info"
        (tmp_path / name).mkdir()
        (tmp_path / name / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        groups = {EFFECTS_GROUP: effects, PRESETS_GROUP: presets}
        text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())
        (tmp_path / name / "entry_points.txt").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        plugins._named.cache_clear()
        return tmp_path

    yield package
    plugins._named.cache_clear()


BROKEN = """
raise ValueError("needs another version\\nof something")
"""
FINE = """
from dataclasses import dataclass

class NoDataclass:
    def build(self, device): ...

@dataclass(frozen=True)
class NoBuild:
    size: int = 1

@dataclass(frozen=True)
class Same:
    def build(self, device):
        return lambda frame, memory: [] if frame is None else [frame]
"""


def test_effects_that_cannot_be_used_are_named_and_left_out(package, caplog):
    names = {"broken": "broken:X", "missing": "no_such:X", "plain": "fine:NoDataclass", "bare": "fine:NoBuild"}
    entries = [f"{name} = others_{value}" for name, value in names.items()]
    folder = package(effects=[*entries, "same = others_fine:Same", "mirror = others_fine:Same"])
    (folder / "others_broken.py").write_text(BROKEN)
    (folder / "others_fine.py").write_text(FINE)
    effects = EffectRegistry({"mirror": Mirror})
    assert effects.names() == {Mirror: "mirror"}  # nothing is imported before it is used
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert [name for name in effects if "posterize" not in name] == ["mirror", "same"]
        assert len(effects) >= 2
    assert effects["mirror"] is Mirror
    assert effects.names()[effects["same"]] == "same"
    for name in names:
        assert name not in effects
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 4
    assert "the effect 'broken' of others is left out: ValueError: needs another version" in messages
    assert any("of others is left out: TypeError: others_fine:NoDataclass is not a dataclass" in m for m in messages)


def test_presets_of_packages_are_found_without_running_their_code(package, caplog):
    folder = package(presets=["looks = others_broken.presets", "none = no_such_package"])
    (folder / "others_broken" / "presets").mkdir(parents=True)
    (folder / "others_broken" / "__init__.py").write_text(BROKEN)
    with caplog.at_level(logging.WARNING, "streamfx"):
        assert folder / "others_broken" / "presets" in preset_folders()
    assert owner_of(folder / "others_broken" / "presets") == "others"
    assert owner_of(folder) is None
    assert [record.getMessage() for record in caplog.records] == [
        "the presets 'none' of others are missing: no package 'no_such_package'"
    ]
    assert "others_broken" not in sys.modules

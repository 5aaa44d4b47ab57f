"""The package as a whole: its public names, what it loads when, and the data that travels with it."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import streamfx

HEAVY = ("torch", "av", "openvino", "numpy", "skimage")


def python(code: str, folder: Path) -> str:
    """What a fresh interpreter prints that runs `code` away from the checkout."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_names_the_public_names() -> None:
    public = {name for name in streamfx._HOMES if not name.startswith("_")}
    assert set(streamfx.__all__) == public
    for name in streamfx.__all__:
        assert getattr(streamfx, name).__name__ == name


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = streamfx.nonsense


@pytest.mark.parametrize("module", ["streamfx", "streamfx.cli"])
def test_starting_loads_nothing_heavy(module: str, tmp_path: Path) -> None:
    loaded = python(f"import sys, {module}; print(*sys.modules)", tmp_path).split()
    assert not set(HEAVY) & set(loaded)


def test_chains_of_ffmpeg_filters_do_not_load_torch(tmp_path: Path) -> None:
    code = "import sys, streamfx, streamfx.pipeline; streamfx.build_chain('hflip,fps=5'); print('torch' in sys.modules)"
    assert python(code, tmp_path).strip() == "False"


def test_presets_travel_with_the_installation(tmp_path: Path) -> None:
    code = "from streamfx.resources import resource; print(*(p.name for p in resource('presets').iterdir()))"
    names = python(code, tmp_path).split()
    assert {"vangogh.toml", "vangogh.jpg", "masters.safetensors", "masters-fast.safetensors"} <= set(names)


def test_every_file_begins_with_a_sentence() -> None:
    for file in Path(streamfx.__file__).parent.rglob("*.py"):
        module = "streamfx." + ".".join(file.relative_to(Path(streamfx.__file__).parent).with_suffix("").parts)
        if file.name == "__main__.py":
            continue
        doc = importlib.import_module(module.removesuffix(".__init__")).__doc__
        assert doc, file
        assert re.match(r"\S.*[.]", doc.splitlines()[0] + "."), file


def test_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert version("streamfx") == streamfx.__version__

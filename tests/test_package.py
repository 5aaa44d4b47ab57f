"""The package: public names, imports at startup, and shipped data."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import streamfx

HEAVY = ("torch", "av", "openvino", "numpy", "skimage")


def python(code: str, folder: Path) -> str:
    """The stdout of `code`, run by a new interpreter outside the checkout."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_lists_the_public_names() -> None:
    public = {name for name in streamfx._MODULES if not name.startswith("_")}
    assert set(streamfx.__all__) == public
    for name in streamfx.__all__:
        assert getattr(streamfx, name).__name__ == name


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = streamfx.nonsense


@pytest.mark.parametrize("module", ["streamfx", "streamfx.cli"])
def test_startup_imports_no_large_packages(module: str, tmp_path: Path) -> None:
    loaded = python(f"import sys, {module}; print(*sys.modules)", tmp_path).split()
    assert not set(HEAVY) & set(loaded)


def test_chains_of_ffmpeg_filters_do_not_import_torch(tmp_path: Path) -> None:
    code = "import sys, streamfx, streamfx.pipeline; streamfx.build_chain('hflip,fps=5'); print('torch' in sys.modules)"
    assert python(code, tmp_path).strip() == "False"


def test_presets_are_installed(tmp_path: Path) -> None:
    code = "from streamfx.resources import resource; print(*(p.name for p in resource('presets').iterdir()))"
    names = python(code, tmp_path).split()
    assert {"vangogh.toml", "vangogh.jpg", "masters.safetensors", "masters-fast.safetensors"} <= set(names)


def test_every_module_has_a_docstring() -> None:
    for file in Path(streamfx.__file__).parent.rglob("*.py"):
        module = "streamfx." + ".".join(file.relative_to(Path(streamfx.__file__).parent).with_suffix("").parts)
        if file.name == "__main__.py":
            continue
        doc = importlib.import_module(module.removesuffix(".__init__")).__doc__
        assert doc, file
        assert re.match(r"\S.*[.]", doc.splitlines()[0] + "."), file


def test_version_matches_the_distribution() -> None:
    from importlib.metadata import version

    assert version("streamfx") == streamfx.__version__

"""Folders of users without a home, or whose cache cannot be written."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, logging, os, sys
logging.getLogger("streamfx").addHandler(logging.StreamHandler(sys.stderr))
if sys.argv[1] == "nobody":  # as in a container with an unknown user id
    import pwd
    def getpwuid(user):
        raise KeyError(user)
    pwd.getpwuid = getpwuid
from streamfx import resources
from streamfx.presets import presets, user_presets
folders = [resources.cache_folder(), resources.library_cache("numba"), resources.user_folder()]
folders.append(resources.cache_folder())
os.makedirs(folders[1])
from streamfx.animation.audio_features import load_librosa
load_librosa()  # looks for a cache as well
print(json.dumps([str(folder) for folder in folders] + [len(presets()) > 5, str(user_presets())]))
"""


@pytest.fixture
def folders(tmp_path):
    """folders(user, environment): what a process with these variables only finds, and its warnings."""

    def folders(user="", **environment):
        paths = {name: os.environ[name] for name in ("PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, user],
            cwd=tmp_path,
            env={"TMPDIR": str(tmp_path), **paths, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert [path.name for path in tmp_path.glob("streamfx-*")] == []  # removed at the end
        return json.loads(done.stdout), done.stderr

    return folders


def test_a_cache_that_can_be_written(folders, tmp_path):
    (cache, numba, user, _, shipped, own), warnings = folders(XDG_CACHE_HOME=f"{tmp_path}/a", XDG_DATA_HOME="/data")
    assert (cache, numba, user) == (f"{tmp_path}/a/streamfx", f"{tmp_path}/a/streamfx/numba", "/data/streamfx")
    assert (shipped, own, warnings) == (True, "/data/streamfx/presets", "")


def test_a_user_without_a_home_folder(folders, tmp_path):
    (cache, numba, user, again, shipped, own), warnings = folders("nobody")
    assert cache == again
    assert numba == f"{cache}/numba"
    assert cache.startswith(f"{tmp_path}/streamfx-")
    assert (user, shipped, own) == ("None", True, "None")
    assert warnings.count("\n") == 1
    assert "no home folder, so nothing is cached; set XDG_CACHE_HOME to a writable folder" in warnings


@pytest.mark.parametrize("where", ["/dev/null", "/proc/1", "file"])
def test_a_cache_that_cannot_be_created(where, folders, tmp_path):
    (tmp_path / "file").touch()
    (cache, numba, *_), warnings = folders(XDG_CACHE_HOME=str(tmp_path / where))
    assert cache.startswith(f"{tmp_path}/streamfx-")
    assert numba == f"{cache}/numba"
    assert warnings.count("\n") == 1
    assert "/streamfx' cannot be created, so nothing is cached" in warnings

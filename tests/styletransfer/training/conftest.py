"""Small paintings and photos, and settings of trainings that take a second."""

import pytest
from PIL import Image
from skimage import data

from streamfx.presets import TrainingSettings


@pytest.fixture(scope="session")
def painting(tmp_path_factory):
    file = tmp_path_factory.mktemp("painting") / "my coffee.png"
    Image.fromarray(data.coffee()[::4, ::4].copy()).save(file)
    return file


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.chelsea()[::3, ::3].copy()).save(folder / "cat.jpg")
    Image.fromarray(data.rocket()[::3, ::3].copy()).convert("L").save(folder / "gray.png")
    return folder


@pytest.fixture(scope="session")
def small():
    """small(steps=3, ...): settings of a tiny training."""

    def small(**settings):
        return TrainingSettings(**{"crop": 64, "batch": 2, "scales": (1, 2), **settings})

    return small

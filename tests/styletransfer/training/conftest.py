"""Small paintings and photos, and settings that make a training of them take a second."""

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
    Image.fromarray(data.rocket()[::3, ::3].copy()).convert("L").save(folder / "grey.png")
    return folder


@pytest.fixture(scope="session")
def small():
    """small(steps=3, ...): settings of a training in miniature."""

    def small(**settings):
        return TrainingSettings(**{"crop": 32, "batch": 2, **settings})

    return small

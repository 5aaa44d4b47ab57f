"""Two photos, the style targets of each, and the losses of an image."""

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from streamfx.presets import TrainingSettings
from streamfx.styletransfer.features import FeatureExtractor
from streamfx.styletransfer.losses import StyleLoss, build_targets, content_target


@pytest.fixture(scope="session")
def training_settings():
    return TrainingSettings(per_image=1.0)


def load(image):
    image = torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255
    return F.interpolate(image, (192, 192), mode="bilinear", antialias=True)


@pytest.fixture
def cat():
    """A photo [1, 3, 192, 192]."""
    return load(data.chelsea())


@pytest.fixture
def cup():
    """Another photo [1, 3, 192, 192]."""
    return load(data.coffee())


@pytest.fixture(scope="session")
def extractors(training_settings):
    return [FeatureExtractor(training_settings, network) for network in training_settings.style_layers]


@pytest.fixture(scope="session")
def cat_style(training_settings, extractors):
    return build_targets([(load(data.chelsea())[0], 1.0)], training_settings, extractors)


@pytest.fixture(scope="session")
def cup_style(training_settings, extractors):
    return build_targets([(load(data.coffee())[0], 1.0)], training_settings, extractors)


@pytest.fixture(scope="session")
def losses_of(training_settings):
    """losses_of(image, targets, extractor, photo=image, octave=0): the losses by name."""

    @torch.no_grad()
    def losses_of(image, targets, extractor, photo=None, octave=0):
        photo = image if photo is None else photo
        torch.manual_seed(0)
        return StyleLoss(targets, training_settings)(image, photo, content_target(photo, extractor), extractor, octave)

    return losses_of

"""The gallery: pictures of presets on a frame, in a cache."""

from fractions import Fraction

import pytest

from streamfx.studio.gallery import Gallery, Moment
from streamfx.studio.stills import StillRenderer


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path / "cache")


def test_pictures_are_painted_until_the_work_is_stale_and_kept(gallery, video):
    moment = Moment(video, Fraction(1, 5))
    presets = gallery.missing(moment)
    assert len(presets) >= 8
    for preset in presets[1:]:  # painting takes seconds each
        gallery._store(gallery.file(moment, preset), b"painted")
    painted = []
    gallery.paint(
        moment, StillRenderer(), lambda: len(painted) > 0, lambda preset, done: painted.append((preset.name, done))
    )
    assert painted == [(preset.name, True) for preset in presets]  # those that are there as well
    assert gallery.file(moment, presets[0]).read_bytes().startswith(b"\xff\xd8")
    assert gallery.missing(moment) == []
    assert len(gallery.missing(Moment(video, Fraction(2, 5)))) == len(presets)


def test_stale_work_paints_nothing(gallery, video):
    moment = Moment(video, Fraction(0))
    gallery.paint(moment, StillRenderer(), lambda: True, lambda preset, done: pytest.fail("painted"))
    assert len(gallery.missing(moment)) >= 8

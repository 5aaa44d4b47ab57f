"""Preview pictures: a draft and then the full size, or a message."""

import io
from fractions import Fraction

import pytest
from PIL import Image

from streamfx.studio.previews import Previews


@pytest.fixture
def previews(library):
    previews = Previews(library)
    yield previews
    previews.close()


def ask(previews, path, chain):
    answers = []
    previews.request("page", path, Fraction(0), chain, 0, answers.append)
    assert previews.worker.wait_idle(60)
    return answers


def test_a_draft_comes_first(previews, video):
    answers = ask(previews, video, "mirror")
    assert [answer.stage for answer in answers] == ["draft", "full"]
    assert 0 < answers[0].seconds <= answers[1].seconds
    content = previews.picture(answers[1].url.rpartition("/")[2])
    assert Image.open(io.BytesIO(content)).size == (64, 48)
    assert previews.picture("0") is None


def test_failures_are_messages(previews, video, tmp_path):
    (answer,) = ask(previews, video, "style=no-such-preset")
    assert answer.stage == "failed"
    assert "no-such-preset" in answer.message
    (answer,) = ask(previews, tmp_path / "missing.mp4", "mirror")
    assert answer.stage == "failed"

"""Two seconds both ways."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.comparison import variants


def test_both_ways():
    (_, off), (_, on) = variants("style=munch,hue=s=1")
    assert off == "style=preset=munch:coherence=off,hue=s=1"
    assert on == "style=munch,hue=s=1"
    (_, off), (_, on) = variants("mirror,dream=coherence=off")
    assert off == "mirror,dream=coherence=off"
    assert on == "mirror,dream"
    with pytest.raises(StreamfxError, match="no effect with coherence"):
        variants("mirror,hue=s=0")

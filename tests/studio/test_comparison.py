"""Two seconds both ways."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.comparison import compare_flicker, variants


def test_both_ways():
    (_, off), (_, on) = variants("style=munch,hue=s=1")
    assert off == "style=preset=munch:coherence=off,hue=s=1"
    assert on == "style=munch,hue=s=1"
    (_, off), (_, on) = variants("mirror,dream=coherence=off")
    assert off == "mirror,dream=coherence=off"
    assert on == "mirror,dream"
    with pytest.raises(StreamfxError, match="no effect with coherence"):
        variants("mirror,hue=s=0")


def test_both_clips_are_rendered_and_measured(tmp_path, clip, moving, probe):
    source = clip("small.mp4", *moving("96x64", rate="5", seconds="1"), "-pix_fmt", "yuv420p")
    chain = "dream=octaves=1:steps=1,scale=96:64"
    reports = []
    sides = compare_flicker(str(source), 0.0, chain, tmp_path / "compare", tmp_path, reports.append)
    assert [side.title for side in sides] == ["each frame alone", "with coherence"]
    assert all(side.warp_error is not None and side.sharpness > 0 for side in sides)
    assert all(probe(side.file)["streams"][0]["width"] == 640 for side in sides)
    assert len(reports) == 5


def test_errors_are_those_of_the_command(tmp_path):
    with pytest.raises(StreamfxError, match=r"missing\.mp4"):
        compare_flicker("missing.mp4", 0.0, "dream", tmp_path / "compare", tmp_path, lambda text: None)

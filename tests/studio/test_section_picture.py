"""A coarse picture of a section of a timeline."""

import pytest

from streamfx.studio.lanes import read_lanes
from streamfx.studio.previews import Previews
from streamfx.studio.section_picture import FRAMES, section_frames


@pytest.fixture
def lanes(timeline_file):
    text = timeline_file.read_text().replace("[64, 48]", "[640, 480]").replace('"1s"', '"40s"')
    timeline_file.write_text(text)
    return read_lanes(timeline_file)


def test_frames_up_to_the_middle_are_rendered(lanes):
    frames = []
    section_frames(lanes.timeline, lanes.analysis, "title", lambda: False, frames.append)
    assert len(frames) == FRAMES // 2 + 1
    assert frames[-1].shape[0] == 3
    assert frames[-1].shape[1] * frames[-1].shape[2] == pytest.approx(320 * 180, rel=0.02)
    assert frames[-1][:, 0, 0].tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_stale_work_ends(lanes):
    frames = []
    section_frames(lanes.timeline, lanes.analysis, "title", lambda: bool(frames), frames.append)
    assert len(frames) == 1


def test_the_picture_of_a_section_is_delivered(lanes, library):
    previews, pictures = Previews(library), []
    previews.paint_section("page", lanes, "title", pictures.append)
    assert previews.worker.wait_idle(60)
    assert previews.picture(pictures[-1].url.rpartition("/")[2]).startswith(b"\xff\xd8")
    previews.close()

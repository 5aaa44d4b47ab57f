"""The files of a job in pieces: the plan and the records survive, and damage is found."""

from dataclasses import replace
from fractions import Fraction

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.piece_files import PieceFiles, Report, saved_frames
from streamfx.jobs.render_piece import Outcome, try_piece


@pytest.fixture
def files(tmp_path):
    return PieceFiles(tmp_path)


def test_a_plan_is_read_as_written(request_for, plan_of):
    files = PieceFiles(request_for("mirror").folder)
    assert files.load_plan() is None
    plan = replace(plan_of("mirror"), damaged_at=Fraction(1, 3))
    files.store_plan(plan)
    assert files.load_plan() == plan
    assert plan.frames == 25


def test_a_damaged_plan_is_an_error(files):
    (files.folder / "plan.json").write_text('{"length": "x"}')
    with pytest.raises(StreamfxError, match=r"plan\.json' is damaged or from another version; start over with -y"):
        files.load_plan()


def test_a_piece_is_finished_if_its_segment_is_intact(request_for, plan_of):
    request = request_for("mirror")
    files = PieceFiles(request.folder)
    assert files.finished(0) is None
    assert try_piece(request, "here") == Outcome(0, "here")
    segment = files.finished(0)
    assert segment.received == segment.written == 10
    files.store_plan(plan_of("mirror"))
    assert saved_frames(files.folder) == 10
    file = files.folder / segment.file
    file.write_bytes(file.read_bytes()[:-1])
    assert files.finished(0) is None
    (files.folder / "000000.json").write_text("{")
    assert files.record(0) is None


def test_reports_and_requests(files):
    assert files.reported(3) is None
    files.report(3, Report(7, "a"))
    assert files.reported(3) == Report(7, "a")
    files.forget(3)
    files.forget(3)
    assert files.reported(3) is None
    assert not files.stopping
    files.stop()
    assert files.stopping
    files.start()
    files.start()
    assert not files.stopping
    assert PieceFiles(files.folder / "gone").stopping


def test_a_full_disk_is_one_line(files, plan_of, file_size_limit):
    plan = plan_of("mirror")
    with file_size_limit(200), pytest.raises(StreamfxError, match=r"cannot write '.*plan\.json': File too large"):
        files.store_plan(plan)
    assert list(files.folder.iterdir()) == []

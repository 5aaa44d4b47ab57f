"""A session: the chosen clip, moment and span."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.project import Project, load_project, save_project
from streamfx.studio.session import Session
from streamfx.studio.workspace import Workspace


@pytest.fixture
def session(tmp_path, read, video):
    (tmp_path / "video.mp4").write_bytes(video.read_bytes())
    (tmp_path / "broken.mp4").write_text("x")
    workspace = Workspace(tmp_path, None, read)
    workspace.queue.hold(True)
    workspace.start()
    yield Session(workspace)
    workspace.close()


def test_choosing_and_moving(session):
    changes = []
    session.subscribe(changes.append)
    session.choose_source("video.mp4")
    assert session.project.time == 0.2
    session.step(3)
    assert session.project.time == pytest.approx(0.32)
    session.step(-100)
    assert session.project.time == 0
    session.set_span(0.2, 0.6)
    session.choose_source("video.mp4")  # it is chosen already
    with pytest.raises(StreamfxError, match="after the in point"):
        session.set_span(0.6, 0.6)
    assert (session.project.start, session.project.end) == (0.2, 0.6)
    assert changes == ["source", "time", "time", "span"]


def test_a_bad_file_changes_nothing(session):
    session.choose_source("video.mp4")
    for name in ("broken.mp4", "../x.mp4", "missing.mp4"):
        with pytest.raises(StreamfxError):
            session.choose_source(name)
        with pytest.raises(StreamfxError):
            session.load(Project(source=name))
    assert session.project.source == "video.mp4"


def test_the_project_is_saved_when_it_has_changed(session, tmp_path):
    session.save()
    assert list(tmp_path.glob("*.toml")) == []
    session.choose_source("video.mp4")
    session.save()
    assert load_project(tmp_path / "video.studio.toml").source == "video.mp4"
    assert Session(session.workspace).project.source == "video.mp4"
    (tmp_path / "video.mp4").unlink()
    assert Session(session.workspace).project.source == ""


def test_a_project_is_named_after_its_first_file_and_saved_under_other_names(session, tmp_path):
    session.choose_source("video.mp4")
    assert session.project.name == "video"
    session.save_as("my look")
    session.project.chain = "mirror"
    session.changed("chain")
    session.save()
    assert load_project(tmp_path / "my look.studio.toml").chain == "mirror"
    assert load_project(tmp_path / "video.studio.toml").chain == "style=vangogh"
    session.load(Project())
    session.choose_source("video.mp4")
    assert session.project.name == "video-2"  # nothing is overwritten


def test_a_command_line_sets_the_page(session, read):
    changes = []
    session.subscribe(changes.append)
    session.use(read(["run", "video.mp4", "out.mp4", "--chain", "mirror", "--from", "0.4"]))
    assert (session.project.source, session.project.chain, session.subject) == ("video.mp4", "mirror", "Look")
    session.use(read(["dream", "--start", "a.png", "out.mp4"]))
    assert (session.project.source, session.project.dream, session.subject) == (
        "video.mp4",
        {"start_image": "a.png"},
        "Dream",
    )
    assert changes == ["project", "command"] * 2


def test_a_project_with_a_forbidden_chain_is_not_opened(session, tmp_path):
    project = Project("bad", chain="movie=/etc/passwd")
    with pytest.raises(StreamfxError, match="may access files"):
        session.load(project)
    assert session.project.chain == "style=vangogh"
    save_project(project, session.workspace.library)
    assert session.workspace.last_project().chain == "style=vangogh"

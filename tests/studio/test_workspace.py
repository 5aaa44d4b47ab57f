"""The workspace: names of outputs, what is queued, and who may open a folder."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.project import Project, save_project
from streamfx.studio.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, read):
    (tmp_path / "in.mp4").touch()
    workspace = Workspace(tmp_path, None, read)
    workspace.queue.hold(True)
    workspace.start()
    yield workspace
    workspace.close()


def test_projects_are_queued_under_free_names(workspace):
    project = Project(source="in.mp4", chain="style=munch,hue=s=1")
    targets = [workspace.enqueue_project(project).target for _ in range(2)]
    assert targets == ["renders/in-munch-hue.mp4", "renders/in-munch-hue-2.mp4"]
    mirror = workspace.enqueue_project(Project(source="in.mp4", chain="mirror", extension="webm"))
    assert mirror.arguments == ("run", "in.mp4", "renders/in-mirror.webm", "--chain", "mirror")


def test_nothing_is_overwritten(workspace, tmp_path):
    (tmp_path / "out.mp4").touch()
    with pytest.raises(StreamfxError, match="exists"):
        workspace.enqueue(["run", "in.mp4", "out.mp4", "--chain", "mirror"])
    with pytest.raises(StreamfxError):
        workspace.enqueue_project(Project(source="in.mp4", chain="movie=x"))
    assert workspace.queue.entries == []


def test_a_folder_is_open_in_one_studio(workspace, tmp_path, read):
    with pytest.raises(StreamfxError, match="another studio"):
        Workspace(tmp_path, None, read)
    with pytest.raises(StreamfxError, match="not a folder"):
        Workspace(tmp_path / "missing", None, read)


def test_the_last_readable_project_comes_back(workspace, tmp_path, caplog):
    assert workspace.last_project() == Project()
    save_project(Project("a", "in.mp4", chain="mirror"), workspace.library)
    (tmp_path / "b.studio.toml").write_text("broken")
    assert workspace.last_project().chain == "mirror"
    assert "not valid TOML" in caplog.text

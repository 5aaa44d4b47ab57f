"""Projects: command lines from the page's settings and back, and their files."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.project import Project, free_name, load_project, project_files, project_of, save_project


@pytest.mark.parametrize(
    ("project", "line"),
    [
        (Project(source="a.mp4"), "style a.mp4 out.mp4 --preset vangogh"),
        (
            Project(source="a.mp4", chain="style=munch:detail=0.3:preserve_color=1", start=1.0416667, end=2.5),
            "style a.mp4 out.mp4 --preset munch --preserve-color --detail 0.3 --from 1.041 --to 2.5",
        ),
        (Project(source="a.mp4", chain="mirror,hue=s=2"), "run a.mp4 out.mp4 --chain mirror,hue=s=2"),
        (
            Project(
                source="a.mp4", chain="mirror", options={"audio": False, "fps": "24", "encoder_option": ["a=1", "b=2"]}
            ),
            "run a.mp4 out.mp4 --chain mirror --no-audio --fps 24 -e a=1 -e b=2",
        ),
    ],
)
def test_a_project_is_a_command_and_back(project, line, read):
    arguments = project.arguments("out.mp4")
    assert " ".join(arguments) == line
    again = project_of(read(arguments))
    assert again.arguments("out.mp4") == arguments


def test_schedules_stay_in_the_chain(read):
    chain = r"style='vangogh:strength=0\:(0), 50\:(1)'"
    arguments = Project(source="a.mp4", chain=chain).arguments("out.mp4")
    assert arguments[:2] == ["run", "a.mp4"]
    assert project_of(read(arguments)).chain == chain


def test_a_dream_from_an_image(read):
    line = ["dream", "--start", "a.png", "--audio", "song.wav", "--zoom", "1.01", "--duration", "10", "out.mp4"]
    project = project_of(read(line))
    assert project.dream == {"start_image": "a.png", "audio_file": "song.wav", "zoom": "1.01", "duration": "10"}
    assert sorted(project.dream_arguments("out.mp4")) == sorted(line)


def test_times_of_command_lines(read):
    project = project_of(
        read(["run", "a.mp4", "b.webm", "--chain", "mirror", "--from", "0:01:00.5", "--duration", "2"])
    )
    assert (project.start, project.end, project.extension, project.source) == (60.5, 62.5, "webm", "a.mp4")


def test_a_timeline(read):
    line = ["render", "film.toml", "out.mp4", "--audio", "song.wav", "--seed", "3"]
    project = project_of(read(line))
    assert (project.timeline, project.timeline_options) == ("film.toml", {"audio_file": "song.wav", "seed": 3})
    assert project.timeline_arguments("out.mp4") == line
    assert project.timeline_arguments("x.mp4", "in", preview=True)[-3:] == ["--section", "in", "--preview"]


def test_a_command_line_changes_only_what_it_is_about(read):
    project = Project("name", "a.mp4", chain="mirror", dream={"start_image": "a.png"}, timeline="film.toml")
    project.take(project_of(read(["dream", "--start", "b.png", "--zoom", "1.01", "out.mp4"])))
    project.take(project_of(read(["render", "new.toml", "out.mp4"])))
    assert (project.name, project.source, project.chain) == ("name", "a.mp4", "mirror")
    assert (project.dream["start_image"], project.timeline) == ("b.png", "new.toml")
    project.take(project_of(read(["run", "b.mp4", "out.webm", "--chain", "trails"])))
    assert (project.source, project.chain, project.extension) == ("b.mp4", "trails", "webm")
    assert project.dream["start_image"] == "b.png"


def test_names_of_projects_are_free(library):
    assert free_name("a/b", library) == "a-b"
    save_project(Project("a-b"), library)
    assert free_name("a/b", library) == "a-b-2"


def test_without_a_source_there_is_no_command():
    with pytest.raises(StreamfxError, match="choose a video"):
        Project().arguments("out.mp4")
    with pytest.raises(StreamfxError, match="choose an image"):
        Project().dream_arguments("out.mp4")
    with pytest.raises(StreamfxError, match="choose a timeline"):
        Project().timeline_arguments("out.mp4")


def test_projects_are_saved_next_to_the_media(library):
    first, second = Project("a", "a.mp4", start=1.5, options={"crf": "18"}), Project("b/c", "b.mp4")
    save_project(first, library)
    file = save_project(second, library)
    assert file == library.folder / "b-c.studio.toml"
    assert [path.name for path in project_files(library)] == ["b-c.studio.toml", "a.studio.toml"]
    assert load_project(library.folder / "a.studio.toml") == first
    assert [path.name for path in library.folder.glob("*.part")] == []
    file.write_text("\ufeff" + file.read_text("utf-8"), "utf-8")  # a byte order mark, by another editor
    assert load_project(file) == second


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("x = 1", "unknown key 'x'"),
        ("chain = 3", "wrong type"),
        ("time = true", "wrong type"),
        ("[", "not valid TOML"),
        (None, "cannot read"),
    ],
)
def test_invalid_files_are_refused(library, content, reason):
    file = library.folder / "x.studio.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(StreamfxError, match=reason):
        load_project(file)

"""A cluster of two nodes on this machine: one lacks a file, has a full disk, is killed; versions differ."""

import json
import re
import time

import pytest
from ray_nodes import RayNodes, can_mount

from streamfx.errors import StreamfxError
from streamfx.jobs.job import Job
from streamfx.jobs.ray_cluster import RayCluster, _slots, check_versions
from streamfx.jobs.ray_task import NodeReport, inspect_node, render, versions
from streamfx.media.encoding import Output

CHAIN = ["--chain", "hflip", "--encoder", "ffv1", "--device", "cpu", "--segment", "50"]
needs_mounts = pytest.mark.skipif(not can_mount(), reason="user namespaces are not allowed here")


@pytest.fixture(scope="module")
def nodes():
    with RayNodes(2, own_mounts=can_mount()) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def source(clip, moving):
    """A video of 500 frames."""
    return clip("long.mkv", *moving(size="160x120", seconds="20"), "-c:v", "ffv1")


@pytest.fixture(scope="module")
def whole(source, rgb):
    """The frames of `source` after a run in one process."""
    target = source.with_name("whole.mkv")
    Job(source, target, "hflip", Output(encoder="ffv1"), segment=0).run()
    return rgb(target)


@pytest.fixture
def split(nodes, tmp_path, source, whole, rgb):
    """split(action): render `source` on the cluster to out.mkv, call `action` after the first segment; returns stderr.

    Asserts that the video is that of a run without Ray, and that no other files are left.
    """

    def split(action):
        process = nodes.start("run", source, tmp_path / "out.mkv", *CHAIN, "--ray", nodes.address, "--json")
        work = tmp_path / "out.mkv.streamfx"
        while not list(work.glob("0*.json")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        action(work)
        report, error = process.communicate()
        assert process.returncode == 0, error
        assert json.loads(report)["frames"] == 500
        assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]
        assert (rgb(tmp_path / "out.mkv") == whole).all()
        return error

    return split


def test_reports_of_nodes(tmp_path):
    (tmp_path / "token").touch()
    (tmp_path / "a.mp4").touch()
    files = ["a.mp4", "b.mp4", str(tmp_path / "a.mp4")]
    report = inspect_node("here", str(tmp_path), files, str(tmp_path), "token")
    assert (report.name, report.missing, report.shared, report.versions) == ("here", ["b.mp4"], True, versions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "token"]
    assert not inspect_node("here", str(tmp_path), [], str(tmp_path / "gone"), "token").shared
    check_versions([report])
    other = NodeReport("b", {**versions(), "torch": "1.0"}, 1)
    with pytest.raises(StreamfxError, match=r"b has torch 1\.0, the machine with the command .*; install the same"):
        check_versions([report, other])


def test_a_node_that_joins_later_is_checked(request_for, video):
    request = request_for("mirror")
    assert not render(request, 1, versions()).error
    outcome = render(request, 1, {**versions(), "torch": "1.0"})
    assert outcome.retry
    assert "the machine with the command 1.0" in outcome.error
    video.rename(gone := video.with_suffix(".gone"))
    try:
        outcome = render(request, 1, versions())
    finally:
        gone.rename(video)
    assert (outcome.retry, outcome.error) == (True, f"it does not see '{video}'")


def test_an_address_of_a_client_is_an_error():
    with pytest.raises(StreamfxError, match="give HOST:PORT of the head node"):
        RayCluster("ray://127.0.0.1:1").connect()


def test_tasks_of_a_node():
    node = {"Resources": {"CPU": 8.0, "GPU": 2.0}}
    assert [_slots(node, 3, 0), _slots(node, 1, 1), _slots(node, 1, 0.3), _slots(node, 9, 0)] == [2, 2, 6, 0]
    assert _slots({"Resources": {"CPU": 8.0}}, 1, 1) == 0


def test_a_segment_that_fits_on_no_node_is_an_error(nodes, tmp_path, source):
    done = nodes.run("run", source, tmp_path / "out.mkv", *CHAIN, "--ray", nodes.address, "--ray-gpus", "0.5")
    assert done.returncode == 1
    assert "no node has the 1 cores and 0.5 GPUs of a segment (node" in done.stderr
    assert list(tmp_path.iterdir()) == []


@needs_mounts
def test_one_line_names_the_node_that_does_not_see_the_source(nodes, tmp_path, source):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    nodes.mount(1, hidden, "64k")
    (hidden / "in.mkv").write_bytes(source.read_bytes())
    done = nodes.run("run", hidden / "in.mkv", tmp_path / "out.mkv", *CHAIN, "--ray", nodes.address)
    expected = f"streamfx: node1 does not see '{hidden / 'in.mkv'}': give paths that all nodes share\n"
    assert (done.returncode, done.stderr) == (1, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["hidden"]


def test_a_batch_on_a_cluster(nodes, tmp_path, source, whole, rgb):
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mkv").write_bytes(source.read_bytes())
    (clips / "broken.mkv").write_text("not a video")
    done = nodes.run("batch", clips, tmp_path / "out", *CHAIN, "--ray", nodes.address, "--jobs", "2", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    ends = {json.loads(line)["source"]: json.loads(line) for line in done.stdout.splitlines()}
    assert (ends[str(clips / "a.mkv")]["state"], ends[str(clips / "a.mkv")]["frames"]) == ("finished", 500)
    assert (ends[str(clips / "broken.mkv")]["state"]) == "failed"
    assert (rgb(tmp_path / "out" / "a.mkv") == whole).all()


def test_a_video_that_is_not_split_is_rendered_by_a_node(nodes, tmp_path, video):
    arguments = "run", video, tmp_path / "out.mp4", *CHAIN, "--ray", nodes.address, "--verbose"
    done = nodes.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"'{video}' is not split: it is short" in done.stderr
    assert re.search(r"out\.mp4' was rendered by node[01]$", done.stderr, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_doctor_shows_the_nodes(nodes, tmp_path):
    done = nodes.run("doctor", "--ray", nodes.address, cwd=tmp_path)
    assert done.stdout.count(" yes") == 2, done.stderr
    assert "node0" in done.stdout


@needs_mounts
def test_segments_of_a_node_with_a_full_disk_are_rendered_elsewhere(nodes, split):
    error = split(lambda work: nodes.mount(1, work, "4k"))
    assert "are rendered again: node1: cannot write" in error
    assert "No space left on device" in error


def test_a_video_is_whole_although_a_node_is_killed(nodes, split):
    """The last test with this cluster: one node is left."""
    assert split(lambda work: nodes.kill(1)) == ""

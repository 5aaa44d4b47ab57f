"""Renders of the queue as processes: pause, resume, cancel, failure, and the part that is finished."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.jobs.checkpoint import work_folder_of
from streamfx.studio.partial import join_finished_part
from streamfx.studio.queue import RenderQueue
from streamfx.studio.renders import Renders


@pytest.fixture
def renders(library, long_video, video):
    """Running renders; the folder has a long and a short video."""
    (library.folder / "long.mp4").write_bytes(long_video.read_bytes())
    (library.folder / "video.mp4").write_bytes(video.read_bytes())
    renders = Renders(RenderQueue(library.state / "queue.json"), library)
    renders.start()
    yield renders
    renders.stop()


def add(renders, source, target, *options, chain="trails"):
    return renders.queue.add(["run", source, target, "--chain", chain, *options], target).id


def test_a_render_is_paused_played_in_part_resumed_and_equal_to_the_command(
    renders, library, wait_until, run_command, rgb, probe
):
    state = lambda: renders.queue.get(number).state  # noqa: E731
    number = add(renders, "long.mp4", "renders/out.mp4", "--segment", "100")
    wait_until(lambda: len(list(work_folder_of(library.output / "out.mp4").glob("*.packets"))) >= 2)
    renders.pause(number)
    wait_until(lambda: state() == "paused")
    part = join_finished_part(renders.queue.get(number), library)
    assert 200 <= int(probe(part)["streams"][0]["nb_frames"]) < 750
    assert not (library.output / "out.mp4").exists()
    renders.resume(number)
    wait_until(lambda: state() == "finished")
    entry = renders.queue.get(number)
    assert (entry.frames, entry.total, entry.share) == (750, 750, 1.0)
    assert entry.seconds > 0
    whole = library.folder / "whole.mp4"
    run_command("run", library.folder / "long.mp4", whole, "--chain", "trails", "--segment", "100")
    assert (rgb(library.output / "out.mp4") == rgb(whole)).all()


def test_a_render_is_canceled_with_its_work(renders, library, wait_until):
    number = add(renders, "long.mp4", "renders/out.mp4", "--segment", "50")
    second = add(renders, "video.mp4", "renders/second.mp4")
    wait_until(lambda: renders.queue.get(number).frames)
    with pytest.raises(StreamfxError, match="cancel it first"):
        renders.remove(number)
    renders.cancel(number)
    wait_until(lambda: renders.queue.get(number).state == "canceled")
    assert not work_folder_of(library.output / "out.mp4").exists()
    renders.remove(number)
    wait_until(lambda: renders.queue.get(second).state == "finished")


def test_failures_are_explained_and_the_queue_goes_on(renders, library, wait_until):
    (library.folder / "broken.mp4").write_bytes(b"not a video" * 1000)
    broken = add(renders, "broken.mp4", "renders/broken.mp4")
    good = add(renders, "video.mp4", "renders/good.mp4")
    wait_until(lambda: renders.queue.get(good).state == "finished")
    assert renders.queue.get(broken).state == "failed"
    assert "broken.mp4" in renders.queue.get(broken).message
    with pytest.raises(StreamfxError, match="no checkpoint"):
        join_finished_part(renders.queue.get(good), library)


def test_waiting_renders_can_be_paused_and_canceled(library):
    renders = Renders(RenderQueue(library.state / "queue.json"), library)  # not started
    first, second = add(renders, "a", "renders/a.mp4"), add(renders, "a", "renders/b.mp4")
    renders.pause(first)
    renders.cancel(second)
    assert [entry.state for entry in renders.queue.entries] == ["paused", "canceled"]
    renders.resume(first)
    renders.resume(second)
    assert [entry.state for entry in renders.queue.entries] == ["waiting", "waiting"]
    renders.remove(second)
    assert len(renders.queue.entries) == 1


def test_a_render_that_was_killed_with_the_studio_waits_again(library):
    queue = RenderQueue(library.state / "queue.json")
    queue.hold(True)
    queue.update(queue.add(["run"], "renders/a.mp4").id, state="running")
    renders = Renders(RenderQueue(library.state / "queue.json"), library)
    renders.start()
    assert renders.queue.entries[0].state == "waiting"
    renders.stop()

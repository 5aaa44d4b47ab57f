"""The queue: order, states and its file."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.queue import RenderQueue


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "queue.json"


def names(queue):
    return [entry.target for entry in queue.entries]


def test_entries_survive_a_restart(file):
    queue = RenderQueue(file)
    first, second = queue.add(["run", "a", "b"], "b"), queue.add(["run", "a", "c"], "c")
    queue.update(first.id, state="finished", frames=5, total=5)
    queue.hold(True)
    again = RenderQueue(file)
    assert again.entries == queue.entries
    assert again.held
    assert again.add(["x"], "d").id == second.id + 1


def test_entries_are_claimed_in_order_unless_the_queue_is_held(file):
    queue = RenderQueue(file)
    first, second = queue.add([], "a"), queue.add([], "b")
    queue.hold(True)
    assert queue.claim_next() is None
    queue.hold(False)
    queue.move(second.id, -1)
    assert names(queue) == ["b", "a"]
    assert queue.claim_next().id == second.id
    assert queue.claim_next().id == first.id
    assert queue.claim_next() is None


def test_one_file_is_written_by_one_render(file):
    queue = RenderQueue(file)
    entry = queue.add([], "a")
    with pytest.raises(StreamfxError, match="already in the queue"):
        queue.add([], "a")
    queue.update(entry.id, state="canceled")
    queue.add([], "a")


def test_running_entries_are_not_removed(file):
    queue = RenderQueue(file)
    entry = queue.add([], "a")
    queue.claim_next()
    with pytest.raises(StreamfxError, match="running"):
        queue.remove(entry.id)
    queue.update(entry.id, state="paused")
    queue.remove(entry.id)
    assert queue.entries == []
    with pytest.raises(StreamfxError, match="no longer"):
        queue.get(entry.id)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 2}', json.dumps({"version": 1, "entries": [1]})])
def test_a_damaged_file_is_kept_and_the_queue_starts_empty(file, content, caplog):
    file.parent.mkdir()
    file.write_text(content)
    assert RenderQueue(file).entries == []
    assert file.with_suffix(".json.damaged").read_text() == content
    assert "cannot be read" in caplog.text


def test_progress_and_time_left(file):
    queue = RenderQueue(file)
    entry = queue.update(queue.add([], "a").id, frames=25, total=100, fps=5.0, durable=False)
    assert (entry.share, entry.seconds_left) == (0.25, 15.0)
    assert RenderQueue(file).entries[0].frames == 0


def test_threads_do_not_lose_entries(file):
    queue = RenderQueue(file)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: queue.add([], str(number)), range(40)))
        claimed = list(pool.map(lambda _: queue.claim_next().id, range(40)))
    assert len(set(names(queue))) == 40
    assert len(set(claimed)) == 40
    assert RenderQueue(file).entries == queue.entries

"""FFmpeg's log messages are collected per thread and never reach stderr."""

import logging
import threading
import time
from contextlib import suppress

import av
import av.error
import pytest

from streamfx.media.ffmpeg_log import ffmpeg_messages, mute_ffmpeg


@pytest.fixture
def broken(tmp_path):
    """An mp4 file without an index."""
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    return path


def test_messages_of_other_threads_are_not_captured(broken, capfd):
    running = True
    captured = []

    def fail_to_open():
        while running:
            with suppress(av.error.FFmpegError):
                av.open(broken)

    threads = [threading.Thread(target=fail_to_open) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 3
    for _ in range(20_000):
        with ffmpeg_messages() as messages:
            pass
        captured += messages
        if time.monotonic() > end:
            break
    running = False
    for thread in threads:
        thread.join()
    assert capfd.readouterr() == ("", "")
    assert not captured


def test_ffmpeg_stays_muted_after_capturing_messages(capfd, caplog):
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "context", "first")
    assert [text for _, _, text in messages] == ["first"]
    av.logging.log(av.logging.ERROR, "context", "second")
    with ffmpeg_messages() as messages:
        av.logging.log(av.logging.ERROR, "context", "third")
    assert [text for _, _, text in messages] == ["third"]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_log_level_set_by_the_user_is_kept(caplog):
    before = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with ffmpeg_messages():
            pass
        assert av.logging.get_level() == av.logging.WARNING
        av.logging.log(av.logging.WARNING, "context", "message")
        assert "message" in caplog.text
    finally:
        av.logging.set_level(before)


@pytest.fixture
def muted(capfd, caplog):
    """Fails the test if a message of FFmpeg reaches stdout, stderr or logging."""
    caplog.set_level(logging.DEBUG)
    with ffmpeg_messages():  # leaves FFmpeg muted, as every use in the program does
        pass
    yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def log(level, text):
    av.logging.log(level, "context", text)


@pytest.mark.usefixtures("muted")
@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (av.logging.ERROR, ["error"]),
        (av.logging.WARNING, ["error", "warning"]),
        (av.logging.VERBOSE, ["error", "warning", "verbose"]),
    ],
)
def test_messages_up_to_a_level_are_collected(level, expected):
    with ffmpeg_messages(level) as messages:
        log(av.logging.ERROR, "error")
        log(av.logging.WARNING, "warning")
        log(av.logging.VERBOSE, "verbose")
        log(av.logging.DEBUG, "debug")
    assert [text for _, _, text in messages] == expected
    assert messages[0][:2] == (av.logging.ERROR, "context")


@pytest.mark.usefixtures("muted")
def test_repeated_messages_are_all_collected():
    with ffmpeg_messages() as messages:
        for _ in range(3):
            log(av.logging.ERROR, "same")
    assert [text for _, _, text in messages] == ["same"] * 3


@pytest.mark.usefixtures("muted")
def test_messages_of_ffmpeg_itself_are_collected(broken):
    with ffmpeg_messages() as messages, pytest.raises(av.error.InvalidDataError):
        av.open(broken)
    assert any("moov atom not found" in text for _, _, text in messages)


@pytest.mark.parametrize("skip", [False, True])
def test_ffmpeg_is_muted_and_the_lock_released_after_an_error(skip, muted):
    before = av.logging.get_skip_repeated()
    av.logging.set_skip_repeated(skip)
    try:
        with pytest.raises(ZeroDivisionError), ffmpeg_messages():
            raise ZeroDivisionError
        assert av.logging.get_skip_repeated() == skip
    finally:
        av.logging.set_skip_repeated(before)
    log(av.logging.ERROR, "after the error")
    with ffmpeg_messages() as messages:
        log(av.logging.ERROR, "in another block")
    assert [text for _, _, text in messages] == ["in another block"]


@pytest.mark.usefixtures("muted")
def test_ffmpeg_can_be_muted_repeatedly():
    for _ in range(2):
        mute_ffmpeg()
        log(av.logging.ERROR, "after muting")
    with ffmpeg_messages() as messages:
        log(av.logging.ERROR, "collected")
    assert [text for _, _, text in messages] == ["collected"]


@pytest.mark.usefixtures("muted")
def test_only_one_thread_collects_at_a_time():
    order = []

    def collect():
        with ffmpeg_messages() as messages:
            order.append("second")
            log(av.logging.ERROR, "of the second thread")
        order.extend(text for _, _, text in messages)

    thread = threading.Thread(target=collect)
    with ffmpeg_messages() as messages:
        thread.start()
        thread.join(timeout=0.1)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second", "of the second thread"]
    assert messages == []

"""The progress on stderr: a bar or a counter, and the messages of effects that take many steps per frame."""

import logging
from fractions import Fraction
from types import SimpleNamespace

import pytest

from streamfx.cli._progress import Bar, _Iterations, _Speed
from streamfx.jobs.status import Progress

ITERATIONS = logging.getLogger("streamfx.iterations")


def assert_not_listening():
    """The logger is as before the bar. pytest adds handlers of its own."""
    assert not any(isinstance(handler, _Iterations) for handler in ITERATIONS.handlers)
    assert (ITERATIONS.level, ITERATIONS.propagate) == (logging.NOTSET, True)


@pytest.fixture
def final_line(capsys):
    """final_line(source, duration, use): what a bar has on stderr at its end, after `use` was called with it."""

    def final_line(source="in.mp4", duration=Fraction(2), use=lambda bar: None, shown=True):
        with Bar(source, duration, shown=shown) as bar:
            use(bar)
        output = capsys.readouterr()
        assert output.out == ""
        return output.err

    return final_line


@pytest.mark.parametrize(
    ("source", "name"),
    [("in.mp4", "in.mp4"), ("videos/2026/in.mp4", "in.mp4"), ("-", "stdin"), ("frames/%05d.png", "%05d.png")],
)
def test_the_source_is_named(source, name, final_line):
    assert final_line(source).startswith(f"{name} ")


@pytest.mark.parametrize(
    "name", ["a{b}.mp4", "{task}.mp4", "{}.mp4", "a[red]b.mp4", "[bold].mp4", "a\\[b].mp4", ":+1:.mp4"]
)
def test_names_are_shown_literally(name, final_line):
    assert final_line(name).startswith(f"{name} ")


def test_without_a_length_frames_are_counted(final_line):
    def count(bar):
        for number in range(3):
            bar.count_frame(Fraction(number))

    line = final_line(duration=None, use=count)
    assert line.split() == ["in.mp4", "3", "frames"]
    assert "━" in final_line(use=count)
    assert "3 frames" in final_line(use=count)


def test_a_length_of_zero_is_no_error(final_line):
    assert "1 frames" in final_line(duration=Fraction(0), use=lambda bar: bar.count_frame(Fraction(1)))


def test_frames_of_earlier_runs_do_not_count_as_speed(final_line):
    progress = Progress(110, 200, Fraction(11, 10), Fraction(2), 1.0, resumed=100)
    assert "10 frames" in final_line(use=lambda bar: bar.advance(progress))


def test_the_bar_is_as_long_as_the_part_that_is_done(capsys):
    lengths = []
    for position in (0, 1, 2):
        with Bar("in.mp4", Fraction(2), shown=True) as bar:
            bar.advance(Progress(position, None, Fraction(position), Fraction(2), 1.0))
            (task,) = bar._bar.tasks
            lengths.append(task.percentage)
    assert lengths == [0, 50, 100]
    capsys.readouterr()


def test_a_hidden_bar_prints_nothing(final_line):
    assert final_line(shown=False, use=lambda bar: bar.count_frame(Fraction(1))) == ""


def test_the_bar_shows_steps_within_a_frame(final_line, caplog):
    def log(bar):
        ITERATIONS.info("step %d of [b]%d", 3, 10)
        ITERATIONS.debug("too much detail")

    assert "step 3 of [b]10" in final_line(use=log)
    assert caplog.text == ""  # the message is not printed as a line as well
    ITERATIONS.info("after the end")
    assert "after" not in final_line()
    assert_not_listening()


def test_steps_are_not_listened_to_after_an_error(final_line):
    def fail(bar):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        final_line(use=fail)
    assert_not_listening()


@pytest.mark.parametrize(
    ("frames", "elapsed", "text"),
    [
        (0, None, "0 frames"),
        (7, 0.5, "7 frames"),  # the speed is not known yet
        (7, 0.7, "7 frames  10.0 fps"),
        (1, 8, "1 frames  0.1 fps"),
    ],
)
def test_the_speed_is_shown_after_half_a_second(frames, elapsed, text):
    assert _Speed().render(SimpleNamespace(fields={"frames": frames}, elapsed=elapsed)) == text

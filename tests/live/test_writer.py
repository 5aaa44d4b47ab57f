"""Painted frames reach all targets, and an error of one frame ends the run."""

import time
from fractions import Fraction

import torch

from streamfx.live.stats import Stats
from streamfx.live.writer import Output, OutputWriter


class Pictures:
    def __init__(self, fail=False):
        self.images, self.closed, self.fail = [], False, fail

    def show(self, image):
        if self.fail:
            raise ValueError("broken")
        self.images.append(image)

    def close(self):
        self.closed = True


def output(number):
    return Output(torch.zeros(3, 4, 6), Fraction(number, 25), time.monotonic())


def test_pictures_are_shown_and_counted():
    pictures, stats = Pictures(), Stats()
    writer = OutputWriter(None, [], [pictures], stats)
    for number in range(5):
        assert writer.put(output(number))
    writer.close()
    assert len(pictures.images) == stats.written == 5
    assert pictures.closed
    assert writer.error is None


def test_an_error_stops_writing_but_not_the_caller():
    writer = OutputWriter(None, [], [Pictures(fail=True)], Stats())
    for number in range(5):
        assert writer.put(output(number))
    writer.close()
    assert isinstance(writer.error, ValueError)

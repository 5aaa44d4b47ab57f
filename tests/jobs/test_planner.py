"""Where a job is split, and from where each piece reads."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest

from streamfx.effects.dream import Dream
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import WARM_UP, Style
from streamfx.effects.trails import Trails
from streamfx.jobs.planner import GRID, plan_pieces, warm_up_of
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import Filter
from streamfx.media.input.resume_points import ResumePoint
from streamfx.media.input.scan import Scan, ScanPoint


def scan(frames, cuts=()):
    numbers = sorted({*range(0, frames, GRID), *cuts})
    points = [
        ScanPoint(
            ResumePoint(number, Fraction(number, 25), "", "", None),
            Fraction(number - 1, 25) if number else None,
            number in cuts,
        )
        for number in numbers
    ]
    return Scan(frames, Fraction(1, 25), points)


def spans(pieces):
    return [(piece.start.number, piece.first, piece.stop) for piece in pieces]


def test_a_chain_without_memory_is_split_anywhere():
    pieces = plan_pieces(scan(250), 0, 100)
    assert spans(pieces) == [(0, 0, 100), (100, 100, 200), (200, 200, 250)]
    assert [(piece.begin, piece.previous) for piece in pieces][:2] == [(0, None), (4, Fraction(99, 25))]
    assert [piece.number for piece in pieces] == [0, 1, 2]
    assert sum(piece.frames for piece in pieces) == 250


def test_a_piece_in_a_shot_reads_the_frames_of_its_warm_up():
    assert spans(plan_pieces(scan(300), 10, 100)) == [(0, 0, 100), (90, 100, 200), (190, 200, 300)]
    assert spans(plan_pieces(scan(300), 15, 100))[1] == (80, 100, 200)
    assert spans(plan_pieces(scan(300), 1000, 100))[1:] == [(0, 100, 200), (0, 200, 300)]


def test_cuts_need_no_warm_up_and_are_preferred():
    assert spans(plan_pieces(scan(300, cuts=[73]), 10, 100)) == [(0, 0, 73), (73, 73, 180), (170, 180, 300)]
    assert spans(plan_pieces(scan(300, cuts=[95]), 20, 100)) == [(0, 0, 95), (95, 95, 200), (180, 200, 300)]


def test_a_warm_up_does_not_reach_across_a_cut():
    pieces = plan_pieces(scan(300, cuts=[12, 155]), 70, 80)
    assert spans(pieces) == [(0, 0, 80), (12, 80, 155), (155, 155, 240), (170, 240, 300)]


def test_without_convergence_only_cuts_split():
    assert spans(plan_pieces(scan(300), math.inf, 100)) == [(0, 0, 300)]
    assert spans(plan_pieces(scan(300, cuts=[40, 51, 240]), math.inf, 100)) == [
        (0, 0, 51),
        (51, 51, 240),
        (240, 240, 300),
    ]


def test_the_last_piece_is_not_short():
    assert spans(plan_pieces(scan(240), 0, 100)) == [(0, 0, 100), (100, 100, 240)]


def test_warm_ups_add_up():
    grade = Filters((Filter("hue", "s=1.2"),))
    assert warm_up_of([grade, Mirror()]) == 0
    assert warm_up_of([Style(), grade, Trails(0.5)]) == WARM_UP + 9
    assert warm_up_of([Style(), Dream()]) == math.inf
    assert warm_up_of([Mirror(), Style(method="optimise", passes=2)]) is None


@pytest.mark.parametrize("frames", [0, 7, 30, math.inf])
def test_every_frame_is_in_one_piece(frames):
    pieces = plan_pieces(scan(997, cuts=[3, 41, 400, 401, 777, 995]), frames, 60)
    assert [pieces[0].first, pieces[-1].stop] == [0, 997]
    assert all(one.stop == two.first for one, two in pairwise(pieces))
    assert all(piece.start.number <= piece.first < piece.stop for piece in pieces)

"""What counts as damage of a source."""

from fractions import Fraction

import av
import pytest

from streamfx.media.input.damage import Damage


def test_only_the_first_damage_counts():
    damage = Damage(Fraction(100))
    assert damage.at is None
    damage.mark(Fraction(103))
    damage.mark(Fraction(101))
    assert damage.at == 3


@pytest.mark.parametrize(
    ("flagged", "seam", "at"),
    [(5, None, 5), (5, 9, 5), (5, Fraction(11, 2), None), (5, Fraction(9, 2), None), (5, 3, 5)],
    ids=["no discontinuity", "much later", "soon after", "soon before", "much earlier"],
)
def test_a_flagged_packet_is_damage_away_from_discontinuities(flagged, seam, at):
    damage = Damage(Fraction(0))
    for half_second in range(20):
        time = Fraction(half_second, 2)
        if seam is not None and time - Fraction(1, 2) < seam <= time:
            damage.discontinuity(Fraction(seam))
        damage.reached(time, flagged=time if time == flagged else None)
    assert damage.at == at


def test_a_flagged_packet_at_the_end_is_damage(video):
    damage = Damage(Fraction(0))
    damage.reached(Fraction(1), flagged=Fraction(1))
    assert damage.at is None
    with av.open(str(video)) as container:
        damage.ended(container, container.streams.video[0], Fraction(1))
    assert damage.at == 1


def test_an_end_before_the_declared_one_is_damage(video):
    with av.open(str(video)) as container:
        for time, at in ((Fraction(9, 10), None), (Fraction(2, 5), Fraction(2, 5))):
            damage = Damage(Fraction(0))
            damage.ended(container, container.streams.video[0], time)
            assert damage.at == at

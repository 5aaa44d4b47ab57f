"""Dreams with music: plans, curves with their errors, and drawings."""

import pytest

from streamfx.errors import StreamfxError
from streamfx.studio.chain_edit import Problem
from streamfx.studio.music import SCHEDULES, curve_of, draw_audio, draw_curve, plan_music


@pytest.fixture(scope="session")
def song(clip):
    """Two seconds of clicks, four a second."""
    source = "aevalsrc='sin(880*PI*t)*exp(-30*mod(t,0.25))':d=2:s=22050"
    return clip("song.wav", "-f", "lavfi", "-i", source)


@pytest.fixture
def plan(library, song):
    (library.folder / "song.wav").write_bytes(song.read_bytes())
    return plan_music({"audio_file": "song.wav", "fps": "10"}, library)


def test_the_audio_sets_the_length(plan):
    assert plan.seconds == pytest.approx(2, abs=0.05)
    assert plan.context.last + 1 == 20
    assert plan.analysis.bpm >= 0


def test_without_audio_the_options_do(library):
    assert plan_music({}, library).seconds == 10
    plan = plan_music({"duration": "0:03.5", "fps": "30000/1001"}, library)
    assert (plan.seconds, plan.context.last + 1) == (3.5, 105)
    with pytest.raises(StreamfxError, match="too many"):
        plan_music({"duration": "99999"}, library)
    with pytest.raises(StreamfxError, match="outside"):
        plan_music({"audio_file": "../song.wav"}, library)
    with pytest.raises(StreamfxError, match="not a number"):
        plan_music({"duration": "x"}, library)


def test_schedules_are_curves(plan):
    curve = curve_of("zoom", "0:(1), 10:(2)", plan)
    assert (curve.low, curve.high, len(curve.values)) == (1, 2, 20)
    assert curve.values[5] == pytest.approx(1.5)
    for name in SCHEDULES:
        assert not isinstance(curve_of(name, "", plan), Problem), name
    assert curve_of("zoom", "1 + 0.1*beat + 0*layer", plan, layers=2).high <= 1.11


@pytest.mark.parametrize(("text", "offset"), [("1 + ", 4), ("0:(1, 10:(2)", None), ("1 + nothing", None)])
def test_errors_have_a_place(plan, text, offset):
    problem = curve_of("zoom", text, plan)
    assert isinstance(problem, Problem)
    assert offset is None or problem.offset is not None
    assert problem.offset is None or 0 <= problem.offset <= len(text)


def test_drawings(plan, library):
    audio = draw_audio(plan)
    assert audio.startswith("<svg")
    assert '<path class="wave"' in audio
    assert audio.count('class="onset"') == sum(plan.analysis.onsets < plan.seconds)
    assert "<path" not in draw_audio(plan_music({}, library))
    assert draw_curve(curve_of("zoom", "1", plan)).count(",") >= 20

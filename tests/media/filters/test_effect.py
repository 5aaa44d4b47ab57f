"""FFmpeg filters on decoded frames, and as an effect."""

import logging
import subprocess
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.filters.effect import (
    BUFFERING_FILTERS,
    TIME_FILTERS,
    Filter,
    FilterGraph,
    Filters,
    available_filters,
)
from streamfx.media.filters.graph import prepend_filters

CPU = torch.device("cpu")
TB = Fraction(1, 12800)
SPLIT = (
    Filter("split", outputs=("a", "b")),
    Filter("hflip", inputs=("b",), outputs=("c",), starts_chain=True),
    Filter("hstack", inputs=("a", "c"), starts_chain=True),
)


def video_frames(times=range(0, 3072, 512), pix_fmt="yuv420p", height=48, width=64):
    """Distinct frames with a gradient from left to right."""
    frames = []
    for i, pts in enumerate(times):
        frame = av.VideoFrame(width, height, pix_fmt)
        for plane in frame.planes:
            row = (np.arange(plane.line_size) + 20 * i).astype(np.uint8)
            plane.update(np.tile(row, plane.height).tobytes())
        frame.pts, frame.time_base, frame.colorspace, frame.color_range = pts, TB, 1, 1
        frame.color_primaries = frame.color_trc = 1
        frames.append(frame)
    return frames


def through(graph, frames):
    return [out for frame in [*frames, None] for out in graph.push(frame)]


def luma(frame):
    return frame.to_ndarray()[: frame.height]


def test_timestamps_and_color_tags_are_kept():
    graph = FilterGraph([Filter("hflip")], time_base=TB, rate=Fraction(25), sar=Fraction(64, 45))
    frames = video_frames()
    out = through(graph, frames)
    assert [frame.pts for frame in out] == [frame.pts for frame in frames]
    assert (graph.time_base, graph.rate, graph.sar) == (TB, 25, Fraction(64, 45))
    assert all((f.colorspace, f.color_range, f.color_primaries, f.color_trc) == (1, 1, 1, 1) for f in out)
    np.testing.assert_array_equal(luma(out[0]), luma(frames[0])[:, ::-1])


def test_input_frames_are_not_modified():
    frames = video_frames()
    before = [frame.to_ndarray() for frame in frames]
    through(FilterGraph([Filter("drawbox", "t=fill:color=red")], time_base=TB), frames)
    for frame, values in zip(frames, before):
        np.testing.assert_array_equal(frame.to_ndarray(), values)


@pytest.mark.parametrize(
    ("node", "rate", "time_base"),
    [
        (Filter("fps", "12"), Fraction(12), Fraction(1, 12)),
        (Filter("fps", "30000/1001"), Fraction(30000, 1001), Fraction(1001, 30000)),
        (Filter("framestep", "2"), Fraction(25, 2), TB),
    ],
)
def test_output_rate_and_time_base(node, rate, time_base):
    graph = FilterGraph([node], time_base=TB, rate=Fraction(25))
    out = through(graph, video_frames())
    assert (graph.rate, graph.time_base) == (rate, time_base)
    assert out[1].pts * time_base == 1 / rate


def test_output_aspect_ratio():
    graph = FilterGraph([Filter("scale", "32:48")], time_base=TB, sar=Fraction(1))
    through(graph, video_frames())
    assert graph.sar == 2
    graph = FilterGraph([Filter("hflip")], time_base=TB)
    through(graph, video_frames())
    assert graph.rate is None


def test_rows_are_top_to_bottom_after_a_flip():
    frames = video_frames(pix_fmt="gray")
    frames[0].planes[0].update(np.repeat(np.arange(48, dtype=np.uint8), 64).tobytes())
    (out,) = through(FilterGraph([Filter("vflip")], time_base=TB), frames[:1])
    assert out.planes[0].line_size > 0
    np.testing.assert_array_equal(out.to_ndarray(), frames[0].to_ndarray()[::-1])


def test_filters_are_linked_by_label():
    out = through(FilterGraph(SPLIT, time_base=TB), video_frames())
    left, right = luma(out[2])[:, :64], luma(out[2])[:, 64:]
    np.testing.assert_array_equal(left, right[:, ::-1])
    assert not np.array_equal(left, right)


def test_a_source_inside_the_graph():
    red = Filter("color", "red:s=16x16", outputs=("red",))
    graph = FilterGraph([red, Filter("overlay", "shortest=1", inputs=("in", "red"), starts_chain=True)], time_base=TB)
    frames = video_frames()
    out = through(graph, frames)
    assert len(out) == len(frames)
    assert np.ptp(luma(out[3])[:16, :16]) == 0
    np.testing.assert_array_equal(luma(out[3])[16:], luma(frames[3])[16:])


def test_a_movie_source_inside_the_graph(tmp_path):
    movie = tmp_path / "movie, 'quoted'; [x].nut"
    clip = ["-f", "lavfi", "-i", "color=white:s=64x48:r=25:d=0.24", "-c:v", "ffv1"]
    subprocess.run(["ffmpeg", "-v", "error", *clip, movie], check=True)
    quoted = str(movie).replace("\\", r"\\").replace("'", r"\'").replace(":", r"\:")
    nodes = [Filter("movie", quoted, outputs=("m",)), Filter("hstack", inputs=("in", "m"), starts_chain=True)]
    out = through(FilterGraph(nodes, time_base=TB), video_frames())
    assert len(out) == 6
    assert (luma(out[5])[:, 64:] == 235).all()


def test_requested_pixel_formats():
    graph = FilterGraph([Filter("negate")], time_base=TB, pix_fmts=("gbrp16le", "gbrap16le"))
    assert {frame.format.name for frame in through(graph, video_frames())} == {"gbrp16le"}


def test_frames_without_timestamps_pass():
    assert len(through(FilterGraph([Filter("hflip")], time_base=TB), video_frames(times=[None, None]))) == 2


def test_a_finished_graph_takes_no_more_frames():
    graph = FilterGraph([Filter("trim", "end_frame=2")], time_base=TB)
    taken = []
    for frame in video_frames():
        taken.extend(graph.push(frame))
        if graph.finished:
            break
    assert len(taken) == 2
    assert graph.finished
    assert list(graph.push(video_frames()[0])) == []


def test_flushing_an_unused_graph_returns_nothing():
    assert list(FilterGraph([Filter("fps", "12")], time_base=TB).push(None)) == []


def test_a_size_change_is_an_error():
    graph = FilterGraph([Filter("hflip")], time_base=TB)
    list(graph.push(video_frames()[0]))
    with pytest.raises(StreamfxError, match=r"hflip.*64x48 yuv420p to 32x48 yuv420p"):
        graph.push(video_frames(width=32)[1])


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([Filter("hue", "zap=1")], r"'hue=zap=1'.*zap"),
        ([Filter("scale", "w=nix:h=3")], "nix"),
        ([Filter("nix")], "no filter nix"),
        ([Filter("split")], "one open output, but this has 2"),
        ([Filter("hstack")], "one open input, but this has 2"),
        ([Filter("color")], "one open input, but this has 0"),
        ([Filter("hflip", outputs=("a", "b"))], "hflip has 1 outputs, not 2"),
        ([Filter("hflip", outputs=("a",)), Filter("vflip", inputs=("b",), starts_chain=True)], r"\[a\]"),
        ([Filter("movie", "nowhere.mp4", outputs=("m",)), Filter("overlay", inputs=("in", "m"))], r"nowhere\.mp4"),
        ([Filter("volume", "2")], "audio"),
    ],
)
def test_invalid_graphs_fail_at_construction(nodes, reason, capfd, caplog):
    with pytest.raises(StreamfxError, match=reason) as caught:
        FilterGraph(nodes, time_base=TB)
    assert "\n" not in str(caught.value)
    with pytest.raises(StreamfxError):
        Filters(tuple(nodes))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_invalid_options_fail_at_the_first_frame(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    graph = FilterGraph([Filter("crop", "900:900")], time_base=TB)
    with pytest.raises(StreamfxError, match=r"crop=900:900.*too big"):
        graph.push(video_frames()[0])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    av.logging.log(av.logging.ERROR, "who", "what")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "then",
    [
        [Filter("vflip")],
        [Filter("vflip", inputs=("in",), outputs=("out",))],
        [Filter("split", inputs=("x",), outputs=("a", "b")), Filter("hstack", inputs=("a", "b"), starts_chain=True)],
        [
            Filter("color", "s=64x48:d=1", outputs=("c",)),
            Filter("hstack", "shortest=1", ("in", "c"), starts_chain=True),
        ],
    ],
)
def test_prepended_filters_run_first(then):
    frames = video_frames()
    between = through(FilterGraph([Filter("hflip"), Filter("negate")], time_base=TB), frames)
    expected = through(FilterGraph(then, time_base=TB), between)
    out = through(FilterGraph(prepend_filters([Filter("hflip"), Filter("negate")], then), time_base=TB), video_frames())
    assert len(out) == len(expected) == 6
    for ours, theirs in zip(out, expected):
        np.testing.assert_array_equal(ours.to_ndarray(), theirs.to_ndarray())


def test_available_filters():
    names = available_filters()
    assert {"hue", "overlay", "movie", "color", "nullsink"} <= names
    assert not {"volume", "aecho", "buffer", "buffersink", "amovie"} & names
    assert names >= TIME_FILTERS >= BUFFERING_FILTERS


# --- as an effect


def clip(count=6, duration=Fraction(1, 25), cuts=(), alpha=False, times=None):
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64) * torch.tensor([1.0, 0.5, 0.25]).view(3, 1, 1)
    alpha_plane = torch.linspace(1, 0, 48).view(1, 48, 1).expand(1, 48, 64) if alpha else None
    times = times or [i * duration for i in range(count)]
    return [Frame(ramp * ((i + 1) / len(times)), t, duration, i in cuts, alpha_plane) for i, t in enumerate(times)]


def run(effect, frames, memory=None, step=None):
    memory = {} if memory is None else memory
    step = step or effect.build(CPU)
    return [out for frame in [*frames, None] for out in step(frame, memory)]


@pytest.mark.parametrize(
    "duration", [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 1000), Fraction(3, 90000), Fraction(1, 16384)]
)
def test_timing_and_image_pass_unchanged(duration):
    frames = clip(duration=duration)
    out = run(Filters((Filter("null"),)), frames)
    assert [(f.pts, f.duration) for f in out] == [(f.pts, f.duration) for f in frames]
    for ours, theirs in zip(out, frames):
        assert ours.image.dtype == torch.float32
        torch.testing.assert_close(ours.image, theirs.image, atol=1 / 65535, rtol=0)


def test_variable_frame_rate_passes_unchanged():
    times = [Fraction(0), Fraction(1, 7), Fraction(5, 7), Fraction(3)]
    out = run(Filters((Filter("hflip"),)), clip(times=times))
    assert [f.pts for f in out] == times
    assert [f.duration for f in out] == [Fraction(1, 7), Fraction(4, 7), Fraction(16, 7), Fraction(1, 25)]


@pytest.mark.parametrize(
    ("node", "durations"),
    [
        (Filter("fps", "12"), [Fraction(1, 12)] * 3),
        (Filter("fps", "50"), [Fraction(1, 50)] * 12),
        (Filter("setpts", "2*PTS"), [Fraction(2, 25)] * 6),
        (Filter("framestep", "3"), [Fraction(3, 25)] * 2),
        (Filter("select", "mod(n,2)"), [Fraction(2, 25), Fraction(2, 25), Fraction(1, 25)]),
        (Filter("tmix", "frames=3"), [Fraction(1, 25)] * 6),
        (Filter("trim", "end_frame=2"), [Fraction(1, 25)] * 2),
        (Filter("reverse"), [Fraction(1, 25)] * 6),
    ],
)
def test_durations_after_retiming_filters(node, durations):
    out = run(Filters((node,)), clip())
    assert [frame.duration for frame in out] == durations
    assert all(a.pts + a.duration == b.pts for a, b in pairwise(out))


@pytest.mark.parametrize(
    ("node", "cuts"),
    [
        (Filter("null"), [3]),
        (Filter("fps", "50"), [6]),
        (Filter("select", "1-eq(n,3)"), [3]),
        (Filter("minterpolate", "fps=50"), [6]),
        (Filter("setpts", "PTS+1/TB"), [3]),
    ],
)
def test_cuts_pass_through_filters(node, cuts):
    out = run(Filters((node,)), clip(cuts=[3]))
    assert [i for i, frame in enumerate(out) if frame.cut] == cuts


def test_alpha_passes_and_can_be_added():
    frames = clip(alpha=True)
    out = run(Filters((Filter("hflip"),)), frames)
    torch.testing.assert_close(out[0].alpha, frames[0].alpha, atol=1 / 65535, rtol=0)
    keyed = run(Filters((Filter("colorkey", "black:0.01"),)), clip())
    assert keyed[0].alpha is not None
    assert keyed[0].alpha.unique().tolist() == [0.0, 1.0]
    assert run(Filters((Filter("null"),)), clip())[0].alpha is None


def test_colors_survive_filters_that_need_yuv():
    colors = torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.8, 0.3], [0.2, 0.3, 0.95], [0.5, 0.5, 0.5]])
    for color in colors:
        frame = Frame(color.view(3, 1, 1).expand(3, 48, 64), Fraction(0), Fraction(1, 25))
        (out,) = run(Filters((Filter("hue", "s=1"),)), [frame])
        torch.testing.assert_close(out.image, frame.image, atol=3 / 255, rtol=0)


def test_one_step_serves_two_runs_and_can_resume():
    effect = Filters((Filter("hflip"),))
    frames, whole = clip(), run(effect, clip())
    step = effect.build(CPU)
    first, second = {}, {}
    both = [(list(step(frame, first)), list(step(frame, second))) for frame in [*frames, None]]
    for parts in zip(*both):
        out = [frame for part in parts for frame in part]
        assert len(out) == len(whole)
        assert all(torch.equal(a.image, b.image) for a, b in zip(out, whole))

    memory: dict = {}
    before = [out for frame in frames[:3] for out in step(frame, memory)]
    resumed = run(effect, frames[3:], memory=dict(memory))
    assert [f.pts for f in before + resumed] == [f.pts for f in whole]
    assert all(torch.equal(a.image, b.image) for a, b in zip(before + resumed, whole))

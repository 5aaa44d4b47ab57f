"""FFmpeg filter graphs: text, links, timestamps, and errors."""

import logging
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import (
    BUFFERING_FILTERS,
    TIME_FILTERS,
    Filter,
    FilterGraph,
    append_filters,
    available_filters,
    graph_text,
    prepend_filters,
)

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
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_invalid_options_fail_at_the_first_frame(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    graph = FilterGraph([Filter("crop", "900:900")], time_base=TB)
    with pytest.raises(StreamfxError, match=r"crop=900:900.*too big"):
        graph.push(video_frames()[0])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    av.logging.log(av.logging.ERROR, "context", "message")
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
    for frame, other in zip(out, expected):
        np.testing.assert_array_equal(frame.to_ndarray(), other.to_ndarray())


def test_available_filters():
    names = available_filters()
    assert {"hue", "overlay", "movie", "color", "nullsink"} <= names
    assert not {"volume", "aecho", "buffer", "buffersink", "amovie"} & names
    assert names >= TIME_FILTERS >= BUFFERING_FILTERS


@pytest.mark.parametrize(
    "first",
    [
        [Filter("vflip")],
        [Filter("vflip", inputs=("in",), outputs=("out",))],
        list(SPLIT),
        [Filter("split", outputs=("a", "b")), Filter("hstack", inputs=("a", "b"), outputs=("c",), starts_chain=True)],
    ],
)
def test_appended_filters_run_last(first):
    between = through(FilterGraph(first, time_base=TB), video_frames())
    expected = through(FilterGraph([Filter("hflip"), Filter("negate")], time_base=TB), between)
    out = through(FilterGraph(append_filters(first, [Filter("hflip"), Filter("negate")]), time_base=TB), video_frames())
    assert len(out) == len(expected) == 6
    for frame, other in zip(out, expected):
        np.testing.assert_array_equal(frame.to_ndarray(), other.to_ndarray())


def test_nothing_is_prepended_or_appended_to_nothing():
    for join in (append_filters, prepend_filters):
        assert join([], SPLIT) == tuple(SPLIT)
        assert join(SPLIT, []) == tuple(SPLIT)


def test_no_filters_change_nothing():
    frames = video_frames()
    out = through(FilterGraph([], time_base=TB), frames)
    assert [frame.pts for frame in out] == [frame.pts for frame in frames]
    np.testing.assert_array_equal(luma(out[3]), luma(frames[3]))


def test_text_has_ffmpeg_syntax():
    assert graph_text(SPLIT) == "split[a][b];[b]hflip[c];[a][c]hstack"
    assert graph_text([Filter("hflip"), Filter("fps", "12")]) == "hflip,fps=12"
    assert graph_text([]) == ""
    assert str(Filter("hue", "h=1", ("in",), ("a,b",), "first")) == "[in]hue@first=h=1['a,b']"


@pytest.mark.parametrize("text", ["plain", "it's", "a,b;c", "[x]", " padded ", r"back\slash", "k=v:w", "'"])
def test_quoted_options_reach_ffmpeg_unchanged(text):
    for_filter = "".join(rf"\{char}" for char in text)  # quoted for the filter, so that it is one value
    chain = [Filter("metadata", f"add:key=k:value={for_filter}"), Filter("metadata", "print:file=-")]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.04", "-vf", graph_text(chain)]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == [f"k={text}"]


def test_commands_address_filters_by_id():
    chain = [
        Filter("sendcmd", "c='0.1 hue@second s 0'"),
        Filter("hue", "s=1", id="first"),
        Filter("hue", "s=1", id="second"),
    ]
    colored = video_frames()
    for frame in colored:
        frame.planes[1].update(bytes([200]) * (frame.planes[1].line_size * frame.planes[1].height))
    out = through(FilterGraph(chain, time_base=TB), colored)
    assert [int(frame.to_ndarray()[48, 0]) == 128 for frame in out] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(("rate", "duration"), [(Fraction(25), 512), (Fraction(30000, 1001), 427), (None, 0)])
def test_missing_durations_follow_the_rate(rate, duration):
    (frame,) = video_frames([0])
    list(FilterGraph([Filter("hflip")], time_base=TB, rate=rate).push(frame))
    assert frame.duration == duration


def test_the_duration_of_the_last_frame_counts():
    """Without it, fps=50 would show the last of 2 frames once instead of twice."""
    graph = FilterGraph([Filter("fps", "50")], time_base=TB, rate=Fraction(25))
    assert len(through(graph, video_frames([0, 512]))) == 4

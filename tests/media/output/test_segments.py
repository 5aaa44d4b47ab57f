"""Segments: stored packets, and their timestamps in decoding order."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av import Packet
from hypothesis import given
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.media.encoding import Encoding, Output
from streamfx.media.output.encoder import Shape
from streamfx.media.output.encoder_selection import choose_encoding
from streamfx.media.output.formats import FORMATS
from streamfx.media.output.segments import Layout, Segments, _delay, digest_of_file, join, read_packets, with_dts
from streamfx.media.probe import Coding

TICK = Fraction(1, 600)


def packets(pts):
    result = []
    for time in pts:
        packet = Packet(b"x")
        packet.pts, packet.time_base = time, TICK
        result.append(packet)
    return result


@st.composite
def decoding_order(draw):
    """Irregular pts in decoding order: each reference frame is followed by a pyramid of B-frames."""
    steps = draw(st.lists(st.integers(1, 50), min_size=1, max_size=60))
    times = [draw(st.integers(0, 10**9))]
    for step in steps:
        times.append(times[-1] + step)
    order = []
    while times:
        size = draw(st.integers(1, 8))
        order += pyramid(times[:size])
        del times[:size]
    return order


def pyramid(group):
    """The last one first, then the middle one, then both halves the same way."""
    *rest, last = group
    return [last, *middle_first(rest)]


def middle_first(group):
    if not group:
        return []
    half = len(group) // 2
    return [group[half], *middle_first(group[:half]), *middle_first(group[half + 1 :])]


@given(decoding_order(), st.integers(0, 2))
def test_dts_are_the_sorted_pts_delayed(order, extra):
    delay = _delay(order) + extra
    result = list(with_dts(packets(order), delay))
    assert [packet.pts for packet in result] == order
    dts = [packet.dts for packet in result]
    assert all(one < other for one, other in pairwise(dts))
    assert all(packet.dts <= packet.pts for packet in result)
    assert dts[delay:] == sorted(order)[: max(0, len(order) - delay)]


def test_dts_of_no_packets():
    assert list(with_dts([], 2)) == []


def layout_of(name, encoder=None, alpha=False):
    coding = Coding("yuva420p" if alpha else "yuv420p", 1, 1, 1, 1)
    encoding = choose_encoding(f"a.{name}", FORMATS[name], Output(encoder=encoder), coding, None, (48, 64))
    return Layout(encoding, Shape(48, 64, Fraction(25), Fraction(1, 12800), Fraction(1)), Fraction(1, 12800))


def noise_frame(number, pix_fmt):
    noise = np.random.default_rng(number).integers(0, 255, (48, 64, 4), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgba").reformat(format=pix_fmt)
    frame.pts, frame.duration, frame.time_base = number * 512, 512, Fraction(1, 12800)
    return frame


def filled(folder, name, counts, **options):
    layout = layout_of(name, **options)
    segments = Segments(folder)
    segments.configure(FORMATS[name], layout)
    number = 0
    for count in counts:
        for _ in range(count):
            segments.encode(noise_frame(number, layout.encoding.pix_fmt))
            number += 1
        segments.close_segment()
    return segments


def test_segments_describe_their_content(tmp_path):
    segments = filled(tmp_path, "mp4", [10, 7])
    assert [segment.written for segment in segments.closed] == [10, 7]
    assert [(segment.first, segment.last) for segment in segments.closed] == [(0, 9 * 512), (10 * 512, 16 * 512)]
    assert [Fraction(segment.end) for segment in segments.closed] == [Fraction(10, 25), Fraction(17, 25)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.packets", "000001.packets"]
    for segment in segments.closed:
        stored = list(read_packets(tmp_path / segment.file))
        assert digest_of_file(tmp_path / segment.file) == segment.sha256
        assert len(stored) == segment.written
        assert stored[0].is_keyframe
        assert {packet.duration for packet in stored} == {512}


def test_empty_segments_are_not_written(tmp_path):
    segments = filled(tmp_path, "mp4", [0, 5, 0])
    assert len(segments.closed) == 1
    segments.encode(noise_frame(5, "yuv420p"))
    segments.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["000000.packets"]


def test_alpha_in_side_data_is_kept(tmp_path, rgb):
    """WebM stores alpha as side data of packets."""
    segments = filled(tmp_path, "webm", [6, 6], alpha=True)
    stored = [packet for segment in segments.closed for packet in read_packets(tmp_path / segment.file)]
    assert all(packet.has_sidedata("matroska_block_additional") for packet in stored)
    join(str(tmp_path / "out.webm"), FORMATS["webm"], segments, None, None, audio=True, comment="")
    alpha = rgb(tmp_path / "out.webm", "rgba", "-c:v", "libvpx-vp9")[..., 3]
    assert len(alpha) == 12
    assert alpha.std() > 20


def test_segments_of_another_encoder_are_not_joined(tmp_path):
    segments = filled(tmp_path, "mp4", [5])
    options = segments.layout.encoding.options | {"preset": "ultrafast"}
    other = Encoding("libx264", segments.layout.encoding.coding, options, "yuv420p")
    segments.layout = Layout(other, segments.layout.shape, segments.layout.base)
    with pytest.raises(StreamfxError, match="written by another build of libx264"):
        join(str(tmp_path / "out.mp4"), FORMATS["mp4"], segments, None, None, audio=True, comment="")


def test_other_files_are_not_segments(tmp_path):
    (tmp_path / "a.packets").write_bytes(b"RIFF" * 20)
    with pytest.raises(StreamfxError, match="is not a segment of this version"):
        list(read_packets(tmp_path / "a.packets"))

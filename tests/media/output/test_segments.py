"""Segments: packets that are kept as they are, and times in the order of decoding."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av import Packet
from hypothesis import given
from hypothesis import strategies as st

from streamfx.errors import StreamfxError
from streamfx.media.output.encoder import Shape
from streamfx.media.output.encoder_selection import Encoding, Output, choose_encoding
from streamfx.media.output.formats import FORMATS
from streamfx.media.output.segments import Layout, Segments, _delay, digest_of_file, in_order, join, read_packets
from streamfx.media.probe import Coding

TICK = Fraction(1, 600)


def packets(pts):
    made = []
    for moment in pts:
        packet = Packet(b"x")
        packet.pts, packet.time_base = moment, TICK
        made.append(packet)
    return made


@st.composite
def decoded(draw):
    """Pts in an order of decoding: pyramids of B-frames behind each picture that is referred to, at uneven times."""
    steps = draw(st.lists(st.integers(1, 50), min_size=1, max_size=60))
    moments = [draw(st.integers(0, 10**9))]
    for step in steps:
        moments.append(moments[-1] + step)
    order = []
    while moments:
        size = draw(st.integers(1, 8))
        order += pyramid(moments[:size])
        del moments[:size]
    return order


def pyramid(group):
    """The last one first, then the middle one, then what is on its sides."""
    *rest, last = group
    return [last, *middle_first(rest)]


def middle_first(group):
    if not group:
        return []
    half = len(group) // 2
    return [group[half], *middle_first(group[:half]), *middle_first(group[half + 1 :])]


@given(decoded(), st.integers(0, 2))
def test_dts_are_the_sorted_pts_late_by_the_delay(order, more):
    delay = _delay(order) + more
    made = list(in_order(packets(order), delay))
    assert [packet.pts for packet in made] == order
    dts = [packet.dts for packet in made]
    assert all(one < other for one, other in pairwise(dts))
    assert all(packet.dts <= packet.pts for packet in made)
    assert dts[delay:] == sorted(order)[: max(0, len(order) - delay)]


def test_no_packets_no_times():
    assert list(in_order([], 2)) == []


def layout_of(name, encoder=None, alpha=False):
    coding = Coding("yuva420p" if alpha else "yuv420p", 1, 1, 1, 1)
    encoding = choose_encoding(f"a.{name}", FORMATS[name], Output(encoder=encoder), coding, None, (48, 64))
    return Layout(encoding, Shape(48, 64, Fraction(25), Fraction(1, 12800), Fraction(1)), Fraction(1, 12800))


def picture(number, pix_fmt):
    noise = np.random.default_rng(number).integers(0, 255, (48, 64, 4), np.uint8)
    made = av.VideoFrame.from_ndarray(noise, format="rgba").reformat(format=pix_fmt)
    made.pts, made.duration, made.time_base = number * 512, 512, Fraction(1, 12800)
    return made


def filled(folder, name, counts, **how):
    layout = layout_of(name, **how)
    segments = Segments(folder)
    segments.begin(FORMATS[name], layout)
    number = 0
    for count in counts:
        for _ in range(count):
            segments.encode(picture(number, layout.encoding.pix_fmt))
            number += 1
        segments.cut()
    return segments


def test_a_segment_tells_what_is_in_it(tmp_path):
    segments = filled(tmp_path, "mp4", [10, 7])
    assert [each.written for each in segments.closed] == [10, 7]
    assert [(each.first, each.last) for each in segments.closed] == [(0, 9 * 512), (10 * 512, 16 * 512)]
    assert [Fraction(each.end) for each in segments.closed] == [Fraction(10, 25), Fraction(17, 25)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.packets", "000001.packets"]
    for each in segments.closed:
        kept = list(read_packets(tmp_path / each.file))
        assert digest_of_file(tmp_path / each.file) == each.sha256
        assert len(kept) == each.written
        assert kept[0].is_keyframe
        assert {packet.duration for packet in kept} == {512}


def test_nothing_is_cut_where_nothing_came(tmp_path):
    segments = filled(tmp_path, "mp4", [0, 5, 0])
    assert len(segments.closed) == 1
    segments.encode(picture(5, "yuv420p"))
    segments.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["000000.packets"]


def test_transparency_beside_the_pictures_is_kept(tmp_path, rgb):
    """WebM carries it as side data of packets."""
    segments = filled(tmp_path, "webm", [6, 6], alpha=True)
    kept = [packet for each in segments.closed for packet in read_packets(tmp_path / each.file)]
    assert all(packet.has_sidedata("matroska_block_additional") for packet in kept)
    join(str(tmp_path / "out.webm"), FORMATS["webm"], segments, None, None, audio=True, settings="")
    alpha = rgb(tmp_path / "out.webm", "rgba", "-c:v", "libvpx-vp9")[..., 3]
    assert len(alpha) == 12
    assert alpha.std() > 20


def test_segments_of_another_encoder_are_not_joined(tmp_path):
    segments = filled(tmp_path, "mp4", [5])
    options = segments.layout.encoding.options | {"preset": "ultrafast"}
    other = Encoding("libx264", segments.layout.encoding.coding, options, "yuv420p")
    segments.layout = Layout(other, segments.layout.shape, segments.layout.base)
    with pytest.raises(StreamfxError, match="made by another build of libx264"):
        join(str(tmp_path / "out.mp4"), FORMATS["mp4"], segments, None, None, audio=True, settings="")


def test_what_is_no_segment(tmp_path):
    (tmp_path / "a.packets").write_bytes(b"RIFF" * 20)
    with pytest.raises(StreamfxError, match="no segment of this version"):
        list(read_packets(tmp_path / "a.packets"))

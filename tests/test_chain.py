"""Chains as text: FFmpeg's syntax, extended with our effects."""

import hashlib
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamfx.chain import build_chain, chain_text
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.effects.timeslice import Timeslice
from streamfx.effects.trails import Trails
from streamfx.errors import StreamfxError
from streamfx.media.filters.effect import Filter, FilterGraph, Filters

SIZE = (48, 64)


@pytest.fixture(scope="module")
def clip():
    """Twelve frames at 25 fps as yuv420p bytes."""
    source = f"testsrc2=size={SIZE[1]}x{SIZE[0]}:rate=25:duration=0.48,format=yuv420p"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-f", "rawvideo", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def filter_with_ffmpeg(clip, text):
    """Times in seconds and MD5 sums of the frames, from the ffmpeg command."""
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{SIZE[1]}x{SIZE[0]}", "-r", "25", "-i", "-"]
    sink = ["-vf", text, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "framemd5", "-"]
    command = ["ffmpeg", "-v", "error", "-bitexact", *source, *sink]
    lines = subprocess.run(command, check=True, input=clip, stdout=subprocess.PIPE).stdout.decode().splitlines()
    (base,) = (Fraction(line.split()[-1]) for line in lines if line.startswith("#tb"))
    rows = [line.replace(",", " ").split() for line in lines if not line.startswith("#")]
    return [(int(row[2]) * base, row[-1]) for row in rows]


def filter_with_chain(clip, text):
    """The same from our chain."""
    (effect,) = build_chain(text)
    graph = FilterGraph(effect.nodes, time_base=Fraction(1, 25), rate=Fraction(25), pix_fmts=["yuv420p"])
    height, width = SIZE
    frames = np.frombuffer(clip, np.uint8).reshape(-1, height * 3 // 2, width)
    results = []
    for pts in [*range(len(frames)), None]:
        frame = None
        if pts is not None:
            frame = av.VideoFrame.from_ndarray(frames[pts], format="yuv420p")
            frame.pts = pts
        for filtered in graph.push(frame):
            pixels = filtered.to_ndarray().tobytes()
            results.append((filtered.pts * graph.time_base, hashlib.md5(pixels).hexdigest()))
    return results


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "hflip",
        " hflip , vflip ",
        "crop=20:10:4:2",
        "crop=w=20:h=10:x=4:y=2",
        "crop=20:y=2:h=10",
        "crop='20:10':4:2",
        r"crop=min(20\,iw):10",
        "crop='min(20,iw)':10",
        r"crop=w='min(20\,iw)':h=10",
        "fps=12",
        "fps=50,hflip",
        "framestep=5",
        "trim=end_frame=3",
        "reverse",
        "setpts=2*PTS",
        "setpts='2*PTS + 1/TB'",
        "select='not(mod(n,3))'",
        r"select=not(mod(n\,3))",
        "select=not(mod(n\\\\\\,3))",
        "split[a][b];[b]hflip[c];[a][c]overlay=x=8",
        "split [a],hflip[b];[a][b]hstack",
        "split[a][b] ; [a]hflip,vflip[c] ;\n [c][b]vstack",
        "[in]split[a][b];[b][a]hstack[out]",
        "[x]hflip[y]",
        "color=red:s=16x16:r=25[c];[in][c]overlay=shortest=1",
        "drawbox@one=x=2:y='4 + 4':w=10:h=8:c=white@1:t=fill",
        "split=3[a][b][c];[a][b][c]hstack=inputs=3",
        "split['a b'][c];[c]['a b']hstack",
    ],
)
def test_filters_match_ffmpeg(clip, text):
    expected = filter_with_ffmpeg(clip, text)
    assert expected
    assert filter_with_chain(clip, text) == expected


def test_effects_and_filters_can_be_mixed():
    assert build_chain("fps=24,scale=1280:-2,style=vangogh:strength=.8,hue=s=1.2,vignette") == [
        Filters((Filter("fps", "24"), Filter("scale", "1280:-2"))),
        Style("vangogh", 0.8),
        Filters((Filter("hue", "s=1.2"), Filter("vignette"))),
    ]


def test_labels_must_be_connected_before_an_effect():
    before, effect, after = build_chain("[in]split[a][b];[a]hflip[c];[c][b]hstack,mirror,hflip")
    assert [node.name for node in before.nodes] == ["split", "hflip", "hstack"]
    assert (effect, after) == (Mirror(), Filters((Filter("hflip"),)))


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        (r"style='vangogh\:0.6,munch\:0.4'", Style("vangogh:0.6,munch:0.4")),
        (r"style=vangogh\\:0.6\,munch\\:0.4", Style("vangogh:0.6,munch:0.4")),
        ("style=a:0.5:yes", Style("a", 0.5, True)),
        ("style=a:preserve_color=0:strength=1/2".replace("1/2", "5e-1"), Style("a", 0.5, False)),
        (" style = preset = 'a b' : strength=1 ", Style("a b", 1.0)),
        ("style@first", Style()),
        ("trails=.25", Trails(0.25)),
        ("timeslice=8:past=top", Timeslice(8, "top")),
    ],
)
def test_settings_of_effects(text, effect):
    assert build_chain(text) == [effect]


def test_an_empty_chain_has_no_effects():
    assert build_chain("") == build_chain(" \n") == []
    assert build_chain("null") == [Filters((Filter("null"),))]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hfilp", "unknown filter 'hfilp'; did you mean hflip"),
        ("stile", "did you mean .*style"),
        ("hue,mirrorr", "did you mean mirror"),
        ("style=strenght=1", "unknown setting of style 'strenght'; did you mean strength"),
        ("trails=x=1", "unknown setting of trails 'x'; known: decay"),
        ("trails=much", "trails: decay is 'much', but must be a number"),
        ("trails=1.5", "decay is 1.5, but must be a number from 0 to 1"),
        ("trails=nan", "decay is nan"),
        ("timeslice=2.5", "frames is '2.5', but must be a whole number"),
        ("timeslice=8:up", "unknown past of timeslice"),
        ("style=a:1:maybe", "preserve_color is 'maybe', but must be true or false"),
        ("trails=.5:.6", "remove the extra value '.6'"),
        ("mirror=1", "mirror takes no settings"),
        ("style=strength=1:vangogh", "'vangogh' has no name"),
        ("trails=.5:decay=.6", "decay is given twice"),
        ("split[a][b];[a]mirror[c];[c][b]hstack", "mirror takes no labels"),
        ("split[a],mirror,[a]hstack", r"label \[a\] is still open"),
        ("hflip;mirror", "mirror cannot come after a ';'"),
        ("mirror;hflip", "mirror cannot come before a ';'"),
        ("split,mirror", "one open output, but this has 2"),
        ("hflip,", "character 7, at the end: expected a filter"),
        ("hflip,,vflip", "character 7, at ',vflip': expected a filter"),
        ("=3", "character 1, .*expected a filter"),
        ("hflip]", "unknown filter"),
        ("hue=s=1]", "character 8, at ']': expected"),
        ("[a hflip", "character 1, .*not closed by ']'"),
        ("[]hflip", "character 1, .*empty label"),
        ("hue='s=1", "character 5, .*quote is not closed"),
        ("hue=s=1,hue=zap=2", "zap"),
        ("volume=2", "volume is an audio filter"),
        ("sws_flags=lanczos;hflip", "sws_flags"),
        ("hflip@a-b", "hflip@"),
    ],
)
def test_invalid_chains_are_one_line_errors(text, reason):
    with pytest.raises(StreamfxError, match=reason) as error:
        build_chain(text)
    assert "\n" not in str(error.value)


def test_filters_alone_do_not_import_torch():
    code = (
        "import sys; from streamfx.chain import build_chain; build_chain('hflip,fps=24'); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"False\n"


texts = st.text(st.sampled_from("ab '\\:,;[]=@\t\n%ü0.|"))
effects = st.one_of(
    st.builds(Mirror),
    st.builds(Trails, decay=st.floats(0, 1)),
    st.builds(Timeslice, frames=st.integers(2, 1000), past=st.sampled_from(["left", "top"])),
    st.builds(Style, preset=texts.filter(bool), strength=st.floats(0, 1), preserve_color=st.booleans()),
)


@given(st.lists(effects))
def test_chains_survive_a_round_trip_through_text(chain):
    assert build_chain(chain_text(chain)) == chain


@given(texts)
def test_filters_survive_a_round_trip_through_text(metadata):
    quoted = "".join(f"\\{char}" for char in metadata)
    graph = Filters((Filter("split", outputs=("a", "x]'")), Filter("hstack", inputs=("x]'", "a"), starts_chain=True)))
    chain = [Filters((Filter("metadata", f"add:key=k:value={quoted}x"),)), Mirror(), graph]
    assert build_chain(chain_text(chain)) == chain


words = st.sampled_from(
    [
        "hflip",
        "split",
        "style",
        "mirror",
        "trails",
        "hue",
        "=",
        ",",
        ";",
        "[a]",
        "[b]",
        "'",
        "\\",
        ":",
        "s=1",
        "@x",
        " ",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=40), st.lists(words, max_size=12).map("".join)))
def test_any_text_is_a_chain_or_an_error(text):
    try:
        chain = build_chain(text)
    except StreamfxError:
        return
    assert isinstance(chain, list)

"""Limits on untrusted timelines and presets: only filters that access no files, and only sources that are files.

Timelines and presets are shared between users, so they may only produce images. The command line may use all of FFmpeg.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter

# FFmpeg 8.1's video filters and test sources that use no files, devices or commands. Excluded: filters with any option
# that names a file (lut3d, movie, removelogo, psnr, ...), filters that send commands to other filters (sendcmd), that
# wait for a clock (realtime, cue), that use hardware devices (hwupload, *_qsv), and audio filters
_SAFE_NAMES = """
    addroi alphaextract alphamerge amplify atadenoise avgblur backgroundkey bbox bilateral bitplanenoise blackdetect
    blend blockdetect blurdetect bm3d bwdif cas chromahold chromakey chromanr chromashift ciescope codecview color
    colorbalance colorchannelmixer colorchart colorcontrast colorcorrect colordetect colorhold colorize colorkey
    colorlevels colormap colorspace colorspectrum colortemperature concat convolution convolve copy corr crop datascope
    dblur dctdnoiz deband deblock decimate deconvolve dedot deflate deflicker dejudder despill detelecine dilation
    displace doubleweave drawbox drawgraph drawgrid edgedetect elbg entropy epx erosion estdif exposure extractplanes
    fade feedback fftdnoiz fftfilt field fieldmatch fieldorder fillborders floodfill format fps framepack framerate
    framestep freezedetect freezeframes gblur geq gradfun gradients graphmonitor grayworld greyedge guided haldclut
    haldclutsrc hflip histogram hqx hstack hsvhold hsvkey hue huesaturation hysteresis identity idet il inflate
    interleave kirsch lagfun lenscorrection limitdiff limiter loop lumakey lut lut2 lutrgb lutyuv mandelbrot
    maskedclamp maskedmax maskedmerge maskedmin maskedthreshold maskfun median mergeplanes mestimate midequalizer
    minterpolate mix monochrome morpho msad multiply negate nlmeans noformat noise normalize null nullsink nullsrc
    oscilloscope overlay pad pal100bars pal75bars palettegen perlin photosensitivity pixelize pixscope premultiply
    premultiply_dynamic prewitt pseudocolor qp random remap removegrain reverse rgbashift rgbtestsrc roberts rotate
    scale scale2ref scdet scharr scroll segment select separatefields setdar setfield setparams setpts setrange setsar
    settb shear showinfo showpalette shuffleframes shufflepixels shuffleplanes sidedata sierpinski signalstats siti
    smptebars smptehdbars sobel split streamselect swaprect swapuv tblend telecine testsrc testsrc2 thistogram
    threshold thumbnail tile tiltandshift tlut2 tmedian tmidequalizer tmix tonemap tpad transpose trim unpremultiply
    unsharp untile v360 varblur vectorscope vflip vfrdet vibrance vif vignette vstack w3fdif waveform weave xbr
    xcorrelate xfade xmedian xstack yadif yaepblur yuvtestsrc zoneplate zoompan
"""
SAFE_FILTERS = frozenset(_SAFE_NAMES.split())
# filters that are safe without these options, which name files; their options must be written as key=value
FORBIDDEN_OPTIONS = {
    "curves": frozenset(("psfile", "plot")),
    "life": frozenset(("filename", "f")),
    "metadata": frozenset(("file",)),
    "paletteuse": frozenset(("debug_kdtree",)),
    "selectivecolor": frozenset(("psfile",)),
}
_PROTOCOLS = """
    ftp gopher gophers http https icecast ipfs ipns mmsh mmst rist rtmp rtmpe rtmps rtmpt rtmpte rtmpts rtp rtsp rtsps
    sctp sftp smb srt srtp tcp tls udp udplite
"""
_NETWORK = frozenset(_PROTOCOLS.split())


def check_filters(nodes: Iterable[Filter]) -> None:
    """Raise StreamfxError for an FFmpeg filter that is not on the list of filters that access no files."""
    for node in nodes:
        if node.name in FORBIDDEN_OPTIONS:
            _check_options(node, FORBIDDEN_OPTIONS[node.name])
        elif node.name not in SAFE_FILTERS:
            raise StreamfxError(
                f"the filter '{node.name}' may access files or devices; "
                "use it on the command line, not in a timeline, a preset or the studio"
            )


def _check_options(node: Filter, forbidden: frozenset[str]) -> None:
    """Reject forbidden options and anything that could hide one: quotes, backslashes, positional options."""
    for option in node.options.split(":") if node.options else []:
        match = re.fullmatch(r"\s*([A-Za-z0-9_]+)\s*=([^'\\]*)", option)
        if match is None:
            raise StreamfxError(f"{node.name}: write '{option}' as key=value, without quotes or backslashes")
        if match[1] in forbidden:
            raise StreamfxError(f"{node.name}: option {match[1]} names a file and is allowed only on the command line")


def check_source(text: str, folder: Path, *, network: bool = False) -> str:
    """Return the path of `text`, a source named in a file; relative paths start at that file's `folder`.

    With `network`, `text` may be a URL, which is returned unchanged. Raises StreamfxError for a URL without it, and for
    names that FFmpeg would not treat as a path: pipes, file segments, file lists and devices.
    """
    scheme = re.match(r"([A-Za-z0-9+.-]+):|subfile,", text)
    if scheme and (scheme[1] or "").lower() in _NETWORK and "://" in text:
        if network:
            return text
        raise StreamfxError(f"'{text}' is a network URL; give --allow-network if you trust this file")
    if scheme or text in ("", "-") or "\0" in text:
        raise StreamfxError(f"'{text}' is not a file path; write a name that contains a colon as ./{text or 'NAME'}")
    path = folder / text
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # unlike Path.exists, never raises
        raise StreamfxError(f"'{text}' is a device or a pipe, which is allowed only on the command line")
    return str(path)

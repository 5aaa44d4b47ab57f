"""What a file that came from elsewhere may ask for: filters that touch no files, sources that are files.

Timelines and presets are data that people hand on. What stands in them must not do more than make a picture; on the
command line all of FFmpeg is free.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from streamfx.errors import StreamfxError
from streamfx.media.filters.graph import Filter

# of FFmpeg 8.1: those that make pictures of pictures, or of nothing, with neither files nor devices nor commands. Left
# out are those that read or write files in any of their options (lut3d, movie, removelogo, psnr, ...), those that send
# commands to others (sendcmd), those that wait for a clock (realtime, cue), those of devices (hwupload, *_qsv), and
# those that work on sound
_HARMLESS = """
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
HARMLESS = frozenset(_HARMLESS.split())
# harmless but for these options, which name files; their options must be written as key=value
HARMLESS_BUT = {
    "curves": frozenset(("psfile", "plot")),
    "life": frozenset(("filename", "f")),
    "metadata": frozenset(("file",)),
    "paletteuse": frozenset(("debug_kdtree",)),
    "selectivecolor": frozenset(("psfile",)),
}
_URLS = """
    ftp gopher gophers http https icecast ipfs ipns mmsh mmst rist rtmp rtmpe rtmps rtmpt rtmpte rtmpts rtp rtsp rtsps
    sctp sftp smb srt srtp tcp tls udp udplite
"""
_NETWORK = frozenset(_URLS.split())


def check_filters(nodes: Iterable[Filter]) -> None:
    """Raise StreamfxError for an FFmpeg filter that does not come from the list of those that touch no files."""
    for node in nodes:
        if node.name in HARMLESS_BUT:
            _check_options(node, HARMLESS_BUT[node.name])
        elif node.name not in HARMLESS:
            reason = "reads or writes files, or reaches devices or other filters"
            raise StreamfxError(
                f"the filter '{node.name}' {reason}, or is not known not to: it is for the command line, not for files"
            )


def _check_options(node: Filter, forbidden: frozenset[str]) -> None:
    """Refuse options that are forbidden, and what could hide one: quotes, backslashes, options without names."""
    for option in node.options.split(":") if node.options else []:
        found = re.fullmatch(r"\s*([A-Za-z0-9_]+)\s*=([^'\\]*)", option)
        if found is None:
            raise StreamfxError(f"{node.name}: in a file, write '{option}' as key=value, with no quotes or backslashes")
        if found[1] in forbidden:
            raise StreamfxError(f"{node.name}: {found[1]} names a file: it is for the command line, not for files")


def check_source(text: str, folder: Path, *, network: bool = False) -> str:
    """What `text`, a source named in a file of `folder`, stands for: a path, beside that file if it is relative.

    With `network` it may be a URL, which is given back as it is. Raises StreamfxError for one without, and for what
    FFmpeg would take for something else than a path: pipes, parts and lists of files, devices.
    """
    scheme = re.match(r"([A-Za-z0-9+.-]+):|subfile,", text)
    if scheme and (scheme[1] or "").lower() in _NETWORK and "://" in text:
        if network:
            return text
        raise StreamfxError(f"'{text}' reaches into the network; give --allow-network if the file is to be trusted")
    if scheme or text in ("", "-") or "\0" in text:
        raise StreamfxError(f"'{text}' is no path of a file; a name with a colon in it is written ./{text or 'NAME'}")
    path = folder / text
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):  # which no name makes raise
        raise StreamfxError(f"'{text}' is a device or a pipe: it is for the command line, not for files")
    return str(path)

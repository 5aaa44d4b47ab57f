"""Addresses of live sources and targets: which FFmpeg format and options each one needs."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from streamfx.errors import Misuse, StreamfxError
from streamfx.media.file_names import file_name
from streamfx.media.limits import decoder_options

SourceKind: TypeAlias = Literal["file", "pipe", "network", "device"]
TargetKind: TypeAlias = Literal["stream", "hls", "http", "camera"]

PLAYLIST = "live.m3u8"
DEFAULT_PORT = 8080  # of http targets
STALL = 2.0  # seconds without data after which a source counts as lost
_OPEN_TIMEOUT = 10.0  # seconds to wait for a source to open
_PROBE = {"probesize": "1000000", "analyzeduration": "1000000", "fflags": "nobuffer"}  # bytes; microseconds
_SOURCE_SCHEMES = ("rtmp", "rtmps", "rtsp", "rtsps", "udp", "rtp", "tcp", "http", "https")
_TARGET_FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "rtp": "rtp_mpegts", "tcp": "mpegts"}
_REFUSED = {
    "srt": "this FFmpeg has no SRT protocol; use RTMP, RTSP, or UDP with MPEG-TS",
    "whip": "WHIP is not supported; use RTMP or RTSP",
    "whep": "WHEP is not supported; use RTSP or HLS",
}
_CAMERA_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_UDP_PACKETS = "pkt_size=1316"  # bytes: seven packets of MPEG-TS, which fit into one Ethernet frame
_UDP_BUFFER = {"fifo_size": "50000", "overrun_nonfatal": "1"}  # packets of 188 bytes: 9 MB


@dataclass(frozen=True, slots=True)
class LiveSource:
    """How to open a live source."""

    name: str  # as given
    url: str
    kind: SourceKind
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    open_timeout: float | None = _OPEN_TIMEOUT  # seconds; None waits forever
    stall: float | None = STALL  # seconds to wait for data; None waits forever

    @property
    def reconnects(self) -> bool:
        """Whether the source may come back after it ended."""
        return self.kind in ("network", "device")


@dataclass(frozen=True, slots=True)
class LiveTarget:
    """How to open a live target."""

    name: str  # as given
    url: str  # of http: the host, "" for the default; of a virtual camera: its device
    kind: TargetKind
    format: str = ""
    options: dict[str, str] = field(default_factory=dict)
    port: int = 0  # of http; 0 for any free one


def live_source(text: str, *, input_format: str | None = None, listen: bool = False, rate: str = "") -> LiveSource:
    """Parse a SOURCE: a file, '-', a URL, `camera`, `camera:N` or a device. Raises StreamfxError.

    With `listen`, FFmpeg waits for a sender at an rtmp:// or tcp:// address. `rate` is requested from a camera.
    """
    scheme = _scheme(text)
    if listen and scheme not in ("rtmp", "tcp"):
        raise Misuse(f"--listen waits for a sender at an rtmp:// or tcp:// address, not at '{text}'")
    limits = decoder_options()
    if camera := _camera(text):
        options = limits | ({"framerate": rate} if rate else {})
        return LiveSource(text, camera, "device", input_format or _camera_format(), options)
    if text == "-":
        return LiveSource(text, "pipe:0", "pipe", input_format, _PROBE | limits, None, None)
    if scheme:
        _check_scheme(scheme, _SOURCE_SCHEMES, text)
        options = _PROBE | limits
        if scheme in ("rtsp", "rtsps"):
            options |= {"rtsp_transport": "tcp"}
        if scheme == "udp":
            options |= _UDP_BUFFER
        if listen:
            options |= {"listen": "1"}
        return LiveSource(text, text, "network", input_format, options, None if listen else _OPEN_TIMEOUT)
    path = Path(text)
    if not os.path.exists(path):
        raise StreamfxError(f"no such file: '{text}'")
    if path.is_dir():
        raise StreamfxError(f"'{text}' is a folder; give a video")
    return LiveSource(text, file_name(text), "file", input_format, limits, None, None)


def live_target(text: str) -> LiveTarget:
    """Parse a TARGET: a URL, `hls:FOLDER`, `http://:PORT` or `virtual-camera`. Raises StreamfxError."""
    if text == "virtual-camera" or text.startswith("virtual-camera:"):
        return LiveTarget(text, text.partition(":")[2], "camera")
    if text.startswith("hls:"):
        folder = Path(text.removeprefix("hls:") or ".")
        if folder.exists() and not folder.is_dir():
            raise StreamfxError(f"'{folder}' is a file; give the folder of the playlist, as in hls:live")
        if not folder.parent.is_dir():
            raise StreamfxError(f"folder '{folder.parent}' not found; create it first")
        return LiveTarget(text, str(folder), "hls", "hls")
    scheme = _scheme(text)
    if scheme == "http":
        host, port = _host_and_port(text)
        return LiveTarget(text, host, "http", port=port)
    if not scheme:
        raise StreamfxError(
            f"'{text}' is not a live target; give rtmp://, rtsp://, udp://, rtp://, tcp://, hls:FOLDER, "
            "http://:PORT or virtual-camera, and write files with --record"
        )
    _check_scheme(scheme, ("http", *_TARGET_FORMATS), text)
    url, options = text, {}
    if scheme == "udp" and "pkt_size=" not in text:
        url += ("&" if "?" in text else "?") + _UDP_PACKETS
    if scheme == "rtsp":
        options = {"rtsp_transport": "tcp"}
    if scheme.startswith("rtmp"):
        options = {"flvflags": "no_duration_filesize"}
    return LiveTarget(text, url, "stream", _TARGET_FORMATS[scheme], options)


def _scheme(text: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if match is None and text.split(":")[0] in _REFUSED:  # as in whip:URL
        return text.split(":")[0]
    return match[1].lower() if match else ""


def _check_scheme(scheme: str, allowed: tuple[str, ...], text: str) -> None:
    if scheme in _REFUSED:
        raise StreamfxError(f"'{text}': {_REFUSED[scheme]}")
    if scheme not in allowed:
        raise StreamfxError(f"'{text}': unknown protocol '{scheme}'; known: {', '.join(sorted(set(allowed)))}")


def _host_and_port(text: str) -> tuple[str, int]:
    """The host, "" if none is given, and port of an http target."""
    match = re.fullmatch(r"http://([^/:\[\]]*|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?/?", text)
    port = int(match[2] or DEFAULT_PORT) if match else -1
    if match is None or not 0 <= port < 65536:
        raise StreamfxError(f"'{text}' is not an http target; give http://:PORT, such as http://:8080")
    return match[1].strip("[]"), port


def _camera_format() -> str:
    return next((form for name, form in _CAMERA_FORMATS.items() if sys.platform.startswith(name)), "v4l2")


def _camera(text: str) -> str:
    """The name of a camera for FFmpeg; "" if `text` is not a camera. Raises StreamfxError if it does not exist."""
    if text.startswith("/dev/"):
        device = text
    elif match := re.fullmatch(r"camera(?::(.+))?", text):
        which = match[1] or "0"
        if _camera_format() == "avfoundation":
            return which
        if _camera_format() == "dshow":
            return f"video={which}"
        if not which.isdigit():
            raise StreamfxError(f"'{text}' is not a camera; give camera:0, camera:1 or a device such as /dev/video0")
        device = f"/dev/video{which}"
    else:
        return ""
    if not os.path.exists(device):
        found = ", ".join(sorted(str(path) for path in Path("/dev").glob("video*"))) or "none"
        raise StreamfxError(f"camera '{device}' not found; cameras on this machine: {found}")
    return device

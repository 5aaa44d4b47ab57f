"""Channel layouts of audio streams, replaced where PyAV would crash or FFmpeg could not mix."""

from __future__ import annotations

from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream

# in FFmpeg's native order
_NAMES = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR WL WR SDL SDR LFE2 TSL TSR BFC BFL BFR"
_NATIVE = tuple(_NAMES.split())
# FFmpeg's defaults, by number of channels; it has none for other numbers
_DEFAULTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
_LARGE_DEFAULTS = {10: "5.1.4", 12: "7.1.4", 14: "9.1.4", 16: "9.1.6", 24: "22.2"}


def settle_layout(stream: AudioStream) -> tuple[str, ...]:
    """Give the decoder of a stream a layout in native order; returns the channels in stream order if that differs.

    PyAV frees the channel map of a layout in custom order twice, so call this before anything else reads the layout of
    the stream or decodes it. Channels without names get FFmpeg's default layout for their number. Copied packets are
    not affected.
    """
    context = stream.codec_context
    if context is None or context.is_open:
        return ()
    layout = context.layout  # shares the channel map with the context, which must drop it first
    if " channels" not in layout.name or not layout.nb_channels:  # unknown until decoded
        return ()
    names = tuple(channel.name for channel in layout.channels)
    if len(set(names)) == len(names) and set(names) <= set(_NATIVE):
        context.layout = "+".join(sorted(names, key=_NATIVE.index))
        return names
    context.layout = default_layout(len(names)) or f"{len(names)} channels"
    return ()


def default_layout(count: int) -> str:
    """The name of FFmpeg's default layout for a number of channels; "" if there is none."""
    return _DEFAULTS[count - 1] if 1 <= count <= len(_DEFAULTS) else _LARGE_DEFAULTS.get(count, "")


def channel_names(layout: str) -> frozenset[str]:
    """The channels of a named layout; side channels count as back channels if it has no back channels."""
    names = frozenset(channel.name for channel in AudioLayout(layout).channels)
    if not names.isdisjoint(("BL", "BR")):
        return names
    return frozenset({"SL": "BL", "SR": "BR"}.get(name, name) for name in names)

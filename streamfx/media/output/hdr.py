"""HDR10 metadata of a source as encoder options."""

from __future__ import annotations

from fractions import Fraction

from streamfx.media.probe import VideoInfo

HDR_OPTIONS = {"libx265": "x265-params", "libsvtav1": "svtav1-params"}  # encoder -> its option for HDR metadata


def hdr_options(encoder: str, info: VideoInfo | None) -> list[str]:
    """The encoder's options for the HDR10 metadata of the source (SMPTE ST 2086 and CTA-861.3)."""
    options = []
    x265 = encoder == "libx265"
    if info is not None and info.mastering is not None and len(info.mastering) >= 88:
        values = memoryview(info.mastering[:80]).cast("i").tolist()
        numbers = [Fraction(*values[i : i + 2]) for i in range(0, 20, 2)]  # x, y of R, G, B, white; min, max luminance

        def pair(tag: str, one: Fraction, two: Fraction, scale: int) -> str:
            return f"{tag}({round(one * scale)},{round(two * scale)})" if x265 else f"{tag}({float(one)},{float(two)})"

        order = (("G", 2), ("B", 4), ("R", 0), ("WP", 6))
        points = [pair(tag, numbers[i], numbers[i + 1], 50000) for tag, i in order]
        luminance = pair("L", numbers[9], numbers[8], 10000)
        options.append(f"{'hdr10=1:master-display' if x265 else 'mastering-display'}={''.join(points)}{luminance}")
    if info is not None and info.light_level is not None and len(info.light_level) >= 8:
        brightest, average = memoryview(info.light_level[:8]).cast("I").tolist()
        options.append(f"{'max-cll' if x265 else 'content-light'}={brightest},{average}")
    return options

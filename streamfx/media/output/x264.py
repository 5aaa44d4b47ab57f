"""What x264 has to be told so that it codes the same pictures alike each time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

ENCODERS = ("libx264", "libx264rgb")
_BLOCK, _TOGETHER = 16, 8  # pixels of a macroblock; macroblocks of a row that are worked on at a time
_WORDS = "x264-params"


def repeatable(encoder: str, options: Mapping[str, str], width: int) -> dict[str, str]:
    """The `options`, where pictures of this `width` (pixels) need it with what keeps x264 from AVX-512.

    With AVX-512 its macroblock tree codes the same pictures differently from one time to the next where rows are no
    whole number of eight macroblocks (seen with core 165, the same file up to 13 ways in 14; with AVX2 one way). AVX2
    costs a tenth more of the encoder's time, so 640, 1280, 1920 and 3840 pixels are left alone.
    """
    words = options.get(_WORDS, "")
    if encoder not in ENCODERS or -(-width // _BLOCK) % _TOGETHER == 0 or "asm=" in words or not _has_avx512():
        return dict(options)
    return {**options, _WORDS: ":".join(filter(None, ("asm=avx2", words)))}


@cache
def _has_avx512() -> bool:
    """Whether this processor has it, as far as Linux tells; others are taken not to."""
    try:
        return "avx512bw" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False

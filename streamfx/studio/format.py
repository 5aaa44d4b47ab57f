"""Times and sizes as short text."""

from __future__ import annotations


def clock(seconds: float, places: int = 0) -> str:
    """Seconds as "0:42", "1:02:03", or with decimal places "0:42.04"."""
    ticks = round(max(0.0, seconds) * 10**places)
    whole, part = divmod(ticks, 10**places)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{text}.{part:0{places}d}" if places else text


def size(count: int) -> str:
    """Bytes as "3.4 MB"."""
    value = float(count)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"

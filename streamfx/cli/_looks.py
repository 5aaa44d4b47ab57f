"""--look: ready-made settings of dreams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamfx.animation.feedback_schedules import AUDIO_SCHEDULES, DEFAULT_SCHEDULES
from streamfx.effects.dream import Dream
from streamfx.effects.feedback import Feedback
from streamfx.errors import StreamfxError, unknown
from streamfx.presets import START_PALETTE
from streamfx.settings import settings


def look_settings(text: str, *, audio: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a look for Dream, on frames, and for Feedback, a video from one image.

    In a video, several looks, separated by commas, take turns with their layers, palettes and schedules; all other
    settings are those of the first. `audio` is whether the video has a soundtrack. Raises StreamfxError.
    """
    from streamfx.presets import load_look

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise StreamfxError("the look is ''; give a name, which 'streamfx presets' lists")
    looks = [load_look(name) for name in names]
    known = [{setting.name for setting in settings(kind)} for kind in (Dream, Feedback)]
    for name, look in zip(names, looks):
        for key in look.settings | look.music:
            if key not in known[0] | known[1]:
                raise StreamfxError(f"the look '{name}': {unknown('setting', key, known[0] | known[1])}")
    still = {key: value for key, value in looks[0].settings.items() if key in known[0] and key != "step"}
    if "layer" in still:
        still["layer"] = str(still["layer"]).partition(",")[0]
    videos = [look.settings | (look.music if audio else {}) for look in looks]
    moving = {key: value for key, value in videos[0].items() if key in known[1]}
    return still, moving | (_taking_turns(videos, audio=audio) if len(looks) > 1 else {})


def _taking_turns(looks: Sequence[Mapping[str, Any]], *, audio: bool) -> dict[str, Any]:
    """Layers, palettes and schedules that change from look to look."""
    layers = [[part.strip() for part in str(look.get("layer", "")).split(",") if part.strip()] for look in looks]
    counts = [max(1, len(parts)) for parts in layers]
    turns: dict[str, Any] = {"layer": ", ".join(part for parts in layers for part in parts)}
    palettes = [str(look.get("palette", "")) for look in looks]
    if any(palettes):
        turns["palette"] = ", ".join(
            palette.partition(",")[0] or START_PALETTE for palette, count in zip(palettes, counts) for _ in range(count)
        )
    defaults = AUDIO_SCHEDULES if audio else DEFAULT_SCHEDULES
    for name, default in defaults.items():
        texts = [str(look.get(name) or default) for look in looks]
        if len(set(texts)) > 1:
            schedule, stop = texts[-1], sum(counts[:-1])
            for other, count in reversed(list(zip(texts, counts[:-1]))):
                schedule = f"where(layer < {stop}, {other}, {schedule})"
                stop -= count
            turns[name] = schedule
    return turns

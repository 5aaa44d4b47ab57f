"""--look: ready-made settings of dreams."""

from __future__ import annotations

from typing import Any

from streamfx.effects.dream import Dream
from streamfx.effects.feedback import Feedback
from streamfx.errors import StreamfxError, unknown
from streamfx.settings import settings


def look_settings(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of a look for Dream, on frames, and for Feedback, a video from one image.

    Of several looks, separated by commas, the layers take turns in a video from one image; everything else is that of
    the first. Raises StreamfxError.
    """
    from streamfx.presets import load_look

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise StreamfxError("the look is ''; give a name, which 'streamfx presets' lists")
    looks = [load_look(name).settings for name in names]
    known = [{setting.name for setting in settings(kind)} for kind in (Dream, Feedback)]
    for name, look in zip(names, looks):
        for key in look:
            if key not in known[0] | known[1]:
                raise StreamfxError(f"the look '{name}': {unknown('setting', key, known[0] | known[1])}")
    first = looks[0]
    still = {key: value for key, value in first.items() if key in known[0] and key != "step"}
    moving = {key: value for key, value in first.items() if key in known[1]}
    layers = [str(look["layer"]) for look in looks if "layer" in look]
    if layers:
        still["layer"], moving["layer"] = layers[0].partition(",")[0], ", ".join(layers)
    return still, moving

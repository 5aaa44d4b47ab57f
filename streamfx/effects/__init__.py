"""All effects by name, with those of other installed packages."""

from __future__ import annotations

from streamfx.effects.dream import Dream
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.effects.timeslice import Timeslice
from streamfx.effects.trails import Trails
from streamfx.plugins import EffectRegistry

EFFECTS = EffectRegistry(
    {
        "dream": Dream,
        "mirror": Mirror,
        "style": Style,
        "timeslice": Timeslice,
        "trails": Trails,
    }
)

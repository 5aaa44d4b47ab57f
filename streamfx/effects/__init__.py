"""All effects by name, and what their settings are."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

from streamfx.effects.dream import Dream
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.effects.timeslice import Timeslice
from streamfx.effects.trails import Trails
from streamfx.frame import Effect

EFFECTS: dict[str, type[Effect]] = {
    "dream": Dream,
    "mirror": Mirror,
    "style": Style,
    "timeslice": Timeslice,
    "trails": Trails,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of an effect's dataclass, as users meet it."""

    name: str
    type: type
    default: Any  # None where `required`
    required: bool
    moves: bool  # whether it may change from frame to frame
    help: str  # the comment behind the field


def settings(effect: type[Effect]) -> list[Setting]:
    """The settings of an effect in the order of its fields, which is that of values without a name."""
    types = get_type_hints(effect, vars(sys.modules[effect.__module__]))
    helps = dict(re.findall(r"^    (\w+): [^#\n]*# (.+)$", inspect.getsource(effect), re.MULTILINE))
    found = []
    for each in fields(effect):  # type: ignore[arg-type]
        required = each.default is MISSING
        default = None if required else each.default
        moves = types[each.name] is float or each.type == "Count"
        found.append(Setting(each.name, types[each.name], default, required, moves, helps[each.name]))
    return found

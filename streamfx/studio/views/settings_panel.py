"""Controls for the settings of an effect, made from their declarations."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from nicegui import ui

from streamfx.errors import StreamfxError
from streamfx.settings import Setting
from streamfx.studio.chain_edit import Part
from streamfx.studio.notices import warn

_MOST_STEPS = 20  # of a slider for whole numbers; larger ranges are typed


class SettingsPanel:
    """The controls of one effect. What can be dragged comes first; the rest is folded away."""

    def __init__(self, change: Callable[[str, Any], object], hidden: frozenset[str] = frozenset()) -> None:
        """`change` gets the name and the new value of a setting; those in `hidden` have no control here."""
        self._change, self._hidden = change, hidden

    def build(self, part: Part) -> None:
        """Create the controls for the effect in the present container."""
        shown = [setting for setting in part.settings if setting.name not in self._hidden]
        first = [setting for setting in shown if setting.type is bool or _has_slider(setting)] or shown
        rest = [setting for setting in shown if setting not in first]
        for setting in first:
            self._control(setting, part.value(setting))
        if rest:
            with ui.expansion("More settings").classes("more").props("dense dense-toggle"):
                for setting in rest:
                    self._control(setting, part.value(setting))

    def _control(self, setting: Setting, value: Any) -> None:
        with ui.element("div").classes("setting").props(f'title="{setting.help}"'):
            if setting.type is bool:
                switch = ui.switch(_label(setting), value=bool(value)).props("dense")
                switch.on_value_change(lambda event: self._set(setting, bool(event.value)))
            elif isinstance(value, str) and setting.schedulable:
                ui.label(_label(setting)).classes("setting-name")
                ui.label(value).classes("mono dim schedule")
            elif _has_slider(setting):
                self._slider(setting, float(value))
            elif setting.choices:
                select = ui.select(list(setting.choices), value=value, label=_label(setting))
                select.props("dense outlined options-dense").on_value_change(
                    lambda event: self._set(setting, event.value)
                )
            else:
                field = ui.input(_label(setting), value=str(value)).props("dense outlined")
                field.on("blur", lambda: self._read(setting, str(field.value)))
                field.on("keydown.enter", lambda: self._read(setting, str(field.value)))

    def _slider(self, setting: Setting, value: float) -> None:
        assert setting.low is not None
        assert setting.high is not None
        with ui.element("div").classes("setting-head"):
            ui.label(_label(setting)).classes("setting-name")
            number = ui.label(f"{value:g}").classes("setting-value")
            if value != setting.default:
                number.classes("changed")
        step = 1.0 if setting.type is int else (setting.high - setting.low) / 100
        slider = ui.slider(min=setting.low, max=setting.high, step=step, value=value)
        slider.props(f'aria-label="{_label(setting)}: {setting.help}" data-setting="{setting.name}"')

        def moved() -> None:
            if slider.value is None:
                return
            now = round(slider.value) if setting.type is int else round(float(slider.value), 4)
            number.set_text(f"{now:g}")
            is_changed = now != setting.default
            number.classes(add="changed" if is_changed else "", remove="" if is_changed else "changed")
            self._set(setting, now)

        def reset() -> None:
            slider.set_value(setting.default)

        slider.on_value_change(moved)
        slider.on("dblclick", reset)
        number.on("dblclick", reset).props('title="Double click for the default"')

    def _read(self, setting: Setting, text: str) -> None:
        try:
            value = setting.read("", text) if setting.type in (int, float, Fraction) else text
            self._set(setting, value)
        except StreamfxError as error:
            warn(str(error).removeprefix(": "))

    def _set(self, setting: Setting, value: Any) -> None:
        try:
            self._change(setting.name, value)
        except StreamfxError as error:
            warn(str(error))


def _has_slider(setting: Setting) -> bool:
    if setting.low is None or setting.high is None:
        return False
    return setting.type is float or (setting.type is int and setting.high - setting.low <= _MOST_STEPS)


def _label(setting: Setting) -> str:
    return setting.name.replace("_", " ").capitalize()

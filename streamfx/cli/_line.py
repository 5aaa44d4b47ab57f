"""Parses a command line as the program does, without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from streamfx.errors import Misuse

if TYPE_CHECKING:
    from streamfx.studio.render_command import Given


def line_reader(context: typer.Context) -> Callable[[Sequence[str]], Given]:
    """A function that parses the arguments of any command of the program whose `context` this is."""
    from streamfx.studio.render_command import Given

    root = context.find_root().command
    assert isinstance(root, TyperGroup)

    def read(arguments: Sequence[str]) -> Given:
        name, *rest = arguments or [""]
        command = root.commands.get(name)
        if command is None or isinstance(command, TyperGroup):
            raise Misuse(f"'{name}' is not a command; give one such as style, dream or run")
        try:
            parsed = command.make_context(name, rest)
        except typer.Exit as error:
            raise Misuse("leave out --help") from error
        except Exception as error:
            if not hasattr(error, "format_message"):  # of click's errors, whose classes typer does not publish
                raise
            raise Misuse(f"streamfx {name}: {error.format_message()}") from error
        given = {}
        for key, value in parsed.params.items():
            source = parsed.get_parameter_source(key)
            if source is not None and source.name != "DEFAULT":
                given[key] = value
        return Given(name, given)

    return read

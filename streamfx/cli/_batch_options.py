"""The options of `streamfx batch`: its own, and those of style, dream or run, which it passes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer
from typer.core import TyperCommand

from streamfx.cli.dream import FEEDBACK, dream
from streamfx.cli.run import run
from streamfx.cli.style import style
from streamfx.errors import Misuse, StreamfxError, unknown

_KINDS = {"style": style, "dream": dream, "run": run}
# a batch always resumes and reports; the others are for a single video
_OWN = frozenset(("resume", "join_partial", "progress", "report", "quiet", "start_image", "audio_file"))


@dataclass(frozen=True, slots=True)
class PassedOn:
    """The command that a batch runs for each video, and its options."""

    kind: str  # style, dream or run
    words: Sequence[str]

    def words_of(self, options: Mapping[str, str | int | float | bool], where: str) -> list[str]:
        """The options of one video, by name, as words. Raises StreamfxError for unknown names."""
        known = {parameter.name: parameter for parameter in _options_of(self.kind)}
        names = {option.lstrip("-").replace("-", "_"): p for p in known.values() for option in _spellings(p)}
        words = []
        for key, value in options.items():
            parameter = names.get(key.replace("-", "_"))
            if parameter is None:
                raise StreamfxError(f"{where}: {unknown(f'option of {self.kind}', key, names)}")
            words += _as_words(parameter, value)
        return words


class BatchCommand(TyperCommand):
    """A command that takes the options of another one as well: run with --chain, dream with --dream, else style."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options of both commands; those of the other one become `ctx.obj`."""
        kind = _kind(args)
        passed = _options_of(kind)
        own = [parameter for parameter in self.params if parameter not in passed]
        self.params = [*own, *passed]
        given, _, _ = self.make_parser(ctx).parse_args(list(args)) if not {"-h", "--help"} & set(args) else ({}, [], [])
        rest: list[str] = super().parse_args(ctx, args)
        words = [word for p in passed if p.name in given for word in _as_words(p, given[p.name])]
        for parameter in passed:
            ctx.params.pop(parameter.name, None)
        self.params = own
        ctx.obj = PassedOn(kind, words)
        return rest


def _kind(args: Sequence[str]) -> str:
    chain = any(word == "--chain" or word.startswith("--chain=") for word in args)
    if chain and "--dream" in args:
        raise Misuse("give --chain or --dream, not both: each video gets one command, run or dream")
    return "run" if chain else "dream" if "--dream" in args else "style"


@cache
def _options_of(kind: str) -> tuple[Any, ...]:
    """The options of a command that make sense for many videos."""
    app = typer.Typer()
    app.command()(_KINDS[kind])
    command = typer.main.get_command(app)
    return tuple(
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        and parameter.name not in _OWN
        and parameter.name != "help"
        and (getattr(parameter, "rich_help_panel", None) != FEEDBACK or parameter.name == "step")
    )


def _spellings(parameter: Any) -> list[str]:
    return [option for option in (*parameter.opts, *parameter.secondary_opts) if option.startswith("--")]


def _as_words(parameter: Any, value: Any) -> list[str]:
    """An option as words of a command line."""
    option = max(parameter.opts, key=len, default="")
    if parameter.is_flag:
        off = parameter.secondary_opts[0] if parameter.secondary_opts else ""
        word = option if value else off
        return [word] if word else []
    values = value if isinstance(value, list | tuple) else [value]
    return [f"{option}={item}" if option.startswith("--") else f"{option}{item}" for item in values]

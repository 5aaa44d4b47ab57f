"""Generate the reference of commands and effects, and the JSON schemas, from the code (a hook of mkdocs)."""

from __future__ import annotations

import json
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from streamfx.animation.timeline.schema import Script
from streamfx.cli import app
from streamfx.effects import EFFECTS
from streamfx.presets import StylePreset
from streamfx.settings import settings


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and schemas to the site."""
    for path, content in {
        "reference/cli.md": commands_page(),
        "reference/effects.md": effects_page(),
        "schemas/preset.schema.json": json.dumps(StylePreset.model_json_schema(), indent=2),
        "schemas/timeline.schema.json": json.dumps(Script.model_json_schema(), indent=2),
    }.items():
        files.append(File.generated(config, path, content=content))
    return files


def commands_page() -> str:
    """The reference of all commands, from the typer app."""
    root = typer.main.get_command(app)
    lines = ["# Commands", ""]
    for path, command in _commands(root, "streamfx"):
        context = command.context_class(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += [f"## {path}", "", (command.help or "").replace("\b", ""), "", "```text", f"{path} {usage}", "```", ""]
        rows = [_row(parameter, context) for parameter in command.get_params(context)]
        if rows:
            lines += ["| option | default | |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(command: Any, path: str) -> list[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for name, sub in command.commands.items() for found in _commands(sub, f"{path} {name}")]


def _row(parameter: Any, context: Any) -> str:
    names = " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts) if name.strip())
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    shown = "" if default in (None, False, True, "") or callable(default) else f"`{default}`"
    return f"| {names} | {shown} | {_escaped(getattr(parameter, 'help', None) or '')} |"


def effects_page() -> str:
    """The reference of all effects and their settings."""
    lines = ["# Effects", "", "Use them in a chain: `streamfx run in.mp4 out.mp4 --chain NAME=setting=value`.", ""]
    for name, effect in EFFECTS.items():
        lines += [f"## {name}", "", (effect.__doc__ or "").strip(), "", "| setting | default | |", "|---|---|---|"]
        for each in settings(effect):
            default = "required" if each.required else f"`{each.default}`" if each.default != "" else ""
            schedule = " May be a schedule." if each.schedulable else ""
            lines.append(f"| `{each.name}` | {default} | {_escaped(each.help)}.{schedule} |")
        lines.append("")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

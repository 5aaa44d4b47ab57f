"""Generate the reference of commands and effects, and the JSON schemas, from the code.

A hook of mkdocs. `python docs/generate.py FOLDER` writes the two schemas to a folder, for an editor.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from typing_extensions import Doc

from streamfx.animation.timeline.schema import (
    KINDS,
    Clear,
    Document,
    Fade,
    Guide,
    LayerChange,
    Number,
    Picture,
    Position,
    Ring,
)
from streamfx.cli import app
from streamfx.effects import EFFECTS
from streamfx.presets import StylePreset
from streamfx.settings import settings

IMAGES = Path(__file__).parent.parent / "images"
EFFECTS_INTRODUCTION = """\
In a chain: `streamfx run in.mp4 out.mp4 --chain NAME=setting=value`. Values without a name are assigned in the order of
the table. [Schedules](schedules.md) are settings that change over time. [FFmpeg filters](../how-to/ffmpeg-filters.md)
has more about chains."""
TIMELINE_INTRODUCTION = """\
A *position*, or a length, is a number of frames (`240`), seconds (`"4s"`, `"1:30"`), beats (`"8b"`), bars (`"2 bars"`)
or an expression (`"max_f/2"`). A *schedule* is text that gives a number at each frame; see [Schedules](schedules.md).
An *objective* is a layer, a channel or a sum of them, as in [Dreams](../how-to/dreams.md#choose-a-layer), or an alias
from `[layers]`."""
TIMELINE_TABLES: dict[str, type[BaseModel]] = {  # title -> schema
    "The file": Document,
    **{f"Sections of kind {kind}": model for kind, model in KINDS.items()},
    "Pictures": Picture,
    "layer": LayerChange,
    "guide": Guide,
    "ring": Ring,
    "clear": Clear,
    "fade": Fade,
}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, the schemas and the images of the repository to the site."""
    pages = {"reference/cli.md": commands_page(), "reference/effects.md": effects_page()}
    pages["reference/timeline-keys.md"] = timeline_page()
    for path, content in {**pages, **{f"schemas/{name}": text for name, text in schemas().items()}}.items():
        files.append(File.generated(config, path, content=content))
    for image in sorted(IMAGES.glob("*.jpg")):
        files.append(File.generated(config, f"images/{image.name}", abs_src_path=str(image)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to images, which lie beside docs/ in the repository, to their copies in the site."""
    return re.sub(r"\]\(\.\./((?:\.\./)*images/)", r"](\1", markdown)


def commands_page() -> str:
    """The reference of all commands, from the typer app."""
    lines = ["# Commands", ""]
    for path, command in _commands(typer.main.get_command(app), "streamfx"):
        parameters = command.get_params(command.context_class(command, info_name=path))
        arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
        words = [name if argument.required else f"[{name}]" for argument in arguments for name in [_name(argument)]]
        lines += [f"## {path}", "", (command.help or "").replace("\b", ""), ""]
        lines += ["```text", " ".join([path, *words, "[OPTIONS]"]), "```", ""]
        panels: dict[str, list[Any]] = {}
        for parameter in parameters:
            if parameter.name != "help" and not getattr(parameter, "hidden", False):
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or "", []).append(parameter)
        for panel, members in panels.items():
            lines += [f"**{panel}**", ""] if panel else []
            lines += ["| name | value | default | |", "|---|---|---|---|", *map(_row, members), ""]
    return "\n".join(lines)


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A command and its subcommands, except groups that do nothing themselves."""
    subcommands = getattr(command, "commands", {})
    if not subcommands or (command.invoke_without_command and path != "streamfx"):
        yield path, command
    for name, subcommand in subcommands.items():
        yield from _commands(subcommand, f"{path} {name}")


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _row(parameter: Any) -> str:
    names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.strip()]
    if parameter.param_type_name == "argument":
        names = [_name(parameter)]
    default = parameter.default
    shown = "" if default in (None, "") or isinstance(default, bool) or callable(default) else _code(_written(default))
    if isinstance(words := getattr(parameter, "show_default", None), str):
        shown = words  # the default depends on other options
    cells = [", ".join(map(_code, names)), _values(parameter), shown, getattr(parameter, "help", None) or ""]
    return _table_row(cells)


def _values(parameter: Any) -> str:
    """The allowed values of a parameter: words, a range, or what its placeholder says."""
    kind = parameter.type_descriptor.annotation
    for each in (kind, *get_args(kind)):
        if get_origin(each) is Literal:
            return ", ".join(map(_code, get_args(each)))
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None or high is not None:
        shown = ["" if bound is None else f"{float(bound):.10g}" for bound in (low, high)]
        return "..".join(shown) if all(shown) else f"at least {shown[0]}" if shown[0] else f"at most {shown[1]}"
    return _code(parameter.metavar) if parameter.metavar and parameter.param_type_name == "option" else ""


def effects_page() -> str:
    """The reference of all effects and their settings."""
    lines = ["# Effects", "", EFFECTS_INTRODUCTION, ""]
    for name, effect in EFFECTS.items():
        lines += [f"## {name}", "", inspect.getdoc(effect) or "", ""]
        rows = []
        for each in settings(effect):
            default = "required" if each.required else "" if each.default == "" else _code(_written(each.default))
            schedule = " May be a schedule." if each.schedulable else ""
            rows.append(_table_row([_code(each.name), each.range, default, f"{each.help}.{schedule}"]))
        if rows:
            lines += ["| setting | values | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def timeline_page() -> str:
    """The reference of the keys of timeline files, from their schema."""
    lines = ["# Timeline keys", "", TIMELINE_INTRODUCTION, ""]
    for title, model in TIMELINE_TABLES.items():
        lines += [
            f"## {title}",
            "",
            inspect.getdoc(model) or "",
            "",
            "| key | values | default | |",
            "|---|---|---|---|",
        ]
        schema = model.model_json_schema()
        for name, field in model.model_fields.items():
            key = field.alias or name
            values = _kind(field.annotation, schema["properties"][key])
            default = "required" if field.is_required() else _toml(field.default)
            lines.append(_table_row([_code(key), values, default, f"{_help(field)}."]))
        lines.append("")
    return "\n".join(lines)


def _help(field: Any) -> str:
    return next(each.documentation for each in field.metadata if isinstance(each, Doc))


def _kind(annotation: Any, schema: dict[str, Any]) -> str:
    """The allowed values of a key, by its JSON schema; numbers with schedules and positions by their type."""
    for alias, name in ((Number, "number or schedule"), (Position, "position")):
        if annotation in (alias, alias | None):
            return name
    if "const" in schema or "enum" in schema:
        return ", ".join(map(_code, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        kinds = [_kind(None, each) for each in schema["anyOf"] if each.get("type") != "null"]
        kinds = [kind for kind in kinds if (kind, "number" in kinds) != ("integer", True)]
        numeric = any(each.get("type") in ("integer", "number") for each in schema["anyOf"])
        return " or ".join("schedule" if kind == "text" and numeric else kind for kind in kinds)
    if schema.get("type") == "array" and "prefixItems" not in schema:
        kind = _kind(None, schema["items"])
        return "list of " + (kind.replace(" ", "s ", 1) if " " in kind else f"{kind}s")
    if schema.get("type") == "array":
        return "[" + ", ".join(_kind(None, each) for each in schema["prefixItems"]) + "]"
    names = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "object": "table"}
    low, high = schema.get("minimum"), schema.get("maximum")
    name = names[schema.get("type", "object")]
    return name if low is None else f"{name} {low}..{high}" if high is not None else f"{name}, at least {low}"


def _toml(value: object) -> str:
    """A default as it is written in TOML; empty for none."""
    if value in (None, "", (), {}):
        return ""
    return _code(json.dumps(value))


def _written(value: object) -> str:
    """A default as it is written on the command line and in a chain."""
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _code(text: object) -> str:
    return f"`{text}`"


def _table_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def schemas() -> dict[str, str]:
    """File name -> JSON schema of preset and timeline files."""
    named = {"preset": StylePreset.model_json_schema(), "timeline": timeline_schema()}
    return {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in named.items()}


def timeline_schema() -> dict[str, Any]:
    """The schema of timeline files, with the sections, which the loader validates one by one."""
    references, schema = models_json_schema([(model, "validation") for model in (Document, *KINDS.values())])
    definitions = schema["$defs"]
    sections = [references[model, "validation"] for model in KINDS.values()]
    for model in TIMELINE_TABLES.values():
        for name, field in model.model_fields.items():
            definitions[model.__name__]["properties"][field.alias or name]["description"] = _help(field)
    for section in sections:  # any key may come from [defaults] instead
        named = definitions[section["$ref"].rpartition("/")[2]]
        named["required"] = [key for key in named["required"] if key in ("kind", "name")]
    document = definitions.pop(references[Document, "validation"]["$ref"].rpartition("/")[2])
    document["properties"]["section"]["items"] = {"anyOf": sections}
    return {**document, "$defs": definitions}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/generate.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file_name, content in schemas().items():
        (folder / file_name).write_text(content, encoding="utf-8")

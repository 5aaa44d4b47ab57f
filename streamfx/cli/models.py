"""`streamfx models`: what can be dreamed with, where it comes from, and what is here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from streamfx.cli._console import STDERR

if TYPE_CHECKING:
    from streamfx.deepdream.networks import Network

models = typer.Typer(help="List the networks to dream with, fetch one, or list its layers.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@models.callback(invoke_without_command=True)
def _list(context: typer.Context, report: Json = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from streamfx.deepdream.networks import NETWORKS

    if report:
        print(json.dumps({name: _facts(network) for name, network in NETWORKS.items()}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("model", "weights", "licence", "layers", "default", "here"):
        table.add_column(heading, no_wrap=True)
    for name, network in NETWORKS.items():
        size = f"{network.size / 1e6:.0f} MB"
        here = "yes" if network.cached else "no"
        table.add_row(f"[bold]{name}[/bold]", size, network.license, _span(name), network.default, here)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\n'streamfx models fetch NAME' brings one here; 'streamfx models layers NAME' lists where to dream.\n"
        "--model timm:NAME takes any convolutional network of timm's; it is fetched when it is first asked for.",
        soft_wrap=True,
        markup=False,
    )


@models.command()
def fetch(
    name: Annotated[str, typer.Argument(help="inceptionv1, googlenet, inception_v3, vgg19, timm:NAME.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Bring a network's weights to this machine, checked by their sha256."""
    from streamfx.deepdream.networks import find_network

    if find_network(name).cached:
        if not quiet:
            STDERR.print(f"streamfx: {name} is here already", markup=False)
        return
    fetch_with_bar(name, shown=STDERR.is_terminal and not quiet)
    if not quiet:
        STDERR.print(f"streamfx: {name} is here now", markup=False)


@models.command()
def layers(
    name: Annotated[str, typer.Argument(help="A model, or timm:NAME.")],
    report: Json = False,
) -> None:
    """List the layers of a network, the shallowest first."""
    from streamfx.deepdream.networks import find_network, list_layers

    network = find_network(name)
    found = list_layers(name)
    if report:
        rows = [{"layer": each.name, "channels": each.channels, "stride": each.stride} for each in found]
        print(json.dumps(rows, indent=2))
        return
    table = Table("layer", box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("channels", justify="right")
    table.add_column("pixels apart", justify="right")
    for each in found:
        mark = " (default)" if each.name == network.default else ""
        channels, stride = ("" if number is None else str(number) for number in (each.channels, each.stride))
        table.add_row(f"[bold]{each.name}[/bold]{mark}", channels, stride)
    Console(highlight=False).print(table)


def fetch_with_bar(name: str, *, shown: bool) -> None:
    """Bring the weights of a network here where they are not yet, with a bar where it is `shown`."""
    from streamfx.deepdream.networks import fetch_network, find_network

    if find_network(name).cached:
        return
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, disable=not shown, transient=True) as bar:
        task = bar.add_task("", total=None)
        fetch_network(name, lambda done, whole: bar.update(task, completed=done, total=whole))


def _facts(network: Network) -> dict[str, object]:
    from streamfx.deepdream.networks import list_layers

    return {
        "about": network.about,
        "licence": network.license,
        "size": network.size,
        "default": network.default,
        "url": None if network.download is None else network.download.url,
        "sha256": None if network.download is None else network.download.sha256,
        "cached": network.cached,
        "layers": [layer.name for layer in list_layers(network.name)],
    }


def _span(name: str) -> str:
    """The first and the last of a network's main layers."""
    from streamfx.deepdream.networks import main_layers

    names = main_layers(name)
    return f"{names[0]} .. {names[-1]}"

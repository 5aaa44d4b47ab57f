"""`streamfx models`: the networks for DeepDream, their downloads and layers, and imports of style networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from streamfx.cli._console import STDERR
from streamfx.errors import StreamfxError
from streamfx.presets import Channels, ValueRange

if TYPE_CHECKING:
    from streamfx.deepdream.networks import Network

models = typer.Typer(help="List the networks for DeepDream, download one, list its layers, or import a style network.")

Json = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]


@models.callback(invoke_without_command=True)
def _list(context: typer.Context, report: Json = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from streamfx.deepdream.networks import NETWORKS

    if report:
        print(json.dumps({name: _facts(network) for name, network in NETWORKS.items()}, indent=2))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("model", "weights", "license", "layers", "default", "installed"):
        table.add_column(heading, no_wrap=True)
    for name, network in NETWORKS.items():
        size = f"{network.size / 1e6:.0f} MB"
        installed = "yes" if network.cached else "no"
        table.add_row(f"[bold]{name}[/bold]", size, network.license, _layer_range(name), network.default, installed)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "\n'streamfx models fetch NAME' downloads one; 'streamfx models layers NAME' lists its layers.\n"
        "--model timm:NAME takes any convolutional network of timm; it is downloaded on first use.",
        soft_wrap=True,
        markup=False,
    )


@models.command()
def fetch(
    name: Annotated[str, typer.Argument(help="inceptionv1, googlenet, inception_v3, vgg19, timm:NAME.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Download a network's weights and verify their SHA-256."""
    from streamfx.deepdream.networks import find_network

    if find_network(name).cached:
        if not quiet:
            STDERR.print(f"streamfx: {name} is already installed", markup=False)
        return
    fetch_with_bar(name, shown=STDERR.is_terminal and not quiet)
    if not quiet:
        STDERR.print(f"streamfx: installed {name}", markup=False)


@models.command()
def layers(
    name: Annotated[str, typer.Argument(help="A model, or timm:NAME.")],
    report: Json = False,
) -> None:
    """List the layers of a network, from shallow to deep."""
    from streamfx.deepdream.networks import find_network, list_layers

    network = find_network(name)
    known = list_layers(name)
    if report:
        rows = [{"layer": layer.name, "channels": layer.channels, "stride": layer.stride} for layer in known]
        print(json.dumps(rows, indent=2))
        return
    table = Table("layer", box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("channels", justify="right")
    table.add_column("stride", justify="right")
    for layer in known:
        suffix = " (default)" if layer.name == network.default else ""
        channels, stride = ("" if number is None else str(number) for number in (layer.channels, layer.stride))
        table.add_row(f"[bold]{layer.name}[/bold]{suffix}", channels, stride)
    Console(highlight=False).print(table)


@models.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="ONNX network, or .pth of PyTorch's example fast_neural_style.")],
    *,
    name: Annotated[str, typer.Option(help="Name of the preset.")],
    predictor: Annotated[
        Path | None, typer.Option(metavar="FILE", help="ONNX network that predicts the style from a picture.")
    ] = None,
    style_image: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Picture of the style; by default each run names one.")
    ] = None,
    style_number: Annotated[
        str, typer.Option("--style", metavar="NUMBER", help="Of a network of several styles: 19, or 3:0.5,12:0.5.")
    ] = "",
    channels: Annotated[Channels | None, typer.Option(help="By default found on a photo.")] = None,
    value_range: Annotated[
        ValueRange | None, typer.Option("--range", help="Of the network's colors; by default found on a photo.")
    ] = None,
    photo: Annotated[Path | None, typer.Option(metavar="FILE", help="Photo for the trials.")] = None,
    license_: Annotated[str | None, typer.Option("--license", metavar="TEXT", help="License of the network.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace a preset of this name.")] = False,
) -> None:
    """Make a preset from a style network of another project."""
    from streamfx.presets import user_presets
    from streamfx.styletransfer.importing.preset import LICENSE, Import, import_model

    folder = user_presets()
    if folder is None:
        raise StreamfxError("this user has no home folder for the preset; set XDG_DATA_HOME to another folder")
    known = predictor, style_image, style_number, channels, value_range, photo
    result = import_model(Import(file, name, *known, license_ or LICENSE), folder, overwrite=yes)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("trial", "channels", "input", "output", "likeness"):
        table.add_column(heading, no_wrap=True)
    for number, trial in enumerate(result.trials):
        network = trial.network
        ranges = network.input_range, network.output_range
        table.add_row("" if number else "chosen", network.channels, *ranges, f"{trial.score:.2f}")
    Console(highlight=False).print(table)
    size = result.trials[0].network.size
    shown = "any size" if size is None else f"frames of {size[1]}x{size[0]}, to which others are scaled"
    STDERR.print(
        f"streamfx: the network takes {shown}. Compare the photo and the trials, in this order, in {result.sheet}; "
        "--channels and --range override the choice",
        markup=False,
        soft_wrap=True,
    )
    STDERR.print(f"preset {name}: {result.preset}", markup=False, soft_wrap=True)


def fetch_with_bar(name: str, *, shown: bool) -> None:
    """Download the weights of a network if they are missing, with a progress bar if `shown`."""
    from streamfx.deepdream.networks import fetch_network, find_network

    if find_network(name).cached:
        return
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, disable=not shown, transient=True) as bar:
        task = bar.add_task("", total=None)
        fetch_network(name, lambda done, total: bar.update(task, completed=done, total=total))


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


def _layer_range(name: str) -> str:
    """The first and last of a network's main layers."""
    from streamfx.deepdream.networks import main_layers

    names = main_layers(name)
    return f"{names[0]} .. {names[-1]}"

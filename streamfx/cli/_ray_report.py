"""The table of `streamfx doctor --ray`: the nodes of a cluster, their versions, and whether they share a folder."""

from __future__ import annotations

import secrets
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamfx.errors import StreamfxError


def report_cluster(address: str) -> None:
    """Print what each node has. Raises StreamfxError if their versions differ or they do not share this folder."""
    from streamfx.jobs.ray_cluster import RayCluster, check_versions

    cluster = RayCluster(address)
    token = Path.cwd() / f".streamfx-{secrets.token_hex(4)}"
    try:
        token.touch()
        cluster.connect()
        reports = cluster.inspect(str(Path.cwd()), [token.name], str(Path.cwd()), token.name)
    finally:
        token.unlink(missing_ok=True)
        cluster.disconnect()
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    headings = list(reports[0].versions) if reports else []
    for heading in ("node", "cores", *headings, "shares this folder"):
        table.add_column(heading)
    for report in reports:
        shares = "yes" if report.shared and not report.missing else "no"
        table.add_row(report.name, str(report.cores), *report.versions.values(), shares)
    Console(highlight=False, soft_wrap=True).print(table)
    check_versions(reports)
    if any(report.missing or not report.shared for report in reports):
        raise StreamfxError(f"not all nodes see '{Path.cwd()}'; run commands in a folder that all of them share")

"""``firedoor export``: rules, dashboards and definitions for other tools, from the declarations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.unloadable import refusals_told
from firedoor.compose.files import explain, write_atomically
from firedoor.compose.loading import load_plan
from firedoor.control.promises import service_objectives, zone_objectives, zones_by_kind
from firedoor.slo.grafana import dashboards, provider
from firedoor.slo.objective import Objective
from firedoor.slo.openslo import openslo
from firedoor.slo.prometheus_rules import prometheus_rules
from firedoor.spec.plan import Plan

READABLE = 0o644
"""What is exported is read by others, unlike files of the project folder."""
FOLDER = "/etc/grafana/dashboards/firedoor"

app = typer.Typer(
    help="Rules for Prometheus, dashboards for Grafana, OpenSLO: from what the pipeline declares.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
FileArgument = Annotated[Path, typer.Argument(help="The file that declares the pipeline.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Write it to this file, not to the terminal.")
]


@app.command("prometheus-rules")
def export_rules(pipeline: FileArgument, *, out: OutOption = None) -> None:
    """Write recording and alerting rules: what pages, and what is a ticket.

    They need Prometheus 2.42 or later, and firedoor's metrics scraped every 15 s or more often:
    firedoor up --metrics, firedoor zone run --health, and /metrics of gateways.
    """
    plan = _load(pipeline)
    _give(prometheus_rules(_promised(plan, pipeline), pipeline=plan.pipeline), out)


@app.command("openslo")
def export_openslo(
    pipeline: FileArgument,
    *,
    out: OutOption = None,
    url: Annotated[
        str, typer.Option("--prometheus", help="Where Prometheus answers.")
    ] = "http://prometheus:9090",
) -> None:
    """Write OpenSLO v1 definitions: data source, services, SLOs, alert policies."""
    plan = _load(pipeline)
    _give(openslo(_promised(plan, pipeline), pipeline=plan.pipeline, url=url), out)


@app.command("grafana")
def export_grafana(
    pipeline: FileArgument,
    *,
    out: Annotated[Path, typer.Option("--out", help="Write into this folder.")],
    folder: Annotated[
        str, typer.Option("--folder", help="Where Grafana will find the dashboards.")
    ] = FOLDER,
) -> None:
    """Write dashboards, one a kind of zone, and what Grafana's provisioner reads to load them."""
    plan = _load(pipeline)
    files = dashboards(zones_by_kind(plan), pipeline=plan.pipeline)
    try:
        (out / "dashboards").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _write(out / "dashboards" / name, text)
        _write(out / "provisioning.yaml", provider(folder, pipeline=plan.pipeline))
    except OSError as error:
        _fail(error)
    print(f"wrote {len(files)} dashboards into {out / 'dashboards'}, and {out}/provisioning.yaml")


def _load(pipeline: Path) -> Plan:
    """Return the plan of a pipeline; what is wrong with it is told."""
    with refusals_told():
        return load_plan(pipeline)


def _promised(plan: Plan, file: Path) -> tuple[Objective, ...]:
    """Return what a pipeline promises; end with 1 if that is nothing."""
    found = (*zone_objectives(plan), *service_objectives(plan))
    if not found:
        print(
            f"firedoor: {file} promises nothing: declare slo=fd.SLO(availability=0.999) at a zone "
            "or a service",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    return found


def _give(text: str, out: Path | None) -> None:
    """Print a text, or write it."""
    if out is None:
        print(text, end="")
        return
    try:
        _write(out, text)
    except OSError as error:
        _fail(error)
    print(f"wrote {out}")


def _write(file: Path, text: str) -> None:
    """Write a file that others may read.

    Raises:
        OSError: if that cannot be done.
    """
    write_atomically(file.absolute(), text.encode())
    file.chmod(READABLE)


def _fail(error: OSError) -> None:
    """Say what cannot be written, and end with 1."""
    print(f"firedoor: {explain(error)}", file=sys.stderr)
    raise typer.Exit(1) from error

"""``firedoor datasets``: snapshots taken, listed, shown, verified, forgotten."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, answer, one_line
from firedoor.cli.job import REFUSED, PipelineOption, file_of
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.datasets import Datasets, dataset_of
from firedoor.compose.loading import load_plan
from firedoor.control.board import ago
from firedoor.errors import SnapshotDamaged
from firedoor.units import format_bytes
from firedoor.wire.dataset import SnapshotRecord, Span

if TYPE_CHECKING:
    from rich.table import Table

LINE_CHARACTERS = 300
COLUMNS_SHOWN = 40
DAY_CHARACTERS = 10

app = typer.Typer(
    help="Snapshots of datasets: what jobs learn from, and what models are judged by.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
SnapshotArgument = Annotated[str, typer.Argument(help="delays-0123456789abcdef")]


@app.command("list")
def list_snapshots(
    dataset: Annotated[str, typer.Argument(help="Those of one dataset.")] = "",
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """List the snapshots, the latest first."""
    records = Datasets(project).every(dataset)
    if as_json:
        print(json.dumps(msgspec.to_builtins(records)))
    elif not records:
        print("no snapshots")
    else:
        from rich.console import Console  # noqa: PLC0415 - not needed where JSON is wanted

        table = snapshots_table(records, now_s=SystemClock().utc_s())
        Console(highlight=False, soft_wrap=True).print(table)


@app.command()
def take(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    *,
    pipeline: PipelineOption = None,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Take a snapshot of what is there now, as a job would; the same content is the same snapshot.

    Ends with 2 if rows cannot be parted, or parts share what they must not.
    """
    with refusals_told(REFUSED):
        plan = load_plan(file_of(pipeline, project))
        dataset = dataset_of(plan, name)
        record = Datasets(project).take(plan, dataset, clock=SystemClock())
    _tell(record, as_json=as_json)


@app.command()
def show(
    name: SnapshotArgument, *, as_json: JsonOption = False, project: ProjectOption = Path()
) -> None:
    """Show what a snapshot holds, and where it came from."""
    _tell(answer(lambda: Datasets(project).read(name)), as_json=as_json)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="A snapshot; else all of them.")] = "",
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Hash files again. Ends with 1 if one is not what was taken, or does not belong."""
    kept = Datasets(project)
    records = [answer(lambda: kept.read(name))] if name else kept.every()
    damaged: list[SnapshotDamaged] = []
    told: dict[str, str] = {}
    for record in records:
        try:
            kept.check(record)
        except SnapshotDamaged as error:
            damaged.append(error)
            told[record.id] = str(error)
            continue
        told[record.id] = ""
        if not as_json:
            size = format_bytes(sum(file.bytes for part in record.parts for file in part.files))
            print(f"{record.id}: {record.rows:,} rows, {size}, as they were taken")
    if as_json:
        print(json.dumps(told))
    for damage in damaged:
        print(f"firedoor: {damage}", file=sys.stderr)
    raise typer.Exit(1 if damaged else 0)


@app.command()
def forget(name: SnapshotArgument, *, project: ProjectOption = Path()) -> None:
    """Remove a snapshot; runs that read it can then not be repeated."""
    answer(lambda: Datasets(project).forget(name))
    print(f"{name}: forgotten")


def snapshots_table(records: list[SnapshotRecord], *, now_s: float) -> Table:
    """Return a line a snapshot."""
    from rich.table import Table  # noqa: PLC0415 - not needed where JSON is wanted
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="")
    for column in ("snapshot", "taken", "rows", "parts", "from", "until"):
        table.add_column(column)
    for record in records:
        cells = (
            record.id,
            f"{ago(now_s - record.taken_s)} ago",
            f"{record.rows:,}",
            _parts(record),
            record.span.first[:DAY_CHARACTERS] if record.span else "",
            record.span.last[:DAY_CHARACTERS] if record.span else "",
        )
        table.add_row(*(Text(one_line(cell, LINE_CHARACTERS)) for cell in cells))
    return table


def snapshot_lines(record: SnapshotRecord) -> Iterator[str]:
    """Yield all that is known of a snapshot."""
    taken = datetime.fromtimestamp(record.taken_s, UTC)
    yield f"snapshot   {record.id}, taken {taken:%Y-%m-%d %H:%M:%S}"
    yield f"rows       {record.rows:,} of sink {record.sink} of {record.pipeline}"
    for part in record.parts:
        size = format_bytes(sum(file.bytes for file in part.files))
        sealed = ", sealed" if part.sealed else ""
        yield f"part       {part.name}: {part.rows:,} rows, {size}{sealed}{_span(part.span)}"
    if record.apart:
        yield f"apart      {record.apart:,} rows are in no part"
    yield f"parted     {one_line(record.split, LINE_CHARACTERS) or 'not: as the sink wrote them'}"
    if record.label:
        yield f"label      {one_line(record.label, LINE_CHARACTERS)}"
    if record.split:
        compared = one_line(record.compared, LINE_CHARACTERS)
        yield f"leaks      {compared or 'nothing was compared: declare leakage='}"
    for leak in record.leaks:
        yield f"           {one_line(leak, LINE_CHARACTERS)}"
    yield f"time       {_span(record.span).removeprefix(', ') or 'no column of times'}"
    shown = [f"{name} {dtype}" for name, dtype in record.columns.items()]
    more = f" and {len(shown) - COLUMNS_SHOWN} more" if len(shown) > COLUMNS_SHOWN else ""
    columns = one_line(", ".join(shown[:COLUMNS_SHOWN]), LINE_CHARACTERS)
    yield f"columns    {columns}{more}"
    yield f"schema     {record.schema}"
    came = record.provenance
    batches = f"{came.batches:,} batches" + (f", {came.first} to {came.last}" if came.first else "")
    unknown = f"; {came.unknown:,} files that no sink wrote" if came.unknown else ""
    yield f"from       {len(record.files):,} files: {batches}{unknown}"
    yield f"digest     {record.digest}"


def _tell(record: SnapshotRecord, *, as_json: bool) -> None:
    """Print a snapshot."""
    if as_json:
        print(json.dumps({"id": record.id, **msgspec.to_builtins(record)}))
        return
    for line in snapshot_lines(record):
        print(line)


def _parts(record: SnapshotRecord) -> str:
    """Return the parts with their rows."""
    return ", ".join(
        f"{part.name} {part.rows:,}{' (sealed)' if part.sealed else ''}" for part in record.parts
    )


def _span(span: Span | None) -> str:
    """Return the times of rows."""
    return "" if span is None else f", {span.column} {span.first} to {span.last}"

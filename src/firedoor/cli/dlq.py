"""``firedoor dlq``: dead letters listed, shown, exported, replayed, discarded."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, one_line, somebody
from firedoor.compose.reaching import Reached, current_lookups, reach
from firedoor.compose.rehearsing import rehearsal_stages
from firedoor.control.board import ago, align
from firedoor.control.letters import Listing, Selection, gather_groups, parse_row, rows_meant
from firedoor.control.rehearsal import Rehearsal, rehearse
from firedoor.control.replaying import Actor, Done, discard, replay
from firedoor.errors import DeclarationError, NotKnown, Refused

if TYPE_CHECKING:
    import polars as pl

LIST_MAX = 30
SHOW_MAX = 5
EXPORT_ROWS_MAX = 1_000_000
NAMED_MAX = 10
SIGNATURE_CHARACTERS = 70
VALUE_CHARACTERS = 200

ZoneOption = Annotated[str | None, typer.Option("--zone", help="Only those of this zone.")]
SignatureOption = Annotated[
    str | None, typer.Option("--signature", help="Only those with this in their signature.")
]
BatchOption = Annotated[
    str | None,
    typer.Option("--batch", help="Only those of flights-000123, or flights-000123/4711."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All there are.")]

app = typer.Typer(
    help="Rows that could not be processed: list, show, export, replay, discard.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def dlq(
    context: typer.Context,
    *,
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    batch: BatchOption = None,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """List dead letters, grouped by what killed them; or show, export, replay, discard them."""
    if context.invoked_subcommand is None:
        list_letters(
            zone=zone, signature=signature, batch=batch, project=project, nats=nats, limit=LIST_MAX,
            as_json=False,
        )  # fmt: skip


@app.command("list")
def list_letters(
    *,
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    batch: BatchOption = None,
    limit: Annotated[int, typer.Option(help="Groups at most.", min=1)] = LIST_MAX,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """List dead letters by zone and signature: how many, where in the code, the first, since."""

    async def work() -> Listing:
        async with reach(project, nats=nats) as reached:
            return await gather_groups(reached.streams, _selection(zone, signature, batch))

    listing = ask(work())
    if as_json:
        groups = msgspec.to_builtins(listing.groups[:limit])
        print(json.dumps({"rows": listing.rows, "entries": listing.entries, "groups": groups}))
        return
    for line in _listing(listing, limit, now_s=SystemClock().utc_s()):
        print(line)


@app.command()
def show(
    row: Annotated[str | None, typer.Argument(help="flights-000123/4711 or flights-000123")] = None,
    *,
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1, max=10_000)] = SHOW_MAX,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Show dead rows with all their columns and their reasons. Sensitive values are masked."""

    async def work() -> pl.DataFrame:
        async with reach(project, nats=nats) as reached:
            selection = _selection(zone, signature, row)
            return await rows_meant(reached.streams, reached.plan, selection, limit=limit)

    frame = ask(work())
    if as_json:
        print(json.dumps(frame.to_dicts(), default=str))
        return
    for values in frame.iter_rows(named=True):
        _show_row(values)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    *,
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    batch: BatchOption = None,
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1)] = EXPORT_ROWS_MAX,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Write dead rows and their reasons (dead_*) to Parquet. Sensitive values are masked."""

    async def work() -> int:
        async with reach(project, nats=nats) as reached:
            selection = _selection(zone, signature, batch)
            frame = await rows_meant(reached.streams, reached.plan, selection, limit=limit)
        _write(frame, file)
        return frame.height

    rows = ask(work())
    print(f"{rows} dead rows written to {file}" + (" (the limit)" if rows == limit else ""))


@app.command("replay")
def replay_letters(
    *,
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    batch: BatchOption = None,
    everything: AllOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only try: would they pass now?")
    ] = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Send dead rows through their zone again, and on from there, each set as a new batch."""

    async def work() -> list[Rehearsal] | Done:
        selection = _chosen(zone, signature, batch, everything=everything)
        async with reach(project, nats=nats, change=not dry_run) as reached:
            if not dry_run:
                return await replay(reached.streams, reached.plan, selection, _actor(reached))
            async with rehearsal_stages(reached.plan, project=reached.folder) as try_rows:
                return await rehearse(reached.streams, reached.plan, selection, try_rows)

    result = ask(work())
    if isinstance(result, Done):
        _report(result, "replayed as")
        return
    for rehearsal in result:
        _show_rehearsal(rehearsal)


@app.command("discard")
def discard_letters(
    *,
    because: Annotated[str, typer.Option(help="Why they may go. Kept with who and when.")],
    zone: ZoneOption = None,
    signature: SignatureOption = None,
    batch: BatchOption = None,
    everything: AllOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Give dead rows up for good."""

    async def work() -> Done:
        selection = _chosen(zone, signature, batch, everything=everything)
        async with reach(project, nats=nats, change=True) as reached:
            actor = _actor(reached)
            return await discard(reached.streams, reached.plan, selection, actor, because=because)

    _report(ask(work()), "discarded from")


def _selection(zone: str | None, signature: str | None, batch: str | None) -> Selection:
    """Return which dead letters are meant."""
    name, row = parse_row(batch) if batch is not None else (None, None)
    return Selection(zone=zone, signature=signature, batch=name, row=row)


def _chosen(
    zone: str | None, signature: str | None, batch: str | None, *, everything: bool
) -> Selection:
    """Return which dead letters are meant, where they are going to be changed.

    Raises:
        DeclarationError: if nobody said which.
    """
    if (zone, signature, batch) == (None, None, None) and not everything:
        raise DeclarationError(
            "selection",
            None,
            "it is not said which dead letters are meant",
            "name them by --zone, --signature or --batch, or give --all",
        )
    return _selection(zone, signature, batch)


def _actor(reached: Reached) -> Actor:
    """Return who does this, now."""
    lookups = current_lookups(reached.folder)
    return Actor(by=somebody(), at_s=SystemClock().utc_s(), lookups=lookups)


def _listing(listing: Listing, limit: int, *, now_s: float) -> list[str]:
    """Return the lines of a list."""
    if not listing.rows:
        return ["no dead letters"]
    shown = listing.groups[:limit]
    lines = [f"{listing.rows} dead rows in {len(listing.groups)} groups", ""]
    rows = [("rows", "zone", "signature", "line", "first", "since")]
    rows += [
        (
            str(group.rows),
            group.zone,
            one_line(group.signature, SIGNATURE_CHARACTERS),
            group.line or "",
            group.first,
            ago(now_s - group.since_s),
        )
        for group in shown
    ]
    lines += align(rows)
    if len(listing.groups) > limit:
        lines.append(f"and {len(listing.groups) - limit} more groups: --limit {2 * limit}")
    if shown:
        lines += [
            "",
            f"firedoor dlq show {shown[0].first}",
            f"firedoor dlq replay --zone {shown[0].zone} --dry-run",
        ]
    return lines


def _show_row(values: dict[str, object]) -> None:
    """Print one dead row."""
    print(f"{values['dead_batch']}/{values['dead_row']} died in {values['dead_zone']} "
          f"(version {values['dead_zone_version']})")  # fmt: skip
    print(f"  {one_line(str(values['dead_signature']), VALUE_CHARACTERS)}")
    for line in str(values["dead_message"]).splitlines()[:20]:
        print(f"    {one_line(line, VALUE_CHARACTERS)}")
    if isinstance(values.get("dead_attempts"), dict):
        counts = values["dead_attempts"]
        assert isinstance(counts, dict)
        told = ", ".join(f"{count} {cause}" for cause, count in counts.items() if count)
        print(f"  runs that came to nothing: {told or 'none'}")
    for name, value in values.items():
        if not name.startswith("dead_"):
            print(f"  {name} = {one_line(repr(value), VALUE_CHARACTERS)}")
    print()


def _show_rehearsal(result: Rehearsal) -> None:
    """Print what a replay would come to."""
    again = result.failing.total() + result.faults.total()
    print(f"{result.zone}: {result.passed} of {result.rows} rows would pass now, {again} would "
          f"not, {result.dropped} would be dropped")  # fmt: skip
    for words, count in result.failing.most_common(NAMED_MAX):
        print(f"  would die again: {count} rows of {one_line(words, VALUE_CHARACTERS)}")
    for words, count in result.faults.most_common(NAMED_MAX):
        print(f"  would halt the zone: {count} rows: {one_line(words, VALUE_CHARACTERS)}")
    for words, count in result.untried.most_common(NAMED_MAX):
        print(f"  not tried: {count} rows: {one_line(words, VALUE_CHARACTERS)}")


def _report(done: Done, what: str) -> None:
    """Print what was done, and end with 1 if something was left."""
    print(f"{done.rows} rows {what} {_few(done.batches) or 'nothing'}")
    for words in done.left[:NAMED_MAX]:
        print(f"left: {words}")
    if len(done.left) > NAMED_MAX:
        print(f"left: {len(done.left) - NAMED_MAX} more")
    if done.left:
        raise typer.Exit(1)


def _few(batches: list[str]) -> str:
    """Return some ids."""
    more = len(batches) - NAMED_MAX
    return ", ".join(batches[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _write(frame: pl.DataFrame, file: Path) -> None:
    """Write a frame so that the file is whole or not there, and nobody else's to read.

    Raises:
        Refused: if it cannot be written.
        NotKnown: if its folder is not there.
    """
    folder = file.absolute().parent
    if not folder.is_dir():
        message = f"the folder {folder} is not there: make it, or name another file"
        raise NotKnown(message)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=folder)
        os.close(handle)
        try:
            frame.write_parquet(name)
            Path(name).replace(file)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        message = f"{file} cannot be written: {error.strerror or error}; nothing was changed"
        raise Refused(message) from error

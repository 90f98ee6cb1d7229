"""``firedoor events``: what happened, to whom, whose fault it was, and who did what."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, one_line, parse_when
from firedoor.compose.journaling import adopt, spooled
from firedoor.compose.project import Project
from firedoor.compose.reaching import GLANCE_S, Reached, reach
from firedoor.compose.recorded import Recorded
from firedoor.control.board import align
from firedoor.control.causes import clock
from firedoor.control.ledger import LedgerReader, in_order, is_of, missing, told_of
from firedoor.errors import FiredoorError, NotKnown, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.kinds import KINDS
from firedoor.ports.telemetry import Unheard

FOLLOW_S = 0.5
TEXT_MAX = 400
WHOLE = "(pipeline)"


def events(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, also while it is away.")
    ] = False,
    zone: Annotated[
        str | None, typer.Option("--zone", help="Only of this zone or service.")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", help="2026-11-29T12:00 (UTC), or how long ago: 36h.")
    ] = "24h",
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only of this: zone.state, flag ... May be given again."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="The latest, at most so many.")
    ] = 200,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Show what happened, the latest last; with --json a line each."""

    async def work() -> None:
        now_s = SystemClock().utc_s()
        kinds = known_kinds(kind or [])
        since_s = parse_when("since", since, now_s)
        place = Project.at(project)
        try:
            async with reach(project, nats=nats, open_s=GLANCE_S) as reached:
                reader = LedgerReader(
                    streams=reached.streams, zone=zone, kinds=kinds, since_s=since_s
                )
                await _adopt(reached)
                found = await reader.fresh()
                _say([one for one in found if one.at_s >= since_s][-limit:], as_json=as_json)
                if zone is None and not kinds and not as_json:
                    _say_missing(found)
                if follow:
                    await _follow(reader, as_json=as_json)
        except StreamsUnavailable as error:
            here = await asyncio.to_thread(spooled, place.folder)
            wanted = [
                one
                for one in in_order(here)
                if one.at_s >= since_s and zone in {None, one.zone} and is_of(one, kinds)
            ]
            _say(wanted[-limit:], as_json=as_json)
            message = f"{error}; this is what processes of this machine could not tell it yet"
            raise StreamsUnavailable(message) from error

    with contextlib.suppress(KeyboardInterrupt):
        ask(work())


def known_kinds(kinds: list[str]) -> tuple[str, ...]:
    """Return kinds, each of which is one or begins some.

    Raises:
        NotKnown: if it is neither.
    """
    for kind in kinds:
        if not any(f"{known}.".startswith(f"{kind}.") for known in KINDS):
            message = f"there is no kind {kind!r}: there are {', '.join(KINDS)}"
            raise NotKnown(message)
    return tuple(kinds)


async def _adopt(reached: Reached) -> None:
    """Bring in what is on this disk, of processes that are gone and of commands."""
    machine, plan = SystemClock(), reached.plan
    recorded = Recorded(
        project=reached.folder.parent, clock=machine, retention_days=plan.retention_days
    )
    with contextlib.suppress(FiredoorError, OSError):
        await adopt(reached.folder, reached.streams, Unheard(), clock=machine)
        await recorded.tell(reached.streams)


async def _follow(reader: LedgerReader, *, as_json: bool) -> None:
    """Show what comes, for ever; a broker that is away is told once, and waited for."""
    away = False
    while True:
        await SystemClock().wait(FOLLOW_S)
        try:
            found = await reader.fresh()
        except StreamsUnavailable as error:
            if not away:
                print(f"firedoor: {error}; it is waited for", file=sys.stderr, flush=True)
            away = True
            continue
        away = False
        _say(found, as_json=as_json, alone=True)


def _say(found: list[Happened], *, as_json: bool, alone: bool = False) -> None:
    """Print entries; ``alone``: others follow, and columns are not made to fit these."""
    if as_json:
        for one in found:
            print(msgspec.json.encode(one).decode(), flush=True)
        return
    rows = [
        (
            clock(one.at_s),
            one_line(one.zone or WHOLE, 60),
            one.kind,
            one_line(told_of(one), TEXT_MAX),
        )
        for one in found
    ]
    if alone:
        for row in rows:
            print("  ".join(row), flush=True)
        return
    for line in align(rows) if rows else ["nothing happened in that time"]:
        print(line)


def _say_missing(found: list[Happened]) -> None:
    """Say whose entries are not all there."""
    for gap in missing(found):
        why = f", {gap.told} of them for want of room" if gap.told else ""
        print(f"{gap.count} entries of {gap.process} are missing{why}")

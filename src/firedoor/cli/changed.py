"""``firedoor changes``: who changed what should be, when and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask
from firedoor.compose.reaching import GLANCE_S, reach
from firedoor.control.board import align
from firedoor.control.causes import clock
from firedoor.control.changes import changes, show_changes
from firedoor.wire.change import Change


def changed(
    *,
    about: Annotated[str, typer.Option("--about", help="Only of this flag, zone or service.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="At most so many.")] = 50,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Show who changed what and why, the newest first: flags, switches, rollouts, zones."""

    async def work() -> None:
        found: list[Change] = []
        async with reach(project, nats=nats, services=True, open_s=GLANCE_S) as reached:
            for one in filter(None, (reached, reached.beside)):
                found += await changes(one.streams, limit, about=about)
        found = sorted(found, key=lambda change: change.at_s, reverse=True)[:limit]
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        told = zip(found, show_changes(found), strict=True)
        rows = [(clock(change.at_s), *row) for change, row in told]
        for line in align(rows) if rows else ["nothing was changed yet"]:
            print(line)

    ask(work())

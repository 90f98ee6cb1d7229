"""``firedoor changes``: who changed what should be, when and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask
from firedoor.cli.flagging import desk
from firedoor.control.board import align
from firedoor.control.causes import clock
from firedoor.control.changes import changes, show_changes


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
        async with desk(project, nats) as at:
            found = await changes(at.streams().streams, limit, about=about)
        if as_json:
            print(msgspec.json.encode(found).decode())
            return
        told = zip(found, show_changes(found), strict=True)
        rows = [(clock(change.at_s), *row) for change, row in told]
        for line in align(rows) if rows else ["nothing was changed yet"]:
            print(line)

    ask(work())

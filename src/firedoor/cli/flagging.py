"""What ``firedoor flag`` and ``firedoor kill`` share: the table, wherever it can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import somebody
from firedoor.compose.files import explain
from firedoor.compose.flag_table import Changed, FlagTable
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.project import Project
from firedoor.compose.reaching import GLANCE_S, Reached, reach
from firedoor.control.causes import clock
from firedoor.control.flags import Verb, Wanted, tell_flag
from firedoor.errors import FiredoorError, NotKnown, StoreRefused, StreamsUnavailable
from firedoor.spec.plan import Plan, decode_plan
from firedoor.wire.flags import Flag, Value

HOUR_S = 3_600.0

BecauseOption = Annotated[
    str, typer.Option("--because", help="Why: kept with the change, and shown to others.")
]
HoursOption = Annotated[
    float | None,
    typer.Option("--hours", min=0.001, max=8_760, help="After which somebody is to look again."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where flags are changed from here."""

    plan: Plan
    table: FlagTable
    file: Path
    reached: Reached | None
    """None: the broker cannot be reached."""
    why: str = ""
    """Of that."""

    async def change(
        self,
        verb: Verb,
        name: str,
        *,
        because: str,
        value: Value = True,
        share: float = 1.0,
        confirm_after_s: float | None = None,
    ) -> Changed:
        """Make a change as whoever runs this command.

        Raises:
            FiredoorError: as ``FlagTable.change``; StoreRefused, if no file can be written either.
        """
        wanted = Wanted(
            verb=verb,
            name=name,
            by=somebody(),
            because=because,
            at_s=SystemClock().utc_s(),
            value=value,
            share=share,
            confirm_after_s=confirm_after_s,
        )
        try:
            return await self.table.change(wanted)
        except OSError as error:
            message = f"{self.why or 'the broker does not answer'}; and {explain(error)}"
            raise StoreRefused(message) from error

    def streams(self) -> Reached:
        """Return the broker, for what is kept nowhere else.

        Raises:
            StreamsUnavailable: if it cannot be reached.
        """
        if self.reached is None:
            raise StreamsUnavailable(self.why)
        return self.reached


@asynccontextmanager
async def desk(project: Path, nats: str | None) -> AsyncIterator[Desk]:
    """Give the table of a project: the broker's, or, where that cannot be reached, the file.

    Raises:
        NotKnown: if nothing ever ran there.
    """
    place = Project.at(project)
    plan = await asyncio.to_thread(known_plan, place)
    file = FlagsFile(place.folder)
    async with AsyncExitStack() as stack:
        reached, why = None, ""
        try:
            reached = await stack.enter_async_context(reach(project, nats=nats, open_s=GLANCE_S))
        except FiredoorError as error:  # whatever is wrong with it, a switch has to be thrown
            why = str(error)
        table = FlagTable(None if reached is None else reached.streams, file)
        yield Desk(plan=plan, table=table, file=file.path, reached=reached, why=why)


def known_plan(place: Project) -> Plan:
    """Return the pipeline of a project with the services that are served there.

    Raises:
        NotKnown: if nothing ever ran there.
        StoreRefused: if it was written by another version.
    """
    served = place.folder / "serving" / "plan.json"
    try:
        serves = decode_plan(served.read_bytes())
    except (OSError, msgspec.DecodeError):
        return place.read_plan()
    try:
        plan = place.read_plan()
    except NotKnown:
        return serves
    return plan if plan.services else msgspec.structs.replace(plan, services=serves.services)


def tell_offline(changed: Changed, file: Path) -> list[str]:
    """Say that the broker does not know of a change, and who does; nothing if it does."""
    if not changed.offline:
        return []
    return [
        f"the broker does not answer: it is written to {file},",
        "which gateways and zones on this machine follow; other machines do not know of it.",
        "It is merged back when the broker is there again.",
    ]


def tell_row(name: str, flag: Flag, *, now_s: float, offline: bool) -> tuple[str, ...]:
    """Return the cells of a flag: name, value, since when, by whom, how it is, why."""
    due = ""
    if flag.confirm_s is not None:
        passed = now_s >= flag.confirm_s
        due = "needs confirmation" if passed else f"confirm by {clock(flag.confirm_s)}"
    state = ", ".join(filter(None, (due, "only on this machine" if offline else "")))
    return name, tell_flag(flag), clock(flag.at_s), flag.by, state, flag.because

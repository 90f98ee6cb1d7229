"""Run a pipeline on this machine: broker, lookups, one process a zone; watch them to the end.

The supervisor runs no user code. Everything that it starts ends with it, also when it is killed:
each process reads a pipe whose other end only the supervisor holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from msgspec.structs import replace

from firedoor.adapters.nats.streams import connect
from firedoor.compose import children, ending
from firedoor.compose.broker import Broker
from firedoor.compose.deploys import Deploy, read_deploy
from firedoor.compose.ending import Stuck, ZoneFacts
from firedoor.compose.files import write_atomically
from firedoor.compose.keeper import Keeper
from firedoor.compose.lookups import Lookups
from firedoor.compose.project import Endpoint, Project
from firedoor.control.accounts import Accounts, gather
from firedoor.control.status import Snapshot, encode_snapshot, take
from firedoor.data.bell import Bell
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.records import Order

import msgspec

POLL_S = 0.5
POLL_LAST_S = 0.1
"""Once sources have no more, so that the end is not waited for."""
REST_S = 5.0
"""How long nothing may move before a run that waits for a person ends."""
LOGS_S = 5.0
BOOKS_S = 120.0

Why = Literal["through", "stuck", "asked"]


class Screen(Protocol):
    """Shows a person how it goes."""

    def show(self, plan: Plan, snapshot: Snapshot) -> None:
        """Show a picture of now."""
        ...

    def tell(self, line: str) -> None:
        """Say what happened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    why: Why
    seconds: float
    stuck: tuple[Stuck, ...]
    accounts: Accounts | None
    """None if the broker did not answer any more, or there was no time."""
    snapshot: Snapshot | None
    deaths: dict[str, int]
    """Processes of each zone that died and were replaced."""


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """One run of a pipeline in a project folder, whose lock is held."""

    project: Project
    plan: Plan
    clock: Clock
    screen: Screen
    bounded: bool = True
    """Whether it ends when sources have no more."""
    external: Endpoint | None = None
    _keepers: dict[str, Keeper] = field(default_factory=dict)
    _bell: Bell = field(default_factory=Bell)
    _why: Why | None = None
    _stuck: tuple[Stuck, ...] = ()
    _hurry: bool = False
    _snapshot: Snapshot | None = None
    _opened_s: float = 0.0

    def end(self) -> None:
        """Drain into a state that the next run resumes; asked again: end at once."""
        self._hurry = self._why == "asked"
        self._why = self._why or "asked"
        if self._hurry:
            self._kill_all()
        self._bell.ring()

    async def run(self) -> Outcome:
        """Run until the pipeline is through, is stuck, or is asked to end.

        Raises:
            Refused: if the broker's store or a lookup cannot be used.
            StreamsUnavailable: if the broker cannot be started or reached.
            OSError: if files cannot be written or processes not started.
        """
        began_s = self.clock.now_s()
        broker = Broker(
            project=self.project,
            plan=self.plan,
            clock=self.clock,
            tell=self.screen.tell,
            external=self.external,
        )
        lookups = Lookups(
            project=self.project, plan=self.plan, clock=self.clock, tell=self.screen.tell
        )
        try:
            async with asyncio.TaskGroup() as group:
                accounts = await self._work(group, broker, lookups)
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        finally:
            self._kill_all()
            await broker.stop()
        return Outcome(
            why=self._why or "asked",
            seconds=self.clock.now_s() - began_s,
            stuck=self._stuck,
            accounts=accounts,
            snapshot=self._snapshot,
            deaths={name: keeper.restarts.deaths for name, keeper in self._keepers.items()},
        )

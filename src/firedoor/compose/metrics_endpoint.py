"""All zones' metrics in one place, made of what zones and judges beat.

For ``firedoor up --metrics PORT``, which has its own client of the broker, and ``firedoor slo watch
--metrics PORT``. While the broker is away it answers 503, and Prometheus shows a gap.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from firedoor.adapters.prometheus.zones import (
    samples_of_inboxes,
    samples_of_objectives,
    samples_of_zone,
)
from firedoor.compose.connecting import connect_to
from firedoor.compose.health import TEXT
from firedoor.compose.project import Project
from firedoor.compose.small_http import HOST, Reply, answering
from firedoor.errors import DeclarationError, FiredoorError
from firedoor.events.exposition import expose
from firedoor.events.metrics import Sample
from firedoor.events.objective import Objectives
from firedoor.ports.clock import Clock
from firedoor.slo.samples import samples_of_slo
from firedoor.slo.status import SloStatus
from firedoor.wire.records import ZoneStatus

if TYPE_CHECKING:
    from firedoor.ports.streams import Streams

READ_S = 2.0
"""Patience with the broker: whoever scrapes comes again."""
OBJECTIVE, JUDGE, ZONE = "objective.", "slo.", "zone."


@asynccontextmanager
async def exposed(
    port: int, project: Project, pipeline: str, *, clock: Clock, host: str = HOST
) -> AsyncIterator[str]:
    """Serve ``/metrics`` while the block is at work; give its address.

    Args:
        port: where; 0: any that is free.
        project: in which the broker's address is.
        pipeline: whose zones.
        clock: the time.
        host: where, likewise.

    Raises:
        DeclarationError: if the port is taken.
    """
    reader = _Reader(project=project, pipeline=pipeline, clock=clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(reader.close)
        shows = shown(port, reader.beats, pipeline=pipeline, host=host)
        yield await stack.enter_async_context(shows)


@asynccontextmanager
async def shown(
    port: int,
    beats: Callable[[], Awaitable[Mapping[str, bytes]]],
    *,
    pipeline: str,
    host: str = HOST,
) -> AsyncIterator[str]:
    """Serve ``/metrics`` of what is beaten while the block is at work; give its address.

    Args:
        port: where; 0: any that is free.
        beats: returns all beats; may raise a ``FiredoorError``.
        pipeline: whose zones.
        host: where, likewise.

    Raises:
        DeclarationError: if the port is taken.
    """

    async def respond(path: str) -> Reply:
        if path != "/metrics":
            return Reply("404 Not Found", b'{"paths":["/metrics"]}')
        try:
            told = expose(samples_of(await beats()), pipeline=pipeline)
            return Reply("200 OK", told, TEXT)
        except (FiredoorError, OSError) as error:
            return Reply("503 Service Unavailable", f"{error}\n".encode(), "text/plain")

    async with AsyncExitStack() as stack:
        try:
            chosen = await stack.enter_async_context(answering(port, respond, host=host))
        except OSError as error:
            why = f"cannot be listened to ({error.strerror})"
            remedy = "end what listens there, or give 0 for any free port"
            raise DeclarationError("metrics", f"{host}:{port}", why, remedy) from error
        yield f"http://{host}:{chosen}/metrics"


def samples_of(beats: Mapping[str, bytes]) -> Iterator[Sample]:
    """Yield the samples of all beats; what cannot be read is left out."""
    told: dict[tuple[str, str], Objectives] = {}
    statuses: list[ZoneStatus] = []
    for key, value in sorted(beats.items()):
        with contextlib.suppress(msgspec.DecodeError):
            if key.startswith(OBJECTIVE):
                found = msgspec.json.decode(value, type=Objectives)
                told[found.zone, found.process] = found
            elif key.startswith(JUDGE):
                yield from samples_of_slo(msgspec.json.decode(value, type=SloStatus))
            elif key.startswith(ZONE):
                statuses.append(msgspec.json.decode(value, type=ZoneStatus))
    for status in statuses:
        yield from samples_of_zone(status, told.pop((status.zone, status.replica), None))
    for rest in told.values():  # of services and jobs
        yield from samples_of_objectives(rest)
    yield from samples_of_inboxes(statuses)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """A client of the broker that is opened when it is needed, and again."""

    project: Project
    pipeline: str
    clock: Clock
    _streams: Streams | None = field(default=None)

    async def beats(self) -> Mapping[str, bytes]:
        """Return all beats.

        Raises:
            FiredoorError: if the broker is away, or not known yet.
        """
        if self._streams is None:
            self._streams = await connect_to(
                self.project.endpoint(), pipeline=self.pipeline, clock=self.clock, read_s=READ_S,
                open_s=READ_S,
            )  # fmt: skip
        try:
            return await self._streams.beats("")
        except FiredoorError:
            await self.close()  # it may be elsewhere when it is back
            raise

    async def close(self) -> None:
        """Let go of the broker."""
        streams, self._streams = self._streams, None
        if streams is not None:
            await streams.close()

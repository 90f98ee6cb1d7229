"""The stage of a sink that is a user's function."""

from __future__ import annotations

import asyncio
import functools
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from firedoor.compose.aimed import Aimed
from firedoor.compose.tagging import Tags
from firedoor.compute.conversation import Manner
from firedoor.compute.crew import Crew
from firedoor.compute.effect import Effect
from firedoor.compute.held import Held
from firedoor.compute.step import StepReference
from firedoor.ports.faults import Faults
from firedoor.ports.stage import Handled, Journal, Parcel
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.spec.wall import WallOptions
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder

if TYPE_CHECKING:
    from firedoor.spec.wall import WallArguments

JOURNAL_S = 60.0


class FunctionSink:
    """Calls ``function(frame, key)`` with each batch. See ``ports.stage.Stage``.

    The key, ``"post/flights-000123"``, is the same whenever a batch comes again: an effect that is
    made under it (a row with this primary key, an object of this name) is made once.
    """

    def __init__(
        self,
        zone: ZonePlan,
        plan: Plan,
        tags: Tags | None = None,
        *,
        faults: Faults | None = None,
    ) -> None:
        """Prepare; workers start at the first batch."""
        assert zone.step is not None, "a sink that is no folder has a function"
        sys.path[:] = [*sys.path, *(path for path in plan.sys_path if path not in sys.path)]
        step = zone.step
        reference = StepReference(step.name, step.pickled, step.main_path, step.main_module)
        # What it is called with is not cut, and what it returns is not looked at.
        wall = zone.wall | {"expands": True, "batchwise": True}
        options = WallOptions(**cast("WallArguments", wall))
        self._name = zone.name
        self._orders: tuple[GuardOrder, ...] = ()
        self._tags = tags
        self._effect = Effect(reference, options, name=zone.name)
        self._threads = ThreadPoolExecutor(options.workers + 1, thread_name_prefix=zone.name)
        self._aimed = Aimed(faults, self._threads, memory_bytes=options.memory_bytes)

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Call the function with a batch. See ``ports.stage.Stage.handle``."""
        loop = asyncio.get_running_loop()

        def note(cause: str, where: str) -> None:
            asyncio.run_coroutine_threadsafe(_told(journal, cause, where), loop).result(JOURNAL_S)

        manner = Manner(
            key=f"{self._name}/{envelope.batch}",
            journal=note,
            attempt=envelope.attempt,
            orders=self._orders,
            strike=await self._aimed.at(envelope, payload, proven=self._effect.crew.proven),
        )
        work = functools.partial(self._call, envelope, payload, manner)
        await loop.run_in_executor(self._threads, work)
        return Handled(Parcel(b"", 0, envelope.rows), sink=manner.key or "")

    def _call(self, envelope: Envelope, payload: bytes, manner: Manner) -> None:
        """Call the function, in a thread of the stage."""
        held = Held.of_bytes(payload[: envelope.frame_bytes], envelope.rows)
        if self._tags is not None:
            held = Held.of_frame(self._tags.put(held.frame, envelope))
        self._effect.call(held, manner)

    def workers_lost(self) -> int:
        """Return how many workers died so far."""
        return self._effect.report().workers_lost

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how the guards are that the function calls through."""
        return self._effect.guards()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have guards do as a person wants, from the next batch on."""
        self._orders = orders

    def report(self) -> str:
        """Return what happened behind the wall."""
        return str(self._effect.report())

    def processes(self) -> dict[str, list[int]]:
        """Return process ids: ``server``, ``workers``."""
        return self._effect.crew.pids()

    def close(self) -> None:
        """End the workers."""
        Crew.close(self._effect.crew)
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _told(journal: Journal, cause: str, where: str) -> None:
    """Have the runner keep a failed run."""
    await journal(cause, where)

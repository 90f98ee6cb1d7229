"""The fault of a drill, as the workers of one zone are told of it with a batch."""

from __future__ import annotations

import asyncio
import functools
import io
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from firedoor.names import BatchId
from firedoor.ports.faults import Faults, NoFaults

if TYPE_CHECKING:
    from firedoor.compute.aiming import Aim
    from firedoor.drill.fault import Fault
    from firedoor.wire.envelope import Envelope
    from firedoor.wire.striking import Strike


class Aimed:
    """Says what is done to each batch; asked on the event loop."""

    def __init__(self, faults: Faults | None, threads: Executor, *, memory_bytes: int) -> None:
        """Take what a drill injects here, where rows are looked at, and the limit of a worker."""
        self._faults: Faults = NoFaults() if faults is None else faults
        self._threads = threads
        self._memory_bytes = memory_bytes

    async def at(self, envelope: Envelope, payload: bytes, *, proven: bool) -> Strike | None:
        """Return what is done to a batch, and count it; None: nothing.

        Args:
            envelope: of the batch.
            payload: its rows.
            proven: whether a worker of the zone has answered before: one that dies over the first
                rows says something about how workers are started, and is to be believed.
        """
        fault = self._faults.now("worker")
        if fault is None or not proven:
            return None
        work = functools.partial(
            _aim, fault, envelope, payload, self._memory_bytes, self._faults.ends_s()
        )
        aimed = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        if aimed.why_not:
            self._faults.unable(aimed.why_not)
        if aimed.strike is not None:
            self._faults.strike(envelope.batch, aimed.count)
        return aimed.strike


def _aim(
    fault: Fault, envelope: Envelope, payload: bytes, memory_bytes: int, until_s: float
) -> Aim:
    """Look at the rows of a batch."""
    from firedoor.compute import ipc  # noqa: PLC0415 - polars, for who is drilled
    from firedoor.compute.aiming import aim  # noqa: PLC0415 - as above

    frame = ipc.decode(io.BytesIO(payload[: envelope.frame_bytes]))
    root = str(BatchId.parse(envelope.batch).root)
    return aim(fault, root, frame, memory_bytes=memory_bytes, until_s=until_s)

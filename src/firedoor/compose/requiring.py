"""Refuse batches that are not as good as a zone requires, before its work begins.

The envelope decides; only a batch that is to become dead letters is decoded.
"""

from __future__ import annotations

import io

import polars as pl

from firedoor.compute import ipc, letters, outputs
from firedoor.ports.stage import DeadRows, Handled, Journal, Parcel, Stage
from firedoor.quality.grades import QUALITY, REFUSED, Demand, lack
from firedoor.spec.plan import ZonePlan
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder

BELOW = "below_quality"
"""Why rows were dropped."""


class RequiringStage:
    """Lets through what is good enough. See ``ports.stage.Stage``."""

    def __init__(self, stage: Stage, zone: ZonePlan, demand: Demand) -> None:
        """Stand before the work of a zone."""
        self._stage = stage
        self._zone = zone
        self._demand = demand
        self._refused = 0

    async def warm(self) -> None:
        """Warm what stands behind, if it can be."""
        warm = getattr(self._stage, "warm", None)
        if warm is not None:
            await warm()

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Take a batch through, or refuse it. See ``ports.stage.Stage.handle``."""
        waived = self._zone.name in envelope.waived
        why = "" if waived else lack(self._demand, envelope.quality, envelope.weight)
        if not why:
            return await self._stage.handle(envelope, payload, journal)
        self._refused += 1
        if self._demand.below == "drop":
            return Handled(Parcel(b"", 0, 0), dropped={BELOW: envelope.rows})
        return Handled(Parcel(b"", 0, 0), dead=self._bury(envelope, payload, why))

    def workers_lost(self) -> int:
        """Return how many workers died so far."""
        return self._stage.workers_lost()

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how the guards behind it are."""
        return self._stage.guards()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have the guards behind it do as a person wants."""
        self._stage.order(orders)

    def report(self) -> str:
        """Return what happened."""
        refused = f"\n{self._refused:,} batches refused for their quality" if self._refused else ""
        return self._stage.report() + refused

    def processes(self) -> dict[str, list[int]]:
        """Return process ids, where there are any."""
        processes = getattr(self._stage, "processes", None)
        return {} if processes is None else processes()

    def peak_bytes(self) -> int:
        """Return the most memory that a worker has taken so far, where there are any."""
        peak = getattr(self._stage, "peak_bytes", None)
        return 0 if peak is None else peak()

    def close(self) -> None:
        """End the workers."""
        self._stage.close()

    def _bury(self, envelope: Envelope, payload: bytes, why: str) -> DeadRows:
        """Return all rows of a batch as dead rows."""
        rows = ipc.decode(io.BytesIO(payload[: envelope.frame_bytes]))
        section = payload[envelope.frame_bytes :]
        numbers = (
            ipc.decode(io.BytesIO(section))["row"]
            if section
            else pl.int_range(rows.height, dtype=pl.UInt32, eager=True)
        )
        reasons = pl.DataFrame({"row": numbers}).select(
            "row",
            code=pl.lit(QUALITY),
            signature=pl.lit(REFUSED),
            message=pl.lit(why),
            attempts=outputs.no_attempts(),
        )
        return letters.pack(rows, reasons, sensitive=self._zone.sensitive)

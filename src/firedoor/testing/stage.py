"""A stage that needs no worker: rows pass, die or are dropped as a world has drawn it."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from firedoor.errors import DependencyDown, StepAtFault
from firedoor.names import BatchId
from firedoor.ports.stage import DeadRows, Handled, Journal, Parcel
from firedoor.quality.grades import Code, Grade
from firedoor.spec.plan import ShedPlan
from firedoor.testing.drawing import Drawn
from firedoor.testing.process import Process
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import DeadGroup, GuardNote, GuardOrder

Key = tuple[str, str]
"""Zone and batch."""


@dataclass(slots=True)
class Effects:
    """What stages did to the world outside, and how far its people have corrected it."""

    written: dict[Key, list[int]] = field(default_factory=dict)
    """At sinks, under the key of the batch: written again, it is the same."""
    marks: dict[Key, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """By what a sink knows a batch again: its checksum, and by which models it was scored."""
    deaths: Counter[Key] = field(default_factory=Counter)
    """Runners that a batch has ended."""
    journaled: Counter[Key] = field(default_factory=Counter)
    """Second runs of which the journal had been told, and had returned."""
    corrected: set[str] = field(default_factory=set)
    """Zones whose step a person has corrected."""
    handled: Counter[Key] = field(default_factory=Counter)
    """Times that a batch was taken through."""


def encode_rows(rows: list[int]) -> bytes:
    """Return the payload of a simulated batch."""
    return msgspec.json.encode(rows)


def decode_rows(payload: bytes) -> list[int]:
    """Return the rows of a simulated batch."""
    return msgspec.json.decode(payload, type=list[int])


def shed_half(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
    """Keep a share of the rows: the same each time."""
    del envelope
    rows = [row for row in decode_rows(payload) if zlib.crc32(b"%d" % row) < plan.keep * 2**32]
    kept = encode_rows(rows)
    return Parcel(kept, len(kept), len(rows))


def bury_rows(rows: list[int]) -> DeadRows:
    """Return dead rows as a zone buries them."""
    payload = encode_rows(rows)
    group = DeadGroup(
        code="drawn", signature="drawn", rows=len(rows), first_row=0, message="it was drawn"
    )
    return DeadRows(payload, len(payload), len(rows), (group,))


class SimulatedStage:
    """The work of a zone in a process. See ``ports.stage.Stage``."""

    def __init__(self, zone: str, drawn: Drawn, process: Process, effects: Effects) -> None:
        """Work for ``zone`` in ``process``."""
        self._zone = zone
        self._drawn = drawn
        self._met = drawn.conditions[zone]
        self._process = process
        self._effects = effects
        self._is_sink = drawn.plan.zone(zone).kind == "sink"
        self._models = drawn.plan.zone(zone).models.values()

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Take a batch through, or fail as drawn."""
        key = (self._zone, envelope.batch)
        await self._process.pause(self._met.step_s / 2)
        self._fail(key, BatchId.parse(envelope.batch).number)
        await self._process.pause(0.0)
        if zlib.crc32(str(key).encode()) < self._met.journals * 2**32:
            await journal("crash", "rows 0 to 1")
            self._effects.journaled[key] += 1
        await self._process.pause(self._met.step_s / 2)
        rows: dict[str, list[int]] = {"passes": [], "dead": [], "dropped": []}
        for row in decode_rows(payload):
            rows[self._drawn.fate(self._zone, row)].append(row)
        self._effects.handled[key] += 1
        drawn = f"{key} {self._effects.handled[key]}"  # another each time
        code: Code = "live" if zlib.crc32(drawn.encode()) % 2 else "older"
        if self._is_sink:
            self._write(key, rows["passes"], envelope)
        live = zlib.crc32(drawn.encode()) % 7 + 1
        models = {
            model.key: envelope.models.get(model.key, f"{model.name}@{live}")
            for model in self._models
        }
        # The bytes differ by the version, as scores would.
        passed = encode_rows(rows["passes"]) + b" " * sum(int(v[-1]) for v in models.values())
        return Handled(
            parcel=Parcel(passed, len(passed), len(rows["passes"])),
            dead=bury_rows(rows["dead"]) if rows["dead"] else None,
            dropped={"drawn": len(rows["dropped"])} if rows["dropped"] else {},
            sink=envelope.batch if self._is_sink else "",
            quality={f"{self._zone}_sky": Grade(code, 1.0)},
            models=models,
        )

    def workers_lost(self) -> int:
        """Return how many workers died: none, there are none."""
        return 0

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how guards are: there are none."""
        return ()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Do nothing."""

    def report(self) -> str:
        """Return what happened."""
        return "simulated"

    def close(self) -> None:
        """End nothing."""

    def _write(self, key: Key, rows: list[int], envelope: Envelope) -> None:
        """Write to the world outside, under a key."""
        known = self._effects.written.setdefault(key, rows)
        assert known == rows, f"{key} was written as {known}, and again as {rows}"
        mark = (envelope.crc32, envelope.models)
        was = self._effects.marks.setdefault(key, mark)
        assert was == mark, f"{key} was written with {was}, and again with {mark}"

    def _fail(self, key: Key, number: int) -> None:
        """Fail if that was drawn."""
        met, now_s = self._met, self._process.now_s()
        if number == met.poison and self._effects.deaths[key] < met.deaths:
            self._effects.deaths[key] += 1
            self._process.kill()
            self._process.check()
        if met.away[0] <= now_s < met.away[1]:
            raise DependencyDown(f"what {self._zone} needs is away until {met.away[1]:g} s")
        if met.hangs[0] <= now_s < met.hangs[1]:
            raise StepAtFault("all rows hang", code="contrast", signature="hang in drawn()")
        if number == met.faulty and self._zone not in self._effects.corrected:
            raise StepAtFault("the step is wrong", code="contrast", signature="KeyError: drawn")

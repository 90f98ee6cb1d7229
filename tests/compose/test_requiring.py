"""A zone that requires a quality refuses batches below it, by their envelope."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import polars as pl
import pytest

from firedoor.compose.requiring import RequiringStage
from firedoor.compute import ipc
from firedoor.control.payloads import decode_dead
from firedoor.ports.stage import Handled, Journal, Parcel
from firedoor.quality.grades import Below, Demand, Grade
from firedoor.spec.plan import ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import DeadEntry, GuardNote, GuardOrder

FRAME = pl.DataFrame({"tail": ["N1", "N2", "N3"]})
ZONE = ZonePlan(name="score", kind="transform", owner="me", version="1")


@dataclass
class Behind:
    """The work of the zone."""

    came: list[str] = field(default_factory=list)

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        del journal
        self.came.append(envelope.batch)
        return Handled(Parcel(payload, envelope.frame_bytes, envelope.rows))

    def workers_lost(self) -> int:
        return 2

    def guards(self) -> tuple[GuardNote, ...]:
        return ()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        self.came += [order.guard for order in orders]

    def report(self) -> str:
        return "all well"

    def close(self) -> None:
        self.came.append("closed")


async def journal(cause: str, where: str) -> None:
    raise AssertionError(cause + where)


def batch(**fields: object) -> tuple[Envelope, bytes]:
    head = b"".join(ipc.encode(FRAME, compress=True))
    numbers = pl.DataFrame({"row": [4, 7, 9]}, schema={"row": pl.UInt32})
    payload = head + b"".join(ipc.encode(numbers, compress=True))
    envelope = Envelope(
        batch="s-000001", rows=3, frame_bytes=len(head), crc32=checksum(payload), zone="mid",
        zone_version="1", cut_s=0.0, quality={"sky": Grade("older", 90.0)},
    )  # fmt: skip
    return msgspec.structs.replace(envelope, **fields), payload


def take(below: Below, **fields: object) -> tuple[Handled, Behind]:
    behind = Behind()
    stage = RequiringStage(behind, ZONE, Demand(below=below))
    return asyncio.run(stage.handle(*batch(**fields), journal)), behind


def test_rows_below_become_dead_letters_with_why_and_their_numbers() -> None:
    handled, behind = take("dead")
    dead = handled.dead
    assert dead is not None
    assert (handled.parcel.rows, dead.rows, behind.came) == (0, 3, [])
    entry = DeadEntry(
        zone="score", batch="s-000001", zone_version="1", rows=3, frame_bytes=dead.frame_bytes,
        crc32=checksum(dead.payload), groups=dead.groups, at_s=0.0, cut_s=0.0,
    )  # fmt: skip
    rows, reasons = decode_dead(entry, dead.payload)
    assert rows.equals(FRAME)
    assert reasons["row"].to_list() == [4, 7, 9]
    assert reasons["code"].unique().to_list() == ["quality"]
    assert reasons["message"][0] == "sky is older, and at least live is required"
    assert [(group.code, group.rows) for group in dead.groups] == [("quality", 3)]


def test_rows_below_are_counted_as_dropped_where_that_is_declared() -> None:
    handled, behind = take("drop")
    assert (handled.parcel.rows, handled.dead, behind.came) == (0, None, [])
    assert handled.dropped == {"below_quality": 3}


@pytest.mark.parametrize("fields", [{"quality": {"sky": Grade()}}, {"waived": ("score",)}])
def test_what_is_good_enough_or_waived_goes_through_as_it_is(fields: dict[str, object]) -> None:
    handled, behind = take("dead", **fields)
    assert (handled.parcel.rows, handled.dead, behind.came) == (3, None, ["s-000001"])


def test_a_waiver_for_another_zone_is_none_here() -> None:
    assert take("dead", waived=("store",))[0].dead is not None


def test_it_says_how_many_it_refused_beside_what_the_zone_says() -> None:
    behind = Behind()
    stage = RequiringStage(behind, ZONE, Demand())
    assert stage.report() == "all well"
    asyncio.run(stage.handle(*batch(), journal))
    assert stage.report() == "all well\n1 batches refused for their quality"
    assert (stage.workers_lost(), stage.processes(), stage.guards()) == (2, {}, ())
    stage.order((GuardOrder(guard="score->fees", want="open", number=1),))
    stage.close()
    assert behind.came == ["score->fees", "closed"]

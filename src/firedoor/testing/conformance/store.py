"""What a case is given, and the small plan and values that cases are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

from firedoor.ports.clock import Clock
from firedoor.ports.streams import Delivery, Inbox, Streams
from firedoor.spec.plan import EdgePlan, Plan, ZonePlan
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry, DeadGroup

if TYPE_CHECKING:
    import msgspec

SMALL = "intake:clean"
"""An edge that few batches fill."""
LARGE = "clean:store"
"""An edge with room for the largest payloads."""
SMALL_BYTES = 2**20
LARGE_BYTES = 32 * 2**20
DEAD_BYTES = 2**20
CHUNK_BYTES = 64 * 2**10
SOON_S = 10.0
"""Within which anything that has to happen happens; only failures wait so long."""
MOMENT_S = 0.3
"""For which is looked whether something happens that must not."""
TICK_S = 0.01
EPOCH_S = 1_767_225_600.0
PAYLOAD = b"rows"
SERVICE = ServicePlan(
    name="predict",
    owner="nobody@example.com",
    version="v1",
    step=StepNote(name="predict", pickled=b"", main_path=None, main_module=None, where=""),
    model=ModelPlan(name="late"),
)


class Store(Protocol):
    """A broker under test, empty at first. Everything that a case does goes through it."""

    @property
    def clock(self) -> Clock:
        """The clock that the streams go by."""
        ...

    @property
    def ack_wait_s(self) -> float:
        """After which a batch that nobody acknowledged comes again. A test may shorten it."""
        ...

    async def open(self, plan: Plan) -> Streams:
        """Return a new client of the broker, with ``plan`` declared."""
        ...

    async def restart(self, *, kill: bool) -> None:
        """End the broker (at once, if ``kill``), start it on what it kept; clients stay."""
        ...

    async def stop(self) -> None:
        """End the broker until ``start``."""
        ...

    async def start(self) -> None:
        """Start a broker that was stopped."""
        ...


@asynccontextmanager
async def client(store: Store, plan: Plan | None = None) -> AsyncIterator[Streams]:
    """Open a client for a case, and close it."""
    streams = await store.open(make_plan() if plan is None else plan)
    try:
        yield streams
    finally:
        await streams.close()


def make_plan(
    *,
    edges: Iterable[str] = (SMALL, LARGE),
    small_bytes: int = SMALL_BYTES,
    dead_bytes: int = DEAD_BYTES,
    predictions_bytes: int = 0,
) -> Plan:
    """Return the plan intake -> clean -> store, with the edges named.

    With ``predictions_bytes`` it has a service that logs as much.
    """
    kinds = (("intake", "source"), ("clean", "transform"), ("store", "sink"))
    sizes = {SMALL: small_bytes}
    return Plan(
        pipeline="conformance",
        owner="nobody@example.com",
        file="/nowhere/conformance.py",
        sys_path=(),
        zones=tuple(
            ZonePlan(name=name, kind=kind, owner="nobody@example.com", version="v1")  # type: ignore[arg-type]
            for name, kind in kinds
        ),
        edges=tuple(
            EdgePlan(
                publisher=edge.partition(":")[0],
                reader=edge.partition(":")[2],
                bytes_max=sizes.get(edge, LARGE_BYTES),
            )
            for edge in edges
        ),
        dead_bytes_max=dead_bytes,
        services=(SERVICE,) if predictions_bytes else (),
        predictions_bytes_max=predictions_bytes or 2**20,
    )


def batch_name(number: int) -> str:
    """Return the id of a batch."""
    return f"intake-{number:06d}"


def make_envelope(batch: str, payload: bytes, *, cut_s: float = EPOCH_S) -> Envelope:
    """Return the envelope of a payload, as its publisher would write it."""
    return Envelope(
        batch=batch,
        rows=3,
        frame_bytes=len(payload),
        crc32=checksum(payload),
        zone="intake",
        zone_version="v1",
        cut_s=cut_s,
        lookups={"weather": "w1"},
        models={"late": "late@3"},
    )


async def publish(
    streams: Streams, number: int, payload: bytes = PAYLOAD, *, edge: str = SMALL
) -> bool:
    """Publish a batch by its number."""
    batch = batch_name(number)
    return await streams.publish(edge, make_envelope(batch, payload), payload)


def make_record(zone: str, batch: str, *, rows: int = 3, deliveries: int = 1) -> BatchRecord:
    """Return a record with something in every field that can be lost on the way."""
    return BatchRecord(
        zone=zone,
        batch=batch,
        zone_version="v1",
        edge=SMALL,
        rows_in=rows,
        rows_out=rows,
        passed=rows,
        published={LARGE: rows},
        deliveries=deliveries,
        attempts={"crash": 1},
        began_s=EPOCH_S,
        ended_s=EPOCH_S + 1,
        cut_s=EPOCH_S,
    )


def make_dead(
    batch: str, payload: bytes, *, rows: int = 2, zone: str = "clean", at_s: float = EPOCH_S
) -> DeadEntry:
    """Return an entry for dead rows."""
    return DeadEntry(
        zone=zone,
        batch=batch,
        edge=SMALL,
        zone_version="v1",
        rows=rows,
        frame_bytes=len(payload),
        crc32=checksum(payload),
        groups=(
            DeadGroup(
                code="raises", signature="s", rows=rows, first_row=0, message="r\u00e9sum\u00e9"
            ),
        ),
        at_s=at_s,
        cut_s=EPOCH_S,
    )


def make_attempts(**counts: int) -> Attempts:
    """Return attempts by cause."""
    return Attempts(counts=counts, last="rows 0 to 5: crash", models={"late": "late@3"})


async def take(
    store: Store, inbox: Inbox, count: int, *, within_s: float = SOON_S
) -> list[Delivery]:
    """Fetch until ``count`` deliveries came, and say which came if it is too few in time."""
    taken: list[Delivery] = []
    until_s = store.clock.now_s() + within_s
    while len(taken) < count:
        left_s = until_s - store.clock.now_s()
        came = [delivery.envelope.batch for delivery in taken]
        assert left_s > 0, f"{count} batches are due within {within_s:g} s, came: {came}"
        taken += await inbox.fetch(count - len(taken), min(left_s, 1.0))
    assert len(taken) == count, f"asked for {count} batches at most, got {len(taken)}"
    return taken


async def take_one(store: Store, inbox: Inbox, *, within_s: float = SOON_S) -> Delivery:
    """Fetch one delivery."""
    return (await take(store, inbox, 1, within_s=within_s))[0]


async def left(store: Store, streams: Streams, count: int) -> None:
    """Wait until an inbox holds as many batches as are left of it.

    An acknowledged batch is never delivered again; a cluster may count it for a moment longer.
    """
    until_s = store.clock.now_s() + SOON_S
    while (found := (await streams.depth(SMALL)).messages) != count:
        assert store.clock.now_s() < until_s, f"{count} batches are left, the inbox holds {found}"
        await store.clock.wait(TICK_S)


async def nothing_comes(inbox: Inbox, *, for_s: float = MOMENT_S) -> None:
    """Assert that an inbox gives nothing for a while."""
    came = [delivery.envelope.batch for delivery in await inbox.fetch(1, for_s)]
    assert came == [], f"nothing was due, came: {came}"


@contextmanager
def raising(kind: type[Exception]) -> Iterator[list[str]]:
    """Assert that a block raises; what the error says is in the list afterwards."""
    said: list[str] = []
    try:
        yield said
    except kind as error:
        said.append(str(error))
        return
    message = f"{kind.__name__} is due, nothing was raised"
    raise AssertionError(message)


def same(kept: msgspec.Struct | None, written: msgspec.Struct) -> None:
    """Assert that what is kept is what was written."""
    assert kept == written, f"written {written}\nkept {kept}"

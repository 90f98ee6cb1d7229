from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from adapters.nats.world import PIPELINE, NatsStore
from firedoor.adapters.nats.answers import Done
from firedoor.adapters.nats.checks import check_store, examine
from firedoor.adapters.nats.holding import locked
from firedoor.adapters.nats.naming import Names
from firedoor.adapters.nats.server import ENV, LocalServer, start
from firedoor.adapters.nats.streams import NatsStreams
from firedoor.compute.doctor import Finding
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.testing.conformance.store import (
    LARGE,
    SMALL,
    batch_name,
    make_envelope,
    make_plan,
    make_record,
    publish,
    take_one,
)
from firedoor.wire.records import BatchRecord

if TYPE_CHECKING:
    import pytest

NAMES = Names(PIPELINE)
PAYLOAD = b"rows" * 5000


def by_topic(findings: list[Finding] | tuple[Finding, ...], topic: str) -> Finding:
    """Return the only finding of a topic."""
    (found,) = [finding for finding in findings if finding.topic == topic]
    return found


def sent(number: int) -> BatchRecord:
    """Return the source's record of a batch that it published."""
    record = make_record("intake", batch_name(number))
    return replace(record, edge="", published={SMALL: 3})


def done(number: int) -> BatchRecord:
    """Return the reader's record of a batch."""
    return replace(make_record("clean", batch_name(number)), published={})


async def flow(streams: Streams, store: NatsStore, batches: int, read: int) -> None:
    """Publish some batches, and do the first of them."""
    for number in range(batches):
        await publish(streams, number, PAYLOAD)
        await streams.record(sent(number))
    for _ in range(read):
        delivery = await take_one(store, streams.inbox(SMALL))
        await streams.record(done(int(delivery.envelope.batch.removeprefix("intake-"))))
        await delivery.ack()


def examined(
    server: LocalServer,
    work: Callable[[NatsStreams, NatsStore], Coroutine[object, object, None]],
    *,
    plan: Plan | None = None,
) -> list[Finding]:
    """Do something with the streams, and examine them."""
    plan = make_plan() if plan is None else plan

    async def within() -> list[Finding]:
        store = NatsStore(server)
        streams = await store.connect()
        try:
            await streams.declare(plan)
            await work(streams, store)
            return await examine(streams, plan)
        finally:
            await streams.close()

    return asyncio.run(within())


def test_a_whole_store_is_well(server: LocalServer) -> None:
    async def work(streams: NatsStreams, store: NatsStore) -> None:
        await flow(streams, store, 6, 4)

    findings = examined(server, work)
    assert {finding.verdict for finding in findings} == {"ok"}
    assert by_topic(findings, f"inbox {SMALL}").found.startswith("2 batches wait")
    assert by_topic(findings, "records").found == "10 of 10 kept"


def test_a_batch_that_vanished_from_an_inbox_is_named(server: LocalServer) -> None:
    async def work(streams: NatsStreams, store: NatsStore) -> None:
        await flow(streams, store, 6, 2)
        verb = f"STREAM.MSG.DELETE.{NAMES.inbox(SMALL)}"
        await streams.link.api(verb, {"seq": 5}, answer=Done)

    finding = by_topic(examined(server, work), f"inbox {SMALL}")
    assert finding.verdict == "missing"
    assert finding.found.startswith(f"{batch_name(4)} were published")
    assert "firedoor backfill clean" in finding.remedy


def test_a_reader_that_was_faster_than_the_publishers_record_is_no_gap(
    server: LocalServer,
) -> None:
    async def work(streams: NatsStreams, store: NatsStore) -> None:
        await publish(streams, 1)
        delivery = await take_one(store, streams.inbox(SMALL))
        await streams.record(done(1))
        await delivery.ack()
        await streams.record(sent(1))

    assert {finding.verdict for finding in examined(server, work)} == {"ok"}


def test_replays_and_names_by_way_are_no_gaps(server: LocalServer) -> None:
    plan = make_plan()
    plan = replace(plan, edges=tuple(replace(edge, by_way=True) for edge in plan.edges))

    async def work(streams: NatsStreams, store: NatsStore) -> None:
        named = f"{batch_name(1)}@intake"
        await streams.publish(SMALL, make_envelope(named, b"x"), b"x")
        await streams.record(sent(1))
        await (await take_one(store, streams.inbox(SMALL))).ack()
        await streams.record(replace(done(1), batch=named))
        again = replace(done(1), batch=f"{named}~r1", parent=named)
        await streams.record(replace(again, published={LARGE: 3}))

    assert {finding.verdict for finding in examined(server, work, plan=plan)} == {"ok"}


def test_what_waits_and_is_damaged_is_named(server: LocalServer) -> None:
    async def work(streams: NatsStreams, _: NatsStore) -> None:
        await streams.publish(SMALL, make_envelope(batch_name(7), b"sent"), b"came")

    finding = by_topic(examined(server, work), f"inbox {SMALL}")
    assert (finding.verdict, finding.remedy != "") == ("missing", True)
    assert batch_name(7) in finding.found


def test_a_publishers_record_that_was_lost_is_told(server: LocalServer) -> None:
    async def work(streams: NatsStreams, store: NatsStore) -> None:
        await flow(streams, store, 3, 3)
        verb = f"STREAM.MSG.DELETE.{NAMES.records}"
        await streams.link.api(verb, {"seq": 2}, answer=Done)

    finding = by_topic(examined(server, work), f"records {SMALL}")
    assert batch_name(1) in finding.found


def test_an_inbox_that_is_nearly_full_says_what_to_do(server: LocalServer) -> None:
    async def work(streams: NatsStreams, _: NatsStore) -> None:
        for number in range(10):
            await publish(streams, number, bytes(100_000))

    finding = by_topic(examined(server, work), NAMES.inbox(SMALL))
    assert (finding.verdict, "firedoor status" in finding.remedy) == ("weaker", True)


# ---- the folder


def check(folder: Path, plan: Plan | None) -> tuple[Finding, ...]:
    """Examine a project."""
    return asyncio.run(check_store(folder, plan))


def test_a_flipped_byte_on_the_disk_is_found(tmp_path: Path) -> None:
    """The server drops what follows it without a word."""
    folder = tmp_path / ".firedoor"
    with start(folder, make_plan()) as server:

        async def fill() -> None:
            store = NatsStore(server)
            streams = await store.open(make_plan())
            await flow(streams, store, 10, 2)
            await streams.close()

        asyncio.run(fill())
    blocks = sorted((folder / "nats" / "store").rglob(f"{NAMES.inbox(SMALL)}/msgs/*.blk"))
    block = blocks[-1]
    data = bytearray(block.read_bytes())
    data[-30_000] ^= 0xFF
    block.write_bytes(data)
    for index in block.parent.glob("index.db"):
        index.unlink()
    finding = by_topic(check(folder, make_plan()), f"inbox {SMALL}")
    assert finding.verdict == "missing"
    assert "intake-00000" in finding.found


def test_a_running_server_is_asked_and_left_alone(server: LocalServer) -> None:
    async def declare() -> None:
        streams = await NatsStore(server).open(make_plan())
        await streams.close()

    asyncio.run(declare())
    findings = check(server.folder, make_plan())
    assert f"pid {server.pid}" in by_topic(findings, "store lock").found
    assert by_topic(findings, "broker").verdict == "ok"
    assert not [finding for finding in findings if finding.fatal]
    assert server.alive()


def test_a_store_at_rest_is_examined_and_left_at_rest(server: LocalServer) -> None:
    server.stop()
    findings = check(server.folder, make_plan())
    assert by_topic(findings, "store lock").found == "free"
    assert by_topic(findings, "streams").verdict == "missing"
    assert not locked(server.folder / "nats")


def test_nothing_is_made_where_nothing_ran(tmp_path: Path) -> None:
    findings = check(tmp_path / ".firedoor", make_plan())
    assert "none yet" in by_topic(findings, "store").found
    assert not (tmp_path / ".firedoor").exists()


def test_another_version_is_told_with_what_to_do(server: LocalServer) -> None:
    server.stop()
    (server.folder / "nats" / "version.json").write_text('{"store": "7"}')
    finding = by_topic(check(server.folder, make_plan()), "store")
    assert (finding.fatal, "version 7" in finding.found) == (True, True)
    assert "another --project folder" in finding.remedy


def test_a_missing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV, str(tmp_path / "nothing"))
    finding = by_topic(check(tmp_path, None), "nats-server")
    assert (finding.fatal, "pip install" in finding.remedy) == (True, True)

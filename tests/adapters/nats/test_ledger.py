"""The ledger in a real broker: who may write what, and what never goes."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from adapters.nats.world import PIPELINE, NatsStore
from firedoor.adapters.nats.answers import Done, StreamInfo
from firedoor.adapters.nats.configs import acts_config, happenings_config
from firedoor.adapters.nats.naming import Names
from firedoor.adapters.nats.server import LocalServer
from firedoor.errors import LedgerFull, StoreRefused, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import make_plan

STATE = Happened(
    at_s=1.0, kind="zone.state", zone="clean", text="halted", process="here-1-a", sequence=1
)
ACT = replace(STATE, kind="order", text="zone pause")
NAMES = Names(PIPELINE)


async def enter_many(streams: Streams) -> None:
    for number in range(100):
        await streams.enter(replace(ACT, sequence=number + 1, because="x" * 100))


def test_a_zone_writes_under_its_own_name_and_no_acts(server: LocalServer) -> None:
    async def work() -> None:
        store = NatsStore(server, write_s=1.0, read_s=1.0)
        admin = await store.open(make_plan())
        clean = await store.connect("clean")
        assert await clean.enter(STATE)
        for forged in (replace(STATE, zone="store"), replace(STATE, zone=""), ACT):
            with pytest.raises((StoreRefused, StreamsUnavailable)):
                await clean.enter(forged)
        found = [entry.happened async for entry in admin.entries("happenings")]
        assert found == [STATE]
        assert [entry async for entry in admin.entries("acts")] == []
        await clean.close()
        await admin.close()

    asyncio.run(work())


def test_whose_an_entry_is_the_broker_knows_and_not_the_entry(server: LocalServer) -> None:
    async def work() -> None:
        store = NatsStore(server)
        admin = await store.open(make_plan())
        clean = await store.connect("clean")
        body = b'{"at_s":1.0,"kind":"zone.state","zone":"store","text":"","process":"another"}'
        subject = NAMES.entry("happenings", "clean", "here-1-a", "1")
        await clean.link.ask(subject, body, read=lambda message: message.data, patience_s=5.0)
        (entry,) = [entry async for entry in admin.entries("happenings")]
        assert (entry.happened.zone, entry.happened.process, entry.happened.sequence) == (
            "clean", "here-1-a", 1,
        )  # fmt: skip
        await clean.close()
        await admin.close()

    asyncio.run(work())


def test_acts_have_no_age_at_which_they_go() -> None:
    plan = replace(make_plan(), retention_days=1)
    acts, happenings = acts_config(NAMES), happenings_config(NAMES, plan)
    assert "max_age" not in acts
    assert acts["discard"] == "new"
    assert (happenings["max_age"], happenings["discard"]) == (86_400 * 10**9, "old")


def test_where_acts_have_no_room_that_is_said(server: LocalServer) -> None:
    async def work() -> None:
        streams = await NatsStore(server).connect()
        await streams.declare(make_plan())
        config = acts_config(NAMES) | {"max_bytes": 4_096, "num_replicas": 1}
        await streams.link.api(f"STREAM.UPDATE.{NAMES.book('acts')}", config, answer=StreamInfo)
        with pytest.raises(LedgerFull, match=r"no room for what people do.* raises its bound"):
            await enter_many(streams)
        assert await streams.enter(STATE), "happenings go on"
        await streams.close()

    asyncio.run(work())


def test_a_store_that_is_older_than_the_ledger_takes_acts_and_shows_nothing(
    server: LocalServer,
) -> None:
    async def work() -> None:
        streams = await NatsStore(server).connect()
        await streams.declare(make_plan())
        for book in ("happenings", "acts"):
            await streams.link.api(f"STREAM.DELETE.fd-{PIPELINE}-{book}", answer=Done)
        for book in ("happenings", "acts"):
            assert [entry async for entry in streams.entries(book)] == []  # type: ignore[arg-type]
        assert await streams.last_place("acts") == 0
        assert await streams.enter(ACT)
        assert [entry.happened async for entry in streams.entries("acts")] == [ACT]
        await streams.close()

    asyncio.run(work())


def test_names_that_subjects_may_not_have_are_kept_all_the_same(server: LocalServer) -> None:
    async def work() -> None:
        streams = await NatsStore(server).connect()
        await streams.declare(make_plan())
        assert await streams.enter(replace(STATE, zone="a b.*", process="p.q > r"))
        (entry,) = [entry async for entry in streams.entries("happenings")]
        assert (entry.happened.zone, entry.happened.process) == ("a-b-", "p-q-r")
        await streams.close()

    asyncio.run(work())

"""Three servers: copies, reads that are not stale, and what happens when one is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.nats.cluster import USERS, Cluster, Node, free_ports, make_cluster
from adapters.nats.world import PIPELINE
from firedoor.adapters.nats.answers import NOT_FOUND, ConsumerInfo, StreamInfo, status_of
from firedoor.adapters.nats.checks import examine
from firedoor.adapters.nats.configs import (
    beats_config,
    consumer_config,
    inbox_config,
    kept_configs,
)
from firedoor.adapters.nats.naming import API, Names
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.adapters.nats.users import users_config
from firedoor.errors import StoreRefused, StreamFull, StreamsUnavailable
from firedoor.testing.conformance.store import (
    LARGE,
    SMALL,
    batch_name,
    make_attempts,
    make_dead,
    make_plan,
    make_record,
    publish,
    take_one,
)
from firedoor.testing.streams_conformance import CASES, Case

Work = Callable[[NatsStreams], Coroutine[object, object, None]]
NAMES = Names(PIPELINE)
ROWS = b"rows" * 4096
TRIES = 4
STALE = 5
"""Direct reads that find nothing, before it is believed that what is read by us is never stale."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a cluster that many claims share: each has a pipeline of its own, or harms nothing."""
    with make_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


async def within(cluster: Cluster, work: Work, *, pipeline: str = PIPELINE) -> None:
    """Do something with a client that has declared the plan."""
    streams = await cluster.connect(pipeline=pipeline)
    try:
        await streams.declare(replace(make_plan(), pipeline=pipeline))
        await work(streams)
    finally:
        await streams.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a closed client leaves tasks"


def run(cluster: Cluster, work: Work, *, pipeline: str = PIPELINE) -> None:
    """Do something with a client that has declared the plan."""
    asyncio.run(within(cluster, work, pipeline=pipeline))


async def several(call: Callable[[], Coroutine[object, object, bool]]) -> list[bool]:
    """Do something several times at once; return what was answered."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call()) for _ in range(TRIES)]
    return sorted(task.result() for task in tasks)


# ---- while all of them are there


def test_every_stream_and_consumer_is_kept_three_times(cluster: Cluster) -> None:
    async def work(streams: NatsStreams) -> None:
        names = Names("copies")
        inboxes = [names.inbox(edge) for edge in (SMALL, LARGE)]
        kept = [names.records, names.dead, names.attempts, names.values, names.beats]
        for name in [*inboxes, *kept]:
            info = await streams.link.api(f"STREAM.INFO.{name}", answer=StreamInfo)
            assert info.config.num_replicas == 3, name
            assert info.cluster is not None
            assert len(info.cluster.replicas) == 2, name
        for name, reader in zip(inboxes, ("clean", "store"), strict=True):
            told = await streams.link.api(f"CONSUMER.INFO.{name}.{reader}", answer=dict)
            assert len(told["cluster"]["replicas"]) == 2, name

    run(cluster, work, pipeline="copies")


@asynccontextmanager
async def at_each(cluster: Cluster, pipeline: str) -> AsyncIterator[list[NatsStreams]]:
    """Give a client at each server: the one that leads, and those that are a little behind."""
    clients = [await cluster.connect(pipeline=pipeline, node=node) for node in cluster.nodes]
    try:
        yield clients
    finally:
        for client in clients:
            await client.close()


def test_what_was_just_written_is_read_and_listed(cluster: Cluster) -> None:
    """At each server, again and again, until direct reads were often seen to be behind."""

    async def check(reader: NatsStreams, batch: str) -> None:
        assert await reader.recorded("clean", batch) == make_record("clean", batch)

    async def listed(reader: NatsStreams, batch: str) -> None:
        assert [record.batch async for record in reader.records(batch=batch)] == [batch]

    async def work(streams: NatsStreams) -> None:
        names, clock = streams.names, cluster.clock
        behind, number, ends_s = 0, 0, clock.now_s() + 30
        async with at_each(cluster, names.pipeline) as readers:
            # Servers answer direct reads when they have had a stream for two seconds.
            while behind < STALE:
                assert clock.now_s() < ends_s, f"servers were behind {behind} times of {number}"
                batch = batch_name(number)
                assert await streams.record(make_record("clean", batch))
                direct = f"{API}.DIRECT.GET.{names.records}.{names.record('clean', batch)}"
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(r.link.ask(direct, read=status_of)) for r in readers]
                    for reader in readers:
                        group.create_task(check(reader, batch))
                        group.create_task(listed(reader, batch))
                behind += sum(task.result() == NOT_FOUND for task in asked)
                number += 1
        every = [record.batch async for record in streams.records()]
        assert every == [batch_name(each) for each in range(number)]

    run(cluster, work, pipeline="reads")


def test_dead_rows_are_listed_and_read_at_each_server(cluster: Cluster) -> None:
    async def work(streams: NatsStreams) -> None:
        rows = bytes(100_000)
        entries = [make_dead(batch_name(number), rows) for number in range(4)]
        async with at_each(cluster, "dead") as readers:
            for number, entry in enumerate(entries):
                assert await streams.bury(entry, rows)
                for reader in readers:
                    assert [e async for e in reader.dead()] == entries[: number + 1]
                    assert await reader.dead_rows("clean", entry.batch) == (entry, rows)

    run(cluster, work, pipeline="dead")


def test_what_is_said_several_times_at_once_is_stored_once(cluster: Cluster) -> None:
    """A publisher repeats itself while the first is still on its way to the copies."""

    async def work(streams: NatsStreams) -> None:
        once = [False] * (TRIES - 1) + [True]
        for number in range(20):
            record = make_record("clean", batch_name(number))
            assert await several(lambda record=record: streams.record(record)) == once  # type: ignore[misc]
            assert await several(lambda number=number: publish(streams, number)) == once  # type: ignore[misc]
        assert (await streams.depth(SMALL)).messages == 20

    run(cluster, work, pipeline="several")


def test_a_zone_may_do_its_own_work_in_a_cluster(cluster: Cluster) -> None:
    async def work(streams: NatsStreams) -> None:
        await publish(streams, 1)
        clean = await cluster.connect("clean")
        delivery = await take_one(cluster, clean.inbox(SMALL))
        assert await clean.recorded("clean", batch_name(1)) is None
        await clean.note_attempts("clean", batch_name(1), make_attempts(crash=1))
        assert (await clean.attempts("clean", batch_name(1))).counts == {"crash": 1}
        assert await publish(clean, 1, edge=LARGE)
        assert await clean.bury(make_dead(batch_name(1), b"x"), b"x")
        assert await clean.record(make_record("clean", batch_name(1)))
        assert [record.batch async for record in clean.records("clean")] == [batch_name(1)]
        await clean.note_attempts("clean", batch_name(1), None)
        await delivery.ack()
        await clean.put("detached.clean.store", b"{}")
        assert await clean.get("order.clean") is None
        await clean.beat("zone.clean.host-1", b"here")
        assert await clean.beats("zone.clean.") == {"zone.clean.host-1": b"here"}
        refused: dict[str, Callable[[], Awaitable[object]]] = {
            "read dead letters": lambda: clean.dead_rows("store", batch_name(1)),
            "read another's inbox": lambda: clean.inbox(LARGE).fetch(1, 1),
            "give orders": lambda: clean.put("order.store", b"{}"),
        }
        for what, attempt in refused.items():
            with pytest.raises(StoreRefused, match="zone-clean may not use"):
                print(what, await attempt())
        await clean.close()

    run(cluster, work)


def test_a_store_of_one_copy_is_brought_up_to_three(cluster: Cluster) -> None:
    plan = replace(make_plan(), pipeline="older")
    names = Names("older")

    async def within() -> None:
        streams = await cluster.connect(pipeline="older")
        older = inbox_config(names, plan.edges[0])
        verb = f"{names.inbox(SMALL)}"
        made = await streams.link.api(f"STREAM.CREATE.{verb}", older, answer=StreamInfo)
        assert made.config.num_replicas == 1
        found = [f for f in await examine(streams, plan) if f.topic == "copies"]
        assert [(f.verdict, names.inbox(SMALL) in f.found) for f in found] == [("weaker", True)]
        await publish(streams, 1)
        await streams.declare(plan)
        now = await streams.link.api(f"STREAM.INFO.{verb}", answer=StreamInfo)
        assert now.config.num_replicas == 3
        assert not await publish(streams, 1)
        delivery = await take_one(cluster, streams.inbox(SMALL), within_s=40)
        await delivery.ack()
        await streams.close()

    asyncio.run(within())


def test_two_servers_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with Cluster(tmp_path, make_plan(), nodes=2, write_s=0.5) as two:

        async def within() -> None:
            streams = await two.connect()
            with pytest.raises(StoreRefused, match="fewer than 3 servers"):
                await streams.declare(make_plan())
            await streams.close()

        asyncio.run(within())


def test_a_broker_that_takes_small_messages_only_is_refused(tmp_path: Path) -> None:
    """Its own setting, 1 MiB: batches would be refused one by one, long after."""
    settings = f"max_payload: 1048576\n{users_config(make_plan(), USERS)}"
    node = Node(tmp_path, "small", free_ports(1)[0], settings)
    node.start()

    async def refused() -> None:
        streams = await connect(
            node.url, pipeline=PIPELINE, user="admin", password=USERS[None], open_s=20
        )
        with pytest.raises(StoreRefused, match="max_payload: 8388608"):
            await streams.declare(make_plan())
        await streams.close()

    try:
        asyncio.run(refused())
    finally:
        node.end()


# ---- when one is killed


async def declared(streams: NatsStreams) -> None:
    """Declare the plan, as a run does."""
    await streams.declare(make_plan())


@dataclass
class Traffic:
    """A publisher and a reader that go on, whatever happens to the broker."""

    cluster: Cluster
    sent: int = 0
    recorded: set[str] = field(default_factory=set)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    written: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, streams: NatsStreams) -> None:
        while not self.done.is_set():
            try:
                await publish(streams, self.sent, ROWS)
            except StreamFull:  # the reader is held up for longer
                await self.cluster.clock.wait(0.05)
            else:
                self.sent += 1
        self.written.set()

    async def read(self, streams: NatsStreams) -> None:
        """Record each batch, then acknowledge it: as a zone does.

        A record whose answer was lost with a server is there when it is written again.
        """
        while not (self.written.is_set() and len(self.recorded) == self.sent):
            try:
                came = await streams.inbox(SMALL).fetch(8, 0.5)
            except StreamsUnavailable:
                continue  # a zone asks again
            for delivery in came:
                batch = delivery.envelope.batch
                await streams.record(make_record("clean", batch))
                self.recorded.add(batch)
                await delivery.ack()

    async def flows(self, more: int = 20) -> None:
        """Return when that many batches came through that were not sent before."""
        clock = self.cluster.clock
        want, ends_s = self.sent + more, clock.now_s() + 40
        while len(self.recorded) < want:
            assert clock.now_s() < ends_s, f"{self.sent} sent, {len(self.recorded)} recorded"
            await clock.wait(0.02)


def carried(
    cluster: Cluster,
    harm: Callable[[Traffic, NatsStreams], Coroutine[object, object, None]],
    *,
    declare: Work = declared,
) -> None:
    """Do harm while batches flow; then each was recorded once and none is left."""

    async def within() -> None:
        writer, reader = await cluster.connect("intake"), await cluster.connect("clean")
        admin = await cluster.connect()
        await declare(admin)
        traffic = Traffic(cluster)
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.write(writer))
            group.create_task(traffic.read(reader))
            await traffic.flows()
            await harm(traffic, admin)
            traffic.done.set()
        every = [batch_name(number) for number in range(traffic.sent)]
        assert sorted(traffic.recorded) == every
        assert sorted([r.batch async for r in admin.records("clean")]) == every
        ends_s = cluster.clock.now_s() + 20
        while (await admin.depth(SMALL)).messages:
            assert cluster.clock.now_s() < ends_s, "something that was acknowledged is left"
            await cluster.clock.wait(0.05)
        for streams in (writer, reader, admin):
            await streams.close()

    asyncio.run(within())


def test_killed_leaders_lose_and_double_nothing(tmp_path: Path) -> None:
    """The leader of the inbox is killed; then, once it is back, the one that had stayed behind."""
    with make_cluster(tmp_path) as cluster:

        async def harm(traffic: Traffic, admin: NatsStreams) -> None:
            first = await cluster.leader(admin, NAMES.inbox(SMALL))
            first.end()
            await traffic.flows()
            await away(admin, first)
            first.start()
            await whole(cluster, admin)
            leader = await cluster.leader(admin, NAMES.inbox(SMALL))
            follower = next(node for node in cluster.nodes if node not in {first, leader})
            follower.end()
            await traffic.flows()

        carried(cluster, harm)


async def away(admin: NatsStreams, server: Node) -> None:
    """Return when a server is named as one that is away; fail if it never is."""
    clock = admin.link.clock
    ends_s = clock.now_s() + 20
    while True:
        found = [f for f in await examine(admin, make_plan()) if f.topic == f"server {server.name}"]
        if any(f.found.startswith("away for") and f.verdict == "weaker" for f in found):
            return
        assert clock.now_s() < ends_s, f"what is found of {server.name}: {found}"
        await clock.wait(0.2)


async def whole(cluster: Cluster, admin: NatsStreams) -> None:
    """Return when every copy has caught up."""
    ends_s = cluster.clock.now_s() + 30
    while True:
        found = [f for f in await examine(admin, make_plan()) if f.topic == "copies"]
        if [f.verdict for f in found] == ["ok"]:
            return
        assert cluster.clock.now_s() < ends_s, "a copy does not catch up"
        await cluster.clock.wait(0.1)


# ---- for long


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_cluster_conforms(tmp_path: Path, case: Case) -> None:
    patience_s = 0.5 if "away" in case.name else 30.0
    with make_cluster(tmp_path, write_s=patience_s, read_s=patience_s) as cluster:
        asyncio.run(case.run(cluster))


@pytest.mark.soak
@pytest.mark.parametrize("silent_s", [4.0, 20.0])
def test_a_leader_that_hangs_loses_and_doubles_nothing(tmp_path: Path, silent_s: float) -> None:
    """It goes on where it was, for shorter and for longer than others wait for it."""
    with make_cluster(tmp_path) as cluster:

        async def harm(traffic: Traffic, admin: NatsStreams) -> None:
            leader = await cluster.leader(admin, NAMES.inbox(SMALL))
            leader.hang()
            await cluster.clock.wait(silent_s)
            leader.go_on()
            await traffic.flows()
            await whole(cluster, admin)

        carried(cluster, harm)


@pytest.mark.soak
def test_a_store_of_one_copy_gets_three_while_batches_flow(tmp_path: Path) -> None:
    """Consumers get theirs as well, after the streams."""
    plan = make_plan()
    with make_cluster(tmp_path) as cluster:

        async def harm(traffic: Traffic, admin: NatsStreams) -> None:
            await admin.declare(plan)
            await traffic.flows()
            ends_s = cluster.clock.now_s() + 80
            verb = f"CONSUMER.INFO.{NAMES.inbox(SMALL)}.clean"
            while True:
                told = await admin.link.api(verb, answer=dict, patience_s=20)
                if len(told["cluster"].get("replicas", [])) == 2:
                    break
                assert cluster.clock.now_s() < ends_s, "the consumer is kept once"
                await cluster.clock.wait(0.5)
            await whole(cluster, admin)

        carried(cluster, harm, declare=once)


async def once(streams: NatsStreams) -> None:
    """Declare a plan with one copy of everything, as servers without a cluster have it."""
    plan = make_plan()
    inboxes = [inbox_config(NAMES, edge) for edge in plan.edges]
    for config in (*inboxes, *kept_configs(NAMES, plan), beats_config(NAMES)):
        await streams.link.api(f"STREAM.CREATE.{config['name']}", config, answer=StreamInfo)
    for edge in plan.edges:
        stream, consumer = NAMES.inbox(edge.name), consumer_config(edge.name, ack_wait_s=2.0)
        verb = f"CONSUMER.CREATE.{stream}.{consumer['name']}"
        body = {"stream_name": stream, "config": consumer}
        await streams.link.api(verb, body, answer=ConsumerInfo)

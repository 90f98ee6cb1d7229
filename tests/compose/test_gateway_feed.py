"""What a gateway follows: the control plane, the disk, the registry, and who goes before whom."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from compose.scored import Project as Models
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.champions import Champions, followed
from firedoor.compose.evidence_packs import EvidencePacks
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.gateway_feed import Feed
from firedoor.compose.project import Project
from firedoor.compose.serving_folder import GatewayState, ServingFolder
from firedoor.errors import StreamsUnavailable
from firedoor.ports.streams import Streams
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.evidence import Evidence, decode_evidence
from firedoor.wire.flags import Flag, Flags, Offline, encode_flags
from firedoor.wire.models import Kept
from firedoor.wire.pack import Pack, encode_pack
from firedoor.wire.route import Arm, Route, encode_route

CLOCK = VirtualClock()
ONE, TWO, THREE = (Arm(model="late", version=n, digest=f"{n}" * 64) for n in (1, 2, 3))


class Service:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.flags: list[Flags] = []
        self.leases: set[object] = set()

    def set_route(self, route: Route) -> bool:
        self.routes.append(route)
        return True

    def set_flags(self, flags: Flags) -> None:
        self.flags.append(flags)

    def heartbeat(self, value: object) -> None:
        self.leases.add(value)

    def evidence(self, at_s: float) -> Evidence:
        return Evidence(
            service="predict", gateway="g", boot="b", at_s=at_s,
            generation=self.routes[-1].generation if self.routes else 0,
        )  # fmt: skip

    def pack(self, rollout: str) -> bytes:
        return encode_pack(Pack(service="predict", gateway="g", rollout=rollout, candidate=2))

    @property
    def champions(self) -> list[str]:
        return [route.champion.name for route in self.routes]


async def at_once(work: Callable[[], None]) -> None:
    work()


async def no_replays(_: Streams) -> None:
    await asyncio.Event().wait()


class Gateway:
    """A gateway's background, with one service."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.store, self.service, self.told = store or MemoryStore(), Service(), list[str]()
        project = Project.at(folder)
        self.folder = ServingFolder(project, self.told.append)
        self.folder.create()
        self.feed = Feed(
            services={"predict": self.service}, models={"predict": "late"}, folder=self.folder,
            champions=Champions(project.folder, self.told.append), connect=self.connect,
            flags_file=FlagsFile(project.folder), packs=EvidencePacks(self.folder.folder),
            replays=no_replays, gateway="g", clock=CLOCK, tell=self.told.append, in_thread=at_once,
        )  # fmt: skip
        self.connects = 0

    async def connect(self) -> MemoryStreams:
        self.connects += 1
        streams = MemoryStreams(self.store, CLOCK)
        await streams.get("flags")  # raises while the broker is away
        return streams

    def during(self, story: Callable[[MemoryStreams], Awaitable[None]]) -> None:
        """Run the background while a story is told."""

        async def main() -> None:
            await self.feed.begin()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.feed.run())
                await story(MemoryStreams(self.store, CLOCK))
                running.cancel()

        run(main())


def route(champion: Arm = ONE, generation: int = 1, **more: object) -> Route:
    return Route(
        service="predict", generation=generation, champion=champion,
        at_s=CLOCK_S + generation, **more,  # type: ignore[arg-type]
    )  # fmt: skip


CLOCK_S = 4_000_000_000.0
"""After anything that the registry was told in these tests."""


def test_a_new_route_is_followed_within_a_quarter_of_a_second_and_kept(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        await CLOCK.wait(1)
        await streams.put("route.predict", encode_route(route(ONE)))
        await CLOCK.wait(0.25)
        assert gateway.service.champions == ["late@1"]
        await streams.put("route.predict", encode_route(route(TWO, 2)))
        await CLOCK.wait(0.25)
        assert gateway.service.champions == ["late@1", "late@2"]

    gateway.during(story)
    assert gateway.folder.route("predict") == route(TWO, 2)


def test_without_a_broker_it_begins_with_what_was_kept_and_goes_on_with_it(tmp_path: Path) -> None:
    first = Gateway(tmp_path)

    async def told(streams: MemoryStreams) -> None:
        await streams.put("route.predict", encode_route(route(TWO, 7, weight=0.25)))
        killed = Flags(flags={"kill.predict.log": Flag(value=True)})
        await streams.put("flags", encode_flags(killed))
        await CLOCK.wait(1)

    first.during(told)
    store = MemoryStore()
    store.down("it is gone")
    second = Gateway(tmp_path, store)

    async def nobody(_: MemoryStreams) -> None:
        await CLOCK.wait(600)

    second.during(nobody)
    assert second.service.routes == [route(TWO, 7, weight=0.25)]
    assert second.service.flags[-1].flags["kill.predict.log"].value is True
    away = [line for line in second.told if "goes on with what was said last" in line]
    assert len(away) == 1, "an absence is told once, however long it is"
    assert second.connects > 100, "and the broker is tried for ever"


def test_a_damaged_file_is_told_and_the_registry_serves(tmp_path: Path) -> None:
    models = Models(tmp_path)
    models.add()
    gateway = Gateway(tmp_path)
    (gateway.folder.folder / "route-predict.json").write_bytes(b'{"service": "predict", "cham')
    (gateway.folder.folder / "flags.json").write_bytes(b"\xff\x00")
    run(gateway.feed.begin())
    assert gateway.service.champions == ["late@1"]
    assert gateway.service.flags == [Flags()]
    assert "route-predict.json is damaged" in gateway.told[0]


def test_a_route_of_another_service_in_the_file_is_not_followed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    other = encode_route(replace(route(), service="other"))
    (gateway.folder.folder / "route-predict.json").write_bytes(other)
    run(gateway.feed.begin())
    assert gateway.service.routes == []
    assert "it is about other" in gateway.told[0]


def test_a_service_whose_model_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    run(gateway.feed.begin())
    assert "train and promote a version" in gateway.feed.missing("predict")
    Models(tmp_path).add(live=False)

    async def seen(_: MemoryStreams) -> None:
        await CLOCK.wait(0.5)

    gateway.during(seen)
    assert "firedoor models promote late@NUMBER" in gateway.feed.missing("predict")


def test_a_rollback_by_hand_is_followed_with_control_and_broker_dead(tmp_path: Path) -> None:
    models = Models(tmp_path)
    models.add()
    models.add()
    store = MemoryStore()
    store.down("it is gone")
    gateway = Gateway(tmp_path, store)
    kept = models.models.read("late").state
    live = [Arm(model="late", version=each.number, digest=each.digest) for each in kept.versions]
    file = gateway.folder.folder / "route-predict.json"
    file.write_bytes(
        encode_route(Route(service="predict", generation=4, champion=live[1], at_s=1.0))
    )

    async def story(_: MemoryStreams) -> None:
        await CLOCK.wait(1)
        models.models.rollback("late", because="it is wrong about SFO")
        await CLOCK.wait(0.25)
        assert gateway.service.champions[-1] == "late@1"
        assert gateway.service.routes[-1].previous == live[1]

    gateway.during(story)


def test_while_a_rollout_is_under_way_the_registry_changes_nothing_but_what_is_barred(
    tmp_path: Path,
) -> None:
    models = Models(tmp_path)
    models.add()
    models.add()
    kept = models.models.read("late")
    one, two = (Arm(model="late", version=v.number, digest=v.digest) for v in kept.state.versions)
    canary = Route(
        service="predict", generation=4, champion=two, candidate=THREE, mode="canary", at_s=1.0
    )
    models.models.rollback("late")
    back = models.models.read("late")
    assert followed("predict", "late", canary, back) == canary
    models.models.quarantine("late@2", because="harm")
    barred = followed("predict", "late", canary, models.models.read("late"))
    assert barred is not None
    assert (barred.champion, barred.candidate, barred.previous) == (one, None, None)


def test_a_champion_of_before_the_route_changes_nothing_whatever_else_is_registered(
    tmp_path: Path,
) -> None:
    models = Models(tmp_path)
    models.add()
    now = Route(service="predict", generation=9, champion=TWO, at_s=CLOCK_S)
    models.add(live=False)
    assert followed("predict", "late", now, models.models.read("late")) == now


def test_a_service_that_answers_by_another_model_now_forgets_the_old_route(tmp_path: Path) -> None:
    models = Models(tmp_path)
    models.add("early")
    found = followed("predict", "early", route(ONE), models.models.read("early"))
    assert found is not None
    assert (found.champion.name, found.generation) == ("early@1", 0)
    assert followed("predict", "early", route(ONE), Kept()) is None


def test_what_another_version_wrote_is_told_once_and_not_followed(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        await streams.put("route.predict", encode_route(route(ONE)))
        await CLOCK.wait(0.5)
        await streams.put("route.predict", b'{"service": 1}')
        await streams.put("flags", b"[]")
        await CLOCK.wait(5)

    gateway.during(story)
    assert gateway.service.champions == ["late@1"]
    assert len([line for line in gateway.told if "of another version" in line]) == 2


def test_a_copy_of_the_store_that_lags_does_not_bring_an_old_route_back(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        await streams.put("route.predict", encode_route(route(TWO, 5)))
        await CLOCK.wait(0.5)
        await streams.put("route.predict", encode_route(route(ONE, 4)))
        await CLOCK.wait(0.5)

    gateway.during(story)
    assert gateway.service.champions == ["late@2"]


def test_a_store_that_began_anew_is_followed_though_its_numbers_are_lower(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        await streams.put("route.predict", encode_route(route(TWO, 5)))
        await CLOCK.wait(0.5)
        fresh = replace(route(ONE, 1), at_s=CLOCK_S + 1_000)
        await streams.put("route.predict", encode_route(fresh))
        await CLOCK.wait(0.5)

    gateway.during(story)
    assert gateway.service.champions == ["late@2", "late@1"]


def test_each_beat_of_the_lease_is_heard(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        for second in range(3):
            await streams.beat("lease.predict", b"%d" % second)
            await CLOCK.wait(1)

    gateway.during(story)
    assert gateway.service.leases == {b"0", b"1", b"2"}


def test_what_was_counted_is_told_each_second_and_again_after_the_broker_was_away(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path)
    told: list[float] = []

    async def last(streams: MemoryStreams) -> None:
        said = (await streams.beats("evidence.predict."))["evidence.predict.g"]
        evidence = decode_evidence(said)
        assert evidence is not None
        told.append(CLOCK.utc_s() - evidence.at_s)

    async def story(streams: MemoryStreams) -> None:
        await CLOCK.wait(5)
        await last(streams)
        gateway.store.down("it is gone")
        await CLOCK.wait(30)
        gateway.store.up()
        await CLOCK.wait(6.5)
        await last(streams)

    gateway.during(story)
    assert max(told) <= 1.1
    assert any("answers again" in line for line in gateway.told) or gateway.connects > 2


def test_an_unchanged_route_is_written_to_the_disk_once(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    written: list[int] = []

    async def story(streams: MemoryStreams) -> None:
        for _ in range(20):
            await streams.put("route.predict", encode_route(route(ONE)))
            await CLOCK.wait(0.5)
            file = gateway.folder.folder / "route-predict.json"
            written.append(file.stat().st_ino)

    gateway.during(story)
    assert len(set(written)) == 1


def test_how_a_gateway_is_can_be_read_and_nonsense_is_none(tmp_path: Path) -> None:
    folder = Gateway(tmp_path).folder
    state = GatewayState(pid=7, ready=True, services={"predict": "late@1 answers"})
    folder.say(1, state)
    assert folder.said(1) == state
    assert folder.said(2) is None
    (folder.folder / "gateway-1.json").write_bytes(msgspec.json.encode({"pid": "x"}))
    assert folder.said(1) is None
    folder.forget(1)
    folder.forget(1)


def test_a_broker_that_refuses_is_tried_again_like_one_that_is_away(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    tries: list[float] = []

    async def refuse() -> MemoryStreams:
        tries.append(CLOCK.now_s())
        raise StreamsUnavailable("nobody there")

    gateway.feed.connect = refuse

    async def story(_: MemoryStreams) -> None:
        await CLOCK.wait(60)

    gateway.during(story)
    waits = [b - a for a, b in itertools.pairwise(tries)]
    assert waits[0] == 0.2
    assert max(waits) == 5.0


def test_a_switch_thrown_on_this_machine_while_the_broker_is_away_holds(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    gateway.store.down("it is gone")
    by_hand = Flags(
        generation=1, flags={"kill.predict.candidate": Flag(value=True, by="ann")},
        offline={"kill.predict.candidate": Offline(at_s=CLOCK_S, by="ann")},
    )  # fmt: skip

    async def story(streams: MemoryStreams) -> None:
        await CLOCK.wait(1)
        (gateway.folder.folder / "flags.json").write_bytes(encode_flags(by_hand))
        await CLOCK.wait(0.25)
        assert "kill.predict.candidate" in gateway.service.flags[-1].flags
        gateway.store.up()
        await streams.put("flags", encode_flags(Flags(generation=9)))
        await CLOCK.wait(10)
        assert "kill.predict.candidate" in gateway.service.flags[-1].flags

    gateway.during(story)


def test_what_a_rollout_failed_at_is_kept_when_it_is_over_and_the_oldest_go(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)

    async def story(streams: MemoryStreams) -> None:
        for number in range(25):
            name = f"predict-{number}"
            canary = route(ONE, number + 1, candidate=TWO, mode="canary", rollout=name)
            await streams.put("route.predict", encode_route(canary))
            await CLOCK.wait(0.5)
        await streams.put("route.predict", encode_route(route(ONE, 26)))
        await CLOCK.wait(0.5)

    gateway.during(story)
    packs = EvidencePacks(gateway.folder.folder)
    assert [pack.rollout for pack in packs.of("predict-24")] == ["predict-24"]
    kept = [number for number in range(25) if packs.of(f"predict-{number}")]
    assert len(kept) == 20
    assert kept[-1] == 24


def test_a_service_whose_flags_a_drill_has_away_goes_on_with_those_of_before(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path)
    killed = Flags(flags={"kill.predict.route": Flag(value=True)})

    async def story(streams: MemoryStreams) -> None:
        await streams.put("flags", encode_flags(Flags(generation=1)))
        await CLOCK.wait(1)
        hear = gateway.feed.deafen("predict")
        await streams.put("flags", encode_flags(replace(killed, generation=2)))
        await CLOCK.wait(5)
        assert gateway.service.flags[-1].generation == 1
        hear()
        assert gateway.service.flags[-1].flags["kill.predict.route"].value is True, "at once"

    gateway.during(story)


def test_drills_are_looked_for_while_the_broker_is_there(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    looks: list[float] = []

    async def look(_: Streams) -> None:
        looks.append(CLOCK.now_s())

    async def story(_: MemoryStreams) -> None:
        await CLOCK.wait(2)
        assert len(looks) >= 5
        gateway.store.down("it is gone")
        await CLOCK.wait(10)
        seen = len(looks)
        await CLOCK.wait(10)
        assert len(looks) == seen

    gateway.feed.drills = look
    gateway.during(story)

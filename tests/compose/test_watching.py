"""Pictures of a run are kept for commands; a broker that goes away is told of once."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from control.world import make_plan
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.project import Project
from firedoor.compose.watching import Watch
from firedoor.control.status import KEEPER_KEY, Kept, Snapshot, decode_snapshot, take
from firedoor.ports.streams import Streams
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.records import ZoneStatus

PLAN = make_plan(("flights:clean", "clean:store"))
FULL = "the disk is full: free some"


class Scene:
    """A watch, what it watches, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.streams: Streams = MemoryStreams(self.store, self.clock)
        self.project = Project.at(folder)
        self.project.create()
        self.told: list[str] = []
        self.watch = Watch(
            project=self.project, plan=PLAN, clock=self.clock, tell=self.told.append
        )  # fmt: skip
        self.fault = self.gone = ""
        self.kept: dict[str, Kept] = {}

    async def beat(self, *zones: str, state: str = "running") -> None:
        """Have zones say how they are."""
        now_s = self.clock.utc_s()
        for zone in zones:
            values = {"zone": zone, "replica": "here-1", "pid": 1, "version": "v1", "state": state,
                      "since_s": now_s, "at_s": now_s}  # fmt: skip
            said = msgspec.json.encode(msgspec.convert(values, ZoneStatus))
            await self.streams.beat(f"zone.{zone}.here-1", said)

    async def look(self, *, times: int = 1) -> Snapshot:
        """Look twice a second."""
        for _ in range(times - 1):
            await self.look()
        await self.clock.wait(0.5)
        return await self.watch.look(
            self.streams, kept=self.kept, broker_fault=self.fault, broker_gone=self.gone
        )

    def file(self) -> Snapshot:
        """Return the picture that commands find."""
        return decode_snapshot(self.project.status_file.read_bytes())


def played(folder: Path, story: Callable[[Scene], Awaitable[None]]) -> list[str]:
    """Play a story in virtual time; return what was told."""
    scene = Scene(folder)

    async def main() -> None:
        await scene.streams.declare(PLAN)
        await scene.beat("flights", "clean", "store")
        await story(scene)

    run(main())
    return scene.told


def test_each_picture_is_kept_whole_with_what_only_the_supervisor_knows(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.kept = {"clean": Kept(up=True, deaths=3, last="was ended by SIGKILL")}
        snapshot = await scene.look()
        assert [beat.zone for beat in snapshot.zones] == ["flights", "clean", "store"]
        assert (snapshot.broker, snapshot.supervisor_pid) == ("up", os.getpid())
        assert scene.file() == snapshot
        assert scene.file().kept["clean"].deaths == 3

    assert played(tmp_path, story) == []


def test_a_broker_that_is_away_for_a_moment_is_not_told_of(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.store.down()
        assert (await scene.look(times=8)).broker == "down"
        scene.store.up()
        assert (await scene.look()).broker == "up"

    assert played(tmp_path, story) == []


def test_one_that_stays_away_is_told_once_and_so_is_its_return(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        before = await scene.look()
        scene.store.down("it hangs")
        snapshot = await scene.look(times=200)
        assert snapshot.broker == "down"
        assert snapshot.at_s == before.at_s, "it is told as it was when it was last known"
        assert snapshot.zones == before.zones
        assert scene.file() == snapshot
        scene.store.up()
        again = await scene.look(times=8)
        assert again.zones == before.zones, "zones find it again within seconds"
        assert (await scene.look(times=20)).zones == ()

    away, back = played(tmp_path, story)
    assert "it hangs" in away
    assert "zones wait, and go on when it answers" in away
    assert back == "the broker answers again, after 100 s; nothing is lost"


def test_what_whoever_keeps_the_broker_tells_is_not_told_twice(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.gone = "its process 7 has died"
        scene.store.down()
        snapshot = await scene.look(times=100)
        assert (snapshot.broker, snapshot.broker_fault) == ("down", scene.gone)
        scene.store.up()
        assert (await scene.look()).broker_fault == "", "what answers has not died"

    assert played(tmp_path, story) == []


def test_a_fault_of_the_broker_is_said_to_commands_where_no_file_can_be_written(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.fault = FULL
        scene.kept = {"clean": Kept(looping=True, deaths=9)}
        scene.project.status_file.mkdir()  # nothing can be written there
        await scene.look()
        taken = await take(scene.streams, PLAN, at_s=scene.clock.utc_s())
        assert taken.broker_fault == FULL
        assert taken.kept["clean"].looping
        scene.fault = ""
        await scene.look()
        assert (await take(scene.streams, PLAN, at_s=scene.clock.utc_s())).broker_fault == ""

    assert played(tmp_path, story) == []


def test_what_the_supervisor_says_is_renewed_before_the_broker_forgets_it(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.fault = FULL
        await scene.look(times=60)
        assert KEEPER_KEY in await scene.streams.beats("")

    assert played(tmp_path, story) == []


def test_a_restart_of_the_broker_makes_no_zone_look_gone(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.look()
        scene.store.restart()
        await scene.streams.declare(PLAN)
        assert await scene.streams.beats("zone.") == {}
        await scene.beat("store", state="halted")
        snapshot = await scene.look()
        states = {beat.zone: beat.state for beat in snapshot.zones}
        assert states == {"flights": "running", "clean": "running", "store": "halted"}
        snapshot = await scene.look(times=25)
        assert {beat.zone for beat in snapshot.zones} <= {"store"}, "what is said holds for 10 s"

    assert played(tmp_path, story) == []

"""A zone hears of its switches from the broker and from the file, whichever knows more."""

from __future__ import annotations

import asyncio
from pathlib import Path

from control.world import make_plan
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.switching import LOOK_S, Switches
from firedoor.control.flags import Wanted, change_flags, edit_offline
from firedoor.data.conduct import Conduct
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.records import Order

ZONE = make_plan().zone("clean")
HELD = "ann killed ingest: it lies"


def kill(*, unset: bool = False, at_s: float = 10.0) -> Wanted:
    verb = "unset" if unset else "set"
    name = "kill.clean.ingest"
    return Wanted(verb=verb, name=name, by="ann", because="it lies", at_s=at_s)  # type: ignore[arg-type]


class Place:
    """A zone's switches, its broker and its file."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.streams = MemoryStreams(self.store, VirtualClock())
        self.file = FlagsFile(folder)
        self.switches = Switches(ZONE, folder, VirtualClock())

    async def hold(self) -> str:
        return (await self.switches.look(self.streams)).hold


def test_the_broker_says_it_and_it_holds_while_that_is_away(tmp_path: Path) -> None:
    async def work() -> None:
        place = Place(tmp_path)
        assert await place.hold() == ""
        await change_flags(place.streams, kill())
        assert await place.hold() == HELD
        place.store.down()
        assert await place.hold() == HELD
        again = Switches(ZONE, tmp_path, VirtualClock())
        assert (await again.look(place.streams)).hold == HELD, "a process that starts without it"

    run(work())


def test_what_is_written_into_the_file_holds_with_and_without_the_broker(tmp_path: Path) -> None:
    async def work() -> None:
        place = Place(tmp_path)
        await change_flags(place.streams, kill())
        assert await place.hold() == HELD
        place.store.down()
        place.file.change(lambda table: edit_offline(table, kill(unset=True, at_s=20.0)))
        assert await place.hold() == ""
        place.store.up()
        assert await place.hold() == "", "although the broker does not know of it yet"

    run(work())


def test_a_table_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        place = Place(tmp_path)
        await change_flags(place.streams, kill())
        assert await place.hold() == HELD
        await place.streams.put("flags", b"{]")
        assert await place.hold() == HELD

    run(work())


def test_a_zone_follows_its_switches_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    async def work() -> None:
        place = Place(tmp_path)
        conduct = Conduct(ZONE, VirtualClock(), replica="here-1")
        conduct.order(Order())
        following = asyncio.ensure_future(place.switches.follow(place.streams, conduct))
        states = []
        for unset in (False, True):
            await change_flags(place.streams, kill(unset=unset))
            await VirtualClock().wait(2 * LOOK_S)
            states.append(conduct.status().state)
        following.cancel()
        assert states == ["paused", "running"]

    run(work())

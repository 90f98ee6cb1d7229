"""New code beside a zone: the live one waits for nothing, and nothing that it does is lost on it.

The new code is scripted here; time is virtual.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from msgspec.structs import replace

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.data.beside import Beside, BesideDied, BesideHangs, Copy, Failed, Ready, Said, Tried
from firedoor.data.shadowing import Open, ShadowedStage, Shadowing
from firedoor.errors import NotKnown
from firedoor.flow.code import Compared
from firedoor.ports.stage import Handled, Parcel, Stage
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.envelope import Envelope
from firedoor.wire.shadow import Shadow, read_shadow, shadow_key

SHADOW = Shadow(
    version="v2", beside="v1", declared="v1", file="f", code="c", at_s=7.0, batches_min=3,
    rows_min=3,
)  # fmt: skip
KEY = shadow_key("clean")
ANSWER_S = 0.1
Answer = Said | Exception | float
"""What is said, raised, or for how many seconds nothing is said."""


def copy_of(number: int) -> Copy:
    name = f"src-{number:06d}"
    envelope = Envelope(
        batch=name, rows=1, frame_bytes=0, crc32=0, zone="src", zone_version="1", cut_s=0.0
    )
    return Copy(envelope=envelope, payload=b"", handled=Handled(Parcel(b"", 0, 1)))


@dataclass(slots=True)
class Scripted:
    """Code that answers as it is told; batches of which nothing is told are the same."""

    answers: deque[Answer] = field(default_factory=deque)
    loaded: Said | Exception = field(default_factory=Ready)
    taken: list[str] = field(default_factory=list)
    begun: int = 0
    open: int = 0

    async def begin(self) -> Said:
        self.begun += 1
        self.open += 1
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded

    async def take(self, copy: Copy) -> Said:
        self.taken.append(copy.envelope.batch)
        answer = self.answers.popleft() if self.answers else ANSWER_S
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await VirtualClock().wait(answer)
            same = Compared(batch=copy.envelope.batch, rows=1, rows_old=1, rows_new=1, matched=1)
            return Tried(compared=same)
        return answer

    async def close(self) -> None:
        self.open -= 1


def made(code: Scripted) -> Open:
    async def make(_shadow: Shadow) -> Beside:
        return code

    return make


@dataclass(slots=True)
class World:
    """A zone's process, as far as new code concerns it."""

    code: Scripted
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)
    streams: MemoryStreams = field(init=False)
    shadowing: Shadowing = field(init=False)

    def __post_init__(self) -> None:
        self.streams = MemoryStreams(self.store, self.clock)
        self.shadowing = Shadowing("clean", "v1", self.clock, make=made(self.code))

    async def want(self, shadow: Shadow) -> None:
        await self.streams.put(KEY, msgspec.json.encode(shadow))
        await self.clock.wait(2)

    async def offer(self, *numbers: int, each_s: float = 1.0) -> None:
        for number in numbers:
            self.shadowing.offer(copy_of(number))
            await self.clock.wait(each_s)

    async def now(self) -> Shadow:
        found = read_shadow(await self.streams.get(KEY))
        assert found is not None
        return found


@asynccontextmanager
async def opened(*answers: Answer, loaded: Said | Exception | None = None) -> AsyncIterator[World]:
    """Give a process that tries code, and end it."""
    code = Scripted(deque(answers), Ready() if loaded is None else loaded)
    world = World(code)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.shadowing.run(world.streams))
        try:
            yield world
        finally:
            running.cancel()
    assert code.open == 0, "no process is left"


def test_nothing_is_taken_before_it_is_wanted_and_nothing_after_enough_was_seen() -> None:
    async def main() -> None:
        async with opened() as world:
            await world.offer(1, 2)
            await world.want(SHADOW)
            await world.offer(3, 4, 5, 6, 7)
            found = await world.now()
            assert world.code.taken == ["src-000003", "src-000004", "src-000005"]
            assert (found.evidence.batches, found.verdict.word) == (3, "same")
            assert found.evidence.skipped == 0
            assert world.code.open == 0, "it is ended when it has shown enough"

    run(main())


def test_one_batch_waits_and_others_are_counted_while_the_live_zone_goes_on() -> None:
    async def main() -> None:
        async with opened(50.0) as world:
            await world.want(SHADOW)
            began_s = world.clock.now_s()
            await world.offer(*range(1, 9), each_s=0.0)
            assert world.clock.now_s() == began_s, "an offer takes no time"
            await world.offer(9)
            await world.clock.wait(60)
            assert world.code.taken == ["src-000001", "src-000002"]
            assert (await world.now()).evidence.skipped == 7

    run(main())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Failed(what="fault", message="KeyError: 'prise'"), "KeyError: 'prise'"),
        (BesideHangs("nothing was heard of it for 9 s"), "it hangs: nothing was heard of it"),
        (RuntimeError("a defect"), "it cannot be tried: a defect"),
        (Ready(), "it said that it is ready"),
    ],
)
def test_code_at_fault_is_worse_at_once_and_tried_no_more(answer: Answer, says: str) -> None:
    async def main() -> None:
        async with opened(answer) as world:
            await world.want(SHADOW)
            await world.offer(1, 2, 3)
            found = await world.now()
            assert found.verdict.word == "worse"
            assert says in found.verdict.why[0]
            assert world.code.taken == ["src-000001"]
            assert world.code.open == 0

    run(main())


def test_code_that_cannot_be_loaded_is_worse_before_it_has_taken_anything() -> None:
    async def main() -> None:
        async with opened(loaded=Failed(what="fault", message="SyntaxError")) as world:
            await world.want(SHADOW)
            await world.offer(1, 2)
            assert (await world.now()).verdict.why[0] == "SyntaxError"
            assert (world.code.taken, world.code.begun) == ([], 1)

    run(main())


def test_a_death_may_come_from_outside_and_two_do_not() -> None:
    async def main() -> None:
        async with opened(BesideDied("SIGKILL"), ANSWER_S, BesideDied("SIGSEGV")) as world:
            await world.want(SHADOW)
            await world.offer(1, 2, each_s=3)
            assert (await world.now()).verdict.word == "not yet"
            await world.offer(3, 4, each_s=3)
            found = await world.now()
            assert (found.verdict.word, found.evidence.batches) == ("worse", 1)
            assert "died 2 times: SIGSEGV" in found.verdict.why[0]
            assert world.code.begun == 2

    run(main())


def test_a_batch_that_waits_for_something_counts_neither_for_nor_against() -> None:
    async def main() -> None:
        async with opened(Failed(what="away", message="no champion")) as world:
            await world.want(SHADOW)
            await world.offer(1, 2, 3)
            found = await world.now()
            assert (found.evidence.waited, found.evidence.batches) == (1, 2)
            assert (found.verdict.word, found.evidence.last) == ("not yet", "no champion")

    run(main())


def test_code_that_this_machine_does_not_see_is_tried_where_it_is_seen() -> None:
    async def main() -> None:
        async with opened() as world:

            async def nowhere(_shadow: Shadow) -> Beside:
                message = "f is no zone's plan"
                raise NotKnown(message)

            other = Shadowing("clean", "v1", world.clock, make=nowhere)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(other.run(world.streams))
                await world.want(SHADOW)
                for number in range(3):
                    other.offer(copy_of(10 + number))
                    await world.offer(number)
                running.cancel()
            found = await world.now()
            assert (found.evidence.waited, found.evidence.last) == (3, "f is no zone's plan")
            assert (found.evidence.batches, found.verdict.word) == (3, "same")

    run(main())


@pytest.mark.parametrize(
    "change",
    [
        lambda shadow: replace(shadow, state="aborted"),
        lambda shadow: replace(shadow, state="switching"),
        lambda shadow: replace(shadow, beside="v0"),
    ],
)
def test_what_is_wanted_no_more_is_ended_at_once_and_what_came_of_it_is_nobodys(
    change: Callable[[Shadow], Shadow],
) -> None:
    async def main() -> None:
        async with opened(300.0) as world:
            await world.want(SHADOW)
            await world.offer(1)
            assert world.code.open == 1
            await world.want(change(SHADOW))
            assert world.code.open == 0, "not after 300 s"
            await world.clock.wait(400)
            assert (await world.now()).evidence.batches == 0
            await world.offer(2)
            assert world.code.taken == ["src-000001"]

    run(main())


def test_another_shadow_begins_with_no_evidence_of_the_one_before() -> None:
    async def main() -> None:
        async with opened(ANSWER_S, 30.0) as world:
            await world.want(SHADOW)
            await world.offer(1, 2)
            again = replace(SHADOW, at_s=8.0, version="v3")
            await world.want(again)
            await world.clock.wait(40)
            assert await world.now() == again
            await world.offer(3)
            assert (await world.now()).evidence.batches == 1
            assert world.code.begun == 2

    run(main())


def test_what_was_seen_while_the_broker_was_away_is_kept_when_it_is_back() -> None:
    async def main() -> None:
        async with opened() as world:
            await world.want(SHADOW)
            await world.offer(1)
            world.store.down()
            await world.offer(2)
            world.store.up()
            assert (await world.now()).evidence.batches == 1
            await world.offer(3)
            assert (await world.now()).evidence.batches == 3

    run(main())


def test_two_processes_and_one_that_is_started_again_add_to_the_same_evidence() -> None:
    async def main() -> None:
        async with opened() as one, opened() as two:
            two.store, two.streams = one.store, one.streams
            await one.want(replace(SHADOW, batches_min=9, rows_min=9))
            other = Shadowing("clean", "v1", two.clock, make=made(two.code))
            async with asyncio.TaskGroup() as group:
                running = group.create_task(other.run(one.streams))
                await one.clock.wait(2)
                for number in range(3):
                    one.shadowing.offer(copy_of(number))
                    other.offer(copy_of(10 + number))
                    await one.clock.wait(1)
                running.cancel()  # as by a kill: another one goes on
            assert (await one.now()).evidence.batches == 6
            third = Shadowing("clean", "v1", one.clock, make=made(two.code))
            async with asyncio.TaskGroup() as group:
                running = group.create_task(third.run(one.streams))
                await one.clock.wait(2)
                third.offer(copy_of(20))
                await one.clock.wait(1)
                running.cancel()
            assert (await one.now()).evidence.batches == 7

    run(main())


class Live:
    """A live stage that notes what was offered when it returned."""

    def __init__(self) -> None:
        self.lost = 3

    async def handle(self, envelope: Envelope, payload: bytes, journal: object) -> Handled:
        del envelope, payload, journal
        self.lost += 2
        return Handled(Parcel(b"rows", 4, 1))

    def workers_lost(self) -> int:
        return self.lost

    def peak_bytes(self) -> int:
        return 77


def test_the_live_stage_gives_what_it_gave_and_a_copy_goes_with_what_it_cost() -> None:
    async def main() -> None:
        offered: list[Copy] = []

        class Taking(Shadowing):
            wanted = True

            def offer(self, copy: Copy) -> None:
                offered.append(copy)

        async def journal(_cause: str, _where: str) -> None: ...

        shadowing = Taking("clean", "v1", VirtualClock(), make=made(Scripted()))
        stage: Stage = ShadowedStage(Live(), shadowing)  # type: ignore[arg-type]
        copy = copy_of(1)
        handled = await stage.handle(copy.envelope, b"in", journal)
        assert handled.parcel.payload == b"rows"
        (only,) = offered
        assert (only.handled, only.payload) == (handled, b"in")
        assert (only.lost, only.peak_bytes) == (2, 77)

    run(main())

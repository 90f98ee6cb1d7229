"""What is noted of a batch is what happened to it, whoever writes and whatever answers are lost."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from data.runner_world import CLOCK
from data.source_world import LINE
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.adapters.memory.store import Call
from firedoor.data.conduct import Conduct
from firedoor.data.insist import Insist
from firedoor.data.tries import Tries
from firedoor.testing.loop import run
from firedoor.wire.records import Attempts
from flow.drawn import many

BATCH = "src-000007"


@dataclass(frozen=True)
class Slow:
    """A way to the broker that takes as long as is drawn, so that writes could overtake."""

    random: random.Random

    async def ask(self, call: Call) -> None:
        del call
        await CLOCK.wait(self.random.random())

    async def answer(self, call: Call) -> None:
        await self.ask(call)


@dataclass
class Noting:
    """A batch, the runners that have it in turn, and what should be noted of it."""

    seed: int = 0
    store: MemoryStore = field(default_factory=MemoryStore)
    noted: Attempts | None = None

    def __post_init__(self) -> None:
        self.store.declare(LINE)
        chance = random.Random(self.seed)
        self.streams = MemoryStreams(self.store, CLOCK, link=Slow(chance))
        conduct = Conduct(LINE.zone("src"), CLOCK, replica="here-1")
        self.insist = Insist(conduct, CLOCK, chance)
        self.tries = self.take()

    def take(self) -> Tries:
        """Take the batch as another runner does."""
        return Tries(self.streams, self.insist, zone="src", batch=BATCH)

    def kept(self) -> Attempts | None:
        return self.store.attempts.get(("src", BATCH))


deeds = st.one_of(
    st.tuples(st.just("journal"), st.sampled_from(["crash", "hang"])),
    st.tuples(st.just("shed"), st.sampled_from(["src:a", "src:b"])),
    st.tuples(st.just("scored"), st.integers(1, 3)),
    st.tuples(st.just("returned"), st.integers(1, 9)),
    st.tuples(st.just("count"), st.integers(1, 5)),
    st.tuples(st.just("another runner takes it"), st.just(0)),
    st.tuples(st.just("forget"), st.just(0)),
    st.tuples(st.just("lose"), st.booleans()),
)


async def do(world: Noting, what: str, with_what: str | int) -> None:
    """Do one thing, and write down what should be noted then."""
    old = world.noted or Attempts()
    counts, shed = dict(old.counts), dict(old.shed)
    last, returned, models = old.last, old.returned, old.models
    match what:
        case "journal":
            cause = str(with_what)
            await world.tries.journal(cause, "rows 3-9")
            counts[cause] = counts.get(cause, 0) + 1
            last = f"rows 3-9: {cause}"
        case "shed":
            await world.tries.shed(str(with_what), "share")
            shed[str(with_what)] = "share"
        case "scored":
            models = {"late": f"late@{with_what}"}
            await world.tries.scored(models)
        case "returned":
            returned = int(with_what)
            await world.tries.returned(returned)
        case "count":
            counts["runner"] = int(with_what)
            await world.tries.count(dict(counts))
        case "lose":
            world.store.lose("note_attempts", done=bool(with_what))
            return
        case "forget":
            await world.tries.forget()
            world.noted, world.tries = None, world.take()
            return
        case _:
            world.tries = world.take()
            await world.tries.load()
            await world.tries.load()
            return
    world.noted = Attempts(counts=counts, last=last, returned=returned, shed=shed, models=models)


@many
@given(st.lists(deeds, min_size=8, max_size=12), st.integers(0, 1_000))
def test_a_note_adds_to_what_was_noted_and_is_durable_when_it_returns(
    drawn: list[tuple[str, str | int]], seed: int
) -> None:
    async def main() -> None:
        world = Noting(seed)
        for what, with_what in drawn:
            await do(world, what, with_what)
            assert world.kept() == world.noted
            assert world.tries.noted == (world.noted or Attempts())

    run(main(), seed=seed)


@many
@given(st.integers(0, 10_000))
def test_notes_that_are_made_at_once_are_all_kept(seed: int) -> None:
    async def main() -> None:
        world = Noting(seed)
        async with asyncio.TaskGroup() as group:
            for edge in "abcd":
                group.create_task(world.tries.shed(f"src:{edge}", "all"))
            group.create_task(world.tries.journal("hang", "row 4"))
        kept = world.kept()
        assert kept is not None
        assert kept.shed == {f"src:{edge}": "all" for edge in "abcd"}
        assert (kept.counts, kept.last) == ({"hang": 1}, "row 4: hang")

    run(main(), seed=seed)


def test_what_is_known_costs_no_question() -> None:
    async def main() -> None:
        world, read = Noting(), Noting()
        await read.tries.load()
        world.store.down()
        read.store.down()
        async with asyncio.timeout(1.0):
            await world.tries.forget()  # nothing was noted
            await read.tries.load()  # for the second time

    run(main())


def test_a_batch_that_is_done_leaves_no_note() -> None:
    async def main() -> None:
        for read_first in (False, True):
            world = Noting()
            if read_first:
                await world.tries.load()
            await world.tries.shed("src:out", "all")
            assert world.kept() is not None
            await world.tries.forget()
            assert world.kept() is None

    run(main())


def test_what_an_earlier_runner_noted_and_could_not_forget_is_cleared() -> None:
    async def main() -> None:
        world = Noting()
        await world.tries.journal("hang", "row 4")
        assert world.kept() is not None
        await world.take().clear()
        assert world.kept() is None

    run(main())

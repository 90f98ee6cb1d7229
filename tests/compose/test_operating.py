"""An order is kept with who gave it and why; one that cannot be kept says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from control.opening import open_world
from control.world import World, make_plan
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.deploying import prepare_deploy
from firedoor.compose.loading import load_plan
from firedoor.compose.operating import Verb, give_order
from firedoor.control.changes import changes
from firedoor.control.status import KEEPER_KEY, KeeperWord, read_order
from firedoor.errors import NotKnown, StoreRefused, StreamsUnavailable
from firedoor.spec.plan import LadderPlan
from firedoor.testing.loop import VirtualClock
from firedoor.wire.records import Order

FULL = "the disk is full: free some"


async def order(world: World, verb: Verb, because: str = "") -> Order:
    """Give an order as ann does."""
    return await give_order(
        world.streams, world.plan, "clean", verb, because=because, by="ann", at_s=7.0
    )


def test_each_order_is_kept_with_who_and_why_and_only_some_try_again_what_had_halted() -> None:
    async def main() -> None:
        world = await open_world(make_plan())
        verbs: tuple[Verb, ...] = ("pause", "resume", "drain", "restart")
        given = [await order(world, verb, verb) for verb in verbs]
        assert [one.want for one in given] == ["pause", "run", "drain", "run"]
        assert [one.generation for one in given] == [0, 1, 1, 2]
        assert [one.restarts for one in given] == [0, 0, 0, 1]
        kept = read_order(await world.streams.get("order.clean"))
        assert kept == given[-1]
        assert (kept.by, kept.because, kept.at_s) == ("ann", "restart", 7.0)
        told = [(one.by, one.what, one.about, one.because) for one in await changes(world.streams)]
        assert told == [("ann", f"zone {verb}", "clean", verb) for verb in reversed(verbs)]

    asyncio.run(main())


def test_an_order_for_a_zone_that_is_not_there_names_those_that_are() -> None:
    async def main() -> None:
        world = await open_world(make_plan())
        with pytest.raises(NotKnown, match="no zone 'claen': it has flights, clean, store, audit"):
            await give_order(
                world.streams, world.plan, "claen", "pause", because="", by="ann", at_s=0.0
            )
        assert await world.streams.keys("") == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "says"),
    [(FULL, f"the order for clean could not be kept.*{FULL}"), ("", "the question was lost")],
)
def test_an_order_that_cannot_be_kept_says_why_if_that_is_known(fault: str, says: str) -> None:
    async def main() -> None:
        store, plan = MemoryStore(), make_plan()
        streams = MemoryStreams(store, VirtualClock())
        await streams.declare(plan)
        word = msgspec.json.encode(KeeperWord(broker_fault=fault))
        store.beat(KEEPER_KEY, word, 1e12)
        store.lose("put", done=False)
        with pytest.raises(StreamsUnavailable, match=says):
            await order(World(streams, plan), "pause")

    asyncio.run(main())


DEGRADING = """
import firedoor as fd

pipeline = fd.Pipeline("p", owner="me")
source = pipeline.source("s", fd.jsonl("*.jsonl"))
table = fd.lookup("t", "t.csv", refresh_s=60)


@pipeline.transform(reads=source, lookups={{"t": table}}, degrade=[{rungs}])
def mid(frame, t):
    return frame


spare = pipeline.sink("spare", fd.parquet("spare"), reads=mid)
pipeline.sink("best", fd.parquet("best"), reads=mid, requires_quality=fd.Quality(below={below}))
"""


@pytest.mark.parametrize(
    ("rungs", "below", "fits"),
    [
        ("fd.Slower(wait_s=2)", "spare", True),
        ("", "spare", False),
        ("fd.Slower(wait_s=1)", "'dead'", False),
    ],
)
def test_a_deployment_changes_no_columns_of_sinks_and_no_ways_of_batches(
    tmp_path: Path, rungs: str, below: str, *, fits: bool
) -> None:
    for folder, said in (("old", ("fd.Slower(wait_s=1)", "spare")), ("new", (rungs, below))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.py").write_text(DEGRADING.format(rungs=said[0], below=said[1]))
    plan = load_plan(tmp_path / "old" / "p.py")
    if fits:
        assert prepare_deploy(plan, "mid", tmp_path / "new").zone.ladder == LadderPlan(slower_s=2.0)
        return
    with pytest.raises(StoreRefused, match="has a ladder where there was none"):
        prepare_deploy(plan, "mid", tmp_path / "new")

"""Which version of a model scored a row is told by trace and why, and a replay hands it on."""

from __future__ import annotations

import asyncio

import msgspec

from control.opening import open_world
from control.world import EPOCH_S, make_plan
from firedoor.cli.trace import tell
from firedoor.control.causes import gather_evidence
from firedoor.control.letters import Selection
from firedoor.control.provenance import trace
from firedoor.control.replaying import Actor, replay
from firedoor.wire.records import BatchRecord


def scored(number: int, version: int) -> BatchRecord:
    return BatchRecord(
        zone="clean", batch=f"flights-{number:06}", zone_version="1", edge="flights:clean",
        rows_in=10, rows_out=10, passed=10, began_s=EPOCH_S + number, ended_s=EPOCH_S + number,
        cut_s=EPOCH_S, models={"late": f"late@{version}"},
    )  # fmt: skip


def test_a_trace_says_by_which_version_a_row_was_scored() -> None:
    async def main() -> None:
        world = await open_world(make_plan())
        await world.cut(1)
        await world.streams.record(scored(1, 3))
        story = await trace(world.streams, world.plan, "flights-000001/4")
        assert [stop.models for stop in story.stops if stop.zone == "clean"] == [{"late": "late@3"}]
        assert "10 of 10 rows passed, scored by late@3" in "\n".join(tell(story))

    asyncio.run(main())


def test_why_names_the_batch_from_which_on_another_version_scored() -> None:
    async def main() -> None:
        world = await open_world(make_plan())
        for number, version in enumerate((4, 4, 3, 3), 1):
            await world.streams.record(scored(number, version))
        evidence = await gather_evidence(world.streams, world.plan, "clean")
        words = [change.words for change in evidence.changes]
        assert words[1:] == ["model late@3, before late@4, from flights-000003 on"]

    asyncio.run(main())


def test_a_replay_of_rows_that_died_behind_a_model_still_says_what_scored_them() -> None:
    async def main() -> None:
        world = await open_world(make_plan())
        await world.cut(1)
        await world.run_all(dead={103: "KeyError at steps.py:12"})
        ((entry, payload),) = [
            found
            async for one in world.streams.dead("clean")
            if (found := await world.streams.dead_rows("clean", one.batch)) is not None
        ]
        await world.streams.rebury(
            msgspec.structs.replace(entry, models={"late": "late@3"}), payload
        )
        actor = Actor(by="ann", at_s=EPOCH_S + 1_000)
        await replay(world.streams, world.plan, Selection(zone="clean"), actor)
        (delivery,) = await world.streams.inbox("flights:clean").fetch(10, 0.1)
        assert delivery.envelope.models == {"late": "late@3"}

    asyncio.run(main())

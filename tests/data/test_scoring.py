"""A batch is scored by one version of a model, however often it comes again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from data.runner_world import (
    ROWS,
    Work,
    World,
    batch_name,
    decode,
    edge,
    encode,
    plan_of,
    running,
    until,
)
from data.test_runner_deaths import Dying
from firedoor.ports.stage import Handled, Parcel
from firedoor.spec.plan import Plan
from firedoor.spec.referred import ModelPlan
from firedoor.testing.loop import run
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import Attempts


def scoring() -> Plan:
    """``src -> mid -> out``, in which ``mid`` uses a model."""
    plan = plan_of(edge("src:mid"), edge("mid:out"))
    model = {"model": ModelPlan(name="late")}
    zones = (
        msgspec.structs.replace(z, models=model if z.name == "mid" else {}) for z in plan.zones
    )
    return msgspec.structs.replace(plan, zones=tuple(zones))


@dataclass
class Scores(Work):
    """A stage whose rows are the number of the version that is live, or was when noted."""

    live: int = 2
    given: list[dict[str, str]] = field(default_factory=list)
    """What came with each batch."""

    def _result(self, envelope: Envelope, payload: bytes) -> Handled:
        self.given.append(envelope.models)
        name = envelope.models.get("late", f"late@{self.live}")
        made = super()._result(envelope, payload)
        scored = encode([int(name[-1])] * made.parcel.rows)
        return replace(
            made, parcel=Parcel(scored, len(scored), made.parcel.rows, "s1"), models={"late": name}
        )


def test_the_version_travels_and_is_kept_with_what_died() -> None:
    async def main() -> None:
        world = World(scoring())
        await world.put([1], bad=4, models={"eta": "eta@7", "late": "late@1"})
        work = Scores()
        async with running(world.runner("mid", work)):
            await until(lambda: world.record(1) is not None)
        record = world.record(1)
        assert record is not None
        assert record.models == {"eta": "eta@7", "late": "late@2"}
        assert work.given == [{}], "what a zone before scored by is nothing to go by here"
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.models == record.models
        ((entry, _),) = world.store.dead.values()
        assert entry.models == {"eta": "eta@7", "late": "late@1"}, "as the batch came"
        assert world.attempts(1) is None

    run(main())


def test_a_zone_that_uses_no_model_hands_on_what_scored_its_rows() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("mid:out")))
        await world.put([1], models={"late": "late@3"})
        async with running(world.runner("mid")):
            await until(lambda: world.record(1) is not None)
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.models == {"late": "late@3"}

    run(main())


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 12))
def test_wherever_a_runner_dies_and_whatever_is_live_then_a_batch_goes_on_as_one_version(
    at: int, *, after: bool
) -> None:
    async def main() -> None:
        world, link = World(scoring()), Dying(at, after=after)
        await world.put([1])
        first = world.runner("mid", Scores(live=2), link=link)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(first.run())
            await until(lambda: link.dead.is_set() or world.waiting() == 0)
            task.cancel()
        noted = world.attempts(1)
        boxed = bool(world.store.boxes["mid:out"].messages)
        assert not boxed or world.record(1) or (noted and noted.models), "noted before it is out"
        world.store.restart()
        work = Scores(live=1)  # somebody has rolled back meanwhile
        async with running(world.runner("mid", work, replica="here-2")):
            await until(lambda: world.record(1) is not None and world.waiting() == 0)
        record = world.record(1)
        assert record is not None
        was_noted = noted is not None and bool(noted.models)
        if not boxed:
            assert record.models == {"late": "late@2" if was_noted else "late@1"}
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.models == record.models
        assert decode(sent.payload) == [int(record.models["late"][-1])] * ROWS
        assert world.attempts(1) is None

    run(main())


def test_a_copy_of_a_batch_that_comes_as_if_for_the_first_time_is_scored_as_before() -> None:
    async def main() -> None:
        world = World(scoring())
        await world.put([1])
        noted = Attempts(models={"late": "late@2"})
        await world.streams.note_attempts("mid", batch_name(1), noted)
        work = Scores(live=1)
        async with running(world.runner("mid", work)):
            await until(lambda: world.record(1) is not None)
        assert work.given == [{"late": "late@2"}]
        assert world.recorded() == [batch_name(1)]

    run(main())

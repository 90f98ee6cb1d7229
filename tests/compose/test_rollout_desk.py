"""What is ordered of rollouts and said of them, with and without a control process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

import firedoor as fd
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.cli.rollout_shown import picture_lines
from firedoor.compose.rollout_desk import Picture, known_service, order, picture
from firedoor.control.changes import record
from firedoor.control.rollout_kept import Kept, encode_rollouts
from firedoor.rollout.state import Rollout, Said, ServiceState, Target
from firedoor.spec.plan import Plan
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.change import Change
from firedoor.wire.evidence import Evidence, encode_evidence
from firedoor.wire.rollout_order import RolloutOrder, RolloutOrders
from firedoor.wire.route import Arm, Route, encode_route

CLOCK = VirtualClock()
STEP = StepNote(name="predict", pickled=b"", main_path=None, main_module=None, where="")
SERVICE = ServicePlan(
    name="predict", owner="ann", version="1", step=STEP, model=ModelPlan(name="late")
)
PLAN = Plan(pipeline="p", owner="o", file="", sys_path=(), zones=(), edges=(), services=(SERVICE,))
ONE, TWO = (Arm(model="late", version=n, digest=f"{n}" * 64) for n in (1, 2))
START = RolloutOrder(number=0, verb="start", by="ann@laptop")


def told(story: Callable[[MemoryStreams], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(MemoryStreams(MemoryStore(), CLOCK))

    run(main())


def test_without_a_control_process_an_order_waits_and_that_is_said_at_once() -> None:
    async def story(streams: MemoryStreams) -> None:
        began_s = CLOCK.now_s()
        taken = await order(streams, "predict", START, clock=CLOCK)
        assert (taken.taken, taken.controlled, taken.number) == (False, False, 1)
        assert CLOCK.now_s() - began_s < 0.1
        found = await picture(streams, SERVICE, now_s=CLOCK.utc_s())
        assert [each.verb for each in found.orders] == ["start"]

    told(story)


def test_an_order_is_waited_for_until_it_is_taken_and_what_came_of_it_is_told() -> None:
    async def story(streams: MemoryStreams) -> None:
        async def control() -> None:
            await streams.beat("lease.predict", b"1")
            await CLOCK.wait(1)
            at_s = CLOCK.utc_s()
            why = Change(at_s=at_s, by="firedoor", because="it is barred", what="order refused",
                         about="predict")  # fmt: skip
            await record(streams, why)
            await streams.put("orders.predict", msgspec.json.encode(RolloutOrders(next_number=2)))

        await streams.beat("lease.predict", b"0")
        async with asyncio.TaskGroup() as group:
            group.create_task(control())
            taken = await order(streams, "predict", START, clock=CLOCK)
        assert taken.taken
        assert taken.refusal == "it is barred"
        assert len(taken.said) == 1, "not the note that it was ordered"

    told(story)


def test_an_order_that_nobody_sees_to_is_waited_for_in_bounds() -> None:
    async def story(streams: MemoryStreams) -> None:
        async with asyncio.TaskGroup() as group:

            async def alive() -> None:
                for second in range(20):
                    await streams.beat("lease.predict", b"%d" % second)
                    await CLOCK.wait(1)

            speaking = group.create_task(alive())
            taken = await order(streams, "predict", START, clock=CLOCK)
            speaking.cancel()
        assert (taken.taken, taken.controlled) == (False, True)

    told(story)


def shown(**more: object) -> list[str]:
    fields = {"route": None, "state": None, "why": "nothing is rolled out", "controlled": True}
    return picture_lines(Picture(service="predict", **{**fields, **more}), now_s=1_000.0)  # type: ignore[arg-type]


def test_lines_say_who_answers_why_it_waits_who_speaks_and_what_happened_last() -> None:
    canary = Route(
        service="predict", champion=ONE, candidate=TWO, mode="canary", weight=0.25,
        held_slices=("carrier=UA",),
    )  # fmt: skip
    speaks = Evidence(
        service="predict", gateway="g", boot="b", at_s=0, generation=1,
        variants={"late@1": "ready", "late@2": "loading"},
    )  # fmt: skip
    said = Said(at_s=940.0, what="rollout at 25 %", because="all good", by="")
    state = ServiceState(service="predict", said=(said,))
    lines = shown(route=canary, why="25 %: 312 of about 2,250", gateways={"g": speaks}, state=state)
    assert lines == [
        "predict: canary: late@2 answers 25 %, but for carrier=UA; late@1 is the champion",
        "  25 %: 312 of about 2,250",
        "  1 gateway speaks: late@1 ready in 1, late@2 ready in 0",
        "  last: rollout at 25 %, 60 s ago: all good",
    ]


def test_lines_say_what_is_missing() -> None:
    waits = RolloutOrder(number=1, verb="abort", by="ann", because="it smells")
    lines = shown(controlled=False, orders=(waits,))
    assert lines == [
        "predict: the champion of the registry answers; no route was written yet",
        "  nothing is rolled out",
        "  no control process speaks: nothing goes on but requests",
        "  no gateway speaks",
        "  waits: abort, ordered by ann: it smells",
    ]
    shadow = Route(service="predict", champion=ONE, candidate=TWO, mode="shadow")
    assert shown(route=shadow)[0] == "predict: shadow: late@1 answers, late@2 is given copies"
    steady = Route(service="predict", champion=ONE)
    assert shown(route=steady)[0] == "predict: late@1 answers everything"


def test_a_picture_says_why_a_rollout_waits() -> None:
    async def story(streams: MemoryStreams) -> None:
        rollout = Rollout(
            number=1, candidate=Target(version=2, digest="2" * 64),
            last_live=Target(version=1, digest="1" * 64), by="ann", phase="qualifying",
            paused_by="bob",
        )  # fmt: skip
        kept = Kept(state=ServiceState(service="predict", current=rollout))
        await streams.put("rollout.predict", encode_rollouts(kept))
        await streams.put("route.predict", encode_route(Route(service="predict", champion=ONE)))
        evidence = Evidence(service="predict", gateway="g", boot="b", at_s=0, generation=0)
        await streams.beat("evidence.predict.g", encode_evidence(evidence))
        found = await picture(streams, SERVICE, now_s=CLOCK.utc_s())
        assert "paused by bob" in found.why
        assert list(found.gateways) == ["g"]
        assert not found.controlled

    told(story)


def test_what_another_version_kept_is_refused_with_what_to_do() -> None:
    async def story(streams: MemoryStreams) -> None:
        await streams.put("rollout.predict", b"[]")
        with pytest.raises(fd.StoreRefused, match="another version of firedoor"):
            await picture(streams, SERVICE, now_s=0.0)

    told(story)


def test_a_service_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert known_service(PLAN, "predict") is SERVICE
    with pytest.raises(fd.NotKnown, match="it has predict"):
        known_service(PLAN, "prognose")

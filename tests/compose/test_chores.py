"""A run that goes on for months prunes its records each day, and keeps its inboxes swept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats.server import start
from firedoor.adapters.nats.streams import connect
from firedoor.compose.chores import beside
from firedoor.compose.project import Project
from firedoor.errors import FiredoorError, StoreRefused, StreamsUnavailable
from firedoor.spec.plan import Plan
from firedoor.testing.conformance.store import make_plan, make_record
from firedoor.testing.loop import VirtualClock, run

DAY_S = 86_400
PLAN = make_plan()


class Tended:
    """Streams that note when they were tended, in seconds. See ``compose.chores.Store``."""

    def __init__(self, fails: Callable[[float], FiredoorError | None]) -> None:
        self.pruned: list[float] = []
        self.swept: dict[str, list[float]] = {edge.name: [] for edge in PLAN.edges}
        self._fails = fails

    def _now_s(self) -> float:
        now_s = VirtualClock().now_s()
        error = self._fails(now_s)
        if error is not None:
            raise error
        return round(now_s, 2)

    async def prune(self, plan: Plan) -> None:
        assert plan == PLAN
        self.pruned.append(self._now_s() / 3_600)

    async def sweep(self, edge: str) -> int:
        self.swept[edge].append(self._now_s())
        return 0

    async def beat(self, key: str, value: bytes) -> None:
        raise AssertionError(key, value)  # there is no job


def tended(
    seconds: float, fails: Callable[[float], FiredoorError | None] = lambda _now_s: None
) -> tuple[Tended, list[str]]:
    """Run for so long; return what was tended when, and what was told."""
    store, told, clock = Tended(fails), list[str](), VirtualClock()

    async def main() -> None:
        chores = [
            asyncio.ensure_future(chore)
            for chore in beside(store, PLAN, Project.at(Path()), clock=clock, tell=told.append)
        ]
        await clock.wait(seconds + 1)
        for chore in chores:
            chore.cancel()

    run(main())
    return store, told


def test_inboxes_are_swept_every_few_seconds() -> None:
    store, told = tended(30)
    assert store.swept == {edge.name: [5, 10, 15, 20, 25, 30] for edge in PLAN.edges}
    assert told == []


def test_a_sweep_that_is_refused_is_told_once_and_tried_again() -> None:
    refused = StoreRefused("no such stream")
    store, told = tended(30, lambda now_s: refused if now_s < 22 else None)
    assert store.swept[PLAN.edges[-1].name] == [25, 30]
    assert told == [
        "batches that are done stay in their inboxes: no such stream; it is tried again"
    ]


def test_it_is_done_each_day_for_as_long_as_the_run_goes_on() -> None:
    store, told = tended(2 * DAY_S)
    assert store.pruned == [24.0 * day for day in range(1, 3)]
    assert told == []


def test_a_broker_that_is_away_is_asked_again_within_minutes_and_the_run_goes_on() -> None:
    away_s = (DAY_S - 60, DAY_S + 2 * 3_600)
    error = StreamsUnavailable("the broker is away")
    store, told = tended(3 * DAY_S, lambda now_s: error if away_s[0] < now_s < away_s[1] else None)
    assert store.pruned == [26.0, 50.0]
    assert told == [], "that it is away is told by whoever keeps it"


class InAMonth(SystemClock):
    """The machine's clock, 31 days on."""

    def utc_s(self) -> float:
        return super().utc_s() + 31 * DAY_S


def test_on_a_real_broker_the_last_record_of_each_zone_stays_and_the_rest_go(
    tmp_path: Path,
) -> None:
    plan = PLAN
    numbers = range(3)

    async def main(url: str, user: str | None, password: str | None) -> None:
        streams = await connect(
            url, pipeline="conformance", user=user, password=password, clock=InAMonth()
        )
        try:
            await streams.declare(plan)
            for number in numbers:
                for zone in ("intake", "clean"):
                    assert await streams.record(make_record(zone, f"intake-{number:06}"))
            await streams.prune(plan)
            left = [(record.zone, record.batch) async for record in streams.records()]
            assert left == [("intake", "intake-000002"), ("clean", "intake-000002")]
        finally:
            await streams.close()

    with start(tmp_path / ".firedoor", plan) as server:
        own = server.endpoint()
        asyncio.run(main(own.url, own.user, own.password))

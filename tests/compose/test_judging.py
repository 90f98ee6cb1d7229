"""Promises are watched beside a run, without a broker nobody is paged, and a restart goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.judging import (
    SCALE,
    alone,
    given_time_scale,
    heard,
    objectives_of,
    watch_objectives,
)
from firedoor.compose.project import Project
from firedoor.compose.slo_files import memory_file, read_status
from firedoor.control.objectives import Judge
from firedoor.errors import DeclarationError, ProjectBusy, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.objective import Kept, Objectives
from firedoor.spec.plan import Plan, SinkPlan, SourcePlan, ZonePlan
from firedoor.spec.slo import SLO, check_slo
from firedoor.testing.loop import VirtualClock, run

PLAN = Plan(
    pipeline="p", owner="ann", file="", sys_path=(), edges=(),
    zones=(
        ZonePlan(name="rows", kind="source", owner="", version="1", source=SourcePlan(form="jsonl"),
                 slo=check_slo(SLO(availability=0.999, freshness_s=60))),
        ZonePlan(name="store", kind="sink", owner="", version="1", sink=SinkPlan(form="parquet")),
    ),
)  # fmt: skip


class Noted:
    """A journal, and a screen."""

    def __init__(self) -> None:
        self.entries: list[Happened] = []
        self.lines: list[str] = []

    def note(self, happened: Happened) -> None:
        self.entries.append(happened)

    @property
    def codes(self) -> list[str]:
        return [happened.code for happened in self.entries]


class Away(MemoryStreams):
    """Streams of a broker that can be away."""

    away = False

    async def beats(self, prefix: str) -> dict[str, bytes]:
        if self.away:
            raise StreamsUnavailable("the broker is away")
        return await super().beats(prefix)


class Zone:
    """A zone's process, which says each second what it has kept."""

    def __init__(self, streams: MemoryStreams, clock: VirtualClock) -> None:
        self.streams, self.clock = streams, clock
        self.kept = Kept()

    async def go(self, seconds: int, *, bad: int = 0) -> None:
        for _ in range(seconds):
            self.kept = Kept(good=self.kept.good + 100 - bad, own=self.kept.own + bad)
            said = Objectives(
                zone="rows", process="a", boot="1", at_s=self.clock.utc_s(), state="running",
                availability=self.kept, freshness=Kept(good=1),
            )  # fmt: skip
            await self.streams.beat("objective.rows.a", msgspec.json.encode(said))
            await self.clock.wait(1.0)


def watching(
    folder: Path, clock: VirtualClock, streams: MemoryStreams, noted: Noted
) -> asyncio.Task[None]:
    return asyncio.ensure_future(
        watch_objectives(
            streams, PLAN, Project(folder), of="zones", clock=clock, tell=noted.lines.append,
            journal=noted,
        )
    )  # fmt: skip


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_an_outage_is_told_noted_kept_in_a_file_and_said_to_the_broker(tmp_path: Path) -> None:
    noted, clock = Noted(), VirtualClock()

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        zone = Zone(streams, clock)
        judge = watching(tmp_path, clock, streams, noted)
        await zone.go(120)
        await zone.go(200, bad=100)
        (said,) = await heard(streams)
        assert said.objectives[0].verdict == "systemic"
        await ended(judge)

    run(main())
    assert noted.codes == ["page"]
    assert noted.lines[0].startswith("page: rows, availability")
    status = read_status(tmp_path, "zones")
    assert status is not None
    assert [alert.severity for alert in status.objectives[0].alerts] == ["page"]
    assert [one.indicator for one in status.objectives] == ["availability", "freshness"]
    assert memory_file(tmp_path, "zones").exists()


def test_a_broker_that_is_away_for_long_pages_nobody(tmp_path: Path) -> None:
    noted, clock = Noted(), VirtualClock()

    async def main() -> None:
        streams = Away(MemoryStore(), clock)
        zone = Zone(streams, clock)
        judge = watching(tmp_path, clock, streams, noted)
        await zone.go(120)
        streams.away = True
        await clock.wait(600.0)
        status = read_status(tmp_path, "zones")
        assert status is not None
        assert status.blind == "the broker is away"
        streams.away = False
        await zone.go(30)
        await ended(judge)

    run(main())
    assert noted.codes == []


def test_the_next_judge_goes_on_with_the_budget(tmp_path: Path) -> None:
    noted, clock = Noted(), VirtualClock()

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        zone = Zone(streams, clock)
        for _ in range(2):
            judge = watching(tmp_path, clock, streams, noted)
            await zone.go(20, bad=1)
            await ended(judge)

    run(main())
    status = read_status(tmp_path, "zones")
    assert status is not None
    assert status.objectives[0].own == pytest.approx(40, abs=3)


def test_a_second_judge_of_the_same_promises_is_refused(tmp_path: Path) -> None:
    noted, clock = Noted(), VirtualClock()

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        await alone(streams, ("zones", "services"))
        judge = watching(tmp_path, clock, streams, noted)
        await Zone(streams, clock).go(5)
        await alone(streams, ("services",))
        with pytest.raises(ProjectBusy, match="promises of zones are watched already"):
            await alone(streams, ("zones",))
        await ended(judge)

    run(main())


def test_a_judge_that_fails_ends_nothing_and_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, clock = Noted(), VirtualClock()

    def fail(*_: object, **__: object) -> list[Happened]:
        raise ZeroDivisionError

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        with monkeypatch.context() as broken:
            broken.setattr(Judge, "look", fail)
            judge = watching(tmp_path, clock, streams, noted)
            await Zone(streams, clock).go(10)
        assert noted.lines == [
            "promises of zones are not watched (ZeroDivisionError()): it is tried again"
        ]
        await Zone(streams, clock).go(60)
        await ended(judge)

    run(main())
    assert read_status(tmp_path, "zones") is not None


def test_where_nothing_is_promised_nobody_watches(tmp_path: Path) -> None:
    clock = VirtualClock()

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        await watch_objectives(
            streams, PLAN, Project(tmp_path), of="services", clock=clock, tell=print
        )

    run(main())
    assert read_status(tmp_path, "services") is None


def test_damaged_files_are_taken_for_none(tmp_path: Path) -> None:
    memory_file(tmp_path, "zones").write_bytes(b"\xff")
    (tmp_path / "slo.json").write_bytes(b"{")
    assert read_status(tmp_path, "zones") is None
    noted, clock = Noted(), VirtualClock()

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), clock)
        judge = watching(tmp_path, clock, streams, noted)
        await Zone(streams, clock).go(10)
        await ended(judge)

    run(main())
    assert read_status(tmp_path, "zones") is not None


def test_a_time_scale_is_declared_or_given_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {one.time_scale for one in objectives_of(PLAN, "zones")} == {1.0}
    assert {one.time_scale for one in objectives_of(PLAN, "zones", 60)} == {60}
    monkeypatch.delenv(SCALE, raising=False)
    assert given_time_scale() is None
    monkeypatch.setenv(SCALE, "60")
    assert given_time_scale() == 60
    for wrong in ("0", "much", "1e9", "nan"):
        monkeypatch.setenv(SCALE, wrong)
        with pytest.raises(DeclarationError, match="is no time scale"):
            given_time_scale()


def test_a_slo_says_over_how_long_its_budget_is_reckoned() -> None:
    assert check_slo(SLO(availability=0.99, period_days=7, time_scale=60)) == {
        "availability": 0.99, "period_days": 7.0, "time_scale": 60.0,
    }  # fmt: skip
    assert check_slo(SLO(period_days=7)) == {}
    with pytest.raises(DeclarationError, match="period_days"):
        SLO(availability=0.99, period_days=0)

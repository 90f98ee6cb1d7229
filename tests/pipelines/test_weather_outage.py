"""A service that a zone calls is killed in the middle of the year, and comes back after 30 s.

One run is watched from its beginning, when nobody has started the service yet; each test holds one
claim against it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.reaching import reach
from firedoor.control.status import Snapshot, decode_snapshot
from firedoor.wire.records import BatchRecord, ZoneStatus
from pipelines.killing import Killing
from pipelines.truth import PIPELINE, Months, make_months
from pipelines.weather import Weather

pytestmark = pytest.mark.timeout(300)

OUTAGE_S = 30.0
BACK_S = 5.0
"""The zone is at work again within this after the service's return."""
PAUSED_S = 5.0
"""A batch comes each 1.7 s, and a beat each second: by then the zone has met that it is away."""
LIMIT_S = 60.0
RATE = 6_000
MIDDLE = 8
"""Batches that the zone has done when the service is killed; the row that hangs is in the 22nd."""


@dataclass(slots=True)
class Watch:
    """What the supervisor's snapshots said, one after the other."""

    file: Path
    run: Killing
    seen: list[Snapshot] = field(default_factory=list)

    def until(self, what: Callable[[Snapshot], object], why: str, within_s: float) -> None:
        """Look until a snapshot is as it should be."""
        ends_s = time.monotonic() + within_s
        while not (self._look() and what(self.seen[-1])):
            assert time.monotonic() < ends_s, f"not {why}:\n{self.run.told()[-4000:]}"
            time.sleep(0.1)

    def until_s(self, at_s: float) -> None:
        """Look until a time (UTC)."""
        while time.time() < at_s:
            self._look()
            time.sleep(0.1)

    def between(self, since_s: float, until_s: float) -> list[Snapshot]:
        """Return the snapshots of a time."""
        return [snapshot for snapshot in self.seen if since_s <= snapshot.at_s <= until_s]

    def _look(self) -> bool:
        """Keep the snapshot if there is a new one; return whether there is."""
        try:
            snapshot = decode_snapshot(self.file.read_bytes())
        except FileNotFoundError:
            return False
        if self.seen and self.seen[-1].at_s == snapshot.at_s:
            return False
        self.seen.append(snapshot)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One run with an outage in it. Times are UTC."""

    months: Months
    address: str
    began: list[Snapshot]
    """Before anybody had started the service."""
    away: list[Snapshot]
    """From when the zone should have met that it is away until its return."""
    killed_s: float
    back_s: float
    code: int
    told: str
    records: dict[str, list[BatchRecord]]
    dead: pl.DataFrame


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outage]:
    folder = tmp_path_factory.mktemp("outage")
    months = make_months(folder / "year", months=range(1, 13))
    project = folder / "project"
    with (
        Weather(months.weather) as weather,
        Killing(
            PIPELINE, project, seed=1,
            environment={
                "FLIGHTS_YEAR": str(months.folder),
                "FLIGHTS_RATE": str(RATE),
                "FLIGHTS_WEATHER": weather.address,
            },
        ) as run,
    ):  # fmt: skip
        watch = Watch(project / ".firedoor" / "status.json", run)
        watch.until(lambda now: of(now, "weather").state == "paused", "paused at first", LIMIT_S)
        began = list(watch.seen)
        weather.start()
        middle = lambda now: of(now, "weather").batches >= MIDDLE  # noqa: E731
        watch.until(middle, "in the middle", LIMIT_S)

        killed_s = weather.kill()
        watch.until_s(killed_s + OUTAGE_S)
        weather.start()
        back_s = time.time()
        code = run.finish(within_s=LIMIT_S)
        yield Outage(
            months=months,
            address=weather.address,
            began=began,
            away=watch.between(killed_s + PAUSED_S, back_s),
            killed_s=killed_s,
            back_s=back_s,
            code=code,
            told=run.told()[-4000:],
            records=read_records(project),
            dead=read_dead_letters(project),
        )


def of(snapshot: Snapshot, zone: str) -> ZoneStatus:
    """Return what a zone said last; that it is starting, if nothing."""
    beats = [beat for beat in snapshot.zones if beat.zone == zone]
    unheard = ZoneStatus(
        zone=zone, replica="", pid=0, version="", state="starting", since_s=0.0, at_s=0.0
    )
    return max(beats, key=lambda beat: beat.at_s, default=unheard)


def read_records(project: Path) -> dict[str, list[BatchRecord]]:
    """Return what each zone recorded, by zone."""

    async def read() -> dict[str, list[BatchRecord]]:
        found: dict[str, list[BatchRecord]] = {}
        async with reach(project) as reached:
            async for record in reached.streams.records():
                found.setdefault(record.zone, []).append(record)
        return found

    return asyncio.run(read())


def read_dead_letters(project: Path) -> pl.DataFrame:
    """Return all dead letters, each row with its reason."""
    file = project / "dead.parquet"
    export = ["-m", "firedoor.cli", "dlq", "export", str(file), "--project", str(project)]
    subprocess.run([sys.executable, *export], check=True, capture_output=True)
    return pl.read_parquet(file)


def test_a_service_that_nobody_started_pauses_its_zone_which_names_the_address(
    outage: Outage,
) -> None:
    zone = of(outage.began[-1], "weather")
    assert (zone.state, zone.code) == ("paused", "dependency_down")
    assert f"{outage.address} does not answer: " in zone.cause
    assert not zone.batches


def test_while_the_service_is_away_its_zone_is_paused_and_says_why(outage: Outage) -> None:
    assert len(outage.away) >= (OUTAGE_S - PAUSED_S) / 2
    told = {(zone.state, zone.code) for zone in zones(outage, "weather")}
    assert told == {("paused", "dependency_down")}
    said = f"{outage.address} does not answer: "
    assert all(said in zone.cause for zone in zones(outage, "weather"))


def zones(outage: Outage, zone: str) -> list[ZoneStatus]:
    """Return what a zone said while the service was away."""
    return [of(snapshot, zone) for snapshot in outage.away]


def test_other_zones_work_off_what_they_have(outage: Outage) -> None:
    assert {beat.state for zone in ("features", "store") for beat in zones(outage, zone)} == {
        "running"
    }
    behind = [outage.away[-1].depths[edge] for edge in ("weather:features", "features:store")]
    assert [depth.messages for depth in behind] == [0, 0]
    done = {beat.batches for zone in ("features", "store") for beat in zones(outage, zone)}
    assert done == {zones(outage, "weather")[0].batches}
    for zone in ("flights", "clean"):  # as fast as the source goes
        first, *_, last = zones(outage, zone)
        assert last.state in {"running", "done"}
        assert last.rows_in - first.rows_in >= RATE * (last.at_s - first.at_s) / 2
    waiting = outage.away[-1].depths["clean:weather"].messages
    ahead = zones(outage, "clean")[-1].batches - zones(outage, "weather")[-1].batches
    assert abs(waiting - ahead) <= 1  # zones beat before the snapshot is taken
    assert waiting > MIDDLE


def test_no_attempt_is_consumed(outage: Outage) -> None:
    hung = {batch for zone, batch, _, _ in planted(outage) if zone == "weather"}
    attempts = {r.batch: r.attempts for r in outage.records["weather"] if r.attempts}
    assert set(attempts) == hung
    assert {cause for counts in attempts.values() for cause in counts} == {"hang"}


def planted(outage: Outage) -> list[tuple[str, str, int, str]]:
    """Return zone, batch, row and code of each fault, as the example lists them."""
    told = (outage.months.folder.with_name("whole") / "planted.json").read_text()
    return [
        (entry["fault"]["zone"], entry["batch"], entry["row"], entry["fault"]["code"])
        for entry in json.loads(told)["faults"]
    ]


def test_nothing_is_dead_but_what_was_planted(outage: Outage) -> None:
    letters = outage.dead.select("dead_zone", "dead_batch", "dead_row", "dead_code").rows()
    assert sorted(letters) == sorted(planted(outage))


def test_every_good_row_is_stored_once_with_the_right_values(outage: Outage) -> None:
    assert outage.code == 0, outage.told
    outage.months.check_store(outage.told)


def test_it_goes_on_within_5_s_of_the_services_return(outage: Outage) -> None:
    done = outage.records["weather"]
    assert not [r for r in done if outage.killed_s + 1 < r.ended_s < outage.back_s - 1]
    after = min(r.began_s for r in done if r.ended_s > outage.back_s)
    print(f"at work again {after - outage.back_s:.2f} s after the service's return")
    assert after - outage.back_s < BACK_S

"""A step that calls a service through a guard: real workers, whose guards refuse and recover."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import pytest

import firedoor as fd
from firedoor.compute.conversation import PLAIN, Manner
from firedoor.compute.held import Held
from firedoor.compute.passage import Passage
from firedoor.compute.step import refer
from firedoor.quality.grades import Grade
from firedoor.spec.wall import WallOptions
from firedoor.wire.records import GuardOrder
from wall import calls_out

pytestmark = pytest.mark.usefixtures("kept_fork_servers")
OPEN_S = 60.0
ROWS = pl.DataFrame({"x": list(range(20, 60))})


@dataclass
class Service:
    """What the steps call."""

    file: Path

    def be(self, state: str) -> None:
        self.file.write_text(state)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    found = Service(tmp_path / "service")
    found.be("up")
    monkeypatch.setenv(calls_out.SERVICE, str(found.file))
    return found


def wall_of(step: Callable[[pl.DataFrame], pl.DataFrame], service: Service) -> fd.Wall:
    return fd.Wall(
        step, memory="256MiB", timeout_s=30, reads=[service.file], env=[calls_out.SERVICE]
    )


@pytest.fixture
def passage(service: Service) -> Iterator[Callable[..., Passage]]:
    made: list[Passage] = []

    def make(step: Callable[[pl.DataFrame], pl.DataFrame]) -> Passage:
        options = WallOptions(
            memory="256MiB", timeout_s=30, reads=[str(service.file)], env=[calls_out.SERVICE]
        )
        made.append(Passage(refer(step, None, None, by_value=False), options, name="calls out"))
        return made[-1]

    yield make
    for each in made:
        each.crew.close()


def take(passage: Passage, manner: Manner = PLAIN) -> pl.DataFrame:
    return passage.take(Held.of_frame(ROWS), manner).good.frame


def try_until_it_passes(wall: fd.Wall) -> pl.DataFrame:
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            return wall(ROWS).good
        except fd.DependencyDown as down:
            time.sleep(min(down.retry_after_s or 0.0, 0.2))
    pytest.fail("it never passed")


@pytest.mark.parametrize("step", [calls_out.enrich, calls_out.enrich_and_wrap])
def test_a_service_that_is_away_blames_no_row_and_keeps_the_worker(
    step: Callable[[pl.DataFrame], pl.DataFrame], service: Service
) -> None:
    with wall_of(step, service) as wall:
        before = wall(ROWS).good
        service.be("down")
        for _ in range(3):
            with pytest.raises(fd.DependencyDown, match="step->service"):
                wall(ROWS)
        service.be("up")
        after = try_until_it_passes(wall)
        assert after.height == ROWS.height
        assert after["pid"].unique().to_list() == before["pid"].unique().to_list()
        assert wall.report().dead == 0
        assert wall.report().workers_lost == 0


def test_frames_are_handed_back_where_a_service_is_away(service: Service) -> None:
    frames = [ROWS.with_columns(x=pl.col("x") + 100 * number) for number in range(4)]
    with wall_of(calls_out.enrich, service) as wall:
        outcomes = wall.map(frames)
        first = next(outcomes)
        assert first.good["x"].to_list() == frames[0]["x"].to_list()
        service.be("down")
        with pytest.raises(fd.DependencyDown) as caught:
            list(outcomes)
        undelivered = caught.value.undelivered
        assert undelivered
        assert caught.value.frame is undelivered[0]
        given = [frame for frame in frames if any(frame is other for other in undelivered)]
        assert len(given) == len(undelivered)
        with pytest.raises(fd.DependencyDown) as alone:
            wall(ROWS)
        assert alone.value.frame is ROWS
        assert alone.value.undelivered == (ROWS,)


def test_the_error_says_which_guard_refused_why_and_when_to_try_again(service: Service) -> None:
    with wall_of(calls_out.enrich, service) as wall:
        service.be("down")
        said, after_s = [], []
        for _ in range(2):
            with pytest.raises(fd.DependencyDown, match="step->service") as caught:
                wall(ROWS)
            said.append(str(caught.value))
            after_s.append(caught.value.retry_after_s)
            assert "ConnectionRefusedError: nobody listens" in said[-1]
    assert "fail, for other rows as well" in said[0]
    assert "Opened because" in said[1]
    assert 0 <= (after_s[1] or 0.0) <= OPEN_S


@pytest.mark.parametrize("where", [0, 1, 20, 39])
def test_a_row_that_the_service_cannot_answer_for_costs_that_row(
    service: Service, where: int
) -> None:
    # Half the calls of the search fail, or all down to the row if it is the first. The breaker
    # would open after four, again and again, if they counted.
    rows = [*range(20, 20 + where), calls_out.POISON, *range(20 + where, 60)]
    frame = pl.DataFrame({"x": rows})
    with wall_of(calls_out.enrich, service) as wall:
        for _ in range(8):
            good, dead = wall(frame)
            assert good["x"].to_list() == [x for x in rows if x != calls_out.POISON]
            assert dead.frame["x"].to_list() == [calls_out.POISON]
            assert dead.reasons["code"].to_list() == ["exception"]
        assert wall.report().workers_lost == 0


def test_rows_in_every_part_of_a_batch_cost_themselves(service: Service) -> None:
    rows = [x if x % 7 else calls_out.POISON for x in range(20, 60)]
    with wall_of(calls_out.enrich, service) as wall:
        wall(ROWS)
        good, dead = wall(pl.DataFrame({"x": rows}))
    assert good["x"].to_list() == [x for x in rows if x != calls_out.POISON]
    assert dead.frame.height == rows.count(calls_out.POISON)


def test_a_lone_row_is_blamed_only_where_the_service_answers_for_another(
    service: Service,
) -> None:
    lone = pl.DataFrame({"x": [calls_out.POISON]})
    with wall_of(calls_out.enrich, service) as wall:
        with pytest.raises(fd.DependencyDown):
            wall(lone)
        wall(ROWS)
        assert wall(lone).dead.reasons["code"].to_list() == ["exception"]
        service.be("down")
        with pytest.raises(fd.DependencyDown):
            wall(lone)


def test_a_step_that_takes_the_blame_from_the_service_has_its_way(service: Service) -> None:
    with wall_of(calls_out.enrich_and_blame_the_rows, service) as wall:
        service.be("down")
        with pytest.raises(fd.StepAtFault, match="these rows are bad"):
            wall(ROWS)


def test_only_the_outermost_layer_calls_again(
    passage: Callable[..., Passage], service: Service
) -> None:
    way = passage(calls_out.call_patiently)
    service.be("down")
    assert take(way)["calls"].unique().to_list() == [3]
    assert take(way, Manner(attempt=2))["calls"].unique().to_list() == [1]
    assert take(way)["calls"].unique().to_list() == [3]


def test_a_call_has_less_time_than_the_wall_gives_the_step(service: Service) -> None:
    with wall_of(calls_out.tell_time, service) as wall:
        left_s = wall(ROWS).good["left_s"][0]
    assert 20 < left_s <= 27


def test_guards_of_workers_are_explained_and_do_as_they_are_told(
    passage: Callable[..., Passage], service: Service
) -> None:
    way = passage(calls_out.enrich)
    take(way)
    (note,) = way.guards()
    assert note.worker in way.crew.pids()["workers"]
    assert (note.explained.guard, note.explained.state) == ("step->service", "closed")
    assert note.explained.totals.good >= 1

    def order(want: Literal["open", "close", "reset"], number: int) -> GuardOrder:
        return GuardOrder(
            guard="step->service",
            want=want,
            number=number,
            because="maintenance",
            by="ann",
        )

    with pytest.raises(fd.DependencyDown, match="ann opened it: maintenance") as caught:
        take(way, Manner(orders=(order("open", 1),)))
    assert caught.value.retry_after_s is None
    assert way.guards()[0].explained.state == "forced-open"

    service.be("down")
    with pytest.raises(fd.DependencyDown, match=r"ConnectionRefusedError.*ann disabled it"):
        take(way, Manner(orders=(order("close", 2),)))
    assert way.guards()[0].explained.state == "disabled"

    service.be("up")
    assert take(way, Manner(orders=(order("reset", 3),))).height == ROWS.height
    assert way.guards()[0].explained.state == "closed"
    assert take(way, Manner(orders=(order("open", 2),))).height == ROWS.height, "an older order"


def test_what_a_ladder_answered_is_told_with_its_code_and_age(
    passage: Callable[..., Passage], service: Service
) -> None:
    way = passage(calls_out.go_on_without)

    def quality(rows: list[int]) -> dict[str, Grade]:
        frame = pl.DataFrame({"x": rows})
        return way.take(Held.of_frame(frame), PLAIN).quality

    (live,) = quality([1, 2, 3]).items()
    assert live == ("aged->service", Grade("live", 0.0))
    service.be("down")
    (older,) = quality([1, 2, 3]).values()
    assert older.code == "older"
    assert older.age_s is not None
    assert older.age_s > 0
    (default,) = quality([7, 8]).values()
    assert (default.code, default.age_s) == ("default", None)
    service.be("up")
    assert quality([7, 8]) == {"aged->service": Grade("live", 0.0)}


def test_a_fresh_worker_is_told_what_was_ordered_before(
    passage: Callable[..., Passage],
) -> None:
    way = passage(calls_out.enrich)
    orders = (GuardOrder(guard="step->service", want="open", number=7, because="x", by="ann"),)
    with pytest.raises(fd.DependencyDown):
        take(way, Manner(orders=orders))
    for pid in way.crew.pids()["workers"]:
        _kill(pid)
    with pytest.raises(fd.DependencyDown, match="ann opened it"):
        take(way, Manner(orders=orders))


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)

"""A wall is called from many threads and event loops, mapped over, and closed while it works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

import firedoor as fd
from wall import probing, steps
from wall.watching import PATIENCE_S, listening, numbers, run_script, watch

CALLERS = 16
ROWS = 50


@pytest.fixture(scope="module", autouse=True)
def keeper() -> Iterator[fd.Wall]:
    """Keep a wall open, so that the walls of all tests here share its fork server."""
    with fd.Wall(probing.double, name="keeper") as wall:
        wall(numbers(1))
        yield wall


def part(number: int) -> pl.DataFrame:
    """Return rows that no other part has."""
    return numbers(ROWS, first=number * ROWS)


def right(number: int, good: pl.DataFrame) -> bool:
    """Return whether these are that part's rows."""
    return good["doubled"].to_list() == [2 * n for n in range(number * ROWS, (number + 1) * ROWS)]


# -------------------------------------------------------------------- threads and event loops


@pytest.mark.parametrize("workers", [1, 2])
def test_sixteen_threads_each_get_their_own_rows_back(workers: int) -> None:
    barrier = threading.Barrier(CALLERS)

    def call(number: int) -> bool:
        barrier.wait(PATIENCE_S)
        return all(right(n, wall(part(n)).good) for n in (number, number + CALLERS))

    with (
        fd.Wall(probing.double, workers=workers, timeout_s=30) as wall,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        assert all(threads.map(call, range(CALLERS)))
        report = wall.report()
        assert len(wall.processes()["workers"]) <= workers + 1
    assert report.batches == 2 * CALLERS
    assert report.rows == report.good == 2 * CALLERS * ROWS


def test_threads_get_their_own_rows_back_though_some_crash_the_worker() -> None:
    def call(number: int) -> tuple[list[int], list[int]]:
        kinds = [steps.GOOD] * ROWS
        kinds[number] = steps.EXITS if number % 2 else steps.RAISES
        frame = steps.rows(kinds).with_columns(number=pl.col("number") + number * ROWS)
        outcome = wall(frame)
        return outcome.good["number"].to_list(), outcome.dead.rows["number"].to_list()

    with (
        fd.Wall(steps.double, workers=2, timeout_s=30) as wall,
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        came = list(threads.map(call, range(CALLERS)))
    for number, (good, dead) in enumerate(came):
        bad = number * ROWS + number
        assert dead == [bad]
        assert good == [n for n in range(number * ROWS, (number + 1) * ROWS) if n != bad]


def test_threads_may_share_one_frame() -> None:
    # polars stops the whole process when a frame is encoded by one thread and looked at by another.
    run_script(
        """
        from concurrent.futures import ThreadPoolExecutor
        import firedoor as fd
        from wall import probing
        from wall.watching import numbers
        frame = numbers(20_000)
        with fd.Wall(probing.double, timeout_s=30) as wall, ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(wall, frame) for _ in range(32)]
            while not calls[-1].done():
                assert frame.height == 20_000
            assert all(call.result().good.height == 20_000 for call in calls)
        """
    )


async def call_many(wall: fd.Wall, first: int) -> list[bool]:
    """Call a wall many times at once from one event loop."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(wall.acall(part(first + n))) for n in range(CALLERS)]
    return [right(first + n, call.result().good) for n, call in enumerate(calls)]


def test_many_calls_at_once_from_one_event_loop_each_get_their_own_rows_back() -> None:
    with fd.Wall(probing.double, workers=2, timeout_s=30) as wall:
        assert asyncio.run(call_many(wall, 0)) == [True] * CALLERS


def test_two_event_loops_in_two_threads_share_a_wall() -> None:
    def run(first: int) -> list[bool]:
        return asyncio.run(call_many(wall, first))

    with (
        fd.Wall(probing.double, timeout_s=30) as wall,
        ThreadPoolExecutor(2) as threads,
    ):
        assert list(threads.map(run, [0, CALLERS])) == [[True] * CALLERS] * 2


def test_a_call_that_is_cancelled_leaves_the_wall_usable(tmp_path: Path) -> None:
    async def cancel_one(wall: fd.Wall, running: threading.Event) -> bool:
        call = asyncio.create_task(wall.acall(numbers(3, gate=tmp_path / "gate")))
        await asyncio.to_thread(running.wait, PATIENCE_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (tmp_path / "gate").touch()
        return right(7, (await wall.acall(part(7).with_columns(gate=pl.lit("/")))).good)

    running = threading.Event()
    with (
        fd.Wall(probing.double_when_let_go, timeout_s=30, reads=[tmp_path]) as wall,
        listening(wall.name, lambda _: running.set()),
    ):
        assert asyncio.run(cancel_one(wall, running))
        assert wall.report().dead == 0
        assert wall.report().workers_lost == 0


def test_two_workers_work_at_the_same_time(tmp_path: Path) -> None:
    """Neither can go on before both are at work."""
    at_work: set[str] = set()

    def act(text: str) -> None:
        at_work.add(text)
        if len(at_work) == 2:
            (tmp_path / "gate").touch()

    with (
        fd.Wall(probing.double_when_let_go, workers=2, timeout_s=30, reads=[tmp_path]) as wall,
        listening(wall.name, act),
    ):
        wall(numbers(1, gate="/"))
        sent = [numbers(2, first=n, gate=tmp_path / "gate") for n in range(2)]
        came = [outcome.good["doubled"].to_list() for outcome in wall.map(sent)]
    assert came == [[0, 2], [2, 4]]
    assert len(at_work) == 2


# -------------------------------------------------------------------------------------- map


@pytest.mark.parametrize("workers", [1, 2])
def test_map_keeps_the_order_and_takes_no_more_than_it_may_in_advance(workers: int) -> None:
    taken = 0

    def endless() -> Iterator[pl.DataFrame]:
        nonlocal taken
        while True:
            yield part(taken)
            taken += 1

    with fd.Wall(probing.double, workers=workers, timeout_s=30) as wall:
        assert taken == 0
        for given, outcome in enumerate(wall.map(endless())):
            assert right(given, outcome.good)
            # This one is given back; ``taken`` is counted when the next one is asked for.
            assert taken <= given + workers + 1
            if given == 20:
                break
        assert right(99, wall(part(99)).good)  # leaving early leaves the wall usable


def test_map_of_nothing_gives_nothing_and_starts_nothing() -> None:
    with fd.Wall(probing.double) as wall:
        assert list(wall.map([])) == []
        assert wall.processes() == {"server": [], "workers": []}


def test_an_error_in_what_is_mapped_comes_after_the_outcomes_of_what_came_before() -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield part(0)
        yield part(1)
        message = "the third file cannot be read"
        raise OSError(message)

    with fd.Wall(probing.double, workers=2, timeout_s=30) as wall:
        outcomes = wall.map(broken())
        assert right(0, next(outcomes).good)
        assert right(1, next(outcomes).good)
        with pytest.raises(OSError, match="third file"):
            next(outcomes)
        assert right(2, wall(part(2)).good)


def test_a_fault_of_the_step_in_map_gives_back_every_frame_that_was_taken() -> None:
    sent = [steps.rows([steps.GOOD] * 3), *(steps.rows([kind] * 40) for kind in (1, 0, 0, 0))]
    with fd.Wall(steps.double, timeout_s=30) as wall:
        outcomes = wall.map(iter(sent))
        assert next(outcomes).good.height == 3
        with pytest.raises(fd.StepAtFault) as caught:
            list(outcomes)
    assert caught.value.frame is sent[1]
    undelivered = caught.value.undelivered
    assert undelivered[0] is sent[1]
    assert all(mine is theirs for mine, theirs in zip(undelivered, sent[1:], strict=False))
    assert 1 <= len(undelivered) <= 2


# ------------------------------------------------------------------------------------ closing


def test_a_closed_wall_refuses_frames_and_says_what_to_do() -> None:
    with fd.Wall(probing.double, name="shut") as wall:
        wall(part(0))
    wall.close()  # twice does no harm
    assert wall.processes() == {"server": [], "workers": []}
    with pytest.raises(fd.WallClosed, match=r"'shut' is closed: make a new one"):
        wall(part(0))
    with pytest.raises(fd.WallClosed, match=r"'shut' is closed"):
        asyncio.run(wall.acall(part(0)))
    with pytest.raises(fd.WallClosed, match=r"'shut' is closed"):
        next(wall.map([part(0)]))
    assert wall.report().rows == ROWS


def test_a_wall_that_was_never_called_can_be_closed() -> None:
    fd.Wall(probing.double).close()


def test_a_wall_that_nobody_holds_any_more_is_closed() -> None:
    wall = fd.Wall(probing.double)
    wall(part(0))
    with watch(wall.processes()["workers"]) as watched:
        del wall
        assert watched.left() == []


@pytest.mark.parametrize("how", ["call", "acall", "map"])
def test_closing_a_wall_ends_the_calls_under_way_in_other_threads(how: str) -> None:
    running = threading.Event()
    frame = numbers(ROWS, gate="/nonexistent")

    def call() -> object:
        if how == "call":
            return wall(frame)
        return asyncio.run(wall.acall(frame)) if how == "acall" else list(wall.map([frame]))

    wall = fd.Wall(probing.double_when_let_go, timeout_s=100)
    with (
        listening(wall.name, lambda _: running.set()),
        ThreadPoolExecutor(1) as threads,
    ):
        pending = threads.submit(call)
        assert running.wait(PATIENCE_S)
        with watch(wall.processes()["workers"]) as watched:
            wall.close()
            with pytest.raises(fd.WallClosed, match="is closed"):
                pending.result(PATIENCE_S)
            assert watched.left() == []


def test_closing_while_many_threads_call_ends_each_call_well_or_as_closed() -> None:
    begun = threading.Semaphore(0)

    def call(number: int) -> str:
        for _ in range(1_000):
            try:
                good = wall(part(number)).good
            except fd.WallClosed:
                return "closed"
            assert right(number, good)
            begun.release()
        return "never closed"

    for _ in range(5):
        wall = fd.Wall(probing.double, workers=2, timeout_s=30)
        with ThreadPoolExecutor(4) as threads:
            pending = [threads.submit(call, number) for number in range(4)]
            for _ in range(8):
                assert begun.acquire(timeout=PATIENCE_S)
            wall.close()
            assert [future.result(PATIENCE_S) for future in pending] == ["closed"] * 4
        assert wall.report().dead == 0


# ------------------------------------------------------------------------------------- report


def test_the_report_tells_what_happened() -> None:
    kinds = [steps.GOOD] * 95 + [steps.RAISES, steps.RAISES, steps.EXITS, steps.GOOD, steps.GOOD]
    with fd.Wall(steps.double, name="told", timeout_s=30) as wall:
        empty = wall.report()
        wall(steps.rows(kinds))
        wall(steps.rows([steps.GOOD] * 10))
        report = wall.report()
    assert (empty.batches, empty.rows, empty.seal_level) == (0, 0, "")
    assert empty.rows_a_second is None
    assert "no worker yet" in str(empty)
    assert report.name == "told"
    assert (report.batches, report.rows, report.good, report.dead) == (2, 110, 107, 3)
    assert report.dead_by_code == {"exception": 2, "crash": 1}
    assert report.rowwise is True
    assert report.workers_lost == len(report.lost) == sum(report.lost_by_cause.values()) >= 2
    assert set(report.lost_by_cause) == {"crash"}
    assert all(lost.failure.message.startswith("exited with code 3") for lost in report.lost)
    assert report.peak_bytes > 2**24
    assert report.rows_a_second is not None
    assert report.rows_a_second > 0
    assert report.seal_level in {"full", "partial", "advisory"}
    text = str(report)
    assert text.startswith("wall told: 2 batches, 110 rows: 107 good, 3 dead; ")
    assert f"{report.workers_lost} lost ({report.workers_lost} crash)" in text
    assert f"seal      {report.seal_level}" in text
    assert "row-wise  yes" in text

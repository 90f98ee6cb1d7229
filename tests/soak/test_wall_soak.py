"""For long: 10,000 batches with 1,000 deaths leave nothing behind, and blame nobody wrongly.

``FIREDOOR_SOAK_BATCHES=1000`` makes the runs shorter, with as many deaths a batch.
"""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import steps

pytestmark = pytest.mark.soak

BATCHES = int(os.environ.get("FIREDOOR_SOAK_BATCHES", "10000"))
TENTH = BATCHES // 10
DEATHS = TENTH
ROWS = 200
POISON_EVERY = 50
KILL_EVERY = 10
LATEST_KILL_S = 0.02
A_FEW = 4
"""A spare that is just starting counts as well. A leak, one a death, would be hundreds."""
SEED = 2013
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a wall holds at one moment, in this process and in the fork server."""

    parent_mib: float
    server_mib: float
    parent_fds: int
    server_fds: int
    threads: int
    processes: int
    scratch: int
    """Files and folders in the place for temporary ones."""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for temporary files, so that they can be counted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def batch(number: int, *, poisoned: bool) -> list[int]:
    """Return the kinds of a batch's rows; a poisoned one has a row that segfaults or raises."""
    kinds = [steps.GOOD] * ROWS
    if poisoned:
        kinds[number % ROWS] = steps.RAISES if number % 3 == 0 else steps.SEGFAULTS
    return kinds


def poisoned(number: int) -> bool:
    """Return whether a batch has a poison row."""
    return number % POISON_EVERY == POISON_EVERY - 1


@contextlib.contextmanager
def killing(wall: fd.Wall, dice: random.Random) -> Iterator[None]:
    """SIGKILL one of the wall's workers from outside, at a moment drawn by ``dice``."""

    def kill() -> None:
        workers = wall.processes()["workers"]
        if workers:
            # psutil never signals another process that has taken over the number.
            with contextlib.suppress(psutil.Error):
                psutil.Process(dice.choice(workers)).kill()

    timer = threading.Timer(dice.uniform(0, LATEST_KILL_S), kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def footprint(wall: fd.Wall, scratch: Path) -> Footprint:
    """Return what the wall holds now."""
    me, server = psutil.Process(), psutil.Process(wall.processes()["server"][0])
    return Footprint(
        parent_mib=me.memory_info().rss / MIB,
        server_mib=server.memory_info().rss / MIB,
        parent_fds=me.num_fds(),
        server_fds=server.num_fds(),
        threads=me.num_threads(),
        processes=len(me.children(recursive=True)),
        scratch=sum(1 for _ in scratch.rglob("*")),
    )


def median(name: str, footprints: list[Footprint]) -> float:
    """Return the median of one figure."""
    return statistics.median(float(getattr(each, name)) for each in footprints)


@pytest.mark.timeout(7_200)
def test_ten_thousand_batches_with_a_thousand_deaths_leave_nothing_behind(scratch: Path) -> None:
    dice = random.Random(SEED)
    taken: list[Footprint] = []
    with fd.Wall(steps.double, workers=2, timeout_s=60, memory="256MiB") as wall:
        for start in range(0, BATCHES, KILL_EVERY):
            numbers = range(start, start + KILL_EVERY)
            frames = [steps.rows(batch(number, poisoned=poisoned(number))) for number in numbers]
            with killing(wall, dice):
                for number, outcome in zip(numbers, wall.map(frames), strict=True):
                    expected = [number % ROWS] if poisoned(number) else []
                    assert outcome.dead.reasons["row"].to_list() == expected
                    assert outcome.good.height == ROWS - len(expected)
            taken.append(footprint(wall, scratch))
        lost = wall.report().workers_lost
    tenth = len(taken) // 10
    first, last = taken[tenth : 2 * tenth], taken[-tenth:]
    figures = Footprint.__dataclass_fields__
    table = {name: (median(name, first), median(name, last)) for name in figures}
    print(f"\n{BATCHES:,} batches, {lost:,} deaths; medians of the second and the last tenth:")
    for name, (then, now) in table.items():
        print(f"  {name:12} {then:10.1f} {now:10.1f}")
    assert lost >= DEATHS
    for name in ("parent_mib", "server_mib"):
        then, now = table[name]
        assert now <= then * 1.05 + 2, name
    for name in ("parent_fds", "server_fds", "threads", "processes", "scratch"):
        then, now = table[name]
        assert now <= then + A_FEW, name


@pytest.mark.timeout(3_600)
def test_workers_killed_from_outside_at_random_moments_blame_no_row(scratch: Path) -> None:
    dice = random.Random(SEED + 1)
    frame = steps.rows(batch(0, poisoned=False))
    expected = steps.double(frame)
    with fd.Wall(steps.double, timeout_s=60, memory="256MiB") as wall:
        for _ in range(TENTH):
            with killing(wall, dice):
                outcome = wall(frame)
            assert_frame_equal(outcome.good, expected)
            assert len(outcome.dead) == 0
        wall(frame)  # finds out about a worker killed after the last batch
        report = wall.report()
    assert report.workers_lost > TENTH // 2
    assert all(lost.failure.external for lost in report.lost)
    assert not any(scratch.iterdir())

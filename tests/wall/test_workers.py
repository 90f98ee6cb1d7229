"""Workers may die at any moment, of anything: that costs time, and no row."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Unpack

import psutil
import pytest

import firedoor as fd
from firedoor.spec.wall import WallArguments
from wall import probing
from wall.watching import PATIENCE_S, descriptors, listening, numbers, running, script, watch

BATCHES = 60
ROWS = 40
DEATHS = 60


@pytest.fixture(scope="module", autouse=True)
def keeper() -> Iterator[fd.Wall]:
    """Keep a wall open, so that the walls of all tests here share its fork server."""
    with fd.Wall(probing.double, name="keeper") as wall:
        wall(numbers(1))
        yield wall


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal and wait until the process has ended."""
    with watch([pid]) as watched:
        os.kill(pid, number)
        assert watched.left() == []


def idle_and_spare(wall: fd.Wall) -> tuple[int, int]:
    """Return the worker that answers and the one in reserve."""
    at_work = wall(numbers(1)).good["pid"][0]
    (spare,) = set(wall.processes()["workers"]) - {at_work}
    return at_work, spare


class Sniper(threading.Thread):
    """Hits random workers at random moments, one for every batch that was delivered meanwhile."""

    def __init__(self, wall: fd.Wall, seed: int, signals: list[signal.Signals], hits: int) -> None:
        super().__init__()
        self.hits = 0
        self.delivered = threading.Semaphore(0)
        self.over = threading.Event()
        self._wall = wall
        self._chance = random.Random(seed)
        self._signals = signals
        self._hits_max = hits

    def run(self) -> None:
        while self.hits < self._hits_max and self.delivered.acquire(timeout=PATIENCE_S):
            if self.over.wait(self._chance.uniform(0.0, 0.05)):
                return
            pid = self._chance.choice(self._wall.processes()["workers"])
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, self._chance.choice(self._signals))
                self.hits += 1


@pytest.mark.parametrize(
    ("signals", "hits", "timeout_s"),
    [([signal.SIGTERM, signal.SIGKILL], 30, 10.0), ([signal.SIGSTOP], 3, 0.5)],
    ids=["killed", "frozen"],
)
def test_workers_hit_at_random_moments_from_outside_cost_no_row(
    signals: list[signal.Signals], hits: int, timeout_s: float
) -> None:
    doubled = []
    with fd.Wall(probing.double_slowly, workers=2, timeout_s=timeout_s, load_timeout_s=2) as wall:
        wall(numbers(ROWS))
        sniper = Sniper(wall, len(signals), signals, hits)
        sniper.start()
        try:
            for outcome in wall.map(numbers(ROWS, first=i * ROWS) for i in range(BATCHES)):
                doubled += outcome.good["doubled"].to_list()
                sniper.delivered.release()
        finally:
            sniper.over.set()
            sniper.delivered.release()
            sniper.join()
        report = wall.report()
    assert sniper.hits >= min(hits, BATCHES // 4)
    assert report.workers_lost >= sniper.hits // 2  # some hit a worker that had ended anyway
    assert report.dead == 0, report
    assert report.way == "fork"
    assert doubled == [2 * number for number in range(BATCHES * ROWS)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_row_whose_worker_is_killed_from_outside_twice_running_is_not_to_blame(
    tmp_path: Path, number: signal.Signals
) -> None:
    killed: list[int] = []

    def act(text: str) -> None:
        if text.startswith(probing.AT_WORK) and len(killed) < 2:
            killed.append(int(text.rsplit(maxsplit=1)[-1]))
            kill(killed[-1], number)
        elif len(killed) == 2:
            (tmp_path / "gate").touch()

    with (
        fd.Wall(probing.double_when_let_go, timeout_s=30, reads=[tmp_path]) as wall,
        listening(wall.name, act),
    ):
        wall(numbers(1, gate="/"))
        outcome = wall(numbers(1, first=21, gate=tmp_path / "gate"))
        report = wall.report()
    assert outcome.good["doubled"].to_list() == [42]
    assert len(outcome.dead) == 0
    assert [lost.pid for lost in report.lost] == killed
    assert {lost.failure.signature.split()[0] for lost in report.lost} == {number.name}


def test_a_row_that_is_always_killed_from_outside_is_dead_in_the_end() -> None:
    def act(text: str) -> None:
        if text.startswith(probing.AT_WORK):
            kill(int(text.rsplit(maxsplit=1)[-1]))

    with (
        fd.Wall(probing.double_when_let_go, timeout_s=30) as wall,
        listening(wall.name, act),
    ):
        outcome = wall(numbers(1, gate="/nonexistent"))
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    assert outcome.dead.reasons["attempts"][0]["crash"] == 3


def test_an_idle_worker_that_is_killed_is_replaced_by_the_spare_which_was_warm() -> None:
    with fd.Wall(probing.whoami) as wall:
        at_work, spare = idle_and_spare(wall)
        kill(at_work)
        outcome = wall(numbers(1))
        report = wall.report()
        workers = wall.processes()["workers"]
    assert outcome.good["pid"].to_list() == [spare]
    assert spare in workers
    assert at_work not in workers
    assert len(workers) == 2  # the next spare
    assert [lost.pid for lost in report.lost] == [at_work]
    assert report.lost[0].failure.signature == "ended while idle"


def test_a_spare_that_is_killed_is_replaced_before_it_is_needed() -> None:
    with fd.Wall(probing.whoami) as wall:
        at_work, spare = idle_and_spare(wall)
        kill(spare)
        kill(at_work)
        outcome = wall(numbers(3))
        report = wall.report()
    assert outcome.good["pid"][0] not in {at_work, spare}
    assert outcome.good.height == 3
    assert {lost.pid for lost in report.lost} == {at_work, spare}
    assert report.dead == 0


def test_how_long_a_replacement_took_is_reported(tmp_path: Path) -> None:
    killed: list[int] = []

    def act(text: str) -> None:
        killed.append(int(text.rsplit(maxsplit=1)[-1]))
        (tmp_path / "gate").touch()
        kill(killed[-1])

    with (
        fd.Wall(probing.double_when_let_go, timeout_s=30, reads=[tmp_path]) as wall,
        listening(wall.name, act),
    ):
        wall(numbers(1, gate="/"))
        assert wall.report().replace_median_s is None
        assert "none lost" in str(wall.report())
        wall(numbers(1, gate=tmp_path / "gate"))
        report = wall.report()
    assert [lost.pid for lost in report.lost] == killed
    assert report.replace_median_s is not None
    assert 0 < report.replace_median_s < PATIENCE_S
    assert "1 lost (1 crash); replaced in" in str(report)


def test_a_fork_server_that_is_killed_while_idle_is_replaced() -> None:
    with fd.Wall(probing.double) as wall:
        wall(numbers(2))
        before = wall.processes()
        with watch(before["workers"]) as workers:
            kill(before["server"][0])
            assert workers.left() == []  # they end with it
        outcome = wall(numbers(ROWS))
        after = wall.processes()
        report = wall.report()
    assert outcome.good["doubled"].to_list() == list(range(0, 2 * ROWS, 2))
    assert report.dead == 0
    assert set(after["server"] + after["workers"]).isdisjoint(before["server"] + before["workers"])
    assert len(after["server"]) == 1


def test_a_fork_server_that_is_killed_in_the_middle_of_a_batch_costs_no_row(tmp_path: Path) -> None:
    def act(text: str) -> None:
        if text.startswith(probing.AT_WORK) and not (tmp_path / "gate").exists():
            (tmp_path / "gate").touch()
            servers.append(wall.processes()["server"][0])
            kill(servers[0])

    servers: list[int] = []
    with (
        fd.Wall(probing.double_when_let_go, timeout_s=30, reads=[tmp_path]) as wall,
        listening(wall.name, act),
    ):
        wall(numbers(2, gate="/"))
        outcome = wall(numbers(ROWS, gate=tmp_path / "gate"))
        assert wall.processes()["server"] != servers
        again = wall(numbers(ROWS, gate="/"))
        report = wall.report()
    assert outcome.good["doubled"].to_list() == list(range(0, 2 * ROWS, 2))
    assert again.good.height == ROWS
    assert report.dead == 0
    assert report.workers_lost >= 1


def test_a_worker_in_which_firedoor_itself_fails_says_why() -> None:
    with fd.Wall(probing.break_the_line, timeout_s=30) as wall:
        outcome = wall(numbers(1))
    assert outcome.dead.reasons["code"].to_list() == ["crash"]
    assert (
        "exited with code 70 (OSError: [Errno 9] Bad file descriptor)"
        in (outcome.dead.reasons["message"][0])
    )


# ------------------------------------------------------------------- nothing is left behind


@pytest.mark.parametrize("how", ["sleep", "daemon", "pool"])
def test_processes_that_a_step_left_running_end_with_the_wall(how: str) -> None:
    with fd.Wall(probing.start_others) as wall:
        outcome = wall(numbers(1, how=how))
        started = outcome.good["started"][0].to_list()
        assert running(started) == started
        family = wall.processes()["workers"] + started
        with watch(started) as watched:
            wall.close()
            assert watched.left(timeout_s=0) == []  # close() returns when they are gone
    assert running(family) == []


@pytest.mark.parametrize("how", ["sleep", "daemon", "pool"])
def test_processes_that_a_step_left_running_end_with_a_worker_that_crashes(
    how: str, keeper: fd.Wall
) -> None:
    started: list[int] = []

    def act(text: str) -> None:
        if text.startswith("started"):
            started.extend(int(pid) for pid in text.split()[1:])

    with fd.Wall(probing.start_others_and_crash) as wall, listening(wall.name, act):
        outcome = wall(numbers(1, how=how))
        assert outcome.dead.reasons["code"].to_list() == ["crash"]
        assert len(started) >= 2  # it was tried alone, twice
        assert running(started) == []
        server, *_ = wall.processes()["server"]
        workers = [*wall.processes()["workers"], *keeper.processes()["workers"]]
        children = [child.pid for child in psutil.Process(server).children(recursive=True)]
    assert set(children) <= set(workers)


LEAVE = """
import os, sys
import firedoor as fd
from wall import probing
from wall.watching import numbers
wall = fd.Wall(probing.{step}, workers=2)
outcome = wall(numbers(1, how="daemon", gate="/"))
family = wall.processes()
started = outcome.good["started"][0].to_list() if "started" in outcome.good.columns else []
print(*family["server"], *family["workers"], *started, flush=True)
sys.stdin.readline()
{end}
"""


def kill_hard(pid: int) -> None:
    """Kill a process that has no chance to clean up."""
    os.kill(pid, signal.SIGKILL)


def let_go(pid: int) -> None:
    """Do nothing: the program ends when its input does."""


@pytest.mark.parametrize(
    ("end", "deed", "code"),
    [
        ("", let_go, 0),
        ("os._exit(4)", let_go, 4),
        ("", kill_hard, -signal.SIGKILL),
    ],
    ids=["normal", "os._exit", "SIGKILL"],
)
def test_no_process_and_no_scratch_folder_outlives_the_parent(
    tmp_path: Path, end: str, deed: Callable[[int], None], code: int
) -> None:
    text = LEAVE.format(step="start_others", end=end)
    with script(text, env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        family = [int(pid) for pid in process.stdout.readline().split()]
        assert len(family) >= 4  # the server, two workers at least, the daemon
        assert list(tmp_path.iterdir())
        with watch(family) as watched:
            deed(process.pid)
            process.stdin.close()
            assert process.wait(PATIENCE_S) == code
            assert watched.left() == []
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_killed_in_the_middle_of_a_batch_leaves_no_process(tmp_path: Path) -> None:
    text = """
    import logging
    import firedoor as fd
    from wall import probing
    from wall.watching import listening, numbers
    wall = fd.Wall(probing.double_when_let_go, timeout_s=60)
    def act(text):
        print(*wall.processes()["server"], *wall.processes()["workers"], flush=True)
    with listening(wall.name, act):
        wall(numbers(1, gate="/nonexistent"))
    """
    with script(text, env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stdout is not None
        family = [int(pid) for pid in process.stdout.readline().split()]
        assert len(family) >= 2
        with watch(family) as watched:
            process.kill()
            assert watched.left() == []
    assert list(tmp_path.iterdir()) == []


def test_closing_leaves_no_child_and_no_zombie() -> None:
    before = psutil.Process().children(recursive=True)
    with fd.Wall(probing.whoami, workers=2) as wall:
        wall(numbers(1))
        kill(idle_and_spare(wall)[0])
        wall(numbers(1))
        server, *_ = wall.processes()["server"]
        states = [child.status() for child in psutil.Process(server).children()]
        assert psutil.STATUS_ZOMBIE not in states
    assert psutil.Process().children(recursive=True) == before


def open_and_close(**options: Unpack[WallArguments]) -> dict[str, str]:
    """Use a wall; return the descriptors that are open afterwards."""
    with fd.Wall(probing.double, **options) as wall:
        assert wall(numbers(1)).good.height == 1
    return descriptors()


def test_fifty_walls_opened_and_closed_leak_no_descriptor() -> None:
    before = open_and_close()
    for _ in range(50):
        assert open_and_close() == before


def test_fork_servers_opened_and_closed_leak_no_descriptor() -> None:
    # A library that nobody else preloads, so that each wall starts a fork server.
    before = open_and_close(preload=["colorsys"])
    for _ in range(3):
        assert open_and_close(preload=["colorsys"]) == before


def test_sixty_deaths_leak_no_descriptor_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # With a fork server of its own, whose scratch folder is here.
    with fd.Wall(probing.whoami, preload=["colorsys"]) as wall:
        counts = []
        for death in range(0, DEATHS, 2):
            pair = idle_and_spare(wall)
            if death in {2, DEATHS // 2}:
                counts.append(len(descriptors()))
            for pid in pair:
                kill(pid)
        idle_and_spare(wall)
        counts.append(len(descriptors()))
        (scratch,) = tmp_path.iterdir()
        folders = len(list(scratch.iterdir()))
        report = wall.report()
    assert (report.workers_lost, report.dead) == (DEATHS, 0)
    assert counts[0] == counts[1] == counts[2]
    assert folders == 2  # the idle worker's and the spare's
    assert list(tmp_path.iterdir()) == []

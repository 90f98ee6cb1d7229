"""SIGKILL at any moment, of the supervisor or of the worker: the record says so, and runs resume.

The moments are drawn, by a seed, among what the run has written when it is killed.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.compose.datasets import Datasets
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.compute.limits import descendants
from jobs.kept_rows import settle

BOUND_S = 60
EVENTS = 46
"""Of a run of the job ``resumes`` that ends well."""
SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 33))]
RUN = [sys.executable, "-m", "firedoor.cli", "job", "run"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name("pipeline.py"), tmp_path / "pipeline.py")
    return tmp_path


def start(
    place: Path, name: str, *more: str, before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    command = [*before, *RUN, name, "--pipeline", "pipeline.py", *more]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(place: Path, done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something holds that a process brings about; or until that has ended."""
    end_s = time.monotonic() + BOUND_S
    while not done() and process.poll() is None:
        assert time.monotonic() < end_s, f"nothing came of it in {place}"
        select.select([], [], [], 0.002)


def told(place: Path, run: str, what: str = "") -> int:
    """Return how many events, of one kind or all, a run has written."""
    try:
        text = (place / ".firedoor" / "runs" / run / "events.jsonl").read_text()
    except FileNotFoundError:
        return 0
    return text.count(f'"what":"{what}')


def gone(pids: tuple[int, ...]) -> bool:
    return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_supervisor_that_is_killed_leaves_a_run_that_says_so_and_the_next_resumes_it(
    place: Path, seed: int
) -> None:
    moment = random.Random(seed).randint(1, EVENTS)
    first = start(place, "resumes")
    until(place, lambda: told(place, "resumes-1") >= moment, first)
    started = descendants(first.pid)
    first.kill()
    first.communicate(timeout=BOUND_S)
    until_gone_s = time.monotonic() + BOUND_S
    while not gone(started):
        assert time.monotonic() < until_gone_s, "its worker outlives it"
        select.select([], [], [], 0.01)
    runs = Runs(place)
    assert not runs.is_alive("resumes-1")
    found = runs.read("resumes-1")
    assert found == runs.read("resumes-1")
    kept = told(place, "resumes-1", "checkpoint")
    if found.outcome == "lost":
        assert (found.cause, found.model) == ("supervisor", "")
        assert runs.events("resumes-1")[-1].what == "ended"
        assert "ended from outside" in found.message
        assert not (place / ".firedoor" / "models" / "registry" / "counted").exists()
    else:
        assert (found.outcome, found.model, kept) == ("done", "counted@1", 40)
    second = start(place, "resumes", "--json")
    record = json.loads(second.communicate(timeout=BOUND_S)[0])
    assert (record["outcome"], record["model"]) == ("done", "counted@1")
    if found.outcome == "lost":
        # A checkpoint is there before its event: what was kept may be one more than was told.
        assert record["metrics"]["began_at"] in {kept, min(kept + 1, 40)}
    (version,) = Models(place).read("counted").state.versions
    assert version.state == "candidate"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_that_is_killed_from_outside_is_told_and_resumed(place: Path, seed: int) -> None:
    moment = random.Random(seed).randint(1, 30)
    same = ("--json", "--param", f"pause_at={moment}")
    first = start(place, "resumes", *same)
    until(place, lambda: told(place, "resumes-1", "checkpoint") >= moment, first)
    for pid in descendants(first.pid)[1:]:  # the first is what starts the worker
        os.kill(pid, signal.SIGKILL)
    record = json.loads(first.communicate(timeout=BOUND_S)[0])
    assert (first.returncode, record["outcome"], record["cause"]) == (1, "failed", "killed")
    second = start(place, "resumes", *same)
    again = json.loads(second.communicate(timeout=BOUND_S)[0])
    assert (again["resumes"], again["outcome"]) == ("resumes-1", "done")
    assert again["model"] == "counted@1"
    assert again["metrics"]["began_at"] == moment


def test_a_job_whose_starting_process_is_killed_ends_as_killed(place: Path) -> None:
    process = start(place, "waits", "--json")
    until(place, lambda: told(place, "waits-1", "loaded") >= 1, process)
    started = descendants(process.pid)
    os.kill(started[0], signal.SIGKILL)
    record = json.loads(process.communicate(timeout=BOUND_S)[0])
    assert (process.returncode, record["outcome"], record["cause"]) == (1, "failed", "killed")
    assert gone(started)


def test_a_reader_that_has_gone_does_not_end_the_job(place: Path) -> None:
    command = [*RUN, "good", "--pipeline", "pipeline.py"]
    process = subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=BOUND_S)
    assert Runs(place).read("good-1").outcome == "done"


def test_the_same_run_is_not_started_twice_at_once(place: Path) -> None:
    first = start(place, "waits", "--json")
    until(place, lambda: told(place, "waits-1", "attempt") >= 1, first)
    second = start(place, "waits")
    assert "run waits-1 of the same code" in second.communicate(timeout=BOUND_S)[0]
    assert second.returncode == 2
    other = start(place, "waits", "--seed", "1")
    until(place, lambda: told(place, "waits-2", "attempt") >= 1, other)
    for process in (first, other):
        process.send_signal(signal.SIGTERM)
        assert "cancelled" in process.communicate(timeout=BOUND_S)[0]
        assert process.returncode == 130


def test_under_nohup_the_end_of_a_terminal_stays_ignored(place: Path) -> None:
    process = start(place, "waits", before=("nohup",))
    until(place, lambda: told(place, "waits-1", "loaded") >= 1, process)
    status = Path(f"/proc/{process.pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert ignored & (1 << (signal.SIGHUP - 1))
    process.send_signal(signal.SIGTERM)
    assert "cancelled" in process.communicate(timeout=BOUND_S)[0]


def test_ctrl_c_ends_the_job_and_is_recorded(place: Path) -> None:
    process = start(place, "waits", "--json")
    until(place, lambda: told(place, "waits-1", "loaded") >= 1, process)
    started = descendants(process.pid)
    assert started
    process.send_signal(signal.SIGINT)
    record = json.loads(process.communicate(timeout=BOUND_S)[0])
    assert (process.returncode, record["outcome"]) == (130, "cancelled")
    assert Runs(place).read("waits-1").outcome == "cancelled"
    assert gone(started)


MOMENTS = (
    "", "/kept/snapshot/order.json", "/scratch/keep/snapshot/open", "/made", "/made/snapshot.json",
)  # fmt: skip
"""What there is in the folder of a snapshot that is being made, one after another."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_command_that_is_killed_while_it_takes_a_snapshot_leaves_none_or_a_whole_one(
    tmp_path: Path, moment: str
) -> None:
    plan = settle(tmp_path)
    kept = Datasets(tmp_path)
    folder = tmp_path / ".firedoor" / "datasets"
    command = [sys.executable, "-m", "firedoor.cli", "datasets", "take", "delays"]
    process = subprocess.Popen(
        [*command, "--pipeline", "parted.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    until(tmp_path, lambda: bool([*folder.glob(f".new-*{moment}")]), process)
    started = descendants(process.pid)
    process.kill()
    process.communicate(timeout=BOUND_S)
    until_gone_s = time.monotonic() + BOUND_S
    while not gone(started):
        assert time.monotonic() < until_gone_s, "its worker outlives it"
        select.select([], [], [], 0.01)
    for record in kept.every():
        kept.check(record)
    taken = kept.take(plan, plan.dataset("delays"), clock=SystemClock())
    kept.check(taken)
    assert sorted(path.name for path in folder.iterdir()) == [taken.id, "lock"]

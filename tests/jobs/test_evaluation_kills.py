"""SIGKILL at any moment of an evaluation: a verdict was given once, or not at all, and all say so.

The moments are drawn by a seed: after so many events, and so many looks at what is written.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.compute.limits import descendants
from jobs import judged
from jobs.test_kills import BOUND_S, RUN, gone, told, until

EVENTS = 7
LOOKS_MAX = 200
"""Of 2 ms each."""
SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 33))]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    judged.settle(tmp_path)
    judged.add(tmp_path)
    return tmp_path


def start(place: Path, name: str, *more: str) -> subprocess.Popen[str]:
    command = [*RUN, name, "--pipeline", "evaluated.py", "--json", *more]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_verdict_is_given_once_or_not_at_all_wherever_the_evaluation_is_killed(
    place: Path, seed: int
) -> None:
    drawn = random.Random(seed)
    moment, looks = drawn.randint(1, EVENTS), iter(range(drawn.randint(0, LOOKS_MAX)))
    first = start(place, "quick")
    until(place, lambda: told(place, "quick-1") >= moment, first)
    until(place, lambda: next(looks, None) is None, first)
    started = descendants(first.pid)
    first.kill()
    first.communicate(timeout=BOUND_S)
    until_gone_s = time.monotonic() + BOUND_S
    while not gone(started):
        assert time.monotonic() < until_gone_s, "its worker outlives it"
        select.select([], [], [], 0.01)
    runs, version = Runs(place), judged.version(place, 1)
    found = runs.read("quick-1")
    assert found == runs.read("quick-1")
    assert not (place / ".firedoor" / "runs" / "quick-1" / "work").exists()
    given = found.verdict is not None and found.verdict.given
    assert (found.outcome, version.judged) == (("done", "quick-1") if given else ("lost", "")), (
        f"killed after {moment} events"
    )
    assert version.state == ("qualified" if given else "candidate")
    second = start(place, "quick", "--version", "1")
    record = json.loads(second.communicate(timeout=BOUND_S)[0])
    assert (record["outcome"], record["verdict"]["given"]) == ("done", True)
    assert judged.version(place, 1).judged == "quick-2"
    (only,) = Models(place).read("late").state.versions
    assert (only.state, only.verdict) == ("qualified", "promote")


def test_a_worker_of_an_evaluation_that_is_killed_from_outside_bars_nobody(place: Path) -> None:
    judged.add(place, weight=1.4, how="hangs")
    process = start(place, "evaluate")
    until(place, lambda: told(place, "evaluate-1", "loaded") >= 1, process)
    for pid in descendants(process.pid)[1:]:  # the first is what starts the worker
        os.kill(pid, signal.SIGKILL)
    record = json.loads(process.communicate(timeout=BOUND_S)[0])
    assert (process.returncode, record["outcome"], record["cause"]) == (1, "failed", "killed")
    assert "verdict" not in record or record["verdict"] is None
    assert (judged.version(place, 2).state, judged.version(place, 2).verdict) == ("candidate", "")

"""SIGKILL at any moment of train, evaluate, promote: what is seen of it is whole, or is not there.

The moments are drawn by a seed: after so many events of both runs, and so many looks at them.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from firedoor.compute.limits import descendants
from firedoor.errors import NotKnown
from firedoor.registry.model import ModelState
from jobs import judged
from jobs.test_kills import BOUND_S, RUN, gone, told, until

EVENTS = 14
"""Of both runs, if nothing happens to them; promoting comes after the last."""
LOOKS_MAX = 400
"""Of 2 ms each."""
SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 33))]
FIREDOOR = [sys.executable, "-m", "firedoor.cli"]
TRAIN, EVALUATE, PROMOTE = (
    [*RUN, "train", "--pipeline", "evaluated.py"],
    [*RUN, "quick", "--pipeline", "evaluated.py"],
    [*FIREDOOR, "models", "promote", "late@1", "--because", "it was qualified"],
)


def start(place: Path, *commands: list[str]) -> subprocess.Popen[str]:
    """Start commands, each if the one before ended well."""
    script = " && ".join(shlex.join(command) for command in commands)
    return subprocess.Popen(
        ["/bin/sh", "-c", script], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def state_of(place: Path) -> ModelState | None:
    """Return what the registry holds, once every bundle in it was read and compared."""
    models = Models(place, by="ann")
    if not (place / ".firedoor" / "models" / "registry" / "version").exists():
        return None
    try:
        kept = models.read("late")
    except NotKnown:
        return None
    for version in kept.state.versions:
        models.verify(f"late@{version.number}")
    assert len(models.history("late")) == kept.generation
    return kept.state


def check(place: Path) -> str:
    """Return how far the version came, after comparing all that says so."""
    state = state_of(place)
    if state is None:
        return ""
    (version,) = state.versions
    live = version.state == "live"
    assert (state.champion == 1, state.challenger == 1) == (live, version.state == "qualified")
    assert (version.verdict == "promote") == (version.state != "candidate")
    train = Runs(place).read("train-1")
    assert (train.outcome, train.model, version.run) == ("done", "late@1", "train-1")
    judges = Runs(place).every("quick")
    given = [run for run in judges if run.verdict is not None and run.verdict.given]
    assert bool(given) == bool(version.judged)
    return version.state


@pytest.mark.parametrize("seed", SEEDS)
def test_a_version_is_whole_and_judged_before_it_is_live_wherever_its_making_is_killed(
    tmp_path: Path, seed: int
) -> None:
    judged.settle(tmp_path)
    drawn = random.Random(seed)
    moment, looks = drawn.randint(1, EVENTS), iter(range(drawn.randint(0, LOOKS_MAX)))
    story = start(tmp_path, TRAIN, EVALUATE, PROMOTE)
    until(
        tmp_path,
        lambda: told(tmp_path, "train-1") + told(tmp_path, "quick-1") >= moment,
        story,
    )
    until(tmp_path, lambda: next(looks, None) is None, story)
    started = descendants(story.pid)
    with contextlib.suppress(ProcessLookupError):  # it has come to its end before the moment
        os.killpg(story.pid, signal.SIGKILL)
    story.communicate(timeout=BOUND_S)
    end_s = time.monotonic() + BOUND_S
    while not gone(started):
        assert time.monotonic() < end_s, "something outlives it"
        select.select([], [], [], 0.01)
    reached = check(tmp_path)
    left = {
        "": [TRAIN, EVALUATE, PROMOTE],
        "candidate": [EVALUATE, PROMOTE],
        "qualified": [PROMOTE],
    }
    again = start(tmp_path, *left.get(reached, []))
    said = again.communicate(timeout=BOUND_S)[0]
    assert again.returncode == 0, f"killed after {moment} events, at {reached!r}: {said}"
    state = state_of(tmp_path)
    assert state is not None
    assert [(one.number, one.state, one.verdict) for one in state.versions] == [
        (1, "live", "promote")
    ]
    assert all(run.outcome != "running" for run in Runs(tmp_path).every())
    sweep = Models(tmp_path, by="ann").prune()
    assert (sweep.versions, sweep.bundles) == ({}, ())

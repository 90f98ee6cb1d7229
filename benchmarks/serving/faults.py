"""The containment table: a fault in one version while clients check every value of every answer.

Three versions that say different things: one that was live before, the champion, and a candidate
that a rollout holds at a tenth of the subjects. The fault goes on and off while clients send.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.measure import Paper
from benchmarks.serving.open_loop import OK, Clients, Seen
from benchmarks.serving.servers import (
    ROOT,
    WAYS,
    environment,
    pause,
    prepare_project,
    register,
    started,
    until,
)

Victim = Literal["canary", "stable"]
VICTIMS: tuple[Victim, ...] = ("canary", "stable")
FAULTS = ("raise", "hang", "segfault", "nan", "slow", "burn", "leak")
NAMES = ("first", "stable")
VERSIONS: dict[Victim, int] = {"canary": 3, "stable": 2}
RATE = 300.0
SUBJECTS = 1_000
"""Rows that are sent in turn: all of them before the fault, so that it is known whose each is."""
BEFORE_S = 4.0
FAULT_S = 9.0
"""At a tenth of 300 a second: 270 requests of the candidate's subjects."""
BACK_MAX_S = 20.0
CANARY_MAX_S = 120.0
TRIES = 3
"""A run in which the candidate is given up before there is a fault says nothing of the fault."""
QUIET_S = 1.0
"""So long a version has to answer as it is asked, before it counts as back."""
LATE_S = 1.0
"""An answer after so long is none."""
BIN_S = 0.25
TOUCHED_S = 0.1
"""A request that takes longer was held up by the fault."""
TOUCHED_MAX = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one fault in one version did."""

    fault: str
    victim: Victim
    canary_requests: int
    """Of subjects that the candidate had before, while the fault was on."""
    stable_bad: int
    """Of the other subjects' requests: no prediction, a wrong one, or none within 1 s."""
    wrong: int
    """Of all answers, before, during and after."""
    bad: int
    requests: int
    p99_before_s: float
    p99_during_s: float
    """Of the other subjects, too."""
    off_s: float
    """Until fewer than 1 in 20 of the victim's subjects' requests are touched by it."""
    back_s: float
    """Until the version answers again once the fault is over; nan: it does not by itself."""
    load: float

    @property
    def ratio(self) -> float:
        """The 99th percentile beside what it was."""
        return self.p99_during_s / self.p99_before_s


def measure(
    models: Path, folder: Path, paper: Paper, *, runs: int, faults: Sequence[str],
    victims: Sequence[Victim],
) -> None:  # fmt: skip
    """Measure all cells, and print the table."""
    cells: dict[tuple[str, Victim], list[Cell]] = defaultdict(list)
    for run in range(runs):
        for fault in faults:
            for victim in victims:
                for again in range(TRIES):
                    place = folder / f"{fault}-{victim}-{run}-{again}"
                    cell = one_cell(models, place, fault, victim)
                    paper.say(f"{fault} in {victim}: {cell or 'given up before the fault'}")
                    if cell is not None:
                        cells[fault, victim].append(cell)
                        break
    head = ["fault", "in", "canary n", "stable bad", "wrong", "bad %", "p99 before ms",
            "during", "ratio", "off s", "back s", "load"]  # fmt: skip
    title = f"faults in one of two versions, {RATE:g} requests a second, {runs} runs: sums, medians"
    paper.table(title, head, [line_of(ones) for ones in cells.values()])
    for (fault, victim), ones in cells.items():
        paper.keep(f"containment {fault} {victim}", [repr(one) for one in ones])


def line_of(ones: Sequence[Cell]) -> list[str]:
    """Return a line of the table."""
    back = [one.back_s for one in ones if not math.isnan(one.back_s)]
    return [
        ones[0].fault,
        ones[0].victim,
        f"{min(one.canary_requests for one in ones)}",
        f"{sum(one.stable_bad for one in ones)}",
        f"{sum(one.wrong for one in ones)}",
        f"{100 * sum(one.bad for one in ones) / sum(one.requests for one in ones):.3f}",
        f"{median(one.p99_before_s for one in ones) * 1e3:.1f}",
        f"{median(one.p99_during_s for one in ones) * 1e3:.1f}",
        f"{median(one.ratio for one in ones):.2f}",
        f"{median(one.off_s for one in ones):.1f}",
        f"{median(back):.1f}" if back else "-",
        f"{median(one.load for one in ones):.1f}",
    ]


def one_cell(models: Path, folder: Path, fault: str, victim: Victim) -> Cell | None:
    """Measure one cell once, with a server of its own; None: the candidate was gone before."""
    folder.mkdir(parents=True)
    order = folder / "faults" / "fault.json"
    order.parent.mkdir()
    project = folder / "project"
    registry = prepare_project(project, models, NAMES)
    register(registry, project / "bundle-3", models / "canary.txt", VERSIONS["canary"])
    way = next(way for way in WAYS if not way.module)
    with (folder / "serve.log").open("wb") as log, started(
        way, models, project, log, BENCH_FAULT=str(order)
    ) as server:  # fmt: skip
        begin_canary(project)
        return asyncio.run(run_cell(Clients(port=server.port, models=models), order, fault, victim))


async def run_cell(clients: Clients, order: Path, fault: str, victim: Victim) -> Cell | None:
    """Send all the while: before the fault, during it, and after."""
    over, seen = asyncio.Event(), clients.seen
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.send(RATE, over, range(SUBJECTS)))
        if not await until(lambda: any(one.arm == "candidate" for one in seen), CANARY_MAX_S):
            over.set()
            return None
        begun_s = time.monotonic()
        await pause(BEFORE_S)
        fault_s = time.monotonic()
        if not any(one.arm == "candidate" for one in seen[-int(RATE) :]):
            over.set()
            return None
        switch(order, {"version": VERSIONS[victim], "fault": fault})
        await pause(FAULT_S)
        load = os.getloadavg()[0]
        switch(order, None)
        clear_s = time.monotonic()
        name = str(VERSIONS[victim])
        back = await until(lambda: is_back(seen, name, clear_s), BACK_MAX_S)
        back_s = time.monotonic() - clear_s - QUIET_S if back else math.nan
        over.set()
    times = Times(begun_s, fault_s, clear_s)
    return judged(seen, times, fault=fault, victim=victim, back_s=back_s, load=load)


def switch(order: Path, said: dict[str, object] | None) -> None:
    """Turn a fault on in one go, or all of them off."""
    if said is None:
        order.unlink()
        return
    made = order.with_suffix(".new")
    made.write_text(json.dumps(said), encoding="utf-8")
    made.replace(order)


@dataclass(frozen=True, slots=True)
class Times:
    """When what was so."""

    begun_s: float
    fault_s: float
    clear_s: float


def judged(
    seen: Sequence[Seen], times: Times, *, fault: str, victim: Victim, back_s: float, load: float
) -> Cell:
    """Return what came of a cell."""
    canaries = {one.number for one in seen if one.arm == "candidate" and one.sent_s < times.fault_s}
    before = [one for one in seen if times.begun_s <= one.sent_s < times.fault_s]
    during = [one for one in seen if times.fault_s <= one.sent_s < times.clear_s]
    stable = [one for one in during if one.number not in canaries]
    hit = [one for one in during if (one.number in canaries) == (victim == "canary")]
    return Cell(
        fault=fault,
        victim=victim,
        canary_requests=len(during) - len(stable),
        stable_bad=sum(is_bad(one) for one in stable),
        wrong=sum(one.status == OK and not one.right for one in seen),
        bad=sum(is_bad(one) for one in during),
        requests=len(during),
        p99_before_s=p99(one for one in before if one.number not in canaries),
        p99_during_s=p99(stable),
        off_s=off_s(hit, str(VERSIONS[victim]), times.fault_s),
        back_s=back_s,
        load=load,
    )


def off_s(ones: Iterable[Seen], version: str, since_s: float) -> float:
    """Return after how long no more than 1 in 20 requests were touched by the faulty version."""
    bins: dict[int, list[bool]] = defaultdict(list)
    for one in ones:
        touched = one.version == version or is_bad(one) or one.took_s > TOUCHED_S
        bins[int((one.sent_s - since_s) / BIN_S)].append(touched)
    worst = [at for at, told in bins.items() if sum(told) > TOUCHED_MAX * len(told)]
    return (max(worst) + 1) * BIN_S if worst else 0.0


def is_bad(one: Seen) -> bool:
    """Return whether a client could do nothing with an answer."""
    return one.status != OK or not one.right or one.took_s > LATE_S


def is_back(seen: Sequence[Seen], version: str, since_s: float) -> bool:
    """Return whether a version answers again, as it is asked, for a while."""
    now_s = time.monotonic()
    later = [one for one in seen[-2_000:] if one.sent_s >= max(since_s, now_s - 2 * QUIET_S)]
    own = [one for one in later if one.version == version and not one.degraded]
    return bool(own) and now_s - own[0].sent_s >= QUIET_S


def p99(ones: Iterable[Seen]) -> float:
    """Return how long 99 of 100 answers took at most."""
    took = sorted(one.took_s for one in ones)
    return took[int(len(took) * 0.99)] if took else math.nan


def begin_canary(project: Path) -> None:
    """Have the last version rolled out, up to its tenth."""
    words = ["rollout", "start", "predict", "--version", str(VERSIONS["canary"]), "--override"]
    subprocess.run(
        [
            sys.executable, "-m", "firedoor.cli", *words, "--because", "measured",
            "--project", str(project),
        ],
        cwd=ROOT, env=environment(), check=True, capture_output=True, timeout=60,
    )  # fmt: skip

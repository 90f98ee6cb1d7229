"""Hot swaps under load: one version after the other goes live, and clients check every answer.

Versions go live in the registry, as by hand: two of them by turns, of which the one that does not
answer is kept warm, and every tenth time a third, so that at three swaps of ten a version is loaded
and another one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from benchmarks.measure import Paper
from benchmarks.serving import faults
from benchmarks.serving.open_loop import OK, Clients, Seen
from benchmarks.serving.servers import WAYS, Server, prepare_project, promote, started, until

NAMES = ("first", "stable", "canary")
RATE = 100.0
SWAP_MAX_S = 30.0
COLD_EVERY = 10
"""One swap of so many is to the third version."""
SAMPLES = 20
"""Looks at memory, evenly over all swaps."""


@dataclass(slots=True, kw_only=True)
class Swapped:
    """What came of it."""

    took_s: list[float] = field(default_factory=list)
    """Of each swap: until a client had an answer of the new version."""
    memory_mib: list[float] = field(default_factory=list)
    """Of all processes, a few times."""
    gateway_mib: list[float] = field(default_factory=list)
    """Of the gateway alone."""
    descriptors: list[float] = field(default_factory=list)
    """Of the gateway."""
    missed: int = 0
    """Swaps that nobody saw within 30 s."""


def measure(models: Path, folder: Path, paper: Paper, *, swaps: int) -> None:
    """Measure, and print a table."""
    folder.mkdir(parents=True)
    project = folder / "project"
    registry = prepare_project(project, models, NAMES)
    way = next(way for way in WAYS if not way.module)
    swapped = Swapped()
    with (folder / "serve.log").open("wb") as log, started(way, models, project, log) as server:

        def swap(number: int) -> None:
            promote(registry, number)

        clients = Clients(port=server.port, models=models)
        asyncio.run(run(clients, server, swapped, swap, swaps))
    show(clients.seen, swapped, swaps, paper)


async def run(
    clients: Clients, server: Server, swapped: Swapped, swap: Callable[[int], None], swaps: int
) -> None:
    """Swap while clients send."""
    over, seen = asyncio.Event(), clients.seen
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.send(RATE, over))
        for turn in range(swaps):
            number = len(NAMES) if turn % COLD_EVERY == COLD_EVERY - 1 else turn % 2 + 1
            began_s = time.monotonic()
            await asyncio.to_thread(swap, number)
            if await until(partial(is_seen, seen, str(number)), SWAP_MAX_S):
                swapped.took_s.append(time.monotonic() - began_s)
            else:
                swapped.missed += 1
            if turn % max(1, swaps // SAMPLES) == 0:
                look(server, swapped)
        look(server, swapped)
        over.set()


def is_seen(seen: Sequence[Seen], version: str) -> bool:
    """Return whether the latest answer is of a version."""
    return bool(seen) and seen[-1].version == version


def look(server: Server, swapped: Swapped) -> None:
    """Note how much memory all of it takes, and its gateway."""
    swapped.memory_mib.append(server.memory_mib())
    for process in server.family():
        with contextlib.suppress(psutil.Error):
            if "gateway" in process.cmdline():
                swapped.gateway_mib.append(process.memory_info().rss / 2**20)
                swapped.descriptors.append(process.num_fds())


def show(seen: Sequence[Seen], swapped: Swapped, swaps: int, paper: Paper) -> None:
    """Print what it came to."""
    bad = sum(one.status != OK for one in seen)
    wrong = sum(one.status == OK and not one.right for one in seen)
    took = sorted(swapped.took_s)
    slowest = [one.took_s for one in seen]
    rows = [
        ["requests", f"{len(seen):,}"],
        ["failed", str(bad)],
        ["wrong", str(wrong)],
        ["degraded", str(sum(bool(one.degraded) for one in seen))],
        ["swaps that were seen, and not", f"{len(took):,}, {swapped.missed}"],
        ["s a swap: median, longest", f"{median(took):.2f}, {took[-1]:.2f}"],
        ["p50, p99 ms", f"{median(slowest) * 1e3:.1f}, {faults.p99(seen) * 1e3:.1f}"],
        ["MiB of all processes", trend(swapped.memory_mib)],
        ["MiB of the gateway", trend(swapped.gateway_mib)],
        ["descriptors of the gateway", trend(swapped.descriptors)],
    ]  # fmt: skip
    paper.table(f"{swaps:,} swaps of three versions, {RATE:g} requests a second", ["", ""], rows)
    paper.keep("swaps", {"requests": len(seen), "bad": bad, "wrong": wrong, "took_s": took})


def trend(values: Sequence[float]) -> str:
    """Return medians of the first, the middle and the last third."""
    third = max(1, len(values) // 3)
    parts = (values[:third], values[third : 2 * third] or values, values[-third:])
    return " -> ".join(f"{median(part):.0f}" for part in parts)

"""Versions that come and go under load: nobody notices, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path

import msgspec
import psutil
import pytest

from compute.serving.kit import QUICK, all_of, ask, bundle, plan, value
from firedoor.compute.opening import open_variant
from firedoor.compute.variant import WorkerVariant
from firedoor.wire.route import Arm
from firedoor.wire.serving import Told

ROUND = 40
KEPT_BYTES_MAX = 24 * 2**20
"""By which this process may have grown: allocators keep some."""


Version = tuple[WorkerVariant, float]


async def swap(folders: list[tuple[Path, Arm]], swaps: int) -> None:
    """Replace one version by another so often, with requests under way all the time."""
    asks = [ask(float(i)) for i in range(ROUND)]
    async with asyncio.TaskGroup() as tasks:
        live = await opened(folders, 0, tasks)
        for number in range(1, swaps + 1):
            fresh = await opened(folders, number, tasks)
            under_way = tasks.create_task(all_of(live[0], asks, at_once=8))
            told = await all_of(fresh[0], asks, at_once=8)
            check(await under_way, live[1])
            check(told, fresh[1])
            await live[0].close()
            live = fresh
        await live[0].close()


async def opened(folders: list[tuple[Path, Arm]], number: int, tasks: asyncio.TaskGroup) -> Version:
    """Return a version that is ready, and its slope."""
    service = plan(limits=msgspec.structs.replace(QUICK, attempt_s=20.0))
    folder, arm = folders[number % 2]
    variant = open_variant(service, arm, folder=folder, tasks=tasks)
    assert await variant.ready(60), variant.facts
    return variant, (2.0, 3.0)[number % 2]


def check(told: list[Told], slope: float) -> None:
    """See that each request got its own answer."""
    assert [value(one) for one in told] == [slope * i + 1 for i in range(ROUND)]


def held() -> tuple[int, int, int, int]:
    """Return memory, descriptors, threads and children of this process."""
    gc.collect()
    process = psutil.Process()
    children = len(process.children(recursive=True))
    return process.memory_info().rss, process.num_fds(), threading.active_count(), children


@pytest.mark.parametrize(
    "swaps", [20, pytest.param(1_000, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)])]
)
def test_swaps_under_load_fail_no_request_and_leave_nothing_behind(
    tmp_path: Path, swaps: int
) -> None:
    folders = [
        (tmp_path / "a", bundle(tmp_path / "a", a=2.0)),
        (tmp_path / "b", bundle(tmp_path / "b", a=3.0)),
    ]
    asyncio.run(swap(folders, 3))
    before = held()
    asyncio.run(swap(folders, swaps))
    after = held()
    assert after[0] - before[0] < KEPT_BYTES_MAX
    assert after[1:] == before[1:]

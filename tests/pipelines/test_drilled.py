"""A fault whose drill is killed with SIGKILL is gone within its lease, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from firedoor.compose.reaching import reach
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.wire.records import BatchRecord
from pipelines.shops import GOOD, LIMIT_S, Process, Shop, shop

__all__ = ["shop"]

LEASE_S = 3.0
LOOK_S = 0.2


def drill(shop: Shop, fault: Fault) -> Process:
    """Start a drill as a process of its own; return once it has begun."""
    script = Path(__file__).with_name("drilling.py")
    command = [sys.executable, str(script), str(shop.folder), msgspec.json.encode(fault).decode()]
    run = subprocess.Popen(
        command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    shop.started.append(run)
    shop.await_line(run, "drilling")
    return run


async def until_said(shop: Shop, what: Callable[[Injected], bool]) -> Injected:
    """Wait until the zone says something of its fault."""
    async with asyncio.timeout(LIMIT_S), reach(shop.folder) as reached:
        while True:
            beats = await reached.streams.beats("injected.priced.")
            said = [msgspec.json.decode(value, type=Injected) for value in beats.values()]
            if said and what(said[0]):
                return said[0]
            await asyncio.sleep(LOOK_S)


async def records(shop: Shop) -> list[BatchRecord]:
    async with reach(shop.folder) as reached:
        return [record async for record in reached.streams.records("priced")]


@pytest.mark.timeout(180)
def test_a_fault_whose_drill_is_killed_is_gone_within_its_lease_and_no_row_with_it(
    shop: Shop,
) -> None:
    shop.write(GOOD, rate=2_000, follow=True)
    run = shop.start("up", "shop.py")
    shop.until(run, lambda: shop.stored().height >= 1_000, "at work")
    fault = msgspec.structs.replace(
        make_fault(
            "poison_segfault", zone="priced", zone_kind="transform", drill="d1", share=0.004, seed=5
        ),
        lease_s=LEASE_S,
    )
    drilling = drill(shop, fault)
    shop.add(4_000)
    hit = asyncio.run(until_said(shop, lambda said: said.hits >= 3))
    assert (hit.id, hit.refused) == ("d1-1", "")

    drilling.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    over = asyncio.run(until_said(shop, lambda said: said.over))
    assert time.monotonic() - killed_s < LEASE_S + 2.0
    shop.add(3_000)
    shop.until(
        run, lambda: shop.stored().height + over.hits == shop.rows, "every row where it belongs"
    )

    kept = asyncio.run(records(shop))
    assert sum(record.dead for record in kept) == over.hits == shop.dead()
    assert {record.fault for record in kept} == {"", "d1-1"}
    assert all(record.fault == "" for record in kept[-5:]), "what came after it was not hit"
    assert all(not record.dead for record in kept if not record.fault)
    assert shop.zone(run, "priced")["state"] == "running"


@pytest.mark.timeout(180)
@pytest.mark.soak
def test_in_production_nothing_is_injected_that_nobody_has_allowed(shop: Shop) -> None:
    shop.write(GOOD, rate=2_000, follow=True)
    run = shop.start("up", "shop.py", env={"FIREDOOR_ENVIRONMENT": "production"})
    shop.until(run, lambda: shop.stored().height >= 500, "at work")
    fault = make_fault("partition", zone="priced", zone_kind="transform", drill="d1")
    drilling = drill(shop, fault)
    said = asyncio.run(until_said(shop, lambda said: bool(said.refused)))
    drilling.kill()
    assert "--allow-production" in said.refused
    assert said.hits == 0
    shop.until(run, shop.every_row_once, "every row once")

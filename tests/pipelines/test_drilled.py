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
from firedoor.drill.catalogue import faults_of
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.fault_kind import ZoneKind
from firedoor.ports.streams import Streams
from firedoor.wire.records import BatchRecord
from pipelines.shops import GOOD, LIMIT_S, POST, Process, Shop, shop

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


SHARES = {"": None, "rows": 0.02, "messages": 0.5, "batches": 0.5}
"""Enough to hit something of the little that there is."""
ZONES: dict[str, ZoneKind] = {"orders": "source", "priced": "transform", "post": "sink"}
NOT_HERE = {"out_of_order", "label_flip", "worker_memory", "poison_memory"}
"""Orders have no times and no labels; workers here may take a GiB, more than is polite to take."""


def faults_here() -> list[Fault]:
    """Return every fault of data, link and workers, in each zone that it can be injected in."""
    wanted = [
        (zone, kind, each)
        for zone, kind in ZONES.items()
        for each in faults_of(kind)
        if each.at in {"link", "source", "worker"} and each.name not in NOT_HERE
    ]
    return [
        msgspec.structs.replace(
            make_fault(
                each.name, zone=zone, zone_kind=kind, drill="d1", number=number, seed=number,
                share=SHARES[each.of_what],
                column="price" if each.column and each.name != "schema_added" else "",
            ),
            lease_s=2 * LEASE_S,
        )
        for number, (zone, kind, each) in enumerate(wanted)
    ]  # fmt: skip


async def inject(shop: Shop, streams: Streams, fault: Fault) -> Injected:
    """Inject one fault while rows come, without renewing it; return what its zone said at last."""
    said: Injected | None = None
    await streams.beat(f"fault.{fault.zone}", msgspec.json.encode(fault))
    async with asyncio.timeout(LIMIT_S):
        while said is None or not said.over:
            if shop.rows - shop.stored().height < 1_000:
                shop.add(500)
            await asyncio.sleep(LOOK_S)
            beats = await streams.beats(f"injected.{fault.zone}.")
            for value in beats.values():
                heard = msgspec.json.decode(value, type=Injected)
                said = heard if heard.id == fault.id else said
            assert said is None or not said.refused, said
    return said


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_no_row_is_lost_by_any_fault_and_the_pipeline_is_as_before_after_each(shop: Shop) -> None:
    shop.write(GOOD, follow=True, more=POST)
    run = shop.start("up", "shop.py")
    shop.until(run, lambda: shop.stored().height == shop.rows, "at work")

    async def main() -> dict[str, int]:
        hits = {}
        async with reach(shop.folder) as reached:
            for fault in faults_here():
                said = await inject(shop, reached.streams, fault)
                hits[f"{fault.zone} {fault.name}"] = said.hits
                await asyncio.to_thread(settle, shop, run, f"{fault.zone} {fault.name}")
        return hits

    hits = asyncio.run(main())
    assert len(hits) >= 40
    assert [name for name, count in hits.items() if not count] == []


def settle(shop: Shop, run: Process, after: str) -> None:
    """Wait until all rows are where they belong, and all zones at work."""
    shop.add(500)
    shop.until(
        run, lambda: shop.stored().height + dead(shop) == shop.rows, f"settled after {after}"
    )
    names = [*ZONES, "store"]
    shop.until(
        run, lambda: all(shop.zone(run, name)["state"] == "running" for name in names), after
    )


def dead(shop: Shop) -> int:
    """Return how many rows are dead in the one zone whose step costs rows."""
    return sum(record.dead for record in asyncio.run(records(shop)))

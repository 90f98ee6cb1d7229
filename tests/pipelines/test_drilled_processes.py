"""Processes of a run that a drill kills or stops: others go on, and nothing is left behind."""

from __future__ import annotations

import signal

import msgspec
import psutil
import pytest

from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import ZoneKind
from pipelines.shops import ENDED_S, GOOD, Process, Shop, shop
from pipelines.test_drilled import drill

__all__ = ["shop"]

LEASE_S = 3.0
LONG_S = 60.0
pytestmark = pytest.mark.timeout(180)


def fault(name: str, zone: str, kind: ZoneKind, *, number: int = 1, lease_s: float) -> Fault:
    made = make_fault(name, zone=zone, zone_kind=kind, drill="d", number=number)
    return msgspec.structs.replace(made, lease_s=lease_s)


def begun(shop: Shop, rate: float = 2_000) -> Process:
    shop.write(GOOD, rate=rate, follow=True)
    run = shop.start("up", "shop.py")
    shop.until(run, lambda: shop.stored().height >= 500, "at work")
    shop.until(run, lambda: shop.zone(run, "priced"), "seen at work")
    return run


def stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def test_nothing_is_left_of_a_zone_that_stands_still_when_drill_and_run_are_killed(
    shop: Shop,
) -> None:
    run = begun(shop)
    priced = psutil.Process(shop.zone(run, "priced")["pid"])
    drilling = drill(shop, fault("freeze", "priced", "transform", lease_s=LONG_S))
    shop.until(run, lambda: stopped(priced), "priced stopped")
    drilling.send_signal(signal.SIGKILL)
    assert shop.kill(run) == [], f"within {ENDED_S} s"


@pytest.mark.soak
def test_a_zone_stands_still_for_its_lease_and_then_goes_on_without_a_row_lost(
    shop: Shop,
) -> None:
    run = begun(shop)
    priced = psutil.Process(shop.zone(run, "priced")["pid"])
    drilling = drill(shop, fault("freeze", "priced", "transform", lease_s=LEASE_S))
    shop.until(run, lambda: stopped(priced), "priced stopped")
    drilling.send_signal(signal.SIGKILL)
    shop.add(1_000)
    shop.until(run, lambda: not stopped(priced), "priced going on")
    shop.until(run, shop.every_row_once, "every row stored")
    assert shop.zone(run, "priced")["pid"] == priced.pid, "it is the same process"


@pytest.mark.soak
@pytest.mark.parametrize("name", ["broker_down", "broker_freeze"])
def test_a_broker_that_a_drill_takes_away_comes_again_and_no_row_is_lost(
    shop: Shop, name: str
) -> None:
    run = begun(shop, rate=500)
    drilling = drill(shop, fault(name, "broker", "broker", lease_s=LEASE_S))
    shop.await_line(run, f"drill d: {name} in broker")
    drilling.send_signal(signal.SIGKILL)
    shop.add(1_000)
    shop.await_line(run, f"{name} in broker .* is over")
    shop.until(run, shop.every_row_once, "every row stored")


@pytest.mark.soak
def test_a_zone_in_a_crash_loop_goes_on_when_it_is_over_and_no_row_is_lost(shop: Shop) -> None:
    run = begun(shop, rate=1_000)
    drilling = drill(shop, fault("crash_loop", "priced", "transform", lease_s=8.0))
    shop.await_line(run, "zone priced: process .* was ended by SIGKILL")
    shop.await_line(run, "zone priced: process .* was ended by SIGKILL")
    drilling.send_signal(signal.SIGKILL)
    shop.add(1_000)
    shop.until(run, shop.every_row_once, "every row stored")

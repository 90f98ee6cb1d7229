"""Faults of drills in services that run: they begin, they hurt, and they end by themselves."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from firedoor.compose.reaching import reach
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.fault_kind import ZoneKind
from firedoor.errors import FiredoorError
from pipelines import drilling
from serving.client import Load
from serving.pressing import BIAS, asked_for, under_load
from serving.served import READY_S, Served, Shop

LEASE_S = 3.0
LONG_S = 30.0
KINDS: dict[str, ZoneKind] = {"control": "control", "broker": "broker"}
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.add(BIAS, live=True)
    with Served(shop, "--port", "0") as serving:
        serving.ready().until(lambda: (state := serving.state()) is not None and not state.broker)
        yield serving


def fault(name: str, zone: str = "predict", *, lease_s: float = LEASE_S, **more: object) -> Fault:
    kind = KINDS.get(zone, "service")
    number = next(NUMBERS)
    made = make_fault(name, zone=zone, zone_kind=kind, drill="d", number=number, **more)  # type: ignore[arg-type]
    return msgspec.structs.replace(made, lease_s=lease_s)


NUMBERS = iter(range(1, 1_000))


@contextmanager
def drilled(served: Served, one: Fault) -> Iterator[None]:
    """Have a process of its own want a fault while the block is at work; then it is killed."""
    words = [drilling.__file__, str(served.shop.folder), msgspec.json.encode(one).decode()]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE) as drill:
        assert drill.stdout is not None
        assert drill.stdout.readline() == b"drilling\n"
        try:
            yield
        finally:
            drill.kill()


def said(served: Served, one: Fault) -> Injected | None:
    """Return what is said of a fault by whoever injects it."""

    async def look() -> Injected | None:
        async with reach(served.shop.folder) as reached:
            beats = await reached.streams.beats(f"injected.{one.zone}.")
        told = [msgspec.json.decode(value, type=Injected) for value in beats.values()]
        return next((each for each in told if each.id == one.id), None)

    try:
        return asyncio.run(look())
    except FiredoorError:
        return None


def until_said(served: Served, one: Fault, what: Callable[[Injected], object]) -> None:
    served.until(lambda: (told := said(served, one)) is not None and what(told))


def minutes(served: Served, x: float) -> float:
    """Return what is answered to one row."""
    reply = served.ask(x)
    assert reply.status == 200, reply
    return reply.value


def answers(served: Served) -> bool:
    """Return whether the model answers."""
    try:
        return minutes(served, 3.0) == 6.0 + BIAS
    except OSError:
        return False


def test_a_model_that_a_drill_makes_wrong_is_right_within_the_lease_of_a_drill_that_is_killed(
    served: Served,
) -> None:
    one = fault("model_constant", intensity=0.25)
    assert minutes(served, 1.0) == 2.0 + BIAS
    with drilled(served, one):
        served.until(lambda: minutes(served, 1.0) == 0.25)
        until_said(served, one, lambda told: told.hits)
    killed_s = time.monotonic()
    served.until(lambda: minutes(served, 1.0) == 2.0 + BIAS)
    assert time.monotonic() - killed_s < LEASE_S + 2.0
    until_said(served, one, lambda told: told.over)


def test_requests_take_as_much_longer_as_a_drill_wants_and_those_beyond_their_time_fall_back(
    served: Served,
) -> None:
    others = itertools.count(100.0)

    def took_s() -> float:
        began_s = time.monotonic()
        served.ask(1.0)
        return time.monotonic() - began_s

    with drilled(served, fault("latency", intensity=0.4)):
        served.until(lambda: took_s() >= 0.4)
        assert minutes(served, 1.0) == 2.0 + BIAS
    served.until(lambda: took_s() < 0.4)
    with drilled(served, fault("latency", intensity=30.0)):
        served.until(lambda: minutes(served, next(others)) == -1.0)  # none is kept of them
    served.until(lambda: minutes(served, next(others)) > 200.0)


@pytest.mark.soak
def test_a_gateway_that_stands_still_goes_on_within_the_lease_and_answers_as_before(
    served: Served,
) -> None:
    one = fault("freeze")
    (gateway,) = served.processes("gateway")
    with drilled(served, one):
        served.until(lambda: gateway.status() == psutil.STATUS_STOPPED)
    killed_s = time.monotonic()
    served.until(lambda: gateway.status() != psutil.STATUS_STOPPED)
    assert time.monotonic() - killed_s < LEASE_S + 1.0
    assert minutes(served, 2.0) == 4.0 + BIAS
    assert served.processes("gateway") == [gateway]


@pytest.mark.soak
def test_control_is_kept_down_without_a_request_that_notices(served: Served) -> None:
    one = fault("control_down", "control")
    with under_load(served) as load:
        with drilled(served, one):
            served.until(lambda: not served.processes("control"))
            asked_for(served, load, int(load.rate * 2))
            assert not served.processes("control"), "it is not started again meanwhile"
        served.until(lambda: served.processes("control"))
        asked_for(served, load, 20)
    assert load.failed == []
    assert not load.degraded


@pytest.mark.soak
def test_the_broker_is_kept_down_and_comes_again_without_a_request_that_notices(
    served: Served,
) -> None:
    one = fault("broker_down", "broker")
    with under_load(served) as load:
        with drilled(served, one):
            served.until(lambda: not served.processes("nats"))
            asked_for(served, load, int(load.rate * 2))
            assert not served.processes("nats")
        served.until(lambda: served.processes("nats"), within_s=LEASE_S + 5)
        asked_for(served, load, 20)
    assert load.failed == []
    assert not load.degraded


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", ["model_segfault", "model_raise", "model_nan", "model_wrong_version"]
)
def test_every_request_is_answered_whatever_is_done_to_the_model(served: Served, name: str) -> None:
    one = fault(name, lease_s=6.0)
    with under_load(served) as load:
        with drilled(served, one):
            until_said(served, one, lambda told: told.hits)
            asked_for(served, load, int(load.rate * 4))
        served.until(lambda: (state := served.state()) is not None and state.ready)
        until_said(served, one, lambda told: told.over)
        assert load.degraded, "it was really done"
        # A breaker that opened during it stays open for a while after it.
        served.until(lambda: well_answered(served, load, 40), within_s=READY_S)
    assert load.failed == [], "by the fallback, where not by the model"


def well_answered(served: Served, load: Load, count: int) -> bool:
    """Ask for so many more, and return whether all but three were answered by the model."""
    before = sum(load.degraded.values())
    asked_for(served, load, count)
    return sum(load.degraded.values()) <= before + 3


@pytest.mark.soak
def test_a_gateway_in_a_crash_loop_is_killed_until_the_lease_is_over(served: Served) -> None:
    one = fault("crash_loop", intensity=1.0)
    with drilled(served, one):
        until_said(served, one, lambda told: told.hits >= 2)
    until_said(served, one, lambda told: told.over)
    served.until(lambda: answers(served), within_s=READY_S)


@pytest.mark.soak
def test_nothing_stands_still_when_drill_and_supervisor_are_killed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.add(BIAS, live=True)
    with Served(shop, "--port", "0") as serving:
        serving.ready().until(lambda: (state := serving.state()) is not None and not state.broker)
        (gateway,) = serving.processes("gateway")
        family = serving.family()
        with drilled(serving, fault("freeze", lease_s=LONG_S)):
            serving.until(lambda: gateway.status() == psutil.STATUS_STOPPED)
            serving._run.send_signal(signal.SIGKILL)
            serving._run.wait()
        _, left = psutil.wait_procs(family, timeout=10)
        assert left == []

"""Features looked up by a real worker, of a store over TCP that dies, hangs and lies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compute import fetch_steps
from compute.fetch_steps import PORT, temp_of
from firedoor.adapters.clock import SystemClock
from firedoor.compute.fetching import WorkerFetcher
from firedoor.compute.step import refer
from firedoor.gateway.features import FeatureLookups, LookedUp
from firedoor.spec.referred import StepNote
from firedoor.spec.service_plan import FeaturesPlan
from firedoor.wire.fetching import Scalar, decode_columns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("kept_fork_servers")
CLOCK = SystemClock()
TIMEOUT_S = 0.3


class Store:
    """The store's process."""

    def __init__(self, folder: Path) -> None:
        self._how = folder / "how"
        self.says("well")
        self.port = 0
        self.start()

    def says(self, how: str) -> None:
        beside = self._how.with_suffix(".new")
        beside.write_text(how)
        beside.replace(self._how)

    def start(self) -> None:
        script = Path(__file__).with_name("feature_store.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self._how)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    running = Store(tmp_path)
    monkeypatch.setenv(PORT, str(running.port))
    yield running
    if running.process.poll() is None:
        running.kill()


def plan_for(store: Store, *, default: dict[str, Scalar] | None = None) -> FeaturesPlan:
    followed = refer(fetch_steps.fetch, None, None, by_value=False)
    return FeaturesPlan(
        name="weather",
        keys=("origin",),
        columns={"temp": "Float64"},
        step=StepNote(
            name=followed.name,
            pickled=followed.pickled,
            main_path=followed.main_path,
            main_module=followed.main_module,
            where="",
        ),
        timeout_s=TIMEOUT_S,
        stale_max_s=60,
        default=default,
        network=(store.port,),
        env=(PORT,),
    )


@asynccontextmanager
async def opened(plan: FeaturesPlan) -> AsyncIterator[FeatureLookups]:
    """Open lookups, their worker ready."""
    fetcher = WorkerFetcher(plan, service="predict", sys_path=sys.path)
    features = FeatureLookups(
        [plan],
        {plan.name: fetcher},
        clock=CLOCK,
        killed=lambda capability: not capability,
        dice=random.Random(7),
    )
    try:
        async with asyncio.timeout(60):
            while fetcher.facts.state != "ready":
                await CLOCK.wait(0.01)
        yield features
    finally:
        await features.close()
        assert fetcher.facts.state == "closed"


async def ask(features: FeatureLookups, *origins: str) -> LookedUp:
    return await features.look_up({"origin": list(origins)}, len(origins), CLOCK.now_s() + 5)


def temps(looked: LookedUp) -> list[Scalar]:
    return decode_columns(looked.extra)["temp"]


async def until_live(features: FeatureLookups, *origins: str) -> float:
    """Return the seconds until the store's values are live again, and right."""
    began_s = CLOCK.now_s()
    async with asyncio.timeout(20):
        while (looked := await ask(features, *origins)).degraded:
            await CLOCK.wait(0.02)
    assert temps(looked) == [temp_of(origin) for origin in origins]
    return CLOCK.now_s() - began_s


@pytest.mark.parametrize("how", ["well", "reversed", "more"])
def test_values_are_of_their_keys_in_whatever_order_and_company_they_come(
    how: str, store: Store
) -> None:
    dice = random.Random(5)
    store.says(how)

    async def story() -> None:
        async with opened(plan_for(store)) as features:
            for _ in range(20):
                origins = [f"A{dice.randrange(100)}" for _ in range(dice.randrange(1, 9))]
                looked = await ask(features, *origins)
                assert temps(looked) == [temp_of(origin) for origin in origins], looked
                assert not looked.degraded

    asyncio.run(story())


@pytest.mark.parametrize(
    ("how", "says", "spared"),
    [
        ("others", "the store has none", ()),
        ("twice", "several values", ("JFK",)),
        ("nan", "NaN", ("EWR",)),
        ("text", "is String, not Float64", ()),
        ("keyless", "has no key origin", ()),
        ("valueless", "has no column 'temp'", ()),
        ("dict", "dict", ()),
        ("raise", "RuntimeError: the store says no (tests/compute/fetch_steps.py:", ()),
        ("crash", "its worker died", ()),
    ],
)
def test_what_a_function_does_wrong_is_no_value_of_any_row_and_is_said(
    how: str, says: str, spared: tuple[str, ...], store: Store
) -> None:
    async def story() -> None:
        async with opened(plan_for(store)) as features:
            store.says(how)
            looked = await ask(features, "EWR", "JFK")
            assert temps(looked) == [
                temp_of(origin) if origin in spared else None for origin in ("EWR", "JFK")
            ]
            assert "weather.temp is missing" in looked.abstain
            assert says in looked.abstain
            store.says("well")
            await until_live(features, "EWR", "JFK")

    asyncio.run(story())


def test_numbers_of_another_width_are_taken_where_they_stay_the_same(store: Store) -> None:
    store.says("integers")

    async def story() -> None:
        async with opened(plan_for(store)) as features:
            looked = await ask(features, "EWR", "JFK")
            assert temps(looked) == [round(temp_of("EWR")), round(temp_of("JFK"))]
            assert not looked.degraded

    asyncio.run(story())


def test_a_killed_store_costs_no_request_its_time_and_is_found_when_it_is_back(
    store: Store,
) -> None:
    async def story() -> None:
        async with opened(plan_for(store, default={"temp": -1.0})) as features:
            await until_live(features, "EWR")
            store.kill()
            took_s = await load(features, 150)
            assert quantile(took_s, 0.99) < TIMEOUT_S + 0.1
            assert quantile(took_s, 0.5) < 0.05
            assert features.facts()["weather"].breaker == "open"
            store.start()
            assert await until_live(features, "EWR", "JFK") < 10

    asyncio.run(story())


def test_a_hanging_store_costs_the_timeout_at_most_and_its_worker_is_replaced(store: Store) -> None:
    async def story() -> None:
        async with opened(plan_for(store, default={"temp": -1.0})) as features:
            await until_live(features, "EWR")
            before = features.facts()["weather"].fetcher.pid
            store.says("hang")
            took_s = await load(features, 150)
            assert max(took_s) < TIMEOUT_S + 0.2
            assert quantile(took_s, 0.5) < 0.05
            store.says("well")
            await until_live(features, "EWR", "JFK")
            facts = features.facts()["weather"].fetcher
            assert facts.pid != before
            assert facts.deaths >= 1

    asyncio.run(story())


def test_a_worker_that_is_killed_is_replaced_by_the_spare(store: Store) -> None:
    async def story() -> None:
        async with opened(plan_for(store)) as features:
            await until_live(features, "EWR")
            pid = features.facts()["weather"].fetcher.pid
            os.kill(pid, signal.SIGKILL)
            assert await until_live(features, "JFK") < 5
            assert features.facts()["weather"].fetcher.pid != pid

    asyncio.run(story())


def test_a_function_that_cannot_be_imported_says_so_and_stalls_nothing(store: Store) -> None:
    plan = plan_for(store, default={"temp": -1.0})
    step = StepNote(name="gone", pickled=b"no pickle", main_path=None, main_module=None, where="")
    fields = {name: getattr(plan, name) for name in plan.__struct_fields__}
    broken = FeaturesPlan(**{**fields, "step": step})

    async def story() -> None:
        fetcher = WorkerFetcher(broken, service="predict", sys_path=sys.path)
        features = FeatureLookups(
            [broken],
            {"weather": fetcher},
            clock=CLOCK,
            killed=lambda capability: not capability,
            dice=random.Random(7),
        )
        try:
            async with asyncio.timeout(30):
                while fetcher.facts.state != "backing_off":
                    await CLOCK.wait(0.01)
            assert "cannot be imported" in fetcher.facts.because
            began_s = time.monotonic()
            assert temps(await ask(features, "EWR")) == [-1.0]
            assert time.monotonic() - began_s < TIMEOUT_S + 0.2
        finally:
            await features.close()

    asyncio.run(story())


def test_a_worker_reaches_no_port_that_is_not_declared(store: Store) -> None:
    plan = plan_for(store)
    fields = {name: getattr(plan, name) for name in plan.__struct_fields__}
    shut = FeaturesPlan(**{**fields, "network": ()})

    async def story() -> None:
        async with opened(shut) as features:
            assert "PermissionError" in (await ask(features, "EWR")).abstain

    asyncio.run(story())


async def load(features: FeatureLookups, count: int) -> list[float]:
    """Ask for many things, one after the other, each with an answer; return what each took."""
    took_s: list[float] = []
    for number in range(count):
        began_s = CLOCK.now_s()
        looked = await ask(features, "EWR", f"A{number}")
        took_s.append(CLOCK.now_s() - began_s)
        assert temps(looked)[0] == temp_of("EWR"), "the last value is used meanwhile"
        assert temps(looked)[1] in {-1.0, temp_of(f"A{number}")}
        await CLOCK.wait(0.005)
    return took_s


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]

"""Workers that die: who pays for it, who does not, and how the next one comes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter, deque
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import psutil
import pytest

from compute.serving.kit import QUICK, all_of, ask, bundle, opened, plan, until, value
from firedoor.compute.variant import WorkerVariant
from firedoor.events.metrics import LABELS
from firedoor.isolation.relapse import RelapsePolicy
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.serving import Ask, Outcome, Told

FAULTS = {
    "raise": (Outcome.RAISED, "ValueError at tests/compute/serving/deadly.py:"),
    "nan": (Outcome.NON_FINITE, "non-finite"),
    "short": (Outcome.MISSHAPED, "misshaped"),
    "segfault": (Outcome.DIED, "SIGSEGV at tests/compute/serving/deadly.py:"),
    "exit": (Outcome.DIED, "exited with code 3"),
    "hang": (Outcome.DIED, "hang in tests/compute/serving/deadly.py:_do"),
    "leak": (Outcome.DIED, "memory in tests/compute/serving/deadly.py:_do"),
    "garbage": (Outcome.DIED, "sent what is no answer"),
}


def test_a_model_that_ends_by_every_code_there_is_makes_no_more_labels_than_may_be() -> None:
    variant = WorkerVariant.__new__(WorkerVariant)
    variant._deaths, variant._recent = Counter(), deque()
    variant._loop = cast("asyncio.AbstractEventLoop", SimpleNamespace(time=lambda: 0.0))
    for code in range(256):
        variant._count(f"exit {code}")
    assert len(variant._deaths) < int(LABELS["cause"][1] or 0)
    assert variant._deaths.total() == 256


@pytest.mark.parametrize("what", FAULTS)
def test_a_request_that_does_harm_costs_that_request(tmp_path: Path, what: str) -> None:
    # What is no hang is not to be taken for one on a machine that is slow.
    hang_s = QUICK.hang_s if what == "hang" else 20.0
    limits = msgspec.structs.replace(QUICK, attempt_s=20.0, hang_s=hang_s)

    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            until_s = time.monotonic() + 60
            asks = [
                ask(float(i), what if i == 100 else None, deadline_s=until_s) for i in range(400)
            ]
            for i, told in enumerate(await all_of(variant, asks, at_once=16)):
                if i == 100:
                    outcome, signature = FAULTS[what]
                    assert told.outcome is outcome, told
                    assert told.signature.startswith(signature), told
                else:
                    assert value(told) == 2.0 * i + 1
            if FAULTS[what][0] is Outcome.DIED:
                deaths = variant.facts.deaths
                assert deaths >= 3
                again = await all_of(variant, [asks[100]] * 20)
                assert {told.outcome for told in again} == {Outcome.DIED}
                assert variant.facts.deaths == deaths

    asyncio.run(main())


def test_a_worker_that_keeps_too_many_processors_busy_is_ended(tmp_path: Path) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, cpus=0.1, hang_s=30.0)
        service = plan(limits=limits)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service) as variant:
            asked = variant.ask(ask(1.0, "burn"))
            await until(lambda: variant.facts.deaths_by.get("cpu", 0) >= 1)
            assert value(await variant.ask(ask(2.0))) == 5.0
            asked.cancel()

    asyncio.run(main())


def test_a_candidate_yields_only_once_it_takes_more_than_its_processors(tmp_path: Path) -> None:
    def priorities(pids: tuple[int, ...]) -> set[int]:
        return {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids}

    def yields(pids: tuple[int, ...]) -> set[bool]:
        return {os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in pids}

    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, cpus=0.1, hang_s=30.0)
        service = plan(limits=limits)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service, nice=5) as variant:
            await until(lambda: len(variant.facts.pids) == 2)
            pids = variant.facts.pids
            assert value(await variant.ask(ask(2.0))) == 5.0
            assert priorities(pids) == {own}
            asked = variant.ask(ask(1.0, "burn"))
            await until(lambda: priorities(pids) == {own, min(own + 5, 19)})
            assert yields(pids) == {False, True}
            await until(lambda: variant.facts.deaths_by.get("cpu", 0) >= 1)
            asked.cancel()
            # one has burned: its successors yield before they are asked anything
            await until(lambda: yields(variant.facts.pids) == {True})

    asyncio.run(main())


def test_a_candidate_at_full_load_within_its_processors_does_not_yield(tmp_path: Path) -> None:
    def used_s(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, cpus=1, hang_s=30.0)
        service = plan(limits=limits)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service, nice=5) as variant:
            await until(lambda: len(variant.facts.pids) == 2)
            pids = variant.facts.pids
            before_s = {pid: used_s(pid) for pid in pids}
            asked = variant.ask(ask(1.0, "work"))
            await until(lambda: any(used_s(pid) - before_s[pid] > 0.8 for pid in pids))
            assert {os.sched_getscheduler(pid) for pid in pids} == {os.SCHED_OTHER}
            assert variant.facts.deaths == 0
            asked.cancel()

    asyncio.run(main())


def test_kills_from_outside_under_load_fail_no_request_and_blame_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, attempt_s=10.0)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            kills = asyncio.Event()

            async def killing() -> None:
                for _ in range(4):
                    await until(lambda: len(variant.facts.pids) == 2)
                    os.kill(variant.facts.pids[0], signal.SIGKILL)
                    dead = variant.facts.deaths
                    await until(lambda dead=dead: variant.facts.deaths > dead)
                kills.set()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(killing())
                first = 0
                while not kills.is_set():
                    numbers = range(first, first + 500)
                    told = await all_of(variant, [ask(float(i)) for i in numbers], at_once=32)
                    assert [value(one) for one in told] == [2.0 * i + 1 for i in numbers]
                    first += 500
            assert variant.facts.deaths_by == {"killed": 4}
            assert first >= 500

    asyncio.run(main())


def test_the_end_of_the_fork_server_and_of_all_workers_with_it_fails_no_request(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, attempt_s=20.0)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            await until(lambda: len(variant.facts.pids) == 2)
            asked = [variant.ask(ask(float(i))) for i in range(100)]
            os.kill(psutil.Process(variant.facts.pids[0]).ppid(), signal.SIGKILL)
            asked += [variant.ask(ask(float(i))) for i in range(100, 200)]
            assert [value(await one) for one in asked] == [2.0 * i + 1 for i in range(200)]
            await until(lambda: variant.facts.deaths_by == {"killed": 2})

    asyncio.run(main())


def test_what_kills_everything_backs_off_and_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        service = plan("always_dies", msgspec.structs.replace(QUICK, attempt_s=0.2))
        relapses = RelapsePolicy(free=1, first_s=0.4)
        arm = bundle(tmp_path / "b")
        async with opened(tmp_path / "b", arm, service, relapses=relapses) as variant:
            numbers = iter(range(1_000, 100_000))

            def backs_off() -> bool:
                return variant.facts.state == "backing_off"

            async with asyncio.timeout(30):
                while not backs_off():
                    told = variant.ask(ask(float(next(numbers))))
                    await until(lambda told=told: told.done() or backs_off())
            facts = variant.facts
            assert facts.deaths < 100
            assert facts.deaths_by == {"exit 3": facts.deaths}
            assert "exited with code 3" in facts.because
            assert (await variant.ask(ask(1.0))).outcome is Outcome.BUSY
            await until(lambda: variant.facts.state == "ready")
            assert value(await variant.ask(ask(1.0))) == 3.0

    asyncio.run(main())


def test_a_hanging_worker_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, attempt_s=0.2, hang_s=20.0)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            await until(lambda: len(variant.facts.pids) == 2)
            late = await variant.ask(ask(1.0, "hang"))
            assert late.outcome is Outcome.LATE

            async def right() -> bool:
                told = await variant.ask(ask(7.0))
                return told.outcome is Outcome.OK and value(told) == 15.0

            async with asyncio.timeout(5):
                while not await right():
                    pass
            assert variant.facts.deaths == 0

    asyncio.run(main())


def test_a_suspect_from_elsewhere_is_run_alone_and_its_time_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "b", bundle(tmp_path / "b")) as variant:
            asks = [ask(float(i), suspect=True, deadline_s=time.monotonic() + 5) for i in range(5)]
            told = await all_of(variant, asks)
            assert [value(one) for one in told] == [1.0, 3.0, 5.0, 7.0, 9.0]

    asyncio.run(main())


def test_each_death_of_many_leaves_a_variant_that_answers(tmp_path: Path) -> None:
    """Poison of every kind among many requests, each distinct: all others get their answer."""

    async def main() -> None:
        kinds = ["segfault", "exit", "raise", "nan", "short", "garbage"]
        poison = {97 * (at + 1): kind for at, kind in enumerate(kinds)}
        limits = msgspec.structs.replace(QUICK, attempt_s=10.0, replicas=2)
        service: ServicePlan = plan(limits=limits)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), service) as variant:
            asks: list[Ask] = [
                ask(float(i), poison.get(i), deadline_s=time.monotonic() + 20) for i in range(1_000)
            ]
            told: list[Told] = await all_of(variant, asks)
            for i, one in enumerate(told):
                if i in poison:
                    assert one.outcome is FAULTS[poison[i]][0], (poison[i], one)
                else:
                    assert value(one) == 2.0 * i + 1

    asyncio.run(main())

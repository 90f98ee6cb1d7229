"""What a call costs: nanoseconds, plain and async, good and refused; bytes of a guard."""
# ruff: noqa: PLW0108 - each lambda makes a breaker of its own, where its body alone would share one

import asyncio
import functools
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import aiobreaker
import circuitbreaker
import hyx.bulkhead
import hyx.circuitbreaker
import hyx.retry
import nopanic
import purgatory
import pybreaker
import pyresilience
import resilix
import stamina
import tenacity

import firedoor as fd
from benchmarks.guards.floors import Floor
from benchmarks.measure import Paper

Case = Callable[[], Any]
SLOW = fd.BreakerPolicy(slow_s=0.15)
FOREVER = fd.BreakerPolicy(slow_s=0.15, open_s=3600.0, open_max_s=3600.0, jitter=0.0)
CALLS = 20_000


def work(x: int) -> int:
    """Do nothing."""
    return x


async def awork(x: int) -> int:
    """Do nothing, later."""
    return x


def fail(_: int) -> int:
    """Fail."""
    raise ConnectionError


async def afail(_: int) -> int:
    """Fail, later."""
    raise ConnectionError


Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def purgatory_sync(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function behind purgatory's breaker, as its documentation shows it."""
    breaker = purgatory.SyncCircuitBreakerFactory(default_ttl=3600).get_breaker("x")

    def guarded(x: int) -> Any:
        with breaker:
            return fn(x)

    return guarded


def purgatory_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function behind purgatory's breaker."""
    factory = purgatory.AsyncCircuitBreakerFactory(default_ttl=3600)
    made: list[Any] = []

    async def guarded(x: int) -> Any:
        if not made:
            made.append(await factory.get_breaker("x"))
        async with made[0]:
            return await fn(x)

    return guarded


def aiobreaker_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function behind aiobreaker."""
    breaker = aiobreaker.CircuitBreaker(timeout_duration=timedelta(hours=1))
    return functools.partial(breaker.call_async, fn)


def pyresilience_breaker(**more: Any) -> Make:
    """Return pyresilience's breaker alone."""
    config = pyresilience.CircuitBreakerConfig(recovery_timeout=3600, **more)
    made: Make = pyresilience.resilient(circuit_breaker=config)
    return made


def pyresilience_stack(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function behind pyresilience's retry, breaker and bulkhead."""
    decorate = pyresilience.resilient(
        retry=pyresilience.RetryConfig(),
        circuit_breaker=pyresilience.CircuitBreakerConfig(
            sliding_window_size=100, minimum_calls=10, slow_call_duration=0.15
        ),
        bulkhead=pyresilience.BulkheadConfig(max_concurrent=20),
    )
    return decorate(fn)  # type: ignore[no-any-return]


def nopanic_stack(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function behind nopanic's retry, breaker with slow calls, and bulkhead."""
    stack = nopanic.compose(
        nopanic.retry(3, budget=nopanic.RetryBudget()),
        nopanic.circuit_breaker(slow_call_duration=0.15),
        nopanic.bulkhead(20),
    )
    return stack(fn)  # type: ignore[no-any-return]


def hyx_stack(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return an async function behind hyx's retry, breaker and bulkhead."""
    inner = hyx.bulkhead.bulkhead(max_concurrency=20, max_capacity=40)(fn)
    made: Callable[..., Any] = hyx.retry.retry()(hyx.circuitbreaker.consecutive_breaker()(inner))
    return made


def tenacity_around(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function behind tenacity, and behind circuitbreaker inside it."""
    guarded = circuitbreaker.CircuitBreaker(name=None)(fn)
    return tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)(guarded)  # type: ignore[no-any-return]


def stamina_around(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function behind stamina, and behind circuitbreaker inside it."""
    guarded = circuitbreaker.CircuitBreaker(name=None)(fn)
    made: Callable[..., Any] = stamina.retry(on=ConnectionError, attempts=3)(guarded)
    return made


def guard(**more: Any) -> Make:
    """Return one of ours."""

    def make(fn: Callable[..., Any]) -> Callable[..., Any]:
        return fd.Guard("bench", **more)(fn)

    return make


SYNC: dict[str, Make] = {
    "bare call": lambda fn: fn,
    "floor": lambda fn: Floor().wrap(fn),
    "firedoor": guard(breaker=FOREVER),
    "pybreaker": lambda fn: pybreaker.CircuitBreaker(reset_timeout=3600)(fn),
    "circuitbreaker": lambda fn: circuitbreaker.CircuitBreaker(recovery_timeout=3600)(fn),
    "purgatory": purgatory_sync,
    "nopanic": lambda fn: nopanic.circuit_breaker(reset_timeout=3600)(fn),
    "nopanic, slow calls": lambda fn: nopanic.circuit_breaker(
        reset_timeout=3600, slow_call_duration=0.15
    )(fn),
    "pyresilience": pyresilience_breaker(),
    "pyresilience, slow calls": pyresilience_breaker(
        sliding_window_size=100, minimum_calls=10, slow_call_duration=0.15
    ),
    "resilix": lambda fn: resilix.CircuitBreaker(reset_timeout=3600)(fn),
}
ASYNC: dict[str, Make] = {
    "bare call": lambda fn: fn,
    "floor": lambda fn: Floor().awrap(fn),
    "firedoor": guard(breaker=FOREVER),
    "circuitbreaker": SYNC["circuitbreaker"],
    "purgatory": purgatory_async,
    "aiobreaker": aiobreaker_async,
    "hyx": lambda fn: hyx.circuitbreaker.consecutive_breaker(recovery_time_secs=3600)(fn),
    "nopanic": SYNC["nopanic"],
    "nopanic, slow calls": SYNC["nopanic, slow calls"],
    "pyresilience": pyresilience_breaker(),
    "pyresilience, slow calls": SYNC["pyresilience, slow calls"],
    "resilix": SYNC["resilix"],
}
STACK: dict[str, Make] = {
    "floor": SYNC["floor"],
    "firedoor: retry, breaker, limit": guard(breaker=SLOW, retry=3, limit=True),
    "firedoor: timeout as well": guard(timeout_s=0.3, retry=3, limit=True),
    "nopanic: retry, budget, breaker, bulkhead": nopanic_stack,
    "pyresilience: retry, breaker, bulkhead": pyresilience_stack,
    "tenacity, circuitbreaker (no limit)": tenacity_around,
    "stamina, circuitbreaker (no limit)": stamina_around,
}
ASTACK: dict[str, Make] = {
    "floor": ASYNC["floor"],
    **{name: make for name, make in STACK.items() if name != "floor"},
    "hyx: retry, breaker, bulkhead": hyx_stack,
}


def median_ns(cases: dict[str, Case], rounds: int, seed: int) -> dict[str, tuple[float, float]]:
    """Return each case's median, and its median ratio to the floor of the same round.

    The order is drawn anew each round, so that a busy moment of the machine hits no one case; CPU
    time is taken, so that other programs' turns are not counted.
    """
    chance = random.Random(seed)
    took: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case()
    for _ in range(rounds):
        for name in chance.sample(list(cases), len(cases)):
            begun = time.process_time()
            cases[name]()
            took[name].append((time.process_time() - begun) / CALLS * 1e9)
    floor = took["floor"]
    return {
        name: (
            statistics.median(values),
            statistics.median(mine / least for mine, least in zip(values, floor, strict=True)),
        )
        for name, values in took.items()
    }


def loop_of(fn: Callable[..., Any]) -> Case:
    """Return what calls a plain function many times; the loop is part of every case alike."""

    def many() -> None:
        for _ in range(CALLS):
            fn(1)

    return many


def aloop_of(loop: asyncio.AbstractEventLoop, fn: Callable[..., Any]) -> Case:
    """Return what awaits an async function many times."""

    async def many() -> None:
        for _ in range(CALLS):
            await fn(1)

    return lambda: loop.run_until_complete(many())


def refusing(fn: Callable[..., Any]) -> Case:
    """Return what is refused many times."""

    def many() -> None:
        for _ in range(CALLS):
            try:
                fn(1)
            except Exception:  # noqa: BLE001, S112 - each library's own refusal
                continue

    return many


def opened(make: Make) -> Callable[..., Any]:
    """Return a function whose breaker is open."""
    calls = 0

    def failing(_: int) -> int:
        nonlocal calls
        calls += 1
        raise ConnectionError

    fn = make(failing)
    # A library with a window of calls judges it when it is full.
    for _ in range(150):
        with suppress(Exception):
            fn(1)
    before = calls
    with suppress(Exception):
        fn(1)
    assert calls == before, f"{make} did not open"
    return fn


def open_floor() -> Callable[..., Any]:
    """Return the floor, open."""
    floor = Floor()
    floor.open = True
    return floor.wrap(work)


def bytes_of(make: Make) -> int:
    """Return what one more guarded function takes, in bytes: the mean of 200."""
    kept = [make(lambda x: x) for _ in range(20)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept += [make(lambda x: x) for _ in range(200)]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(kept) > 200  # noqa: PLR2004 - they are kept until here
    return (after - before) // 200


def measure(paper: Paper, *, quick: bool) -> None:
    """Print the tables."""
    rounds = 5 if quick else 11
    loop = asyncio.new_event_loop()
    parts: dict[str, dict[str, Case]] = {
        "breaker, plain": {name: loop_of(make(work)) for name, make in SYNC.items()},
        "breaker, async": {name: aloop_of(loop, make(awork)) for name, make in ASYNC.items()},
        "stack, plain": {name: loop_of(make(work)) for name, make in STACK.items()},
        "stack, async": {name: aloop_of(loop, make(awork)) for name, make in ASTACK.items()},
        "refusal, plain": {
            "floor": refusing(open_floor()),
            **{n: refusing(opened(m)) for n, m in SYNC.items() if n not in {"floor", "bare call"}},
        },
    }
    sizes = {name: bytes_of(make) for name, make in SYNC.items() if name != "bare call"}
    for seed, (title, cases) in enumerate(parts.items()):
        rows = []
        for name, (ns, ratio) in median_ns(cases, rounds, seed).items():
            size = f"{sizes[name]:,}" if title == "breaker, plain" and name in sizes else ""
            rows.append([name, f"{ns:,.0f}", f"{ratio:.2f}", size])
        head = ["", "CPU ns a call", "x floor", "bytes a function"]
        paper.table(f"{title} ({rounds} rounds of {CALLS:,} calls)", head, rows)
        paper.keep(f"guards, {title}", rows)
    loop.close()

"""Each library around one call, in virtual time: 1 s a call, three attempts, full jitter.

The peers have their own defaults, but for an open time of 5 s (theirs are 30 to 60 s, with which
none recovers within the run). Where a library has no retries, tenacity stands outside its
breaker and does not repeat what it refuses.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiobreaker
import circuitbreaker
import hyx.circuitbreaker
import hyx.circuitbreaker.exceptions
import hyx.retry
import hyx.retry.backoffs
import nopanic
import purgatory
import purgatory.domain.model
import pybreaker
import pyresilience
import resilix
import stamina
import stamina.instrumentation
import tenacity

import firedoor as fd
from benchmarks.guards.world import Call, Stack

stamina.instrumentation.set_on_retry_hooks([])  # it logs each retry
TIMEOUT_S = 1.0
OPEN_S = 5.0
DEPENDENCY_ERRORS = (ConnectionError, TimeoutError)
REFUSALS = (
    aiobreaker.CircuitBreakerError,
    circuitbreaker.CircuitBreakerError,
    hyx.circuitbreaker.exceptions.BreakerFailing,
    nopanic.ResilienceError,
    purgatory.domain.model.OpenedState,
    pybreaker.CircuitBreakerError,
    pyresilience.CircuitOpenError,
    resilix.CircuitOpenError,
)


def timed(call: Call) -> Call:
    """Cut each attempt at its timeout."""

    async def attempt() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await call()

    return attempt


def with_tenacity(wrap: Callable[[Call], Call]) -> Stack:
    """Return tenacity around something."""

    def stack(call: Call, _: random.Random) -> Call:
        return tenacity.retry(  # type: ignore[no-any-return]
            stop=tenacity.stop_after_attempt(3),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            retry=tenacity.retry_if_not_exception_type(REFUSALS),
            reraise=True,
        )(wrap(timed(call)))

    return stack


def in_purgatory(call: Call) -> Call:
    """Return a call behind purgatory."""
    factory = purgatory.AsyncCircuitBreakerFactory(default_ttl=OPEN_S)

    async def guarded() -> None:
        async with await factory.get_breaker("x"):
            await call()

    return guarded


def in_aiobreaker(call: Call) -> Call:
    """Return a call behind aiobreaker."""
    breaker = aiobreaker.CircuitBreaker(timeout_duration=timedelta(seconds=OPEN_S))

    async def guarded() -> None:
        await breaker.call_async(call)

    return guarded


def in_pybreaker(call: Call) -> Call:
    """Return a call behind pybreaker's context manager, which awaits as well as it calls."""
    breaker = pybreaker.CircuitBreaker(reset_timeout=OPEN_S)

    async def guarded() -> None:
        with breaker.calling():
            await call()

    return guarded


def in_locked_pybreaker(call: Call) -> Call:
    """Return the same behind a lock: as a decorator pybreaker holds its own while it calls.

    Its lock is one of threads, of which virtual time has none; this one makes tasks wait as it
    makes threads wait, first come first served, outside the timeout.
    """
    guarded, lock = in_pybreaker(call), asyncio.Lock()

    async def alone_at_a_time() -> None:
        async with lock:
            await guarded()

    return alone_at_a_time


def with_stamina(call: Call, _: random.Random) -> Call:
    """Return stamina alone."""
    made: Call = stamina.retry(
        on=Exception, attempts=3, timeout=None, wait_initial=0.1, wait_max=5.0, wait_jitter=1.0
    )(timed(call))
    return made


def with_hyx(call: Call, _: random.Random) -> Call:
    """Return hyx's retry (which counts retries: two) around its breaker."""
    breaker = hyx.circuitbreaker.consecutive_breaker(recovery_time_secs=OPEN_S)
    backoff = hyx.retry.backoffs.expo(min_delay_secs=0.1, max_delay_secs=5, jitter=True)
    made: Call = hyx.retry.retry(on=DEPENDENCY_ERRORS, attempts=2, backoff=backoff)(
        breaker(timed(call))
    )
    return made


def with_nopanic(**more: Any) -> Stack:
    """Return nopanic, with its budget where slow calls count."""

    def stack(call: Call, _: random.Random) -> Call:
        budget = nopanic.RetryBudget() if more else None
        made: Call = nopanic.compose(
            nopanic.retry(
                3, on=DEPENDENCY_ERRORS, backoff=nopanic.backoff.full_jitter(0.1), budget=budget
            ),
            nopanic.circuit_breaker(reset_timeout=OPEN_S, **more),
        )(timed(call))
        return made

    return stack


def with_pyresilience(*, budget: bool, **more: Any) -> Stack:
    """Return pyresilience."""

    def stack(call: Call, _: random.Random) -> Call:
        made: Call = pyresilience.resilient(
            retry=pyresilience.RetryConfig(
                delay=0.1, max_delay=5.0, retry_on=DEPENDENCY_ERRORS, ignore_on=REFUSALS
            ),
            circuit_breaker=pyresilience.CircuitBreakerConfig(recovery_timeout=OPEN_S, **more),
            retry_budget=pyresilience.RetryBudgetConfig() if budget else None,
        )(timed(call))
        return made

    return stack


def with_guard(**more: Any) -> Stack:
    """Return ours."""

    def stack(call: Call, dice: random.Random) -> Call:
        guard = fd.Guard(
            "client->dependency", timeout_s=TIMEOUT_S, dice=dice,
            clock=asyncio.get_running_loop().time, **more,
        )  # fmt: skip

        async def work() -> None:
            await call()

        return guard(work)

    return stack


def alone(call: Call, _: random.Random) -> Call:
    """Return a timeout and nothing else."""
    return timed(call)


def in_circuitbreaker(call: Call) -> Call:
    """Return a call behind circuitbreaker."""
    made: Call = circuitbreaker.CircuitBreaker(recovery_timeout=int(OPEN_S))(call)
    return made


def resilix_breaker(call: Call) -> Call:
    """Return a call behind resilix."""
    made: Call = resilix.CircuitBreaker(reset_timeout=OPEN_S)(call)
    return made


RETRY_ALONE = ("tenacity", "stamina")
"""What only retries, run for the first seed only: it is half of the work, and always the same."""
STACKS: dict[str, Stack] = {
    "firedoor: retry, breaker": with_guard(retry=3),
    "firedoor: and limit": with_guard(retry=3, limit=True),
    "timeout only": alone,
    "tenacity": with_tenacity(lambda call: call),
    "stamina": with_stamina,
    "circuitbreaker": with_tenacity(in_circuitbreaker),
    "aiobreaker": with_tenacity(in_aiobreaker),
    "purgatory": with_tenacity(in_purgatory),
    "pybreaker, calling()": with_tenacity(in_pybreaker),
    "pybreaker, decorator": with_tenacity(in_locked_pybreaker),
    "resilix": with_tenacity(resilix_breaker),
    "hyx": with_hyx,
    "nopanic": with_nopanic(),
    "nopanic, slow calls, budget": with_nopanic(slow_call_duration=TIMEOUT_S / 2),
    "pyresilience": with_pyresilience(budget=False),
    "pyresilience, window, slow calls, budget": with_pyresilience(
        budget=True, sliding_window_size=100, minimum_calls=10, slow_call_duration=TIMEOUT_S / 2,
        slow_call_rate_threshold=0.5,
    ),
}  # fmt: skip

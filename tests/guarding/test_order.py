"""The order around a call is the one that is written down."""

from __future__ import annotations

import pytest

import firedoor as fd
from firedoor.guarding.guard import Guard
from firedoor.guards import events
from firedoor.guards.order import ORDER
from guarding.world import World, trip

NAMES = [position.name for position in ORDER]


def before(outer: str, inner: str) -> None:
    """Claim that one mechanism stands outside another."""
    assert NAMES.index(outer) < NAMES.index(inner)


def test_the_order_is_complete_and_every_place_has_a_reason() -> None:
    assert NAMES == [
        "measure", "fallback", "deadline", "shedding", "concurrency limit", "rate limit", "retry",
        "breaker", "attempt timeout", "drill fault", "work",
    ]  # fmt: skip
    assert all(len(position.why) > 10 for position in ORDER)


def test_a_fallback_answers_for_every_refusal_and_failure() -> None:
    world = World()
    for inner in ("deadline", "concurrency limit", "rate limit", "breaker", "work"):
        before("fallback", inner)
    guard = world.guard(limit=1, rate=fd.RatePolicy(per_s=0.001, burst=1), retry=2,
                        fallback=fd.Constant("spare"))  # fmt: skip
    with fd.deadline(0.0, clock=world.clock):
        assert guard.call(world.work) == "spare"
    with guard:
        assert guard.call(world.work) == "spare"
    assert guard.call(world.work) == "spare"
    open_one = world.guard(fallback=fd.Constant("spare"))
    open_one.force_open(by="test", because="order")
    assert open_one.call(world.work) == "spare"
    failing = world.guard(fallback=fd.Constant("spare"))
    world.fail()
    assert failing.call(world.work) == "spare"
    assert world.calls == 1


def test_who_has_no_time_left_takes_no_place_and_no_token() -> None:
    world = World()
    before("deadline", "concurrency limit")
    before("deadline", "rate limit")
    guard = world.guard(limit=1, rate=fd.RatePolicy(per_s=0.001, burst=1))
    with fd.deadline(0.0, clock=world.clock), pytest.raises(fd.DeadlineSpent):
        guard.call(world.work)
    assert guard.call(world.work) == "fresh"


def test_who_finds_no_place_takes_no_token() -> None:
    world = World()
    before("concurrency limit", "rate limit")
    guard = world.guard(limit=1, rate=fd.RatePolicy(per_s=0.001, burst=2))
    with guard, pytest.raises(fd.Overloaded):
        guard.call(world.work)
    assert guard.call(world.work) == "fresh"


def test_a_place_is_held_while_a_call_waits_to_try_again() -> None:
    world = World()
    before("concurrency limit", "retry")
    inflight: list[int | None] = []

    def sleep(seconds: float) -> None:
        assert seconds > 0
        inflight.append(guard.explain().inflight)

    guard: Guard = world.guard(limit=5, retry=2, sleep=sleep)
    world.fail()
    guard.call(world.work)
    assert inflight == [1]


def test_a_token_is_drawn_for_a_call_and_not_for_each_attempt() -> None:
    world = World()
    before("rate limit", "retry")
    guard = world.guard(retry=3, rate=fd.RatePolicy(per_s=0.001, burst=1))
    world.fail(2)
    assert guard.call(world.work) == "fresh"


def test_each_attempt_counts_for_the_breaker() -> None:
    world = World()
    before("retry", "breaker")
    guard = world.guard(retry=3)
    world.fail(2)
    guard.call(world.work)
    assert (guard.explain().calls, guard.explain().bad) == (3, 2)


def test_an_open_breaker_is_not_tried_again() -> None:
    world = World()
    guard = world.guard(retry=3)
    trip(world, guard)
    world.told.clear()
    with pytest.raises(fd.GuardOpen):
        guard.call(world.work)
    assert world.of(events.Retried) == []


def test_a_drill_meets_breaker_retry_and_timeout() -> None:
    world = World()
    for outer in ("retry", "breaker", "attempt timeout"):
        before(outer, "drill fault")
    guard = world.guard(timeout_s=1.0, retry=2)
    left: list[float | None] = []

    def fault() -> None:
        left.append(fd.remaining_s())
        raise ConnectionError

    guard.inject(fault)
    with pytest.raises(ConnectionError):
        guard.call(world.work)
    assert left == [pytest.approx(1.0)] * 2
    assert guard.explain().bad == 2

"""While retries are killed, no guard of a worker makes a call twice; afterwards they do again."""

from __future__ import annotations

import contextlib

import pytest

import firedoor as fd
from firedoor.compute.outward import Outward
from firedoor.wire.messages import Batch
from firedoor.wire.records import GuardOrder

ONCE = GuardOrder(guard="*", want="once", number=0, by="ann", because="it is drowning")


def batch(*orders: GuardOrder) -> Batch:
    return Batch(first=0, gate=True, slices=((0, 1),), orders=orders)


def test_retries_are_killed_for_the_batches_that_say_so_and_no_others() -> None:
    calls: list[int] = []
    guard = fd.Guard("once->away", retry=3, breaker=False, budget=False, sleep=lambda _: None)

    @guard
    def ask() -> None:
        calls.append(1)
        message = "away"
        raise ConnectionError(message)

    outward = Outward()
    counts = []
    for orders in ((), (ONCE,), (ONCE,), ()):
        outward.begin(batch(*orders))
        calls.clear()
        with outward.calling(), contextlib.suppress(ConnectionError):
            ask()
        counts.append(len(calls))
    assert counts == [3, 1, 1, 3]


def test_an_order_for_one_guard_is_followed_beside_it() -> None:
    guard = fd.Guard("once->open")
    outward = Outward()
    outward.begin(batch(ONCE, GuardOrder(guard="once->open", want="open", number=1)))
    with outward.calling(), pytest.raises(fd.GuardOpen):
        guard.call(int)

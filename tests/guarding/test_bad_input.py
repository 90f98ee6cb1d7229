"""What is wrong with the call, and what becomes of it."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from firedoor import (
    BreakerPolicy,
    Constant,
    DeclarationError,
    Function,
    GuardOpen,
    LimitPolicy,
    Overloaded,
    Previous,
    Stale,
)
from firedoor.guarding import registry
from firedoor.guarding.guard import Guard
from firedoor.guards import events
from guarding.world import World, trip


def numbers() -> Iterator[int]:
    yield 1


async def numbers_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("fn", [numbers, numbers_later])
def test_a_generator_is_refused_when_it_is_decorated_and_when_it_is_called(fn: Any) -> None:
    guard = Guard("a->b")
    for use in (guard, guard.call):
        with pytest.raises(DeclarationError, match="is a generator"):
            use(fn)


@pytest.mark.parametrize("fn", [3, None, "f", staticmethod(len), property(len)][:3])
def test_what_cannot_be_called_is_refused(fn: Any) -> None:
    with pytest.raises(DeclarationError, match="cannot be called"):
        Guard("a->b")(fn)


def test_a_class_method_is_refused_with_where_to_put_the_guard() -> None:
    with pytest.raises(DeclarationError, match="below @classmethod"):
        Guard("a->b")(classmethod(lambda _: 1))  # type: ignore[type-var]


def test_an_object_that_can_be_called_is_guarded_as_what_it_is() -> None:
    class Plain:
        def __call__(self, x: int) -> int:
            return x + 1

    class Later:
        async def __call__(self, x: int) -> int:
            return x + 1

    guard = Guard("a->b")
    assert guard(Plain())(1) == 2
    assert asyncio.run(guard(Later())(1)) == 2
    assert guard(len)("abc") == 3


def test_a_coroutine_from_a_plain_function_is_closed_and_refused() -> None:
    world = World()
    for guard in (world.guard(), world.guard(timeout_s=1, retry=3, limit=2)):
        hidden: Any = guard(lambda: world.awork())  # noqa: PLW0108 - the lambda hides what it is
        with pytest.raises(DeclarationError, match="acall"):
            hidden()
        with pytest.raises(DeclarationError, match="acall"):
            _ = guard.call(world.awork)
        assert guard.state == "closed"
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors here
    assert world.calls == 0


def test_a_plain_function_in_acall_says_that_it_has_run() -> None:
    world = World()
    with pytest.raises(TypeError, match="nothing to await"):
        asyncio.run(world.guard().acall(world.work))  # type: ignore[arg-type]
    assert world.calls == 1


def test_a_call_within_a_call_takes_a_place_of_its_own_and_never_deadlocks() -> None:
    world = World()
    guard = world.guard(limit=1)

    @guard
    def down(depth: int) -> int:
        return 0 if depth == 0 else down(depth - 1)

    assert down(0) == 0
    with pytest.raises(Overloaded):
        down(1)
    assert guard.explain().inflight == 0
    roomy = world.guard(limit=3)
    assert roomy.call(lambda: roomy.call(lambda: 5)) == 5


def test_a_function_that_is_guarded_twice_by_one_guard_is_guarded_once() -> None:
    world = World()
    guard = world.guard(retry=3)
    twice = guard(guard(world.work))
    world.fail(9)
    with pytest.raises(ConnectionError):
        twice()
    assert world.calls == 3
    with pytest.raises(ConnectionError):
        guard.call(twice)
    assert world.calls == 6


def test_of_nested_guards_only_the_outermost_retries() -> None:
    world = World()
    inner, outer = world.guard("b->c", retry=3, budget=False), world.guard("a->b", retry=3)
    world.fail(99)
    with pytest.raises(ConnectionError):
        outer.call(inner(world.work))
    assert world.calls == 3
    gave_up: events.GaveUp = world.of(events.GaveUp)[0]
    assert gave_up.why == "a layer further out tries again"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_with_nothing_in_flight_and_keeps_what_is_known() -> None:
    world = World()
    guard = world.guard(limit=1, timeout_s=1.0)
    tripped = world.guard("x->y", timeout_s=1.0)
    trip(world, tripped)
    world.now_s += 5.0
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait(10)

    holder = threading.Thread(target=guard.call, args=(hold,))
    holder.start()
    assert inside.wait(10)
    reads, writes = os.pipe()

    def probe_and_fork() -> None:
        child = os.fork()
        if child == 0:
            try:
                good = guard.call(lambda: "free") == "free" and guard.explain().inflight == 0
                # The parent probes; its probe is not ours, so ours may be made.
                told = tripped.call(lambda: "probe") if good else "taken"
                os.write(writes, told.encode())
            except BaseException as error:  # noqa: BLE001 - a child of a test ends here
                os.write(writes, repr(error).encode())
            os._exit(0)
        os.waitpid(child, 0)

    with pytest.warns(DeprecationWarning, match="fork") if _warns() else _nothing():
        tripped.call(probe_and_fork)
    leave.set()
    holder.join(10)
    assert os.read(reads, 1_000) == b"probe"
    os.close(reads)
    os.close(writes)
    assert guard.explain().inflight == 0


def _warns() -> bool:
    """Return whether this Python warns of a fork beside threads."""
    import sys  # noqa: PLC0415

    return sys.version_info >= (3, 12)


def _nothing() -> Any:
    import contextlib  # noqa: PLC0415

    return contextlib.nullcontext()


def test_a_fallback_that_raises_leaves_the_failure_that_came_first() -> None:
    world = World()
    broken = Function(lambda: 1 / 0)
    guard = world.guard(fallback=broken)
    world.fail()
    with pytest.raises(ConnectionError) as caught:
        guard.call(world.work)
    assert "fallback raised ZeroDivisionError" in caught.value.__notes__[0]
    assert isinstance(world.told[-1], events.FallbackFailed)
    ladder = world.guard(fallback=[broken, Constant("spare")])
    world.fail()
    assert ladder.call(world.work) == "spare"


def test_a_clock_that_goes_backwards_opens_and_closes_as_usual() -> None:
    world = World()
    guard = world.guard(timeout_s=1.0, retry=2, limit=True, rate=1_000.0)
    for back_s in (100.0, 0.0, 500.0):
        assert guard.call(world.work) == "fresh"
        world.now_s -= back_s
    trip(world, plain := world.guard("b->c"))
    world.now_s -= 400.0
    with pytest.raises(GuardOpen) as refused:
        plain.call(world.work)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s <= 1.2
    world.now_s += 1.2
    assert plain.call(world.work) == "fresh"
    assert plain.state == "closed"


def test_a_cancelled_probe_makes_room_for_the_next() -> None:
    world = World()
    guard = world.guard()
    trip(world, guard)
    world.now_s += 5.0

    async def main() -> str:
        begun = asyncio.Event()

        async def hang() -> None:
            begun.set()
            await asyncio.Event().wait()

        probe = asyncio.ensure_future(guard.acall(hang))
        await begun.wait()
        assert guard.state == "half-open"
        with pytest.raises(GuardOpen):
            await guard.acall(world.awork)
        probe.cancel()
        await asyncio.wait([probe])
        assert probe.cancelled()
        return str(await guard.acall(world.awork))

    assert asyncio.run(main()) == "fresh"
    assert guard.state == "closed"
    assert isinstance(world.of(events.ProbeVoid)[0], events.ProbeVoid)


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("error", [ConnectionError, Exception, Speechless, TimeoutError])
def test_an_exception_without_arguments_or_words_is_named_by_its_class(
    error: type[Exception],
) -> None:
    world = World()
    guard = world.guard(retry=2)
    world.fail(2, error)
    with pytest.raises(error):
        guard.call(world.work)
    assert guard.explain().last_bad[0].cause == error.__name__
    assert error.__name__ in str(guard.explain())


def test_a_listener_a_classifier_or_a_lease_that_raises_harms_no_call() -> None:
    world = World()

    def broken(*_: object) -> Any:
        raise RuntimeError("accessory")

    guard = world.guard(listener=broken, classify=broken, probe_lease=broken)
    trip(world, guard)
    assert "accessory" in guard.explain().listener_error
    world.now_s += 5.0
    assert guard.call(world.work) == "fresh"
    assert guard.state == "closed"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"timeout_s": "1s"}, "timeout_s"),
        ({"retry": 0}, "retry"),
        ({"retry": 101}, "retry"),
        ({"retry": "yes"}, "retry"),
        ({"breaker": 5}, "breaker"),
        ({"limit": 0}, "limit"),
        ({"limit": 2.5}, "limit"),
        ({"limit": True}, "limit"),
        ({"shedding": True}, "shedding"),
        ({"rate": 0}, "rate"),
        ({"rate": True}, "rate"),
        ({"priority": "urgent"}, "priority"),
        ({"fallback": 3}, "fallback"),
        ({"fallback": [Constant(1), len]}, "fallback"),
        ({"listener": 3}, "listener"),
        ({"probe_lease": 3}, "probe_lease"),
        ({"classify": "x"}, "classify"),
        ({"timeout_s": 0.3, "breaker": BreakerPolicy(slow_s=0.5)}, "slow_s"),
        ({"breaker": False, "limit": LimitPolicy()}, "limit"),
    ],
)
def test_a_guard_that_cannot_work_is_refused_when_it_is_declared(
    options: dict[str, Any], field: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        Guard("a->b", **options)
    assert refused.value.field == field
    assert refused.value.remedy


@pytest.mark.parametrize("name", ["", "  ", None, 3, "x" * 201])
def test_a_guard_without_a_name_is_refused(name: Any) -> None:
    with pytest.raises(DeclarationError, match="is no name"):
        Guard(name)


def test_a_request_that_cannot_be_hashed_has_no_stale_answer_but_a_previous_one() -> None:
    world = World()
    guard = world.guard(fallback=[Stale(), Previous(any_request=True)])
    assert guard.call(world.work, ["a", "list"]) == ["a", "list"]
    world.fail()
    assert guard.answer(world.work, ["another"]).source == "previous"
    keyed = world.guard(fallback=Stale(key=tuple))
    assert keyed.call(world.work, ["a"]) == ["a"]
    world.fail()
    assert keyed.answer(world.work, ["a"]).source == "stale"


def test_a_previous_answer_is_never_given_to_another_request_unless_that_is_asked_for() -> None:
    world = World()
    guard = world.guard(fallback=[Previous(), Constant("none")])
    assert guard.call(world.work, "JFK") == "JFK"
    world.fail()
    assert guard.call(world.work, "LGA") == "none"

    def settings() -> str:
        world.work("asked")
        return "settings"

    assert guard.call(settings) == "settings"
    world.fail()
    assert guard.answer(settings).source == "previous"
    with pytest.raises(DeclarationError, match="answer to another: the function takes 'at'"):

        @guard
        def wind(at: str) -> str:
            return at

    assert guard(settings)() == "settings"
    assert world.guard(fallback=Previous(any_request=True))(world.work)("JFK") == "JFK"
    with pytest.raises(DeclarationError, match="any_request"):
        Previous(any_request="yes")  # type: ignore[arg-type]


def test_a_refusal_travels_between_processes_whole() -> None:
    world = World()
    guard = world.guard()
    trip(world, guard)
    with pytest.raises(GuardOpen) as refused:
        guard.call(world.work)
    again = pickle.loads(pickle.dumps(refused.value))  # noqa: S301
    assert (again.guard, again.retry_after_s) == (guard.name, refused.value.retry_after_s)


def test_a_fault_of_a_drill_that_is_no_function_is_refused() -> None:
    with pytest.raises(DeclarationError, match="cannot be called"):
        Guard("a->b").inject(3)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_children_do_not_draw_the_same_waits() -> None:
    reads, writes = os.pipe()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os.write(writes, f"{registry.DICE.random()}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
    os.close(writes)
    drawn = os.read(reads, 1_000).split()
    os.close(reads)
    assert len(set(drawn)) == 2

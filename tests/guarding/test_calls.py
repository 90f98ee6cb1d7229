"""One guard used in every way: decorator, call, with; plain and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import firedoor as fd
from firedoor.guarding.guard import Guard
from firedoor.guards import events
from firedoor.testing.loop import run
from guarding.world import World, trip

OPTIONS: dict[str, dict[str, Any]] = {
    "breaker": {},
    "timeout": {"timeout_s": 1.0},
    "everything": {
        "timeout_s": 1.0, "retry": 3, "limit": True, "shedding": True, "rate": 1e6,
        "fallback": fd.Stale(key=lambda *_: 0),
    },
}  # fmt: skip
Use = Callable[[World, Guard], object]


def call(world: World, guard: Guard) -> object:
    return guard.call(world.work)


def decorated(world: World, guard: Guard) -> object:
    return guard(world.work)()


def acall(world: World, guard: Guard) -> object:
    return run(guard.acall(world.awork))


def adecorated(world: World, guard: Guard) -> object:
    async def main() -> object:
        return await guard(world.awork)()

    return run(main())


def block(world: World, guard: Guard) -> object:
    with guard as entered:
        assert entered is guard
        return world.work()


def ablock(world: World, guard: Guard) -> object:
    async def main() -> object:
        async with guard:
            return await world.awork()

    return run(main())


USES: list[Use] = [call, decorated, acall, adecorated, block, ablock]


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_call_that_is_well_is_the_work_and_is_counted(use: Use, options: dict[str, Any]) -> None:
    world = World()
    guard = world.guard(**options)
    assert [use(world, guard) for _ in range(5)] == ["fresh"] * 5
    told = guard.explain()
    assert (told.state, told.totals.good, told.totals.bad) == ("closed", 5, 0)
    assert told.inflight in {None, 0}
    assert world.told == []


@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_ten_failures_open_it_and_one_good_probe_closes_it(use: Use) -> None:
    world = World()
    guard = world.guard(timeout_s=1.0, limit=5)
    world.fail(10)
    for _ in range(10):
        with pytest.raises(ConnectionError):
            use(world, guard)
    with pytest.raises(fd.GuardOpen) as refused:
        use(world, guard)
    assert world.calls == 10
    assert 0 < (refused.value.retry_after_s or 0) <= 1.2
    world.now_s += 1.2
    assert use(world, guard) == "fresh"
    assert guard.state == "closed"
    assert [type(event) for event in world.told] == [
        events.BreakerOpened, events.ProbeStarted, events.BreakerClosed,
    ]  # fmt: skip
    assert guard.explain().inflight == 0


@pytest.mark.parametrize("use", [call, decorated, acall, adecorated], ids=lambda use: use.__name__)
def test_a_failure_that_passes_is_tried_again_and_costs_nothing(use: Use) -> None:
    world = World()
    guard = world.guard(retry=3)
    world.fail(2)
    assert use(world, guard) == "fresh"
    assert world.calls == 3
    assert [event.attempt for event in world.of(events.Retried)] == [2, 3]
    assert guard.explain().totals.retries == 2
    assert guard.explain().retry_tokens == 50 - 5  # the first retry failed


@pytest.mark.parametrize("use", [call, acall], ids=lambda use: use.__name__)
def test_an_answer_of_the_dependency_is_neither_retried_nor_bad_nor_replaced(use: Use) -> None:
    world = World()
    guard = world.guard(retry=3, fallback=fd.Constant("spare"))
    for _ in range(20):
        world.script.append(KeyError("no such flight"))
        with pytest.raises(KeyError):
            use(world, guard)
    assert world.calls == 20
    assert guard.state == "closed"
    assert guard.explain().totals.neutral == 20


@pytest.mark.parametrize("use", [call, acall], ids=lambda use: use.__name__)
def test_a_breaker_that_opens_ends_the_retrying_with_the_real_failure(use: Use) -> None:
    world = World()
    guard = world.guard(retry=5, budget=False, breaker=fd.BreakerPolicy(consecutive=3))
    world.fail(9)
    with pytest.raises(ConnectionError):
        use(world, guard)
    assert world.calls == 3
    assert guard.state == "open"


@pytest.mark.parametrize("use", [block, ablock], ids=lambda use: use.__name__)
def test_a_block_says_what_cannot_apply_to_it(use: Use) -> None:
    world = World()
    guard = world.guard(retry=3, fallback=fd.Constant(0))
    world.fail()
    with pytest.raises(ConnectionError) as caught:
        use(world, guard)
    assert world.calls == 1
    (note,) = caught.value.__notes__
    assert note.startswith(
        "guard 'serve->features': retry and fallback cannot apply to a with block"
    )


def test_blocks_of_one_guard_nest_and_end_innermost_first() -> None:
    world = World()
    guard = world.guard(limit=3)
    with guard, world.guard("other"), guard:
        assert guard.explain().inflight == 2
    assert guard.explain().inflight == 0
    full = world.guard(limit=1)
    with full, pytest.raises(fd.Overloaded), full:
        pass
    assert full.explain().inflight == 0


def aguarded(guard: Guard, seconds: float) -> Callable[[], Awaitable[str]]:
    @guard
    async def slowly() -> str:
        await asyncio.sleep(seconds)
        return "late"

    return slowly


def loop_guard(**more: Any) -> Guard:
    return Guard("serve->features", clock=lambda: asyncio.get_running_loop().time(), **more)


def test_an_async_attempt_is_cut_at_its_timeout() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard = loop_guard(timeout_s=0.3)
        with pytest.raises(fd.DeadlineExceeded) as cut:
            await aguarded(guard, 5.0)()
        assert isinstance(cut.value, TimeoutError)
        assert loop.time() == pytest.approx(0.3)
        with pytest.raises(fd.DeadlineExceeded):
            async with guard:
                await asyncio.sleep(5.0)
        assert loop.time() == pytest.approx(0.6)
        assert guard.explain().bad == 2

    run(_in_loop(main))


async def _in_loop(main: Callable[[], Awaitable[None]]) -> None:
    await main()


def test_a_timeout_of_the_work_itself_stays_its_own() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise TimeoutError("read")

        with pytest.raises(TimeoutError, match="read") as caught:
            await loop_guard(timeout_s=0.3).acall(fail)
        assert not isinstance(caught.value, fd.DeadlineExceeded)

    run(main())


def test_the_callers_deadline_cuts_attempts_waits_and_late_beginnings() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard = loop_guard(timeout_s=10.0, retry=5)
        with fd.deadline(1.0, clock=loop.time), pytest.raises(TimeoutError):
            await aguarded(guard, 30.0)()
        assert loop.time() == pytest.approx(1.0)
        # The caller's haste is not the dependency's fault.
        assert guard.explain().bad == 0
        with fd.deadline(0.0, clock=loop.time), pytest.raises(fd.DeadlineSpent):
            await aguarded(guard, 0.0)()

    run(main())


def test_a_call_that_cannot_end_in_time_is_refused_before_it_begins() -> None:
    world = World()
    guard = world.guard(timeout_s=10.0)
    assert guard.call(world.work, "fresh", 1.0) == "fresh"
    with fd.deadline(0.5, clock=world.clock), pytest.raises(fd.DeadlineSpent):
        guard.call(world.work)
    assert world.calls == 1
    with fd.deadline(2.0, clock=world.clock):
        assert guard.call(world.work) == "fresh"


def test_the_work_is_told_how_long_it_may_take() -> None:
    world = World()
    guard = world.guard(timeout_s=0.3)
    assert fd.remaining_s() is None
    assert guard.call(fd.remaining_s) == pytest.approx(0.3)
    with fd.deadline(0.1, clock=world.clock):
        assert guard.call(fd.remaining_s) == pytest.approx(0.1)
        headers = guard.call(fd.outgoing_headers)
    assert headers["firedoor-timeout-ms"] == "100"
    with fd.incoming({"firedoor-timeout-ms": "100000", "firedoor-outer-retries": "1"}):
        left_s = world.guard().call(fd.remaining_s)
        assert left_s is not None
        assert 99 < left_s <= 100
        assert fd.outgoing_headers()["firedoor-outer-retries"] == "1"
    assert fd.outgoing_headers() == {}


def test_a_caller_in_another_process_that_retries_is_the_only_one_that_does() -> None:
    world = World()
    guard = world.guard(retry=3)
    world.fail(9)
    with fd.incoming({"firedoor-outer-retries": "1"}), pytest.raises(ConnectionError):
        guard.call(world.work)
    assert world.calls == 1


def test_the_number_of_the_attempt_travels_with_the_call() -> None:
    world = World()
    guard = world.guard(retry=3)
    seen: list[str] = []

    def work() -> None:
        seen.append(fd.outgoing_headers().get("firedoor-attempt", "1"))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        guard.call(work)
    assert seen == ["1", "2", "3"]


@pytest.mark.parametrize(
    "rung", [fd.Stale(), fd.Stale(key=str), fd.Previous(any_request=True)], ids=repr
)
def test_functions_behind_one_guard_never_answer_for_each_other(rung: fd.Stale) -> None:
    guard = World().guard(fallback=[rung, fd.Constant("none")], breaker=False)
    down: list[str] = []

    def wind(at: str) -> str:
        if down:
            raise ConnectionError(at)
        return f"wind at {at}"

    def rain(at: str) -> str:
        raise ConnectionError(at)

    guarded_wind, guarded_rain = guard(wind), guard(rain)
    assert guarded_wind("JFK") == guard.call(wind, "JFK") == "wind at JFK"
    down.append("from now on")
    assert guarded_wind("JFK") == guard.call(wind, "JFK") == "wind at JFK"
    assert guarded_rain("JFK") == guard.call(rain, "JFK") == "none"


def test_equal_arguments_of_different_types_are_different_requests() -> None:
    world = World()
    guard = world.guard(fallback=[fd.Stale(), fd.Constant("none")])
    assert guard.call(world.work, 1) == 1
    for other in (True, 1.0):
        world.fail()
        assert guard.call(world.work, other) == "none"
    world.fail()
    assert guard.call(world.work, 1) == 1


def test_stale_answers_are_told_with_their_age() -> None:
    world = World()
    guard = world.guard(fallback=[fd.Stale(60.0), fd.Constant(0)])
    assert guard.answer(world.work, 7) == fd.Answer(7)
    world.now_s += 42.0
    world.fail(3)
    assert guard.answer(world.work, 7) == fd.Answer(7, "stale", 42.0)
    assert guard.answer(world.work, 8) == fd.Answer(0, "constant", None)
    world.now_s += 42.0
    assert guard.call(world.work, 7) == 0
    assert [(event.source, event.age_s) for event in world.of(events.Degraded)] == [
        ("stale", 42.0), ("constant", None), ("constant", None),
    ]  # fmt: skip
    assert guard.explain().totals.degraded == 3


def test_an_async_fallback_is_awaited() -> None:
    world = World()
    guard = world.guard(fallback=fd.Function(world.awork))
    world.fail()
    assert run(guard.aanswer(world.awork, 7)) == fd.Answer(7, "function", None)


def test_answers_that_are_kept_are_bounded() -> None:
    world = World()
    guard = world.guard(fallback=fd.Stale(keys_max=2))
    for value in (1, 2, 1, 3):
        guard.call(world.work, value)
    kept = []
    for value in (1, 2, 3):
        world.fail()
        try:
            kept.append(guard.call(world.work, value))
        except ConnectionError:
            kept.append(None)
    assert kept == [1, None, 3]


def test_a_rate_is_kept_and_says_when_to_come_back() -> None:
    world = World()
    guard = world.guard(rate=fd.RatePolicy(per_s=2.0, burst=2))
    guard.call(world.work)
    guard.call(world.work)
    with pytest.raises(fd.RateExceeded) as refused:
        guard.call(world.work)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    world.now_s += 0.5
    assert guard.call(world.work) == "fresh"


def test_a_person_opens_disables_and_resets_it_and_is_named() -> None:
    world = World()
    guard = world.guard()
    guard.force_open(by="ada", because="moving the database")
    with pytest.raises(fd.GuardOpen) as refused:
        guard.call(world.work)
    assert refused.value.retry_after_s is None
    assert (guard.state, guard.explain().by) == ("forced-open", "ada")
    assert "ada opened it: moving the database" in str(guard.explain())
    guard.disable(by="ada", because="let us see")
    world.fail(30)
    for _ in range(30):
        with pytest.raises(ConnectionError):
            guard.call(world.work)
    assert guard.state == "disabled"
    guard.reset(by="ada", because="done")
    assert guard.call(world.work) == "fresh"
    assert [event.order for event in world.of(events.BreakerOrdered)] == [
        "open",
        "disable",
        "close",
    ]


def test_whoever_probes_for_all_may_deny_a_probe() -> None:
    world = World()
    asked: list[tuple[str, float]] = []

    def lease(name: str, lease_s: float) -> float:
        asked.append((name, lease_s))
        return 3.0 if len(asked) == 1 else 0.0

    guard = world.guard(timeout_s=1.0, probe_lease=lease)
    trip(world, guard)
    world.now_s += 2.0
    with pytest.raises(fd.GuardOpen) as refused:
        guard.call(world.work)
    assert refused.value.retry_after_s == 3.0
    assert guard.explain().state == "open"
    world.now_s += 3.0
    assert guard.call(world.work) == "fresh"
    assert asked == [("serve->features", 1.0)] * 2
    assert guard.state == "closed"


def test_a_fault_of_a_drill_meets_everything_and_ends() -> None:
    world = World()
    guard = world.guard(retry=2)

    def fault() -> None:
        raise ConnectionError("drill")

    guard.inject(fault)
    with pytest.raises(ConnectionError, match="drill"):
        guard.call(world.work)
    assert world.calls == 0
    assert guard.explain().bad == 2
    guard.inject(None)
    assert guard.call(world.work) == "fresh"


def test_a_fault_that_hangs_is_cut_at_the_timeout() -> None:
    async def main() -> None:
        guard = loop_guard(timeout_s=0.3)
        guard.inject(asyncio.Event().wait)
        with pytest.raises(fd.DeadlineExceeded):
            await aguarded(guard, 0.0)()
        assert guard.explain().bad == 1
        guard.inject(None)
        assert await aguarded(guard, 0.0)() == "late"

    run(main())


def test_threads_lose_no_count_and_no_place() -> None:
    world = World()
    guard = world.guard(limit=4, timeout_s=5.0)
    most, inside, lock = 0, 0, threading.Lock()
    done = {"good": 0, "refused": 0}

    @guard
    def work() -> None:
        nonlocal most, inside
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.0002)
        with lock:
            inside -= 1

    def many() -> None:
        for _ in range(150):
            try:
                work()
                what = "good"
            except fd.Overloaded:
                what = "refused"
            with lock:
                done[what] += 1

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = guard.explain()
    assert most <= 4
    assert told.inflight == 0
    assert (told.totals.good, told.totals.refused) == (done["good"], done["refused"])
    assert sum(done.values()) == 1_200


def test_an_explanation_is_plain_data_and_a_page_for_the_night() -> None:
    import json  # noqa: PLC0415

    world = World()
    guard = world.guard(timeout_s=1.0, retry=2, limit=True)
    trip(world, guard)
    with pytest.raises(fd.GuardOpen):
        guard(world.work)()
    told = guard.explain()
    assert json.loads(json.dumps(told.as_dict()))["state"] == "open"
    text = str(told)
    for part in (
        "serve->features: open. Opened because 10 calls in a row were bad.",
        "next probe: in ", "last 10 s: 10 calls, 10 bad", "0.0 s ago: ConnectionError",
        "refused 1 calls of World.work", "0 of 20 calls under way", "retry budget: ",
    ):  # fmt: skip
        assert part in text, text


def test_a_name_and_a_state_are_what_a_guard_shows_of_itself() -> None:
    assert repr(Guard("a->b")) == "<Guard 'a->b' closed>"
    assert Guard("a->b", breaker=False).explain().why == "It has no breaker."

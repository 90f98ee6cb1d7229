"""Fuse a guard and an async function into one coroutine function: ``fuse``, with awaits.

Only here is the event loop imported: a program that guards plain functions does not pay for it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from firedoor.errors import DeadlineExceeded, GuardOpen
from firedoor.guarding import fuse
from firedoor.guarding.edge import Edge, Ticket
from firedoor.guarding.fuse import Args, Asked, Call, Kwargs, Work
from firedoor.guarding.ladder import Memory
from firedoor.guarding.passage import IDLE, PASSAGE, on_clock
from firedoor.guarding.registry import SWITCH
from firedoor.guarding.slots import Free, Slots, Waiter
from firedoor.guards import deadline as deadlines
from firedoor.guards import retry
from firedoor.guards.deadline import Passage
from firedoor.guards.fallback import Answer


def lean(edge: Edge, work: Work, caller: str) -> Work:
    """Return an async function behind a breaker."""
    clock, slow_s, name, asked = edge.clock, edge.slow_s, edge.name, edge.askers.of(caller)

    async def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the work's own types
        good = edge.good
        if good is None:
            now_s = clock()
            if edge.shut_from_s <= now_s < edge.shut_until_s:
                asked()
                raise GuardOpen(name, edge.shut_until_s - now_s)
            return await attempt(edge, work, args, kwargs, caller)
        begun_s = clock()
        try:
            result = await work(*args, **kwargs)
        except BaseException as error:
            edge.failed(good, error, begun_s)
            raise
        end_s = clock()
        if end_s - begun_s > slow_s or end_s >= edge.edge_s:
            edge.finished(good, begun_s, end_s)
        else:
            good()
        return result

    return guarded


def full(  # noqa: C901, PLR0915 - see guarded
    edge: Edge, work: Work, caller: str, memory: Memory | None, *, told: bool, skip: int
) -> Work:
    """Return an async function behind everything that the guard has."""
    clock, slow_s, slots, ladder = edge.clock, edge.slow_s, edge.slots, edge.policies.fallback
    inward, rank = fuse.passage_maker(edge), fuse.RANK[edge.policies.priority]
    plain, rated = fuse.plain_passage(edge), edge.policies.rate is not None
    get_passage, set_passage, reset_passage = PASSAGE.get, PASSAGE.set, PASSAGE.reset
    times = edge.policies.deadline.attempt_s is not None

    async def guarded(  # noqa: C901, PLR0912, PLR0915 - one frame a call
        *args: Any,  # noqa: ANN401 - the work's own types
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        good = edge.good
        if good is None and SWITCH.off:
            result = await work(*args, **kwargs)
            return Answer(result) if told else result
        outer = get_passage()
        try:  # fallback
            free: Free | None = None
            fine = False
            if outer is not IDLE:
                free, good = await enter(edge, outer), edge.good
            elif slots is not None:
                free = slots.free
                try:
                    del free[slots.reserve[rank]]
                except IndexError:
                    free, good = await wait_for_place(slots, rank, None), edge.good
            try:  # a place of the concurrency limit is held
                if rated:
                    edge.draw_rate()
                begun_s = clock()
                token = None
                if outer is IDLE and plain is not None:
                    token = set_passage(plain)
                elif inward is not None:
                    token = set_passage(inward(outer, begun_s))
                try:
                    if good is None or times or outer is not IDLE:
                        result, fine = await attempt_told(edge, work, args, kwargs, caller, outer)
                    else:
                        try:
                            result = await work(*args, **kwargs)
                        except BaseException as error:
                            edge.failed(good, error, begun_s)
                            raise
                        end_s = clock()
                        if end_s - begun_s > slow_s or end_s >= edge.edge_s:
                            fine = edge.finished(good, begun_s, end_s)
                        else:
                            good()
                            fine = True
                except Exception as error:  # noqa: BLE001 - raised again there
                    call = Call(work, args, kwargs, caller, outer)
                    result = await retry_or_raise(edge, call, error)
                finally:
                    if token is not None:
                        reset_passage(token)
            finally:
                if free is not None and slots is not None:
                    free.append(None)
                    if slots.attend or (fine and len(free) <= slots.half):
                        slots.after(good=fine)
        except Exception as error:
            if not ladder:
                raise
            asked = Asked(args, kwargs, memory, skip)
            answer = await fall_back(edge, asked, error)
            return answer if told else answer.value
        if memory is not None:
            memory.keep((args, kwargs), result, clock(), skip=skip)
        return Answer(result) if told else result

    return guarded


async def enter(edge: Edge, outer: Passage) -> Free | None:
    """Refuse who has no time left, then take a place, waiting for one if that is allowed."""
    left_s = fuse.check_deadline(edge, outer)
    slots = edge.slots
    if slots is None:
        return None
    rank = fuse.RANK[outer.priority or edge.policies.priority]
    free = slots.take(rank)
    return await wait_for_place(slots, rank, left_s) if free is None else free


async def wait_for_place(slots: Slots, rank: int, left_s: float | None) -> Free:
    """Wait until there is room, as long as the queue allows; other tasks go on."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()

    def ring() -> None:
        loop.call_soon_threadsafe(rung.set)

    place, patience_s = slots.queue_up(rank, ring)
    if not isinstance(place, Waiter):
        return place
    try:
        if patience_s > 0:
            async with asyncio.timeout(patience_s if left_s is None else min(patience_s, left_s)):
                await rung.wait()
    except TimeoutError:
        pass  # settled below: it may have been given a place at the last moment
    except BaseException:
        slots.leave(place)
        raise
    return slots.settle(place, rank)


async def attempt(
    edge: Edge, work: Work, args: Args, kwargs: Kwargs, caller: str, outer: Passage = IDLE
) -> Any:  # noqa: ANN401 - the work's own type
    """Make one attempt, whatever state the guard is in."""
    return (await attempt_told(edge, work, args, kwargs, caller, outer))[0]


async def attempt_told(
    edge: Edge, work: Work, args: Args, kwargs: Kwargs, caller: str, outer: Passage
) -> tuple[Any, bool]:
    """Make one attempt; return its result, and whether it came in time.

    Raises:
        GuardOpen: if the breaker does not let it in.
        DeadlineExceeded: if it was cut at its timeout, or at its caller's deadline.
    """
    good = edge.good
    ticket: Ticket = edge.admit(caller) if good is None else good
    begun_s = edge.clock()
    cut_s = edge.policies.deadline.attempt_s
    left_s = deadlines.remaining_s(on_clock(outer, edge.clock), begun_s)
    if left_s is not None and (cut_s is None or left_s < cut_s):
        cut_s = left_s
    if edge.fault is not None:
        work = drilled(edge.fault, work)
    try:
        if cut_s is None:
            result = await work(*args, **kwargs)
        else:
            result = await timed(edge, work, args, kwargs, cut_s)
    except BaseException as error:
        edge.failed(ticket, error, begun_s, caller_gone=fuse.gone(outer, edge.clock))
        raise
    end_s = edge.clock()
    if good is None or end_s - begun_s > edge.slow_s or end_s >= edge.edge_s:
        return result, edge.finished(ticket, begun_s, end_s)
    good()
    return result, True


def drilled(fault: Callable[[], object], work: Work) -> Work:
    """Return the work with a drill's fault before it, which may be awaited."""

    async def faulty(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the work's own types
        told = fault()
        if inspect.isawaitable(told):
            await told
        return await work(*args, **kwargs)

    return faulty


async def timed(edge: Edge, work: Work, args: Args, kwargs: Kwargs, cut_s: float) -> Any:  # noqa: ANN401
    """Run the work, and cancel it when its time is over.

    Raises:
        DeadlineExceeded: if it was cancelled. A ``TimeoutError`` of the work itself stays one.
    """
    cut = asyncio.timeout(cut_s)
    try:
        async with cut:
            return await work(*args, **kwargs)
    except TimeoutError:
        if cut.expired():
            raise DeadlineExceeded(edge.name, cut_s) from None
        raise


async def retry_or_raise(edge: Edge, call: Call, error: Exception) -> Any:  # noqa: ANN401
    """Try again as long as policy, budget and deadline allow; else raise the latest failure."""
    work, args, kwargs, caller, outer = call
    number, here = 1, on_clock(outer, edge.clock)
    inward = fuse.passage_maker(edge)
    while True:
        kind = edge.kind(error)
        again = None
        if kind in retry.PASSES and not isinstance(error, GuardOpen):
            again = edge.again(number, error, kind, here)
        if again is None:
            raise error
        wait_s, cost = again
        if wait_s > 0:
            await asyncio.sleep(wait_s)  # noqa: TID251 - a wait that nothing can end earlier
        number += 1
        assert inward is not None
        passage = inward(here, edge.clock())._replace(attempt=outer.attempt + number - 1)
        token = PASSAGE.set(passage)
        try:
            result = await attempt(edge, work, args, kwargs, caller, here)
        except GuardOpen as refused:
            if refused.guard == edge.name:
                # Attempts were made: the caller must not hear that nothing happened.
                raise error from refused
            error = refused
        except Exception as latest:  # noqa: BLE001 - judged above, raised unless tried again
            error = latest
        else:
            edge.refund(cost)
            return result
        finally:
            PASSAGE.reset(token)


async def fall_back(edge: Edge, asked: Asked, error: Exception) -> Answer:
    """Return the first answer of the ladder; raise the failure where there is none."""
    for offer in fuse.rungs(edge, asked, error):
        if isinstance(offer, Answer):
            return fuse.tell_degraded(edge, offer, error)
        try:
            value = offer.function(*asked.args[asked.skip :], **asked.kwargs)
            if inspect.isawaitable(value):
                value = await value
        except Exception as broken:  # noqa: BLE001 - the failure before it is what counts
            fuse.tell_broken(edge, error, broken)
        else:
            return fuse.tell_degraded(edge, Answer(value, "function", None), error)
    raise error


async def apply(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Call what returns an awaitable, and await it.

    Raises:
        TypeError: if it returned anything else: it was no async call, and has run.
    """
    made = fn(*args, **kwargs)
    if not inspect.isawaitable(made):
        message = f"{fn!r} returned {type(made).__name__}, nothing to await: use guard.call(fn)"
        raise TypeError(message)
    return await made

"""Fuse a guard and a plain function into one closure, in the order of ``guards.order``.

There are two: one for a guard that is a breaker and nothing else, and one for everything. Both do
the whole of a call that is well in one frame, without a lock; whatever is not well leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, NamedTuple

from firedoor.errors import DeadlineSpent, DeclarationError, GuardOpen, GuardRefused
from firedoor.guarding.edge import Edge, Ticket
from firedoor.guarding.ladder import Memory
from firedoor.guarding.passage import IDLE, PASSAGE, on_clock
from firedoor.guarding.registry import SWITCH
from firedoor.guarding.slots import Free, Slots, Waiter
from firedoor.guarding.waiting import Bell, sleep
from firedoor.guards import deadline as deadlines
from firedoor.guards import events, fallback, retry
from firedoor.guards.classify import describe
from firedoor.guards.deadline import Passage
from firedoor.guards.fallback import Answer, Function
from firedoor.guards.shedding import PRIORITIES

Work = Callable[..., Any]
RANK = {name: rank for rank, name in enumerate(PRIORITIES)}
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Call(NamedTuple):
    """One call, as what is done again is told about it."""

    work: Work
    args: Args
    kwargs: Kwargs
    caller: str
    outer: Passage
    """What travelled with the caller."""


class Asked(NamedTuple):
    """One call, as the fallback ladder is told about it."""

    args: Args
    kwargs: Kwargs
    memory: Memory | None
    skip: int
    """Arguments at the front that are not the request's: the function, in ``guard.call(fn)``."""


def lean(edge: Edge, work: Work, caller: str) -> Work:
    """Return a function behind a breaker."""
    clock, slow_s, name, asked = edge.clock, edge.slow_s, edge.name, edge.askers.of(caller)

    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the work's own types
        good = edge.good
        if good is None:
            now_s = clock()
            if edge.shut_from_s <= now_s < edge.shut_until_s:
                asked()
                raise GuardOpen(name, edge.shut_until_s - now_s)
            return attempt(edge, work, args, kwargs, caller)
        begun_s = clock()
        try:
            result = work(*args, **kwargs)
        except BaseException as error:
            edge.failed(good, error, begun_s)
            raise
        end_s = clock()
        if end_s - begun_s > slow_s or end_s >= edge.edge_s:
            finish(edge, good, begun_s, end_s, result)
        else:
            good()
        return result

    return guarded


def full(  # noqa: C901, PLR0915 - see guarded
    edge: Edge, work: Work, caller: str, memory: Memory | None, *, told: bool, skip: int
) -> Work:
    """Return a function behind all that the guard has; ``told``: it returns an ``Answer``."""
    clock, slow_s, slots, ladder = edge.clock, edge.slow_s, edge.slots, edge.policies.fallback
    inward, rank = passage_maker(edge), RANK[edge.policies.priority]
    plain, rated = plain_passage(edge), edge.policies.rate is not None
    get_passage, set_passage, reset_passage = PASSAGE.get, PASSAGE.set, PASSAGE.reset

    def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, C901, PLR0912, PLR0915
        good = edge.good
        if good is None and SWITCH.off:
            result = work(*args, **kwargs)
            return Answer(result) if told else result
        outer = get_passage()
        try:  # fallback
            free: Free | None = None
            fine = False
            if outer is not IDLE:
                free, good = enter(edge, outer), edge.good
            elif slots is not None:
                free = slots.free
                try:
                    del free[slots.reserve[rank]]
                except IndexError:
                    free, good = wait_for_place(slots, rank, None), edge.good
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
                    if good is None:
                        result = attempt(edge, work, args, kwargs, caller, outer)
                    else:
                        result = work(*args, **kwargs)
                        end_s = clock()
                        if end_s - begun_s > slow_s or end_s >= edge.edge_s:
                            fine = finish(edge, good, begun_s, end_s, result)
                        else:
                            good()
                            fine = True
                except BaseException as error:  # noqa: BLE001 - judged, and raised again there
                    if good is not None:
                        edge.failed(good, error, begun_s, caller_gone=gone(outer, clock))
                    call = Call(work, args, kwargs, caller, outer)
                    result = retry_or_raise(edge, call, error)
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
            answer = fall_back(edge, asked, error)
            return answer if told else answer.value
        if memory is not None:
            memory.keep((args, kwargs), result, clock(), skip=skip)
        return Answer(result) if told else result

    return guarded


def passage_maker(edge: Edge) -> Callable[[Passage, float], Passage] | None:
    """Return what makes the work's passage from its caller's; None: it is handed on as it is."""
    timeout_s, clock = edge.policies.deadline.attempt_s, edge.clock
    retries = edge.policies.retry is not None
    if timeout_s is None and not retries:
        return None

    def inward(outer: Passage, now_s: float) -> Passage:
        if timeout_s is None:
            return outer._replace(outer_retries=True)
        until_s = now_s + timeout_s
        if outer is IDLE:
            return Passage(until_s, 1, retries, None, clock)
        here = deadlines.tighten(on_clock(outer, clock), timeout_s, now_s)
        return here._replace(outer_retries=retries or outer.outer_retries, clock=clock)

    return inward


def plain_passage(edge: Edge) -> Passage | None:
    """Return the passage of calls whose caller sent none, where it is always the same."""
    if edge.policies.deadline.attempt_s is None and edge.policies.retry is not None:
        return Passage(outer_retries=True)
    return None


def enter(edge: Edge, outer: Passage) -> Free | None:
    """Refuse who has no time left, then take a place, waiting for one if that is allowed."""
    left_s = check_deadline(edge, outer)
    slots = edge.slots
    if slots is None:
        return None
    rank = RANK[outer.priority or edge.policies.priority]
    free = slots.take(rank)
    return wait_for_place(slots, rank, left_s) if free is None else free


def check_deadline(edge: Edge, outer: Passage) -> float | None:
    """Return the time that the caller has left; None: as long as it likes.

    Raises:
        DeadlineSpent: if that is too little to begin.
    """
    if outer.deadline_s is None:
        return None
    left_s = deadlines.remaining_s(on_clock(outer, edge.clock), edge.clock())
    assert left_s is not None
    if not deadlines.judge(left_s, edge.typical_s, edge.policies.deadline):
        edge.turned.good()
        why = f"{left_s:.3g} s are left, and calls take about {edge.typical_s:.3g} s"
        raise DeadlineSpent(edge.name, None, why)
    return left_s


def wait_for_place(slots: Slots, rank: int, left_s: float | None) -> Free:
    """Wait in this thread until there is room, as long as the queue allows."""
    bell = Bell()
    place, patience_s = slots.queue_up(rank, bell.ring)
    if not isinstance(place, Waiter):
        return place
    try:
        if patience_s > 0:
            bell.wait(patience_s if left_s is None else min(patience_s, left_s))
    except BaseException:
        slots.leave(place)
        raise
    return slots.settle(place, rank)


def attempt(
    edge: Edge, work: Work, args: Args, kwargs: Kwargs, caller: str, outer: Passage = IDLE
) -> Any:  # noqa: ANN401 - the work's own type
    """Make one attempt, whatever state the guard is in.

    Raises:
        GuardOpen: if the breaker does not let it in.
    """
    good = edge.good
    ticket: Ticket = edge.admit(caller) if good is None else good
    begun_s = edge.clock()
    try:
        if edge.fault is not None:
            edge.fault()
        result = work(*args, **kwargs)
        finish(edge, ticket, begun_s, edge.clock(), result)
    except BaseException as error:
        edge.failed(ticket, error, begun_s, caller_gone=gone(outer, edge.clock))
        raise
    return result


def finish(edge: Edge, ticket: Ticket, begun_s: float, end_s: float, result: object) -> bool:
    """Take a result; return whether it came in time.

    Raises:
        DeclarationError: if it is a coroutine that nobody would await behind the guard.
    """
    if type(result) is CoroutineType:
        result.close()
        raise DeclarationError(
            "fn", result, "returns a coroutine, which would run outside the guard",
            "guard the async function itself, or await guard.acall(fn)",
        )  # fmt: skip
    return edge.finished(ticket, begun_s, end_s)


def retry_or_raise(edge: Edge, call: Call, error: BaseException) -> Any:  # noqa: ANN401
    """Try again as long as policy, budget and deadline allow; else raise the latest failure."""
    work, args, kwargs, caller, outer = call
    number, here = 1, on_clock(outer, edge.clock)
    inward = passage_maker(edge)
    while True:
        kind = edge.kind(error)
        again = None
        if kind in retry.PASSES and not isinstance(error, GuardOpen):
            again = edge.again(number, error, kind, here)
        if again is None:
            raise error
        wait_s, cost = again
        sleep(edge, wait_s)
        number += 1
        assert inward is not None
        passage = inward(here, edge.clock())._replace(attempt=outer.attempt + number - 1)
        token = PASSAGE.set(passage)
        try:
            result = attempt(edge, work, args, kwargs, caller, here)
        except GuardOpen as refused:
            if refused.guard == edge.name:
                # Attempts were made: the caller must not hear that nothing happened.
                raise error from refused
            error = refused
        except BaseException as latest:  # noqa: BLE001 - judged above, raised unless tried again
            error = latest
        else:
            edge.refund(cost)
            return result
        finally:
            PASSAGE.reset(token)


def gone(outer: Passage, clock: Callable[[], float]) -> bool:
    """Return whether the caller's deadline is over."""
    if outer.deadline_s is None:
        return False
    return (deadlines.remaining_s(on_clock(outer, clock), clock()) or 0.0) <= 0


def rungs(edge: Edge, asked: Asked, error: Exception) -> list[Answer | Function]:
    """Return what the ladder offers, in order; nothing where the failure is an answer."""
    kind = edge.kind(error)
    if kind not in retry.PASSES and not isinstance(error, GuardRefused):
        return []
    same, latest = None, None
    if asked.memory is not None:
        same, latest = asked.memory.find((asked.args, asked.kwargs), skip=asked.skip)
    now_s = edge.clock()
    offers = [fallback.judge(rung, same, latest, now_s) for rung in edge.policies.fallback]
    return [offer for offer in offers if offer is not None]


def tell_degraded(edge: Edge, answer: Answer, error: Exception) -> Answer:
    """Tell that an answer came from the ladder, and give it."""
    edge.degraded += 1
    if SWITCH.witness is not None:
        SWITCH.witness(edge.name, answer.source, answer.age_s)
    told = events.Degraded(source=answer.source, age_s=answer.age_s, cause=describe(error))
    edge.tell((told,))
    return answer


def tell_broken(edge: Edge, error: Exception, broken: Exception) -> None:
    """Tell that a function of the ladder raised."""
    error.add_note(f"guard {edge.name!r}: its fallback raised {describe(broken)}")
    edge.tell((events.FallbackFailed(cause=describe(error), because=describe(broken)),))


def fall_back(edge: Edge, asked: Asked, error: Exception) -> Answer:
    """Return the first answer of the ladder; raise the failure where there is none."""
    for offer in rungs(edge, asked, error):
        if isinstance(offer, Answer):
            return tell_degraded(edge, offer, error)
        try:
            value = offer.function(*asked.args[asked.skip :], **asked.kwargs)
        except Exception as broken:  # noqa: BLE001 - the failure before it is what counts
            tell_broken(edge, error, broken)
        else:
            return tell_degraded(edge, Answer(value, "function", None), error)
    raise error

"""The order of mechanisms around a call, outermost first, and why each stands where it does.

This is the one place where the order is decided. The closures that put it into code follow it, a
test drives a guard with everything switched on and finds it there, and the documentation is
written from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A mechanism, and the reason for its place."""

    name: str
    why: str


ORDER = (
    Position(
        "measure", "outermost, so that what callers get is counted: refusals and fallbacks too"
    ),
    Position(
        "fallback",
        "outside of all that can refuse or fail, because it answers for whatever stopped the call",
    ),
    Position(
        "deadline",
        "before anything is waited for: who has no time left should not take room from others",
    ),
    Position(
        "shedding",
        "decides by class who may have a place, so it stands just before the places are given out",
    ),
    Position(
        "concurrency limit",
        "a place is held for the whole call, its retries and their waits included: "
        "otherwise calls that wait to try again would be load that nothing bounds",
    ),
    Position("rate limit", "after the limit, so that a call which found no place takes no token"),
    Position(
        "retry",
        "outside the breaker, so that each attempt counts, and an open breaker ends the retrying; "
        "the other way round one bad call in three would look good",
    ),
    Position("breaker", "inside the retry and next to the dependency: it judges single attempts"),
    Position(
        "attempt timeout", "inside the breaker, because a timeout is a failure that it must see"
    ),
    Position(
        "drill fault",
        "just outside the work, so that a fault of a drill meets everything a real one would",
    ),
    Position("work", "the call itself"),
)

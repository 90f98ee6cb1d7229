"""The order of what happens to a request, and why each step stands where it does.

This is the one place where the order is decided: ``path.ServicePath`` follows it, a test finds it
there, and ``docs/guide/serving.md`` is written from it.
"""

from __future__ import annotations

from firedoor.guards.order import Position

ORDER = (
    Position(
        "deadline",
        "outermost, so that waiting for a place and looking features up take from the same time "
        "as everything after them",
    ),
    Position(
        "place",
        "before anything that costs memory or a worker's time; held for the whole request, its "
        "fallbacks included, or requests that fall back would be load that nothing bounds",
    ),
    Position(
        "features",
        "before the split, because both arms must see the same values, and what could not be "
        "looked up must not be counted against either",
    ),
    Position(
        "split",
        "after features, so that slices and keys are read once; before the breakers, so that a "
        "breaker never moves a subject to the other arm's evidence",
    ),
    Position(
        "kill switch",
        "once the subject is known, since a switch may be thrown for a share of them; before the "
        "breaker, because a person's word goes before any judgement",
    ),
    Position(
        "breaker",
        "one a version, next to it: it judges single attempts, whoever makes them",
    ),
    Position(
        "attempt",
        "the least of the time of one attempt and what is left of the deadline, so that a hang "
        "leaves time for who answers instead",
    ),
    Position(
        "evidence",
        "counts the arm's own attempt, before anybody answers instead: a fallback would hide it",
    ),
    Position(
        "same version again",
        "behind the retry budget, so that an outage is not doubled; only for what may end "
        "differently in another worker",
    ),
    Position(
        "other version",
        "behind its own breaker; a request that a worker died of is run alone there as well",
    ),
    Position(
        "cached, constant, function",
        "last, because they say less and less; the first two need no time, so that they are there "
        "when the deadline is over",
    ),
    Position(
        "record",
        "when the answer is known, and never awaited: the log drops and counts what it cannot take",
    ),
)

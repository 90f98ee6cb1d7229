"""How good what a batch was made of is: a code and an age for each lookup and guard, and demands.

A grade belongs to a name, of a lookup or a guard. Along the way grades only get worse: of two the
worse code and the greater age hold, so that a zone that got good features cannot hide that one
before it did not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Code = Literal["live", "older", "default", "missing"]
CODES: tuple[Code, ...] = get_args(Code)
"""Best first. ``live``: fresh, or of the dependency itself. ``older``: a good value of the past.
``default``: a declared value that nobody measured. ``missing``: nothing."""
Below = Literal["dead", "drop", "zone"]
QUALITY = "quality"
REFUSED = "below the quality that is required"
"""Code and signature of rows that a zone refuses for their quality."""
_SOURCES: dict[str, Code] = {
    "live": "live",
    "stale": "older",
    "previous": "older",
    "constant": "default",
    "function": "default",
}


class Grade(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good one thing is that rows were made of."""

    code: Code = "live"
    age_s: float | None = 0.0
    """Seconds since it was last known to be right; None: it has no age."""


class Demand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a zone requires of the batches that it takes. See ``spec.degrade.Quality``."""

    at_least: Code = "live"
    max_age_s: float | None = None
    weight_max: float | None = None
    of: tuple[str, ...] = ()
    """Names; empty: all."""
    below: Below = "dead"
    otherwise: str = ""
    """The zone that takes what is below, if one does."""


def of_answer(source: str, age_s: float | None) -> Grade:
    """Return the grade of a guard's answer. See ``guards.fallback.Answer``."""
    return Grade(_SOURCES.get(source, "missing"), age_s)


def merged(grades: Mapping[str, Grade], more: Mapping[str, Grade]) -> dict[str, Grade]:
    """Return the grades of what was made of both."""
    found = dict(grades)
    for name, grade in more.items():
        found[name] = worse(found[name], grade) if name in found else grade
    return found


def worse(one: Grade, other: Grade) -> Grade:
    """Return the worse code and the greater age; what has none counts for no age."""
    ages = [age_s for age_s in (one.age_s, other.age_s) if age_s is not None]
    return Grade(max(one.code, other.code, key=CODES.index), max(ages, default=None))


def lack(demand: Demand, grades: Mapping[str, Grade], weight: float) -> str:
    """Return why a batch is below what is required; an empty string if it is not.

    What no zone on the way has used lacks nothing.
    """
    if demand.weight_max is not None and weight > demand.weight_max:
        return f"each row stands for {weight:g}, and at most {demand.weight_max:g} is required"
    for name in demand.of or sorted(grades):
        grade = grades.get(name)
        if grade is None:
            continue
        if CODES.index(grade.code) > CODES.index(demand.at_least):
            return f"{name} is {grade.code}, and at least {demand.at_least} is required"
        if (grade.age_s or 0.0) > (math.inf if demand.max_age_s is None else demand.max_age_s):
            return f"{name} is {grade.age_s:.0f} s old, and {demand.max_age_s:g} s are allowed"
    return ""

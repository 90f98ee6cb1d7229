"""What a rule says, what it is asked about, and what makes a rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from firedoor.lint.calls import Calls
from firedoor.lint.load import Rate
from firedoor.spec.plan import Plan, ZonePlan

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a declaration."""

    severity: Severity
    zone: str
    """Where it is mended; empty: the pipeline."""
    about: str
    """The zone, edge or guard that it is about."""
    why: str
    """What is wrong, with the numbers."""
    remedy: str
    rule: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unjudged:
    """A rule that could not judge a zone, for want of a number. It is no pass."""

    zone: str
    why: str
    """What is missing, and how it is declared."""
    rule: str = ""


Said = Finding | Unjudged


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A plan, with what several rules work out of it."""

    plan: Plan
    calls: Calls
    rates: Mapping[str, Rate]
    """Batches a second at the peak, by zone."""
    absent: frozenset[str] = frozenset()
    """Runbooks that are named and not there."""

    @property
    def steps(self) -> tuple[ZonePlan, ...]:
        """Zones with a step."""
        return tuple(zone for zone in self.plan.zones if zone.step is not None)


Check = Callable[[Case], Iterable[Said]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. Its docstring says when it finds something, and what it needs to know."""

    id: str
    title: str
    check: Check

    @property
    def doc(self) -> str:
        """The docstring of its function."""
        return inspect.cleandoc(self.check.__doc__ or "")


def rule(id_: str, title: str) -> Callable[[Check], Rule]:
    """Make a rule of a function."""
    return lambda check: Rule(id=id_, title=title, check=check)

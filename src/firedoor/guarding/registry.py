"""All guards of this process: for the test switch, and for what a fork leaves behind.

A child that was forked has its parent's guards, but not the calls that were under way in the
parent's other threads: it begins with nothing in flight, no waiting calls, fresh locks, and
without the parent's probe. What the parent knew of the dependency stays known.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet


class Enrolled(Protocol):
    """The state of one guard, as far as this module moves it."""

    @property
    def name(self) -> str:
        """Who calls whom."""
        ...

    def settle(self) -> None:
        """Take note of the switch."""
        ...

    def begin_anew(self) -> None:
        """Begin with nothing in flight."""
        ...


class Switch:
    """What tests may switch off, and who is told of answers from ladders; read by every guard."""

    __slots__ = ("instant", "off", "witness")

    def __init__(self) -> None:
        """Begin with everything on."""
        self.off = False
        self.instant = False
        self.witness: Callable[[str, str, float | None], object] | None = None
        """Called with the guard's name, and source and age of an answer that is not live."""


SWITCH = Switch()
DICE = random.Random()  # noqa: S311 - jitter, not a secret
"""The chance of all guards that were given none: one, because it takes 3 KB."""
_edges: WeakSet[Enrolled] = WeakSet()


def enrol(edge: Enrolled) -> None:
    """Know a guard from now on, for as long as somebody uses it."""
    _edges.add(edge)


def enrolled() -> list[Enrolled]:
    """Return the state of every guard of the process, by name."""
    return sorted(_edges, key=lambda edge: edge.name)


def switch(*, off: bool, instant: bool) -> tuple[bool, bool]:
    """Switch all guards of the process, and return how they were."""
    before = SWITCH.off, SWITCH.instant
    SWITCH.off, SWITCH.instant = off, instant
    for edge in list(_edges):
        edge.settle()
    return before


def _after_fork() -> None:
    """Begin anew in a child, with a chance of its own: children do not probe in step."""
    DICE.seed()
    for edge in list(_edges):
        edge.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""Whose fault it is that a zone does not go on: its own, somebody else's, or nobody's.

A cause is empty where it is the zone's own fault; else the name of a zone, ``dependency:NAME``,
``broker`` or ``control``. The state says most of it. Who starves learns from the publishers what
they say of themselves, and so does who is blocked from its readers: the one at the root is blamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from firedoor.flow.zone import DEAD_LETTERS, ZoneState, word

BROKER = "broker"
SILENT_S = 5.0
"""A process that was heard and has said nothing for so long is taken for dead."""
ENDED = frozenset({"done", "draining", "stopped"})
"""A process that is in one of these and falls silent has left as it should."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a zone stands: it goes on, or not, or that is as somebody wants it."""

    how: Literal["well", "bad", "unjudged"]
    cause: str = ""
    """Of ``bad``: whose fault; empty: the zone's own."""


WELL = Standing("well")
UNJUDGED = Standing("unjudged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one process of a neighbour said last."""

    at_s: float
    state: str
    blamed: str


def standing(state: ZoneState) -> Standing:
    """Return how a zone stands by its own state."""
    match word(state):
        case "running" | "throttled":
            return WELL
        case "halted":
            assert state.trouble is not None, "a zone is halted by a trouble"
            return Standing("bad", state.trouble.cause)
        case "paused" if state.want != "pause":
            return Standing("bad", state.trouble.cause if state.trouble is not None else "")
        case "blocked" if state.away:
            return Standing("bad", BROKER)
        case "blocked":
            return Standing("bad", min(state.full - {DEAD_LETTERS}).partition(":")[2])
        case _:
            return UNJUDGED


def root(neighbour: str, heard: Sequence[Heard], now_s: float) -> str:
    """Return whom a neighbour blames for not going on; empty: one of its processes goes on.

    Args:
        neighbour: its name.
        heard: the latest word of each of its processes; of none nothing is known.
        now_s: the time, by the clock of ``Heard.at_s``.
    """
    blamed = [_blamed(neighbour, one, now_s) for one in heard]
    if not blamed or not all(blamed):
        return ""
    return min(blamed)


def starves_by(words: Mapping[str, Sequence[Heard]], now_s: float) -> str:
    """Return by whose fault nothing comes to a zone from its publishers; empty: by nobody's.

    One publisher that goes on and has nothing to give is enough for nobody to be at fault.
    """
    roots = [root(publisher, heard, now_s) for publisher, heard in words.items()]
    return _one(roots) if roots and all(roots) else ""


def _one(causes: Iterable[str]) -> str:
    """Return the cause that is named most, of those the first by name."""
    named = sorted(causes)
    return max(named, key=named.count)


def _blamed(neighbour: str, heard: Heard, now_s: float) -> str:
    """Return whom one process blames, or is to be blamed itself for having gone."""
    if heard.blamed:
        return heard.blamed
    gone = now_s - heard.at_s > SILENT_S and heard.state not in ENDED
    return neighbour if gone else ""

"""The fallback ladder: what to answer when the dependency cannot, and how old it is.

Rungs are tried in order. ``Stale`` answers with the latest good answer to the *same* request,
``Previous`` with the function's latest to *any* request, ``Constant`` with a value, ``Function``
with what a function returns for the same arguments. Source and age are always told.

A ladder is for failures of the dependency and refusals by the guard. A ``permanent`` or ``data``
failure is an answer, and hiding it would hide a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from firedoor.bounds import within
from firedoor.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Stale:
    """The latest good answer to the same request, if it is young enough."""

    age_max_s: float = 300.0
    """Greatest age in seconds. 0.001 to 31,536,000."""
    keys_max: int = 1024
    """Requests whose answers are kept; the longest unused go. 1 to 10,000,000."""
    key: Callable[..., Hashable] | None = None
    """What tells a function's requests apart. Default: arguments with their types, if hashable."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("age_max_s", self.age_max_s, 0.001, 31_536_000, "seconds")
        within("keys_max", self.keys_max, 1, 10**7, "requests", whole=True)
        if self.key is not None and not callable(self.key):
            raise DeclarationError("key", self.key, "cannot be called", "give a function")


@dataclass(frozen=True, slots=True)
class Previous:
    """The latest good answer of the same function, if it is young enough.

    For what every caller gets alike, such as a configuration: a function without arguments.
    """

    age_max_s: float = 300.0
    """Greatest age in seconds. 0.001 to 31,536,000."""
    any_request: bool = False
    """Whether it may answer one request with the answer to another, which no caller can notice.
    Otherwise it answers calls without arguments only."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("age_max_s", self.age_max_s, 0.001, 31_536_000, "seconds")
        if not isinstance(self.any_request, bool):
            raise DeclarationError(
                "any_request", self.any_request, "is no switch", "write True or False"
            )


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same value."""

    value: object
    """What to answer; the same object each time, so better not one that can be changed."""


@dataclass(frozen=True, slots=True)
class Function:
    """What a function returns for the arguments of the call."""

    function: Callable[..., object]
    """Called with the arguments of the call; where it raises, the next rung is tried."""

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        if not callable(self.function):
            raise DeclarationError(
                "function", self.function, "cannot be called", "write Constant(value) for a value"
            )


Rung = Stale | Previous | Constant | Function


class Kept(NamedTuple):
    """A good answer of the past."""

    value: object
    at_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, where it comes from, and how old it is."""

    value: object
    """What the call returned, or would have."""
    source: str = "live"
    """``live``, ``stale``, ``previous``, ``constant`` or ``function``."""
    age_s: float | None = 0.0
    """Seconds since the dependency gave it; None: it never did."""

    @property
    def degraded(self) -> bool:
        """Whether it is not the dependency's answer to this call."""
        return self.source != "live"


def judge(
    rung: Rung, same: Kept | None, latest: Kept | None, now_s: float
) -> Answer | Function | None:
    """Return what a rung has to offer: an answer, a function to call, or nothing.

    Args:
        rung: one of the ladder.
        same: the latest good answer to the same request.
        latest: the latest good answer to any request.
        now_s: the present.
    """
    match rung:
        case Stale(age_max_s):
            return _young(same, "stale", age_max_s, now_s)
        case Previous(age_max_s):
            return _young(latest, "previous", age_max_s, now_s)
        case Constant(value):
            return Answer(value, "constant", None)
        case Function():
            return rung
        case _:
            assert_never(rung)


def _young(kept: Kept | None, source: str, age_max_s: float, now_s: float) -> Answer | None:
    """Return a kept answer that is young enough; where the clock went back it is as new."""
    if kept is None or now_s - kept.at_s > age_max_s:
        return None
    return Answer(kept.value, source, max(0.0, now_s - kept.at_s))

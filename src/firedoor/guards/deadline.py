"""How much time is left, for every layer of a call, across processes.

A deadline is an instant on one process's clock; what crosses processes is the time that is left.
With it travel the number of the attempt, whether a layer further out makes the call again, and the
class of the call: all four as headers, of HTTP or of an envelope.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from firedoor.bounds import within
from firedoor.guards.shedding import PRIORITIES, Priority

TIMEOUT = "firedoor-timeout-ms"
ATTEMPT = "firedoor-attempt"
RETRIES = "firedoor-outer-retries"
PRIORITY = "firedoor-priority"
GRPC_TIMEOUT = "grpc-timeout"
_GRPC_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_DIGITS_MAX = 8
_SMOOTHING = 0.05
ATTEMPTS_MAX = 1_000
REMAINING_MAX_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePolicy:
    """What a guard does with the time that its caller has left."""

    attempt_s: float | None = None
    """Longest time of one attempt, in seconds; None: as long as the caller has. 0.001 to 86,400."""
    refuse_early: bool = True
    """Refuse a call for which less time is left than calls typically take."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        if self.attempt_s is not None:
            within("timeout_s", self.attempt_s, 0.001, 86_400, "seconds")


class Passage(NamedTuple):
    """What travels with a call. A tuple, because one is made for each call that has a timeout."""

    deadline_s: float | None = None
    """When the caller will not wait any longer, on the process's clock; None: it waits."""
    attempt: int = 1
    """Number of the attempt within the outermost layer that retries."""
    outer_retries: bool = False
    """Whether a layer further out makes the call again, so that no other should."""
    priority: Priority | None = None
    """Class of the call; None: as each guard declares."""
    clock: Callable[[], float] | None = None
    """The clock that ``deadline_s`` is on; None: the process's."""


def remaining_s(passage: Passage, now_s: float) -> float | None:
    """Return what is left, at least 0; None: there is no deadline."""
    return None if passage.deadline_s is None else max(0.0, passage.deadline_s - now_s)


def tighten(passage: Passage, timeout_s: float | None, now_s: float) -> Passage:
    """Return the passage with a deadline at most ``timeout_s`` from now; never a later one."""
    if timeout_s is None:
        return passage
    until_s = now_s + timeout_s
    if passage.deadline_s is not None and passage.deadline_s <= until_s:
        return passage
    return passage._replace(deadline_s=until_s)


def judge(left_s: float, typical_s: float, policy: DeadlinePolicy) -> bool:
    """Return whether a call is worth beginning."""
    return left_s > 0 and (not policy.refuse_early or left_s >= typical_s)


def typical(before_s: float, took_s: float) -> float:
    """Return the typical time of calls (about the median) after one more took so long.

    Moves by a twentieth of itself towards each call: a few outliers do not carry it away.
    """
    if before_s <= 0:
        return max(0.0, took_s)
    return before_s * (1 + _SMOOTHING if took_s > before_s else 1 - _SMOOTHING)


def to_headers(passage: Passage, now_s: float) -> dict[str, str]:
    """Return what to send along, ASCII, in lower case.

    >>> to_headers(Passage(deadline_s=12.5, attempt=2), now_s=12.0)
    {'firedoor-timeout-ms': '500', 'grpc-timeout': '500m', 'firedoor-attempt': '2'}
    """
    told = {}
    left_s = remaining_s(passage, now_s)
    if left_s is not None:
        # Rounded down: nobody is promised time that there is not.
        left_ms = int(min(left_s, REMAINING_MAX_S) * 1000 + 1e-6)
        told = {TIMEOUT: str(left_ms), GRPC_TIMEOUT: f"{left_ms}m"}
    if passage.attempt > 1:
        told[ATTEMPT] = str(min(passage.attempt, ATTEMPTS_MAX))
    if passage.outer_retries:
        told[RETRIES] = "1"
    if passage.priority is not None:
        told[PRIORITY] = passage.priority
    return told


def from_headers(headers: Mapping[str, str], now_s: float) -> Passage:
    """Return what a caller sent along. What cannot be understood is taken as not said."""
    said = {name.lower(): value for name, value in headers.items()}
    left_s = _number(said.get(TIMEOUT), 1e-3)
    if left_s is None:
        left_s = _grpc_s(said.get(GRPC_TIMEOUT))
    attempt = _number(said.get(ATTEMPT), 1)
    priority = next((p for p in PRIORITIES if p == said.get(PRIORITY)), None)
    return Passage(
        deadline_s=None if left_s is None else now_s + min(left_s, REMAINING_MAX_S),
        attempt=1 if attempt is None else max(1, min(int(attempt), ATTEMPTS_MAX)),
        outer_retries=said.get(RETRIES) == "1",
        priority=priority,
    )


def _number(text: str | None, scale: float) -> float | None:
    """Return a number that is finite and at least 0."""
    try:
        number = float(text) * scale if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _grpc_s(text: str | None) -> float | None:
    """Return the seconds of ``grpc-timeout``: digits and a unit."""
    if not text or text[-1] not in _GRPC_UNITS or len(text) > _GRPC_DIGITS_MAX + 1:
        return None
    return _number(text[:-1], _GRPC_UNITS[text[-1]]) if text[:-1].isdigit() else None

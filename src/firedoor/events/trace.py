"""Where work stands in a trace, as W3C's ``traceparent`` writes it: ``00-TRACE-SPAN-FLAGS``.

https://www.w3.org/TR/trace-context-2/ . It travels in the envelope of a batch and in the headers of
a request. What is not one, or is of another version than 00 and too short, is taken for none.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import NamedTuple

CURRENT: ContextVar[str] = ContextVar("firedoor_traceparent", default="")
"""``traceparent`` of the work that the calling task does: log lines name it. Empty: none."""
_WRITTEN = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?"
)
_SAMPLED = 1


class Place(NamedTuple):
    """One span of one trace."""

    trace: int
    """128 bits, not 0."""
    span: int
    """64 bits, not 0."""
    sampled: bool


def read(traceparent: str | None) -> Place | None:
    """Return the place that a header names; None: it is no ``traceparent``.

    >>> read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    >>> read("00-aa-bb-01") is None
    True
    """
    found = _WRITTEN.fullmatch(traceparent) if traceparent else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    trace, span = int(found["trace"], 16), int(found["span"], 16)
    if not trace or not span:
        return None
    return Place(trace, span, bool(int(found["flags"], 16) & _SAMPLED))


def write(place: Place) -> str:
    """Return a place as a header.

    >>> write(Place(1, 2, False))
    '00-00000000000000000000000000000001-0000000000000002-00'
    """
    return f"00-{place.trace:032x}-{place.span:016x}-{int(place.sampled):02x}"


def is_sampled(traceparent: str | None) -> bool:
    """Return whether somebody wants to see the span that a header names."""
    place = read(traceparent)
    return place is not None and place.sampled


def trace_of(traceparent: str | None) -> str:
    """Return the trace's id as 32 hexadecimal digits; empty: there is none."""
    place = read(traceparent)
    return "" if place is None else f"{place.trace:032x}"

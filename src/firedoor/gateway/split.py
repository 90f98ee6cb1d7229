"""Which arm a request goes to: a pure function of its subject, so that subjects stay put.

``share = blake2b(salt + key) / 2**64`` is even on 0 to 1, and the candidate has what lies below the
weight: a higher weight keeps every subject that a lower one gave it. Another salt divides the
champion's subjects into two thirds that are compared with the candidate and a third, the sentinel,
that only tells whether the champion itself is well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

Group = Literal["candidate", "baseline", "sentinel"]
SENTINEL_SHARE = 1 / 3
SLICE_ROWS_MAX = 1_000
"""Rows of a request that are looked at for the values of its slices."""
SLICE_TEXT_MAX = 64
REQUEST_SLICES_MAX = 16
"""Values of one column in one request that are told apart."""
_WHOLE = float(2**64)


class Rule(NamedTuple):
    """What the split needs to know of a route."""

    salt: bytes
    weight: float
    held: frozenset[str] = frozenset()


def share(salt: bytes, key: bytes) -> float:
    """Return where a subject lies between 0 and 1 under a salt."""
    digest = blake2b(salt + key, digest_size=8).digest()
    return int.from_bytes(digest, "big") / _WHOLE


def choose(key: bytes, rule: Rule, slices: Sequence[str] = ()) -> Group:
    """Return the group of a subject: ``candidate``, or which part of the champion's.

    A request with a row of a held slice is the champion's, whatever its subject.
    """
    below = rule.weight > 0 and share(rule.salt, key) < rule.weight
    if below and (not rule.held or rule.held.isdisjoint(slices)):
        return "candidate"
    return "sentinel" if share(rule.salt + b"/sentinel", key) < SENTINEL_SHARE else "baseline"


def slices_of(columns: Mapping[str, Sequence[object]], names: Iterable[str]) -> tuple[str, ...]:
    """Return the slices that the rows of a request lie in: ``("carrier=UA", "origin=JFK")``.

    A column that is not there has none; text is cut to 64 characters.
    """
    found: list[str] = []
    for name in names:
        values = columns.get(name)
        if not values:
            continue
        distinct: dict[str, None] = {}
        for value in values[:SLICE_ROWS_MAX]:
            distinct.setdefault(f"{name}={str(value)[:SLICE_TEXT_MAX]}")
            if len(distinct) == REQUEST_SLICES_MAX:
                break
        found.extend(distinct)
    return tuple(found)


def key_of(columns: Mapping[str, Sequence[object]], name: str) -> bytes:
    """Return the subject in a column: its first row's value; empty where there is none."""
    values = columns.get(name)
    if not values or values[0] is None:
        return b""
    return str(values[0]).encode("utf-8", "surrogatepass")

"""Whose alert it is: faults that are inherited belong to the alert of whoever's fault they are.

Where that one has an alert, what is inherited is noted there. Where it has none, it pages after a
while as *unexplained*: one page a root, however many zones have inherited from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from firedoor.events.objective import Indicator
from firedoor.slo.policy import AlertPolicy


class Key(NamedTuple):
    """An objective."""

    zone: str
    indicator: Indicator


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """An objective that suffers from somebody else's fault."""

    root: str
    """Whose fault it is: a zone, ``dependency:NAME``, ``broker``, ``control``."""
    since_s: float
    paging: bool = False
    """Whether it pages already, since nobody else did."""


def unexplained(
    heirs: Mapping[Key, Heir], paged: frozenset[str], *, at_s: float, policy: AlertPolicy
) -> frozenset[Key]:
    """Return those that page because nobody whose fault it is was paged.

    Args:
        heirs: objectives that suffer from others now.
        paged: zones that have an alert of their own.
        at_s: now.
        policy: scaled.

    Once one pages for a root, no other one does; it pages until it does not suffer any more, also
    if the root's own alert comes late, so that no page ends for another one to begin.
    """
    paging = {key for key, heir in heirs.items() if heir.paging}
    told = set(paged) | {heirs[key].root for key in paging}
    for key, heir in sorted(heirs.items(), key=lambda one: (one[1].since_s, one[0])):
        if heir.root not in told and at_s - heir.since_s >= policy.unexplained_s:
            paging.add(key)
            told.add(heir.root)
    return frozenset(paging)

"""What a publisher does when an outlet is full.

| ``when_full`` | At once | After ``patience_s`` | Room again |
|---|---|---|---|
| ``block`` | try again | try again | go on |
| ``shed`` | publish a share of the batch | drop the batch there, counted | publish whole batches |
| ``detach`` | try again | cut the edge; its batches are noted as missed | when it is attached |

Time counts from the first refusal after the last batch that went in, over batches: an outlet that
has been full for long keeps no further batch waiting. A zone that is leaving (drains) waits for
nobody longer than ``patience_s``: it keeps its batch unacknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WhenFull = Literal["block", "shed", "detach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullPolicy:
    """How long to knock at a full inbox, and what to do then."""

    when_full: WhenFull = "block"
    patience_s: float = 5.0
    """How long an outlet may be full before it is given up; ``block`` never does."""
    retry_min_s: float = 0.05
    """First wait between two tries."""
    retry_max_s: float = 1.0
    """Longest wait between two tries; it doubles up to there."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """One edge, seen by its publisher."""

    full_since_s: float | None = None
    """When a batch was first refused after the last that went in; None: it takes batches."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after so long."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Shed:
    """Publish a share of the batch instead."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Publish nothing of the batch here, and count its rows."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Publish nothing here any more, until the edge is attached again."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Give the batch back to the inbox it came from: the zone is leaving."""


Action = Retry | Shed | Drop | Cut | Leave


def refused(
    outlet: Outlet,
    policy: FullPolicy,
    now_s: float,
    *,
    tries: int,
    whole: bool = True,
    leaving: bool = False,
) -> tuple[Outlet, Action]:
    """Return the outlet after a refusal, and what to do.

    Args:
        outlet: as it was.
        policy: what was declared.
        now_s: the present.
        tries: how often the batch was refused here, this time included; from 1.
        whole: whether all rows of the batch were offered, not a share.
        leaving: whether the zone drains.
    """
    since_s = now_s if outlet.full_since_s is None else outlet.full_since_s
    outlet = Outlet(since_s)
    if policy.when_full == "shed" and whole:
        return outlet, Shed()
    if now_s - since_s >= policy.patience_s:
        if policy.when_full == "shed":
            return outlet, Drop()
        if policy.when_full == "detach":
            return outlet, Cut()
        if leaving:
            return outlet, Leave()
    wait_s = policy.retry_min_s * 2 ** min(tries - 1, 30)
    return outlet, Retry(min(wait_s, policy.retry_max_s))


def accepted() -> Outlet:
    """Return the outlet after a batch went in."""
    return Outlet()

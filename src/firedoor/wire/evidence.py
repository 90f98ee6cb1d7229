"""What gateways count of a rollout, and tell the control plane every second.

All counts are totals since the gateway first saw the rollout: whoever reads them takes differences,
so that nothing is lost or counted twice when a message is missed. ``boot`` changes when a gateway
begins anew.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ArmName = Literal["candidate", "baseline", "sentinel", "shadow"]
"""``baseline`` and ``sentinel`` are two thirds and one third of the champion's requests, by hash;
``shadow``: copies that the candidate was given and nobody waited for."""

LATENCY_BASE_S = 1e-5
LATENCY_GROWTH = 1.05
LATENCY_BUCKETS = 300
"""Bucket ``i`` of a histogram ends at ``LATENCY_BASE_S * LATENCY_GROWTH**i`` seconds."""


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """Requests of one arm, by what became of its own attempt at them.

    Never of what the client got: a fallback would hide it.
    """

    n: int = 0
    error: int = 0
    """Raised, died, late or misshaped."""
    non_finite: int = 0
    slow95: int = 0
    """Slower than the champion's frozen 95th percentile; failures count as slow."""
    slow99: int = 0
    fallback: int = 0
    """Answered with features worse than live, or by a fallback for lack of them."""


class Pairs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests that both versions predicted and whose label came."""

    n: int = 0
    loss_sum: float = 0.0
    """Of candidate minus champion, each clipped and scaled to [-1, 1]."""
    log_wealth: tuple[float, ...] = ()
    """Of a bettor that the candidate is worse by more than the margin, for each stake of
    ``rollout.betting.STAKES``: sums over pairs, so that gateways add up."""
    log_wealth_good: tuple[float, ...] = ()
    """The same, that it is not worse by the margin."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of the beat ``evidence.SERVICE.GATEWAY``."""

    service: str
    gateway: str
    boot: str
    at_s: float
    generation: int
    """Of the route that it follows."""
    rollout: str = ""
    step: int = 0
    arms: dict[ArmName, Counts] = {}
    slices: dict[str, dict[ArmName, Counts]] = {}
    """``carrier=UA``: of the declared columns, the 50 values met first of each."""
    pairs: Pairs = Pairs()
    slice_pairs: dict[str, Pairs] = {}
    disagree_sum: float = 0.0
    """Of |candidate - champion| over requests that both answered."""
    disagree_n: int = 0
    latency: dict[int, int] = {}
    """The champion's answers by bucket, of the last 20,000 or so."""
    variants: dict[str, str] = {}
    """State of each version that it holds: ``delays@3`` -> ``ready``, ``loading``,
    ``failed: ...``."""
    deaths: dict[str, int] = {}
    """Workers that died, by version."""
    trips: dict[str, str] = {}
    """Hard faults of the candidate, by kind: ``crash_loop``, ``non_finite``, ``misshaped``,
    ``unloadable``; the gateway has sent nothing to it since."""
    pack: int = 0
    """Failing requests of the candidate that are kept for its successor."""
    lapsed: bool = False
    """The lease is over: the control plane was not heard of, and all goes to the champion."""
    copies_dropped: int = 0
    """Copies for the other version that found no room, since the gateway began."""


def encode_evidence(evidence: Evidence) -> bytes:
    """Return it as msgpack."""
    return msgspec.msgpack.encode(evidence)


def decode_evidence(data: bytes) -> Evidence | None:
    """Return what a gateway says; None for what another version of firedoor says."""
    try:
        return msgspec.msgpack.decode(data, type=Evidence)
    except msgspec.MsgspecError:
        return None

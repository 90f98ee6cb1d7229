"""What gateways say of a rollout, made into looks: differences per gateway, and no count twice.

A gateway counts up. What it says first of a route is where counting begins; what it says next adds
the difference. A count that goes backward, a gateway that began anew (another ``boot``) or follows
another generation of the route make no evidence: counting begins again with what it says then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from firedoor.rollout.betting import STAKES
from firedoor.rollout.counts import Look, Paired, Part, Tally
from firedoor.wire.evidence import (
    LATENCY_BASE_S,
    LATENCY_GROWTH,
    ArmName,
    Counts,
    Evidence,
    Pairs,
    decode_evidence,
)

ANSWERS_MIN = 2_000
"""Of the champion, below which nobody says what is slow for it."""
SILENT_S = 3.0
"""After which a gateway that says nothing new is silent."""
NOTHING = Counts()


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway said last, and when that was heard."""

    said: Evidence
    heard_s: float


def hear(
    heard: Mapping[str, Heard], beats: Iterable[bytes], *, service: str, now_s: float
) -> dict[str, Heard]:
    """Return who speaks now: gateways that said something new within ``SILENT_S``."""
    after: dict[str, Heard] = {}
    for beat in beats:
        said = decode_evidence(beat)
        if said is None or said.service != service:
            continue
        before = heard.get(said.gateway)
        same = (
            before is not None and before.said.at_s == said.at_s and before.said.boot == said.boot
        )
        heard_s = before.heard_s if before is not None and same else now_s
        if now_s - heard_s <= SILENT_S:
            after[said.gateway] = Heard(said=said, heard_s=heard_s)
    return after


def follows(said: Evidence, *, rollout: str, generation: int) -> bool:
    """Return whether what a gateway says is of the route as it is now."""
    return said.rollout == rollout and said.generation == generation


def goes_on(before: Evidence | None, said: Evidence) -> bool:
    """Return whether it counts on from what it said before, nothing of it backward."""
    if before is None or before.boot != said.boot:
        return False
    if (before.rollout, before.generation) != (said.rollout, said.generation):
        return False
    pairs = all(
        said.slice_pairs.get(name, Pairs()).n >= old.n for name, old in before.slice_pairs.items()
    )
    counts = _rose(before.arms, said.arms) and all(
        _rose(old, said.slices.get(name, {})) for name, old in before.slices.items()
    )
    return counts and pairs and said.pairs.n >= before.pairs.n


def look_of(seen: Mapping[str, Evidence], spoken: Iterable[Evidence], *, shadow: bool) -> Look:
    """Return what came since the last look, of gateways that go on from what was seen of them.

    Args:
        seen: what each said when it was last counted.
        spoken: what those say that follow the route.
        shadow: whether the candidate answers copies, and not requests.
    """
    look = Look()
    arm: ArmName = "shadow" if shadow else "candidate"
    for said in spoken:
        before = seen.get(said.gateway)
        part = Look(gateways=1)
        if before is not None and goes_on(before, said):
            part = Look(
                candidate=_tally(before.arms, said.arms, arm),
                baseline=_tally(before.arms, said.arms, "baseline"),
                sentinel=_tally(before.arms, said.arms, "sentinel"),
                paired=_paired(before.pairs, said.pairs),
                parts=_parts(before, said, arm),
                gateways=1,
            )
        look = dataclasses.replace(look.plus(part), gateways=look.gateways + 1)
    return look


def counted(said: Evidence) -> Evidence:
    """Return what has to be kept of it, to take differences from."""
    return replace(said, latency={}, variants={}, deaths={}, trips={})


def cutoffs_of(spoken: Iterable[Evidence]) -> tuple[float, float] | None:
    """Return the champion's 95th and 99th percentile in seconds; None of too few answers."""
    buckets: dict[int, int] = {}
    for said in spoken:
        for bucket, count in said.latency.items():
            buckets[bucket] = buckets.get(bucket, 0) + max(0, count)
    total = sum(buckets.values())
    if total < ANSWERS_MIN:
        return None
    return _quantile(buckets, total, 0.95), _quantile(buckets, total, 0.99)


def _quantile(buckets: dict[int, int], total: int, share: float) -> float:
    """Return the end of the bucket up to which so many were answered."""
    below = 0
    for bucket in sorted(buckets):
        below += buckets[bucket]
        if below >= share * total:
            return LATENCY_BASE_S * LATENCY_GROWTH**bucket
    return LATENCY_BASE_S * LATENCY_GROWTH ** max(buckets)


def _rose(before: Mapping[ArmName, Counts], after: Mapping[ArmName, Counts]) -> bool:
    """Return whether no count went backward."""
    for arm, old in before.items():
        new = after.get(arm, NOTHING)
        if any(getattr(new, field) < getattr(old, field) for field in old.__struct_fields__):
            return False
    return True


def _tally(
    before: Mapping[ArmName, Counts], after: Mapping[ArmName, Counts], arm: ArmName
) -> Tally:
    """Return the difference of an arm."""
    old, new = before.get(arm, NOTHING), after.get(arm, NOTHING)
    return Tally(
        new.n - old.n, new.error - old.error, new.non_finite - old.non_finite,
        new.slow95 - old.slow95, new.slow99 - old.slow99, new.fallback - old.fallback,
    )  # fmt: skip


def _paired(before: Pairs, after: Pairs) -> Paired:
    """Return the difference of pairs."""
    if after.n <= before.n:
        return Paired()
    return Paired(
        n=after.n - before.n,
        loss_sum=after.loss_sum - before.loss_sum,
        worse=_less(after.log_wealth, before.log_wealth),
        fine=_less(after.log_wealth_good, before.log_wealth_good),
    )


def _less(after: tuple[float, ...], before: tuple[float, ...]) -> tuple[float, ...]:
    """Return differences; of what another version of firedoor bets, none."""
    if len(after) != len(STAKES) or (before and len(before) != len(STAKES)):
        return ()
    return tuple(x - y for x, y in zip(after, before or (0.0,) * len(STAKES), strict=True))


def _parts(before: Evidence, after: Evidence, arm: ArmName) -> dict[str, Part]:
    """Return the differences of the slices in which anything came."""
    parts = {}
    for name in dict.fromkeys((*after.slices, *after.slice_pairs)):
        old, new = before.slices.get(name, {}), after.slices.get(name, {})
        part = Part(
            candidate=_tally(old, new, arm),
            baseline=_tally(old, new, "baseline"),
            paired=_paired(
                before.slice_pairs.get(name, Pairs()), after.slice_pairs.get(name, Pairs())
            ),
        )
        if part != Part():
            parts[name] = part
    return parts

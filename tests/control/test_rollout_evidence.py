"""Differences of what gateways say: every request once, and nothing of what cannot be compared."""

from __future__ import annotations

import random

import msgspec
import pytest
from msgspec.structs import replace

from firedoor.control.rollout_evidence import (
    ANSWERS_MIN,
    SILENT_S,
    Heard,
    counted,
    cutoffs_of,
    follows,
    goes_on,
    hear,
    look_of,
)
from firedoor.rollout.betting import STAKES
from firedoor.rollout.counts import Look, Tally
from firedoor.wire.evidence import (
    LATENCY_BASE_S,
    LATENCY_GROWTH,
    Counts,
    Evidence,
    Pairs,
    encode_evidence,
)


def says(n: int, *, gateway: str = "g1", **more: object) -> Evidence:
    """Return what a gateway says after so many requests of each arm."""
    counts = Counts(n=n, error=n // 10, slow95=n // 5, slow99=n // 8)
    half = n // 2
    pairs = Pairs(n=half, loss_sum=half / 50, log_wealth=(half / 500,) * len(STAKES))
    values = {
        "service": "predict", "gateway": gateway, "boot": "a", "at_s": float(n),
        "generation": 3, "rollout": "predict-1",
        "arms": {"candidate": counts, "baseline": counts, "sentinel": counts, "shadow": Counts(n)},
        "slices": {"carrier=UA": {"candidate": Counts(n // 4)}}, "pairs": pairs,
        "slice_pairs": {"carrier=UA": pairs}, **more,
    }  # fmt: skip
    return Evidence(**values)  # type: ignore[arg-type]


def test_looks_add_up_to_what_was_counted_however_they_are_cut() -> None:
    chance = random.Random(5)
    said = {"g1": says(100), "g2": says(40, gateway="g2")}
    seen, total = {name: counted(one) for name, one in said.items()}, Look()
    for _ in range(30):
        for name in said:
            n = said[name].arms["candidate"].n + chance.randrange(80)
            said[name] = says(n, gateway=name)
        spoken = [said[name] for name in said if chance.random() < 0.7]
        total = total.plus(look_of(seen, spoken, shadow=False))
        seen |= {one.gateway: counted(one) for one in spoken}
    total = total.plus(look_of(seen, said.values(), shadow=False))
    ends = [one.arms["candidate"] for one in said.values()]
    assert total.candidate.n == sum(one.n for one in ends) - 140
    assert total.candidate.error == sum(one.error for one in ends) - 14
    assert total.paired.n == sum(one.pairs.n for one in said.values()) - 70
    wealth = sum(one.pairs.log_wealth[0] for one in said.values()) - 0.14
    assert total.paired.worse[0] == pytest.approx(wealth)
    part = total.parts["carrier=UA"]
    assert part.candidate.n == sum(one.n // 4 for one in ends) - 35
    assert part.paired.n == total.paired.n


def test_in_shadow_it_is_the_copies_that_count() -> None:
    seen = {"g1": counted(says(100))}
    assert look_of(seen, [says(160)], shadow=True).candidate == Tally(60)
    assert look_of(seen, [says(160)], shadow=False).candidate == Tally(60, 6, 0, 12, 8)


@pytest.mark.parametrize(
    "said",
    [
        says(500, boot="b"),
        says(500, generation=4),
        says(500, rollout="predict-2"),
        says(99),
        replace(says(500), arms={**says(500).arms, "sentinel": Counts(n=500, error=9)}),
        replace(says(500), slices={}),
        replace(says(500), pairs=Pairs(n=1)),
    ],
    ids=["boot", "generation", "rollout", "backward", "one backward", "slice gone", "pairs"],
)
def test_what_does_not_go_on_from_what_was_seen_is_no_evidence(said: Evidence) -> None:
    seen = {"g1": counted(says(100))}
    assert not goes_on(seen["g1"], said)
    look = look_of(seen, [said], shadow=False)
    assert look == Look(gateways=1)
    assert not goes_on(None, said)


def test_stakes_of_another_version_of_firedoor_are_no_evidence() -> None:
    later = replace(says(200), pairs=Pairs(n=100, log_wealth=(9.0,) * 5))
    look = look_of({"g1": counted(says(100))}, [later], shadow=False)
    assert not any(look.paired.worse)


def test_a_gateway_is_heard_until_it_says_nothing_new() -> None:
    beat = encode_evidence(says(100))
    heard = hear({}, [beat, b"\x93"], service="predict", now_s=10.0)
    assert list(heard) == ["g1"]
    heard = hear(heard, [beat], service="predict", now_s=10.0 + SILENT_S)
    assert list(heard) == ["g1"]
    assert not hear(heard, [beat], service="predict", now_s=10.1 + SILENT_S)
    fresh = encode_evidence(says(101))
    assert hear(heard, [fresh], service="predict", now_s=99.0)["g1"].heard_s == 99
    assert not hear({}, [beat], service="other", now_s=0.0)


def test_what_is_kept_of_it_can_be_kept() -> None:
    said = says(100, latency={3: 9}, variants={"delays@2": "ready"})
    kept = Heard(said=counted(said), heard_s=1.0)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Heard) == kept
    assert kept.said.latency == {}
    assert follows(said, rollout="predict-1", generation=3)
    assert not follows(said, rollout="predict-1", generation=2)


def test_slow_is_what_the_champions_last_answers_say_all_gateways_together() -> None:
    one = says(1, latency={100: 900, 150: 60})
    two = says(1, gateway="g2", latency={100: 1_000, 200: 40})
    assert sum(one.latency.values()) + sum(two.latency.values()) == ANSWERS_MIN
    cutoffs = cutoffs_of([one, two])
    assert cutoffs is not None
    assert cutoffs[0] == pytest.approx(LATENCY_BASE_S * LATENCY_GROWTH**100)
    assert cutoffs[1] == pytest.approx(LATENCY_BASE_S * LATENCY_GROWTH**200)
    assert cutoffs_of([one]) is None

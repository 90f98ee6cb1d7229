"""Guardrails together: what counts, what is dropped, and which slice it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firedoor.rollout import guardrails, slices
from firedoor.rollout.counts import Look, Paired, Part, Tally
from firedoor.rollout.guardrails import Rules, Trial, find_alarm, find_bad, find_lacking, observe
from firedoor.rollout.sentinel import BUCKETS, Reference, is_sick, noted, poisson_tail
from firedoor.rollout.telling import tell_need

RULES = Rules(
    alpha=0.01, beta=0.05, ratio_good=1.1, ratio_bad=2.0, allowance=0.02, labels_min=200,
    window_s=3_600,
)  # fmt: skip
WELL = Look(
    candidate=Tally(100, 1, 0, 5, 1), baseline=Tally(600, 6, 0, 30, 6),
    sentinel=Tally(300, 3, 0, 15, 3), gateways=1,
)  # fmt: skip
SICK = Look(
    candidate=Tally(100, 20, 0, 25, 21), baseline=Tally(600, 120, 0, 150, 126),
    sentinel=Tally(300, 60, 0, 75, 63), gateways=1,
)  # fmt: skip
WORSE = replace(WELL, candidate=Tally(100, 6, 0, 10, 6))


def watched(*looks: Look, rules: Rules = RULES) -> Trial:
    """Return what is known after some looks, ten seconds each."""
    trial = Trial()
    for number, look in enumerate(looks):
        trial = observe(trial, look, rules, 10.0 * number)
    return trial


def test_the_first_looks_only_say_what_is_usual() -> None:
    trial = watched(WELL, WELL, WELL)
    assert (trial.requests, trial.looks) == (0, 0)
    assert trial.reference.known
    assert watched(*[WELL] * 4).requests == 100


def test_looks_at_which_the_champion_is_sick_say_nothing_for_a_candidate() -> None:
    before = watched(*[WELL] * 10)
    sick = replace(SICK, candidate=WELL.candidate)
    after = observe(before, sick, RULES, 200.0)
    assert (after.masked, after.looks) == (1, before.looks)
    for rail, meter in after.meters.items():
        assert meter.log_good == before.meters[rail].log_good
    assert after.reference == before.reference
    assert after.masked_share > 0


def test_what_is_lacking_tells_of_looks_that_do_not_count() -> None:
    well = watched(*[WELL] * 10)
    assert "do not count" not in tell_need(well, RULES, "slow99")
    told = tell_need(observe(well, SICK, RULES, 200.0), RULES, "slow99")
    assert told.endswith("; 1 of 8 looks do not count, for the champion was sick itself")


def test_a_champion_that_stands_still_weighs_as_much_as_a_candidate_that_does() -> None:
    theirs = replace(WELL, baseline=Tally(600, 6, 0, 90, 66), sentinel=Tally(300, 3, 0, 45, 33))
    mine = replace(WELL, candidate=Tally(100, 1, 0, 15, 11))
    trial = watched(*[WELL] * 5, *[mine, theirs] * 30)
    assert trial.masked == 30
    assert find_bad(trial, RULES) is None
    assert find_bad(watched(*[WELL] * 5, *[mine, WELL] * 30), RULES) is not None


def test_what_happened_once_proves_nothing() -> None:
    once = replace(WELL, candidate=Tally(3_000, 1_500, 0, 1_500, 1_500))
    trial = watched(*[WELL] * 5, once)
    assert find_bad(trial, RULES) is None
    assert find_bad(observe(trial, once, RULES, 60.0), RULES) is not None


def test_one_standstill_of_the_candidates_process_is_no_evidence_that_it_is_slow() -> None:
    quiet = Look(candidate=Tally(500), baseline=Tally(333), sentinel=Tally(167), gateways=1)
    stood = replace(quiet, candidate=Tally(500, 0, 0, 40, 37))
    trial = watched(*[quiet] * 5, stood)
    assert find_bad(trial, RULES) is None
    assert trial.meters["slow99"].log_bad < 1


def test_a_champion_that_became_faster_since_makes_no_successor_wait_in_vain() -> None:
    quick = replace(
        WELL, candidate=Tally(100, 1), baseline=Tally(600, 6), sentinel=Tally(300, 3)
    )  # fmt: skip
    assert find_lacking(watched(*[quick] * 45), replace(RULES, share_next=1.0)) is None


def test_a_candidate_that_is_sick_alone_does_not_hide_itself() -> None:
    trial = watched(*[WELL] * 5, *[replace(WELL, candidate=SICK.candidate)] * 2)
    assert trial.masked == 0
    bad = find_bad(trial, RULES)
    assert bad is not None
    assert bad.guardrail == "error"


def test_pairs_count_whatever_ails_the_champion() -> None:
    pair = Paired(n=5, loss_sum=1.0, worse=(0.5,) * 9, fine=(-0.5,) * 9)
    trial = watched(*[WELL] * 5, replace(SICK, paired=pair))
    assert trial.paired == pair


def test_thin_looks_are_joined_until_the_sentinel_can_tell() -> None:
    thin = Look(candidate=Tally(2), baseline=Tally(30), sentinel=Tally(15), gateways=1)
    trial = watched(*[WELL] * 4, *[thin] * 3)
    assert (trial.looks, trial.joined_looks) == (1, 3)
    trial = observe(trial, thin, RULES, 100.0)
    assert (trial.looks, trial.joined_looks) == (2, 0)
    assert trial.requests == 108


def test_a_champion_that_has_become_quicker_makes_nobody_slow_who_keeps_to_its_quantiles() -> None:
    quicker = replace(WELL, baseline=Tally(600, 6, 0, 2, 0), sentinel=Tally(300, 3, 0, 1, 0))
    as_it_was = watched(*[quicker] * 40)
    assert find_bad(as_it_was, RULES) is None
    assert find_lacking(as_it_was, RULES) is None
    slow = replace(quicker, candidate=Tally(100, 1, 0, 20, 5))
    bad = find_bad(watched(*[quicker] * 5, *[slow] * 20), RULES)
    assert bad is not None
    assert bad.guardrail in {"slow95", "slow99"}


def test_good_is_what_every_guardrail_says_and_for_more_subjects_it_takes_more() -> None:
    trial = watched(*[WELL] * 8)
    assert find_lacking(trial, replace(RULES, share_next=0.05)) is None
    lacking = find_lacking(trial, replace(RULES, share_next=1.0))
    assert lacking is not None
    assert lacking[0] in {"error", "slow99"}
    assert find_lacking(watched(*[WELL] * 45), replace(RULES, share_next=1.0)) is None
    assert find_lacking(Trial(), replace(RULES, share_next=1.0)) is not None


def test_no_faults_in_either_arm_are_good_by_the_allowance() -> None:
    clean = Look(
        candidate=Tally(100, 0, 0, 5, 1), baseline=Tally(600, 0, 0, 30, 6),
        sentinel=Tally(300, 0, 0, 15, 3), gateways=1,
    )  # fmt: skip
    rules = replace(RULES, slow=False)
    assert find_lacking(watched(*[clean] * 5, rules=rules), rules) is not None
    assert find_lacking(watched(*[clean] * 6, rules=rules), rules) is None


def test_needed_labels_are_waited_for() -> None:
    trial = watched(*[WELL] * 45)
    rules = replace(RULES, labels=True, need_labels=True)
    assert find_lacking(trial, rules) == ("loss", 0.0)
    fine = replace(trial, paired=Paired(n=9_000, worse=(-3.0,) * 9, fine=(4.0,) * 9))
    assert find_lacking(fine, rules) is None
    worse = replace(trial, paired=Paired(n=9_000, worse=(8.0,) * 9, fine=(-4.0,) * 9))
    bad = find_bad(worse, rules)
    assert bad is not None
    assert bad.guardrail == "loss"
    assert find_bad(replace(worse, paired=replace(worse.paired, n=199)), rules) is None


def test_alone_it_is_suspected_after_six_bad_looks_and_not_after_a_blip() -> None:
    rules = replace(RULES, alone=True)
    trial = watched(*[WELL] * 8)
    alone = Look(candidate=Tally(1_000, 100, 0, 140, 110), gateways=1)
    for number in range(5):
        trial = observe(trial, alone, rules, 100.0 + 10 * number)
    assert find_alarm(trial, rules) is None
    for number in range(3):
        trial = observe(trial, alone, rules, 150.0 + 10 * number)
    assert find_alarm(trial, rules) is not None
    assert find_bad(trial, rules) is None
    assert guardrails.in_doubt(trial).meters["error"].log_good == 0


# ---- the sentinel


def test_poissons_tail_is_what_the_tables_say() -> None:
    assert poisson_tail(0, 3.0) == 1
    assert poisson_tail(10, 3.0) == pytest.approx(0.0011025, rel=1e-3)
    assert poisson_tail(5, 0.5) == pytest.approx(0.00017212, rel=1e-3)
    assert poisson_tail(3, 0.0) == 0


def test_usual_is_what_was_seen_in_the_last_hour() -> None:
    reference = Reference()
    for look in range(720):
        reference = noted(reference, Tally(100, 1), now_s=10.0 * look, window_s=3_600)
    assert len(reference.buckets) == BUCKETS
    assert reference.total.n == pytest.approx(36_000, rel=0.1)
    assert is_sick(reference, Tally(100, 12))
    assert not is_sick(reference, Tally(100, 6))
    later = noted(reference, Tally(100, 8), now_s=100_000, window_s=3_600)
    assert later.total == Tally(100, 8)


# ---- slices


def part(n: int, failed: int, theirs: int) -> Part:
    """Return a slice of a look."""
    return Part(candidate=Tally(n, failed), baseline=Tally(9 * n, theirs))


def test_one_bad_slice_is_found_among_many_and_good_ones_are_not() -> None:
    found: dict[str, slices.Slice] = {}
    for _ in range(40):
        parts = {f"carrier={code}": part(20, 0, 2) for code in ("AA", "DL", "B6")}
        found = slices.observe(found, {**parts, "carrier=UA": part(20, 3, 2)}, 1.1, most=9.0)
        if slices.find_bad(found, alpha=0.01, columns=1, labels_min=200):
            break
    assert slices.find_bad(found, alpha=0.01, columns=1, labels_min=200) == "carrier=UA"
    assert found["carrier=UA"].candidate[0] <= 200
    culprit = slices.find_culprit(found, alpha=0.01, ratio_good=1.1, labels_min=200)
    assert culprit == "carrier=UA"


def test_a_version_that_is_worse_everywhere_is_no_slices_fault() -> None:
    found: dict[str, slices.Slice] = {}
    for _ in range(10):
        found = slices.observe(found, {f"c={k}": part(50, 5, 4) for k in "ABCD"}, 1.1, most=9.0)
    assert slices.find_culprit(found, alpha=0.01, ratio_good=1.1, labels_min=200) is None


def test_no_more_than_fifty_values_of_a_column_are_kept() -> None:
    parts = {f"tail=N{number}": part(1, 0, 0) for number in range(500)}
    found = slices.observe({}, {**parts, "carrier=UA": part(1, 0, 0)}, 1.1, most=9.0)
    assert len(found) == slices.VALUES_MAX + 1


def test_without_a_slice_its_requests_and_pairs_are_gone_from_the_whole() -> None:
    pairs = Paired(n=3, loss_sum=1.0, worse=(0.1,) * 9, fine=(0.2,) * 9)
    gone = Paired(n=1, loss_sum=0.4, worse=(0.3,) * 9, fine=(-0.1,) * 9)
    look = replace(
        WELL, paired=pairs,
        parts={"carrier=UA": Part(
            candidate=Tally(10, 1), baseline=Tally(60, 2), paired=gone)},
    )  # fmt: skip
    rest = look.without(["carrier=UA", "carrier=XX"])
    assert (rest.candidate.n, rest.candidate.error) == (90, 0)
    assert (rest.baseline.n, rest.baseline.error) == (540, 4)
    assert rest.paired.n == 2
    assert rest.paired.loss_sum == pytest.approx(0.6)
    assert rest.paired.worse == pytest.approx((-0.2,) * 9)
    assert not rest.parts

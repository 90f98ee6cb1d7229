"""Is it the rows or the step? The judgements, held against counting and against exact chances."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.isolation import contrast
from firedoor.isolation.contrast import ContrastPolicy, Streak, Verdict

POLICY = ContrastPolicy()
many = settings(max_examples=300, deadline=None, derandomize=True)

signatures = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 400), max_size=5)


@many
@given(signatures, st.integers(1, 5_000), st.floats(0, 1), st.integers(2, 50))
def test_a_batch_is_judged_by_its_commonest_failure_alone(
    counts: dict[str, int], rows: int, share: float, least: int
) -> None:
    policy = ContrastPolicy(share_max=share, rows_min=least)
    verdict = contrast.judge(Counter(counts), rows, policy)
    top = max(counts.values(), default=0)
    if top >= least and top > share * rows:
        assert verdict is not None
        assert verdict.failed_rows == top == counts[verdict.signature]
        assert verdict.rows == rows
        assert f"{top:,} of {rows:,} rows" in verdict.why
    else:
        assert verdict is None


@pytest.mark.parametrize(
    ("failed", "rows", "guilty"),
    [(50, 1_000, False), (51, 1_000, True), (9, 9, False), (10, 10, True), (10, 200, False)],
)
def test_the_share_must_be_passed_and_ten_rows_reached(
    failed: int,
    rows: int,
    guilty: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    assert (contrast.judge(Counter(a=failed), rows, POLICY) is not None) is guilty


def test_failures_of_different_kinds_do_not_add_up() -> None:
    assert contrast.judge(Counter(a=30, b=30, c=30), 1_000, POLICY) is None


def test_a_share_of_one_disables_contrast() -> None:
    off = ContrastPolicy(share_max=1.0)
    assert contrast.judge(Counter(a=1_000), 1_000, off) is None
    assert contrast.judge_sample(["a"] * 64, off, rows=1_000) is None
    streak = Streak()
    for _ in range(10):
        streak, verdict = contrast.follow(streak, Counter(a=100), 100, off)
        assert verdict is None


def exact(successes: int, trials: int, chance: Fraction) -> Fraction:
    """Return the same chance by walking trial by trial instead of by the formula."""
    row = [Fraction(1)]
    for _ in range(trials):
        stay = [p * (1 - chance) for p in row] + [Fraction(0)]
        rise = [Fraction(0)] + [p * chance for p in row]
        row = [a + b for a, b in zip(stay, rise, strict=True)]
    return sum(row[successes:], Fraction(0))


@settings(many, max_examples=150)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 64))
def test_at_least_is_the_binomial_tail(successes: int, trials: int, sixty_fourths: int) -> None:
    found = contrast.at_least(successes, trials, sixty_fourths / 64)
    assert found == pytest.approx(float(exact(successes, trials, Fraction(sixty_fourths, 64))))


def test_at_least_counts_every_world_of_four_trials() -> None:
    worlds = list(itertools.product([0, 1], repeat=4))
    for successes in range(6):
        counted = sum(sum(world) >= successes for world in worlds) / len(worlds)
        assert contrast.at_least(successes, 4, 0.5) == pytest.approx(counted)


@many
@given(st.lists(st.sampled_from([None, "a", "b"]), max_size=64), st.floats(0.001, 0.99))
def test_a_sample_blames_the_step_only_if_chance_does_not_explain_it(
    outcomes: list[str | None], share: float
) -> None:
    policy = ContrastPolicy(share_max=share)
    verdict = contrast.judge_sample(outcomes, policy, rows=10_000)
    counts = Counter(outcome for outcome in outcomes if outcome)
    top = max(counts.values(), default=0)
    improbable = top > 0 and contrast.at_least(top, len(outcomes), share) < policy.chance_max
    assert (verdict is not None) is improbable
    if verdict is not None:
        assert verdict.failed_rows == counts[verdict.signature] == top
        assert f"{top} of {len(outcomes)} rows sampled from 10,000" in verdict.why


@pytest.mark.parametrize(
    ("outcomes", "guilty"),
    [
        ([], False),
        ([None] * 64, False),
        (["a"], False),
        (["a"] * 2, False),
        (["a"] * 3, True),
        (["a", "b", "c"] * 2, False),
        ([None] * 12 + ["a"] * 4, False),
        ([None] * 11 + ["a"] * 5, True),
    ],
)
def test_three_of_three_are_enough_and_four_of_sixteen_are_not(
    outcomes: list[str | None],
    guilty: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    assert (contrast.judge_sample(outcomes, POLICY, rows=1_000) is not None) is guilty


@pytest.mark.parametrize(("rows", "enough"), [(9, 65), (10, 65), (20, 9), (30, 6), (1_000, 3)])
def test_a_sample_of_a_small_batch_allows_the_nine_rows_that_a_batch_allows(
    rows: int, enough: int
) -> None:
    verdicts = [contrast.judge_sample(["a"] * n, POLICY, rows=rows) for n in range(1, 65)]
    assert [verdict is not None for verdict in verdicts] == [n >= enough for n in range(1, 65)]


def test_a_fair_batch_is_condemned_by_a_sample_less_than_once_in_a_thousand() -> None:
    # At exactly the share that is allowed, sum the chance of all samples that condemn.
    for count in (3, 16, 64):
        condemning = [
            bad
            for bad in range(count + 1)
            if contrast.judge_sample(["a"] * bad + [None] * (count - bad), POLICY, rows=10_000)
        ]
        chance = contrast.at_least(condemning[0], count, POLICY.share_max)
        assert condemning == list(range(condemning[0], count + 1))
        assert chance < POLICY.chance_max


def run(batches: list[tuple[Counter[str], int]]) -> list[Verdict | None]:
    streak, verdicts = Streak(), []
    for counts, rows in batches:
        streak, verdict = contrast.follow(streak, counts, rows, POLICY)
        verdicts.append(verdict)
    return verdicts


def test_the_third_batch_running_that_is_all_dead_in_one_way_blames_the_step() -> None:
    first, second, third = run([(Counter(a=4), 4)] * 3)
    assert first is None
    assert second is None
    assert third == Verdict("a", 12, 12, third.why if third else "")
    assert third is not None
    assert "3 batches running (12 rows)" in third.why


@pytest.mark.parametrize(
    "between",
    [
        (Counter(a=3), 4),  # one row lives
        (Counter(), 4),  # all live
        (Counter(b=4), 4),  # another way to die
        (Counter(a=2, b=2), 4),  # two ways to die
    ],
)
def test_anything_else_between_ends_the_streak(between: tuple[Counter[str], int]) -> None:
    dead = (Counter(a=4), 4)
    assert run([dead, dead, between, dead, dead]) == [None] * 5


def test_a_batch_without_rows_neither_ends_nor_lengthens_a_streak() -> None:
    dead, nothing = (Counter(a=4), 4), (Counter[str](), 0)
    verdicts = run([dead, nothing, dead, nothing, nothing, dead])
    assert [verdict is not None for verdict in verdicts] == [False] * 5 + [True]


def test_a_streak_of_single_rows_needs_ten_of_them() -> None:
    verdicts = run([(Counter(a=1), 1)] * 10)
    assert [verdict is not None for verdict in verdicts] == [False] * 9 + [True]


@many
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6), st.booleans()), max_size=20))
def test_a_streak_is_what_the_last_batches_say_and_nothing_else(
    batches: list[tuple[str, int, bool]],
) -> None:
    history: list[tuple[str, int]] = []
    streak = Streak()
    for signature, rows, one_lives in batches:
        dead = max(0, rows - one_lives)
        counts = Counter({signature: dead} if dead else {})
        streak, verdict = contrast.follow(streak, counts, rows, POLICY)
        if rows == 0:
            continue
        if dead < rows:
            history.clear()
        else:
            history = [entry for entry in history if entry[0] == signature] + [(signature, rows)]
        long = len(history) >= POLICY.batches and sum(n for _, n in history) >= POLICY.rows_min
        assert (verdict is not None) is long

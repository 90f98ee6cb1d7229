"""Whether new code may take the place of the old: no data is no pass, what differs needs a word."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest
from msgspec.structs import replace

from firedoor.flow.code import (
    OTHERS,
    CodePolicy,
    Compared,
    Evidence,
    Example,
    add,
    chance_of_more,
    join,
    judge,
)

POLICY = CodePolicy(batches_min=3, rows_min=3_000)
MIB = 2**20


def batch(**fields: Any) -> Compared:
    """Return a batch of which both made the same."""
    same = Compared(
        batch="orders-000007", rows=1_000, rows_old=1_000, rows_new=1_000, matched=1_000,
        step_s_old=0.1, step_s_new=0.1,
    )  # fmt: skip
    return replace(same, **fields)


def seen(*batches: Compared) -> Evidence:
    return reduce(add, batches, Evidence())


def three(**fields: Any) -> Evidence:
    return seen(batch(), batch(**fields), batch())


PRICE = Example(batch="orders-000007", row=612, old="3", new="4")


@pytest.mark.parametrize(
    ("evidence", "word", "says", "passes"),
    [
        (Evidence(), "not yet", "0 of 3 batches, 0 of 3,000 rows", False),
        (Evidence(skipped=100, waited=100), "not yet", "0 of 3 batches", False),
        (seen(batch(), batch()), "not yet", "2 of 3 batches, 2,000 of 3,000 rows", False),
        (seen(*[batch(rows=900)] * 3), "not yet", "3 of 3 batches, 2,700 of 3,000 rows", False),
        (three(), "same", "the same rows and values in 3 batches, 3,000 rows", True),
        (
            three(columns={"price": 1}, examples={"price": PRICE}),
            "differs",
            "column price: 1 of 3,000 rows differ (0.03%), as row 612 of orders-000007: 3 is now 4",
            False,
        ),
        (three(shapes={"tax": "is new (Int64)"}), "differs", "column tax: is new (Int64)", False),
        (three(drift={"speed": 0.25}), "differs", "distributed otherwise (distance 0.250", False),
        (three(rows_new=999, lost=1), "differs", "2,999 come out, 3,000 of the old", False),
        (three(dead_new={"ValueError": 1}), "differs", "1 by ValueError, 0 before", False),
        (three(dead_old={"ValueError": 9}), "differs", "0 by ValueError, 9 before", False),
        (three(dropped_new={"late": 2}), "differs", "dropped rows: 2 by late, 0 before", False),
        (
            three(dead_old={"a": 1}, dead_new={"a": 1, "KeyError": 12}),
            "worse",
            "13 rows die of it, 1 of the old code: most by KeyError",
            False,
        ),
        (three(peak_bytes_old=100 * MIB, peak_bytes_new=300 * MIB), "worse", "300 MiB", False),
        (three(peak_bytes_old=10 * MIB, peak_bytes_new=60 * MIB), "same", "the same", True),
        (three(lost_new=2), "worse", "2 of its workers died", False),
        (three(lost_old=2, lost_new=2), "same", "the same", True),
        (three(lost_new=1), "same", "the same", True),
        (join(three(), Evidence(deaths=2, last="SIGSEGV")), "worse", "2 times: SIGSEGV", False),
        (join(three(), Evidence(deaths=1)), "same", "the same", True),
        (Evidence(faults=("KeyError: 'prise'",)), "worse", "KeyError: 'prise'", False),
    ],
)
def test_the_verdict_says_what_was_seen(
    evidence: Evidence, word: str, says: str, *, passes: bool
) -> None:
    found = judge(evidence, POLICY)
    assert (found.word, found.passes) == (word, passes)
    assert says in found.why[0]


@pytest.mark.parametrize(
    ("ratio", "step_s", "word"),
    [(1.4, 1.0, "same"), (1.6, 1.0, "worse"), (9.0, 0.0001, "same")],
)
def test_slower_is_judged_by_the_median_and_not_on_less_than_can_be_felt(
    ratio: float, step_s: float, word: str
) -> None:
    slow = batch(step_s_old=step_s, step_s_new=ratio * step_s)
    once = batch(step_s_old=step_s, step_s_new=100 * step_s)
    assert judge(seen(slow, slow, slow, slow, once), POLICY).word == word
    few = judge(seen(slow, slow, slow, slow), POLICY)
    assert few.word == "same"
    assert few.why[0].endswith("too few to compare how long it takes")
    first = batch(step_s_new=0.0)
    assert judge(seen(first, *[slow] * 4), POLICY).word == "same", "the first is not timed"
    assert judge(seen(first, *[slow] * 5), POLICY).word == word


@pytest.mark.parametrize(
    ("allow", "word"),
    [
        ((), "differs"),
        (("price",), "differs"),
        (("tax",), "differs"),
        (("price", "tax"), "allowed"),
        (("*",), "allowed"),
    ],
)
def test_what_may_differ_is_named_by_who_deploys(allow: tuple[str, ...], word: str) -> None:
    evidence = three(columns={"price": 5}, shapes={"tax": "is new (Int64)"})
    found = judge(evidence, CodePolicy(batches_min=3, rows_min=3_000, allow=allow))
    assert (found.word, found.passes) == (word, word == "allowed")


def test_every_column_may_differ_and_still_no_row_may_be_lost_or_die() -> None:
    policy = CodePolicy(batches_min=1, rows_min=1, allow=("*",))
    assert judge(seen(batch(lost=1, rows_new=999)), policy).word == "differs"
    assert judge(seen(batch(dead_new={"x": 1})), policy).word == "differs"
    policy = CodePolicy(batches_min=1, rows_min=1, allow=("rows", "dead"))
    assert judge(seen(batch(lost=1, rows_new=999, dead_new={"x": 1})), policy).word == "allowed"
    assert judge(seen(batch(dead_new={"x": 50})), policy).word == "worse", "nobody allows that"


def test_a_fault_ends_it_at_once_and_a_difference_is_told_at_once_and_seen_to_its_end() -> None:
    assert judge(Evidence(faults=("it hangs",)), POLICY).complete
    early = judge(seen(batch(columns={"price": 1})), POLICY)
    assert (early.word, early.complete) == ("differs", False)
    assert judge(three(columns={"price": 1}), POLICY).complete


def test_joined_evidence_is_that_of_all_batches() -> None:
    batches = [
        batch(columns={f"c{n}": n + 1}, dead_new={"x": n}, peak_bytes_new=n, step_s_new=0.1 * n)
        for n in range(6)
    ]
    assert join(seen(*batches[:2]), seen(*batches[2:])) == seen(*batches)


def test_evidence_stays_bounded_whatever_code_makes() -> None:
    many = {f"c{n}": 1 for n in range(5_000)}
    shown = dict.fromkeys(many, PRICE)
    evidence = seen(*[batch(columns=many, dead_new=many, examples=shown)] * 300)
    assert len(evidence.columns) == 101
    assert evidence.columns[OTHERS] == 300 * 4_900
    assert sum(evidence.dead_new.values()) == 300 * 5_000
    assert (len(evidence.examples), len(evidence.pairs)) == (20, 200)


@pytest.mark.parametrize(
    ("old", "new", "chance"),
    [(0, 0, 1.0), (0, 4, 1 / 16), (0, 5, 1 / 32), (5, 5, 319 / 512), (3, 0, 1.0)],
)
def test_the_chance_of_more_dead_rows_is_the_exact_one(old: int, new: int, chance: float) -> None:
    assert chance_of_more(old, new) == pytest.approx(chance)


def test_rows_beyond_what_is_summed_up_are_judged_by_their_ratio() -> None:
    many = three(dead_old={"x": 20_000}, dead_new={"x": 20_100})
    assert judge(many, POLICY).word == "differs"
    assert judge(three(dead_old={"x": 20_000}, dead_new={"x": 22_000}), POLICY).word == "worse"

"""A cell is kept only where enough was seen, and hurt only where chance does not explain it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drilled import DOUBT, STAGE, exercise, second, summed
from firedoor.drill.cell import Cell, Seen, judge_cell
from firedoor.drill.measured import Measured
from firedoor.drill.planning import Exercise
from firedoor.drill.stage import Seat

BEFORE = summed(second(), 20)


def cell(
    during: Measured,
    *,
    zone: str = "predict",
    before: Measured = BEFORE,
    done: Exercise | None = None,
    seat: Seat | None = None,
    well: bool = True,
    void: str = "",
) -> Cell:
    seen = Seen(before=before, during=during, well=well)
    return judge_cell(seat or STAGE.seat(zone), seen, done or exercise(), DOUBT, why_void=void)


def test_a_zone_in_which_nothing_is_bad_is_kept() -> None:
    made = cell(summed(second(), 20))
    assert made.verdict == "kept"
    assert made.availability == 1.0
    assert made.p99_s == pytest.approx(0.1, rel=0.06)


def test_nothing_seen_is_no_evidence_and_names_what_to_look_at() -> None:
    made = judge_cell(STAGE.seat("predict"), None, exercise(), DOUBT)
    assert made.verdict == "no_evidence"
    assert "is it running" in made.why


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_too_few_rows_are_no_evidence_however_good_they_are(rows: int) -> None:
    made = cell(summed(second(rows), 20))
    assert made.verdict == "no_evidence"
    assert "too few" in made.why


def test_many_rows_in_few_batches_do_not_prove_that_none_is_late() -> None:
    made = cell(summed(second(10_000, batches=0), 19).plus(second(10_000, batches=5)))
    assert made.verdict == "no_evidence"


def test_a_zone_that_loses_more_than_it_may_is_a_breach_by_its_own_fault() -> None:
    made = cell(summed(second(lost=10), 20))
    assert (made.verdict, made.cause) == ("breach", "own")
    assert "200 of 2,000 requests lost (10 %), 1 % may be: 200 its own" in made.why


def test_what_is_inherited_is_a_breach_too_and_says_from_whom() -> None:
    made = cell(summed(second(lost_from={"enrich": 10}), 20), zone="store")
    assert (made.verdict, made.cause) == ("breach", "enrich")
    assert "200 inherited from enrich" in made.why


def test_as_many_bad_ones_as_may_be_are_kept() -> None:
    assert cell(summed(second(lost=1), 20)).verdict == "kept"


def test_too_many_to_be_kept_and_too_few_to_be_sure_is_no_evidence() -> None:
    during = summed(second(lost=1), 20).plus(second(lost=15))
    made = cell(during)
    assert made.verdict == "no_evidence"
    assert "too many to be kept, too few to be sure" in made.why


def test_one_late_batch_of_many_rows_is_no_breach() -> None:
    during = summed(second(), 19).plus(second(late=20, batches=5))
    assert cell(during).verdict == "kept"


def test_batches_that_are_late_again_and_again_are_a_breach() -> None:
    assert cell(summed(second(late=40, batches=5), 20)).verdict == "breach"


def test_the_faulted_zone_may_be_hurt() -> None:
    made = cell(summed(second(lost=50), 20), zone="enrich")
    assert made.verdict == "expected"
    assert "1,000 of 2,000" in made.why


def test_the_faulted_zone_needs_no_evidence_but_what_it_kept_is_told() -> None:
    assert cell(summed(second(0, batches=0), 20), zone="enrich").verdict == "expected"
    assert cell(summed(second(), 20), zone="enrich").verdict == "kept"


def test_a_zone_behind_it_may_starve_and_a_zone_beside_it_may_not() -> None:
    starved = summed(second(stale_from={"enrich": 1}), 10).plus(summed(second(), 10))
    assert cell(starved, zone="store").verdict == "expected"
    assert "as expected" in cell(starved, zone="store").why
    assert cell(starved, zone="predict").verdict == "breach"


def test_starving_explains_that_little_came() -> None:
    starved = summed(second(0, batches=0, stale_from={"enrich": 1}), 20)
    assert cell(starved, zone="store").verdict == "expected"


def test_starving_does_not_excuse_what_is_lost_besides() -> None:
    during = summed(second(lost=20, stale_from={"enrich": 1}), 20)
    assert cell(during, zone="store").verdict == "breach"


def test_one_that_may_not_starve_is_hurt_by_it() -> None:
    starved = summed(second(stale_from={"enrich": 1}), 20)
    made = cell(starved, zone="store", done=exercise(may_starve=False))
    assert (made.verdict, made.cause) == ("breach", "enrich")


def test_one_that_stands_still_by_itself_behind_the_faulted_zone_is_hurt() -> None:
    assert cell(summed(second(stale=1), 20), zone="store").verdict == "breach"


def test_a_zone_that_says_nothing_is_not_taken_for_well() -> None:
    dead = Measured(seconds=15, said_s=0)
    made = cell(summed(second(), 10).plus(dead))
    assert made.verdict == "breach"
    assert "in which it said nothing" in made.why


def test_what_came_through_by_a_fallback_is_degraded_and_not_kept() -> None:
    made = cell(summed(second(degraded=30), 20))
    assert made.verdict == "degraded"
    assert made.degraded == pytest.approx(0.3)
    assert "30 % came" in made.why


def test_as_much_by_a_fallback_as_before_is_kept() -> None:
    usual = summed(second(degraded=30), 20)
    assert cell(usual, before=usual).verdict == "kept"


def test_a_zone_that_missed_its_promise_before_proves_nothing() -> None:
    sick = summed(second(lost=10), 20)
    made = cell(sick, before=sick)
    assert made.verdict == "no_evidence"
    assert "before anything was injected" in made.why


def test_a_machine_too_busy_for_one_promise_proves_nothing_by_another() -> None:
    late = summed(second(late=40, batches=5), 20)
    during = summed(second(lost=50, late=40, batches=5), 20)
    made = cell(during, before=late, well=False)
    assert made.verdict == "no_evidence"
    assert "is the machine too busy" in made.why


def test_what_was_perhaps_missed_before_is_a_breach_only_if_much_more_is_bad() -> None:
    uneasy = summed(second(), 10).plus(summed(second(lost=3), 10))  # 1.5 %, and 1 % may be
    longer = summed(second(), 50).plus(summed(second(lost=3), 50))
    made = cell(longer.plus(longer), before=uneasy)
    assert cell(longer.plus(longer)).verdict == "breach"
    assert made.verdict == "no_evidence"
    assert "before anything was injected" in made.why
    assert cell(summed(second(lost=20), 20), before=uneasy).verdict == "breach"
    assert cell(summed(second(), 20), before=uneasy).verdict == "kept"


def test_a_zone_that_does_not_recover_is_a_breach_even_if_nothing_was_counted_bad() -> None:
    made = cell(summed(second(), 20), well=False)
    assert made.verdict == "breach"
    assert "not well again" in made.why
    assert cell(summed(second(), 20), zone="enrich", well=False).verdict == "expected"


def test_a_fault_that_hit_nothing_proves_nothing_anywhere() -> None:
    for zone in STAGE.names:
        made = cell(summed(second(), 20), zone=zone, void="it hit nothing")
        assert (made.verdict, made.why) == ("no_evidence", "it hit nothing")


SILENT = Seat(name="plain", kind="sink", ends=True)


def test_one_that_promises_nothing_is_compared_with_before() -> None:
    assert cell(summed(second(), 20), seat=SILENT).verdict == "kept"
    usual = summed(second(lost=5), 20)
    assert cell(usual, before=usual, seat=SILENT).verdict == "kept"
    assert cell(summed(second(lost=20), 20), before=usual, seat=SILENT).verdict == "breach"


def test_one_that_promises_nothing_needs_evidence_of_before_as_well() -> None:
    made = cell(summed(second(), 20), before=summed(second(1), 20), seat=SILENT)
    assert made.verdict == "no_evidence"


def test_the_budget_that_was_spent_is_a_share_of_thirty_days() -> None:
    made = cell(summed(second(lost=10), 20))
    month = 100 * 30 * 86_400
    assert made.spent == pytest.approx(200 / (0.01 * month), rel=0.01)


@given(
    st.integers(0, 400), st.integers(0, 40), st.integers(0, 40), st.integers(0, 1),
    st.integers(0, 8), st.booleans(), st.sampled_from(["enrich", "store", "predict"]),
)  # fmt: skip
def test_whatever_was_seen_kept_means_enough_was_seen_and_not_more_was_bad_than_may_be(  # noqa: PLR0917
    rows: int,
    lost: int,
    late: int,
    stale: int,
    batches: int,
    well: bool,  # noqa: FBT001
    zone: str,
) -> None:
    one = second(
        rows, lost=min(rows, lost), late=min(rows - min(rows, lost), late), stale=stale,
        batches=batches,
    )  # fmt: skip
    made = cell(summed(one, 20), zone=zone, well=well)
    assert (made.verdict == "breach") <= (zone != "enrich")
    if made.verdict in {"kept", "degraded"}:
        assert well
        assert rows * 20 >= DOUBT.units_min
        assert batches
        for finding in made.findings:
            assert finding.chance >= 0.05


def test_one_of_a_thousand_drills_of_a_healthy_pipeline_calls_a_breach_at_most() -> None:
    import random  # noqa: PLC0415 - drawn from a seed, here alone

    drawn = random.Random(7)
    breaches = 0
    for _ in range(1_000):
        lost = sum(drawn.random() < 0.01 for _ in range(400))  # just what may be lost
        during = second(400, lost=lost).plus(summed(second(0), 19))
        breaches += cell(during).verdict == "breach"
    assert breaches <= 1

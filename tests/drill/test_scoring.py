"""Seeds make a row, rows a score, the score an exit code: the worst counts, always."""

from __future__ import annotations

import pytest

from drilled import exercise, report, row, second
from firedoor.drill.books import Conservation, Rows, conserved
from firedoor.drill.cell import Cell
from firedoor.drill.matrix import Known
from firedoor.drill.report import Unrecovered
from firedoor.drill.scoring import exit_code, joined, mark_known, score, worst_of

SECONDS = 12
HURT = {"predict": [second(lost=30)] * SECONDS}
IDLE = {"predict": [second(0, batches=0)] * 40}


def cells(*verdicts: str) -> list[Cell]:
    return [Cell(zone="predict", verdict=one, why="") for one in verdicts]  # type: ignore[arg-type]


def test_seeds_that_disagree_are_flaky_and_the_worst_counts() -> None:
    made = worst_of(cells("kept", "breach", "kept"))
    assert (made.verdict, made.flaky, made.code) == ("breach", True, "B~")


def test_seeds_that_agree_are_not_flaky() -> None:
    made = worst_of(cells("kept", "kept"))
    assert (made.flaky, made.code) == (False, "K")


def test_no_evidence_is_worse_than_what_is_kept_and_a_breach_is_the_worst() -> None:
    assert worst_of(cells("kept", "no_evidence")).verdict == "no_evidence"
    assert worst_of(cells("breach", "no_evidence")).verdict == "breach"


def test_of_all_seeds_the_slowest_recovery_counts_and_none_is_worst() -> None:
    one, two = row(recovered_s=2.0), row(recovered_s=9.0)
    assert joined([one, two]).recovered_s == 9.0
    assert joined([one, row(recovered_s=None)]).recovered_s is None
    assert joined([one, row(hits=0)]).injected is False
    assert joined([one, row(cleaned=False)]).cleaned is False


def test_a_contained_fault_passes_the_gate() -> None:
    made = report(row())
    assert made.exit_code == 0
    assert made.score.containment == 1.0
    assert made.verdict.startswith("contained: ")


def test_a_breach_fails_the_gate_and_is_named() -> None:
    made = report(row(HURT))
    assert made.exit_code == 1
    assert "kill in enrich hurt predict" in made.verdict
    assert made.score.worst == "kill in enrich"
    assert made.score.containment is not None
    assert made.score.containment < 1


def test_no_evidence_fails_the_gate_with_a_code_of_its_own() -> None:
    made = report(row(IDLE, well_s=1))
    assert made.exit_code == 3
    assert made.score.no_evidence


def test_a_fault_that_hit_nothing_fails_the_gate() -> None:
    for how in ({"hits": 0}, {"heard": False}, {"refused": "not here", "hits": 0}):
        assert report(row(**how)).exit_code == 3


def test_no_rows_at_all_are_no_evidence() -> None:
    assert exit_code([], score([])) == 3


def test_a_breach_outranks_no_evidence_a_stop_outranks_both_and_a_fault_left_behind_all() -> None:
    assert report(row(IDLE, well_s=1), row(HURT, done=exercise("freeze"))).exit_code == 1
    assert report(row(HURT), stopped="ann stopped it").exit_code == 4
    assert report(row(HURT, cleaned=False), stopped="ann stopped it").exit_code == 5


def test_a_zone_that_is_not_well_again_outranks_a_stop_also_if_it_is_the_faulted_one() -> None:
    left = Unrecovered(zone="enrich", owner="ann", waited_s=60, seen="halted", to_do="look")
    stuck = row(recovered_s=None, unrecovered=(left,))
    made = report(stuck, stopped="bob stopped it")
    assert made.exit_code == 1
    assert "not recovered from kill in enrich: enrich is not well 60 s after" in made.verdict
    assert made.verdict.endswith("stopped: bob stopped it")
    assert report(row(cleaned=False, unrecovered=(left,))).exit_code == 5
    assert joined([stuck, stuck]).unrecovered == (left,)


def test_a_row_that_was_lost_is_a_breach_whatever_zones_say() -> None:
    lost = Conservation(
        checked=True, holds=False, problems=("1 lost of flights-000007",), rows=Rows(lost=10)
    )
    made = report(row(conservation=lost))
    assert made.exit_code == 1
    cell = made.rows[0].cell("end_to_end")
    assert cell is not None
    assert "flights-000007" in cell.why


def test_books_that_cannot_be_read_prove_nothing() -> None:
    assert report(row(conservation=Conservation(checked=False))).exit_code == 3


def test_problems_that_were_there_before_are_not_the_drills() -> None:
    old = frozenset({"an old one"})
    assert conserved(Rows(), old, Rows(), ("an old one",), known_count=1, count=1).holds
    made = conserved(Rows(), old, Rows(), ("an old one", "a new one"), known_count=1, count=2)
    assert made.problems == ("a new one",)
    assert not made.holds


def test_problems_beyond_those_that_are_told_count_too() -> None:
    old = frozenset(f"problem {n}" for n in range(20))
    assert not conserved(Rows(), old, Rows(), tuple(old), known_count=20, count=21).holds


def test_a_pipeline_with_more_old_problems_than_are_told_is_no_breach() -> None:
    old = frozenset(f"problem {n}" for n in range(20))
    assert conserved(Rows(), old, Rows(), tuple(old), known_count=100, count=100).holds


def test_rows_that_are_lost_without_a_problem_of_their_own_are_told() -> None:
    made = conserved(Rows(), frozenset(), Rows(lost=3), (), known_count=0, count=0)
    assert not made.holds
    assert "3 rows more are lost" in made.in_words


def known(until: str) -> Known:
    return Known(
        fault="kill", zone="enrich", hurts="predict", owner="ann", because="FD-1", until=until
    )


@pytest.mark.parametrize(("until", "code"), [("2026-12-31", 0), ("2026-11-28", 1)])
def test_a_known_breach_passes_until_its_day_is_over(until: str, code: int) -> None:
    rows, expired, mended = mark_known([row(HURT)], [known(until)], "2026-11-29")
    assert exit_code(rows, score(rows)) == code
    assert bool(expired) == bool(code)
    assert not mended


def test_what_is_known_of_an_end_does_not_excuse_rows_that_are_lost() -> None:
    lost = Conservation(checked=True, holds=False, problems=("p",))
    rows, _, _ = mark_known([row(HURT, conservation=lost)], [known("2026-12-31")], "2026-11-29")
    assert exit_code(rows, score(rows)) == 1


def test_a_known_breach_that_is_none_any_more_is_to_be_dropped() -> None:
    _, expired, mended = mark_known([row()], [known("2026-12-31")], "2026-11-29")
    assert not expired
    assert "drop it" in mended[0]


def test_a_known_breach_without_evidence_is_not_mended() -> None:
    _, _, mended = mark_known([row(IDLE, well_s=1)], [known("2026-12-31")], "2026-11-29")
    assert not mended


def test_one_known_breach_does_not_excuse_another() -> None:
    both = {**HURT, "store": [second(lost=30)] * SECONDS}
    rows, _, _ = mark_known([row(both)], [known("2026-12-31")], "2026-11-29")
    assert exit_code(rows, score(rows)) == 1


def test_the_faulted_zone_itself_adds_nothing_to_the_score() -> None:
    made = score([row({"enrich": [second(lost=90)] * SECONDS})])
    assert made.breaches == 0
    assert made.judged == 4  # flights, store, predict, and all that leaves the pipeline

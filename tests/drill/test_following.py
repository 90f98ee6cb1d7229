"""Second by second: who is hurt since when, when to end a fault, when all is well again."""

from __future__ import annotations

import pytest

from drilled import DOUBT, NAMES, exercise, following, second, summed
from firedoor.drill.following import Following
from firedoor.drill.measured import Measured
from firedoor.drill.worsening import control_of

BAD = second(lost=40)
WAITS = second(stale_from={"enrich": 1}, state="blocked")


def test_when_a_zone_was_first_and_last_hurt_is_told() -> None:
    made = following(exercise(), {"predict": [second(), second(), BAD, BAD, second()]})
    seen = made.seen("predict")
    assert seen is not None
    assert (seen.hurt_s, seen.well_s) == (3.0, 4.0)
    assert made.contained_s() == 4.0 - 1.0


def test_a_fault_that_nobody_else_felt_is_contained_at_once() -> None:
    made = following(exercise(), {"enrich": [BAD] * 5})
    assert made.contained_s() == 0.0


def test_containment_is_when_the_last_other_zone_came_to_be_hurt() -> None:
    made = following(exercise(), {"predict": [BAD], "store": [second(), second(), BAD]})
    assert made.contained_s() == 3.0


def test_one_bad_row_of_many_hurts_nobody() -> None:
    made = following(exercise(), {"predict": [second(1_000, lost=1)] * 5})
    assert made.hurt() == set()


def test_a_zone_outside_that_goes_on_being_hurt_ends_the_fault() -> None:
    made = following(exercise(), {"predict": [BAD] * 2}, well_s=0)
    assert made.broken(DOUBT) == ""
    made = following(exercise(), {"predict": [BAD] * 5}, well_s=0)
    assert made.broken(DOUBT) == "predict"


def test_neither_the_faulted_zone_nor_one_that_may_starve_ends_it() -> None:
    made = following(exercise(), {"enrich": [BAD] * 9, "store": [WAITS] * 9}, well_s=0)
    assert made.broken(DOUBT) == ""


def test_a_short_blip_outside_ends_nothing() -> None:
    made = following(exercise(), {"predict": [BAD, *[second()] * 8, BAD]}, well_s=0)
    assert made.broken(DOUBT) == ""


def test_all_are_well_again_only_when_the_faulted_zone_and_the_starving_are() -> None:
    during = {"enrich": [second(state="halted")] * 4, "store": [WAITS] * 6}
    made = following(exercise(), during, well_s=3)
    assert made.quiet_since_s == 7.0
    assert made.halted() == ()
    made = following(exercise(), during, well_s=0)
    assert made.quiet_since_s is None
    assert "store" in made.unwell()


def test_who_halted_is_told() -> None:
    made = following(exercise(), {"enrich": [second(state="halted")] * 4}, well_s=0)
    assert made.halted() == ("enrich",)


def test_a_zone_that_was_blocked_before_may_be_blocked_after() -> None:
    usual = second(state="blocked", stale=1)
    made = following(exercise(), {}, before=usual)
    made.add(dict.fromkeys(("flights", "enrich", "store", "predict"), usual), 20.0)
    assert made.quiet_since_s is not None


def test_a_silent_zone_is_not_well() -> None:
    silent = Measured(seconds=1.0, said_s=0.0)
    made = following(exercise(), {"predict": [silent] * 3}, well_s=0)
    assert made.quiet_since_s is None


def test_it_is_waited_for_those_that_can_still_be_judged_and_for_no_others() -> None:
    made = following(exercise(), {"predict": [second(10)] * 3}, well_s=0)
    assert "predict" in made.unproven(DOUBT)
    assert "enrich" not in made.unproven(DOUBT)
    idle = following(exercise(), {}, before=summed(second(1, batches=1), 1), well_s=3)
    assert idle.unproven(DOUBT) == ()


def compared(made: Following, during: Measured, *zones: str) -> Following:
    """Return what is known after 15 seconds of some zones, compared with 20 that were well."""
    made.control = control_of([dict.fromkeys(NAMES, second(1_000))] * 20, chance=1e-4)
    for at in range(15):
        look = {name: during if name in zones else second(1_000) for name in NAMES}
        made.add(look, float(at + 1))
    return made


def test_a_zone_outside_that_is_worse_than_in_the_warm_up_is_named_though_it_is_kept() -> None:
    made = compared(following(exercise(), {}, well_s=0), second(1_000, lost=5), "predict")
    assert made.broken(DOUBT) == ""
    ((zone, why),) = made.worse()
    assert zone == "predict"
    assert "75 of 15,000 lost, 0 of 20,000 in the warm-up" in why


def test_one_that_may_be_hurt_is_not_compared_and_one_that_is_as_before_is_not_worse() -> None:
    made = compared(following(exercise(), {}, well_s=0), second(1_000, lost=5), "enrich")
    assert made.worse() == ()
    assert compared(following(exercise(), {}, well_s=0), second(1_000), "predict").worse() == ()


def test_what_is_spent_outside_is_told_in_seconds_in_which_all_is_bad() -> None:
    during = {"predict": [second(lost=25)] * 8, "enrich": [BAD] * 8, "store": [WAITS] * 8}
    spent = following(exercise(), during, well_s=0).bad_s()
    assert spent["predict", "availability"] == pytest.approx(2.0)
    assert spent["store", "freshness"] == 0  # it waits for the faulted zone, as expected
    assert ("enrich", "availability") not in spent


def test_how_a_zone_is_that_is_not_well_is_told_in_words() -> None:
    made = following(exercise(), {"predict": [second(lost=40, state="halted")] * 5}, well_s=0)
    assert made.condition("predict", DOUBT).startswith("halted; 200 of 500 requests lost (40 %)")

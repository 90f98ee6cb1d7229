"""Totals become differences, exactly, whatever is missed, restarted or silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.drill.measured import Measured, Meter
from firedoor.events.objective import Kept, Objectives, bucket_of


def total(
    at_s: float,
    good: int = 0,
    *,
    own: int = 0,
    zone: str = "enrich",
    process: str = "a",
    boot: str = "1",
    **more: object,
) -> Objectives:
    kept = Kept(good=good, own=own)
    values = {"availability": kept, **more}
    return Objectives(zone=zone, process=process, boot=boot, at_s=at_s, **values)  # type: ignore[arg-type]  # fmt: skip


def test_what_was_before_the_beginning_is_not_counted() -> None:
    meter = Meter()
    meter.begin([total(1, 1_000)], 1)
    made = meter.take([total(2, 1_010)], 2, 1)["enrich"]
    assert made.availability.good == 10


def test_a_look_that_was_missed_loses_nothing() -> None:
    meter = Meter()
    meter.begin([total(1, 100)], 1)
    made = meter.take([total(9, 900, own=3)], 9, 8)["enrich"]
    assert (made.availability.good, made.availability.own, made.seconds) == (800, 3, 8)


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    meter = Meter()
    meter.begin([total(1, 1_000)], 1)
    made = meter.take([total(2, 7, boot="2")], 2, 1)["enrich"]
    assert made.availability.good == 7


def test_processes_of_a_zone_are_added_up() -> None:
    meter = Meter()
    meter.begin([total(1, 10), total(1, 20, process="b")], 1)
    made = meter.take([total(2, 15), total(2, 21, process="b")], 2, 1)
    assert made["enrich"].availability.good == 6
    assert made["enrich"].seconds == 1


def test_the_same_word_again_says_nothing_and_silence_counts_after_three_seconds() -> None:
    meter = Meter()
    meter.begin([total(1, 10)], 1)
    said = [meter.take([total(1, 10)], at_s, 1)["enrich"].said_s for at_s in range(2, 8)]
    assert said == [1, 1, 1, 0, 0, 0]
    assert meter.take([total(8, 12)], 8, 1)["enrich"].said_s == 1


def test_a_zone_that_never_said_anything_is_not_there() -> None:
    assert Meter().take([], 1, 1) == {}


def test_causes_are_told_apart() -> None:
    meter = Meter()
    before = Kept(good=1, inherited={"flights": 2})
    after = Kept(good=1, own=1, inherited={"flights": 5, "broker": 1})
    meter.begin([total(1, availability=before)], 1)
    made = meter.take([total(2, availability=after)], 2, 1)["enrich"]
    assert made.availability == Kept(own=1, inherited={"flights": 3, "broker": 1})


def test_what_fails_without_a_duration_is_a_trial_as_well() -> None:
    meter = Meter()
    meter.begin([total(1)], 1)
    assert meter.take([total(2, own=5)], 2, 1)["enrich"].trials == 1


def test_percentiles_are_at_most_five_percent_too_large() -> None:
    made = Measured(latency_s={bucket_of(0.01): 99, bucket_of(1.0): 1})
    assert made.slower_than_s(0.95) == pytest.approx(0.01, rel=0.06)
    assert made.slower_than_s(0.995) == pytest.approx(1.0, rel=0.06)
    assert Measured().slower_than_s(0.5) is None


counts = st.builds(
    Measured,
    seconds=st.floats(0, 10),
    availability=st.builds(
        Kept, good=st.integers(0, 9), own=st.integers(0, 9),
        inherited=st.dictionaries(st.sampled_from("ab"), st.integers(1, 9)),
    ),
    latency_s=st.dictionaries(st.integers(0, 5), st.integers(1, 9)),
    degraded=st.integers(0, 9),
)  # fmt: skip


@given(counts, counts)
def test_adding_up_forgets_nothing_in_either_order(one: Measured, two: Measured) -> None:
    both, round_about = one.plus(two), two.plus(one)
    assert both.availability == round_about.availability
    assert both.availability.units == one.availability.units + two.availability.units
    assert both.trials == one.trials + two.trials
    assert both.degraded == one.degraded + two.degraded

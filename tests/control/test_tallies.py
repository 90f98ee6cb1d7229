"""Totals of processes that come, go and begin anew: nothing is lost or counted twice."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from firedoor.control.tallies import Tallies
from firedoor.events.objective import Kept, Objectives


def beat(process: str, boot: str, kept: Kept, *, zone: str = "enrich") -> tuple[str, bytes]:
    said = Objectives(
        zone=zone, process=process, boot=boot, at_s=0.0, state="running", availability=kept
    )
    return f"objective.{zone}.{process}", msgspec.json.encode(said)


def test_differences_of_totals_are_told_zone_by_zone() -> None:
    tallies = Tallies()
    tallies.look(dict([beat("a", "1", Kept(good=5)), beat("b", "1", Kept(good=7, own=1))]))
    found = tallies.look(
        dict(
            [
                beat("a", "1", Kept(good=8)),
                beat("b", "1", Kept(good=7, own=3, inherited={"flights": 2})),
                beat("c", "1", Kept(good=1), zone="load"),
            ]
        )
    )
    assert found["enrich"].kept["availability"] == Kept(good=3, own=2, inherited={"flights": 2})
    assert found["enrich"].states == ("running", "running")
    assert found["load"].kept["availability"] == Kept(good=1)


def test_what_was_counted_before_the_first_look_is_known_to_be_old() -> None:
    tallies = Tallies()
    assert not tallies.look(dict([beat("a", "1", Kept(good=5))]))["enrich"].known
    assert tallies.look(dict([beat("a", "1", Kept(good=6))]))["enrich"].known


def test_a_process_that_begins_anew_counts_from_nothing() -> None:
    tallies = Tallies()
    tallies.look(dict([beat("a", "1", Kept(good=50))]))
    found = tallies.look(dict([beat("a", "2", Kept(good=3))]))["enrich"]
    assert found.kept["availability"] == Kept(good=3)
    assert found.known


def test_a_judge_that_is_restarted_goes_on_where_the_one_before_was() -> None:
    first = Tallies()
    first.look(dict([beat("a", "1", Kept(good=5))]))
    second = Tallies(first.seen)
    found = second.look(dict([beat("a", "1", Kept(good=9))]))["enrich"]
    assert found.kept["availability"] == Kept(good=4)


def test_what_another_version_says_is_left_out() -> None:
    assert not Tallies().look({"objective.enrich.a": b"\xff", "zone.enrich": b"{}"})


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=30))
def test_the_sum_of_all_differences_is_the_sum_of_all_totals(
    steps: list[tuple[int, bool]],
) -> None:
    tallies, boot, total, everything, told = Tallies(), 0, 0, 0, 0
    for more, dies in steps:
        if dies:
            boot, total = boot + 1, 0
        total += more
        everything += more
        found = tallies.look(dict([beat("a", str(boot), Kept(good=total))]))
        told += found["enrich"].kept["availability"].good
    assert told == everything


def test_what_a_dead_process_said_last_is_no_sign_of_life() -> None:
    tallies, said = Tallies(), dict([beat("a", "1", Kept(good=5))])
    assert tallies.look(said)["enrich"].heard
    assert not tallies.look(said)["enrich"].heard
    assert tallies.look(said | dict([beat("b", "1", Kept(good=5))]))["enrich"].heard

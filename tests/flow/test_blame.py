"""Whose fault it is that a zone stands still, by its state and by what its neighbours say."""

from __future__ import annotations

import pytest

from firedoor.flow.blame import SILENT_S, Heard, Standing, root, standing, starves_by
from firedoor.flow.probes import Trouble
from firedoor.flow.zone import (
    DEAD_LETTERS,
    BrokerAway,
    Drained,
    Event,
    Filled,
    Ordered,
    Throttled,
    Troubled,
)
from flow.test_zone import told

NOW_S = 1_000.0
WELL = Heard(at_s=NOW_S, state="running", blamed="")
DONE = Heard(at_s=NOW_S - 60, state="done", blamed="")
DEAD = Heard(at_s=NOW_S - SILENT_S - 0.1, state="running", blamed="")
HALTED = Heard(at_s=NOW_S, state="halted", blamed="b")
WAITS = Heard(at_s=NOW_S, state="paused", blamed="dependency:db")


def trouble(word: str, cause: str = "") -> Troubled:
    assert word in {"halted", "paused"}
    made = Trouble(word="halted" if word == "halted" else "paused", code="c", why="w", cause=cause)
    return Troubled(made)


@pytest.mark.parametrize(
    ("events", "how", "cause"),
    [
        ([], "well", ""),
        ([Throttled(1.0)], "well", ""),
        ([trouble("halted")], "bad", ""),
        ([trouble("halted", "flights")], "bad", "flights"),
        ([trouble("paused", "dependency:db")], "bad", "dependency:db"),
        ([Filled(DEAD_LETTERS)], "bad", ""),
        ([BrokerAway("refused")], "bad", "broker"),
        ([BrokerAway("refused"), Filled("a:b")], "bad", "broker"),
        ([Filled("a:z"), Filled("a:b")], "bad", "b"),
        ([Ordered("pause", 1)], "unjudged", ""),
        ([trouble("paused", "dependency:db"), Ordered("pause", 0)], "unjudged", ""),
        ([trouble("halted"), Ordered("pause", 0)], "bad", ""),
        ([Ordered("drain", 1)], "unjudged", ""),
        ([Drained(done=True)], "unjudged", ""),
    ],
)
def test_a_state_says_whose_fault_it_is(events: list[Event], how: str, cause: str) -> None:
    found = standing(told(*events))
    assert found == Standing(how, cause)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("heard", "blamed"),
    [
        ([], ""),
        ([WELL], ""),
        ([DONE], ""),
        ([DEAD], "b"),
        ([HALTED], "b"),
        ([WAITS], "dependency:db"),
        ([WAITS, WELL], ""),
        ([WAITS, DEAD], "b"),
    ],
)
def test_a_neighbour_is_at_fault_only_if_none_of_its_processes_goes_on(
    heard: list[Heard], blamed: str
) -> None:
    assert root("b", heard, NOW_S) == blamed


def test_who_starves_blames_the_root_that_most_publishers_name() -> None:
    assert starves_by({"a": [WAITS], "b": [WAITS], "c": [DEAD]}, NOW_S) == "dependency:db"
    assert starves_by({"a": [WAITS], "b": [WELL]}, NOW_S) == ""
    assert starves_by({"a": []}, NOW_S) == ""
    assert starves_by({}, NOW_S) == ""

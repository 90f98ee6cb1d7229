"""A plan says what is injected where, and who may be hurt by it."""

from __future__ import annotations

import pytest

from drilled import STAGE, exercise
from firedoor.drill.matrix import Asked, Known, Matrix
from firedoor.drill.planning import observed, plan_exercises
from firedoor.errors import DeclarationError


def planned(*rows: Asked, **more: object) -> list[str]:
    matrix = Matrix(rows=rows, **more)  # type: ignore[arg-type]
    return [each.row for each in plan_exercises(matrix, STAGE, drill="d")]


def test_a_row_without_a_zone_is_one_in_each_that_can_have_the_fault() -> None:
    assert planned(Asked(fault="poison_raise")) == [
        "poison_raise in enrich",
        "poison_raise in store",
    ]
    assert planned(Asked(fault="kill"))[-1] == "kill in control"
    assert planned(Asked(fault="broker_down")) == ["broker_down in broker"]


def test_seeds_of_a_row_follow_each_other_with_faults_of_their_own() -> None:
    matrix = Matrix(rows=(Asked(fault="kill", zone=("flights", "enrich")),), seeds=2, seed=5)
    made = plan_exercises(matrix, STAGE, drill="d7")
    assert [each.row for each in made] == ["kill in flights"] * 2 + ["kill in enrich"] * 2
    assert [each.fault.id for each in made] == ["d7-1", "d7-2", "d7-3", "d7-4"]
    assert [each.fault.seed for each in made] == [5, 6, 5, 6]


def test_what_is_not_usual_is_in_the_name() -> None:
    assert planned(Asked(fault="latency", zone="enrich", intensity=2, share=0.5)) == [
        "latency in enrich (2 seconds, 0.5 of the messages)"
    ]


def test_only_the_faulted_zone_may_be_hurt_and_those_behind_it_may_starve() -> None:
    made = exercise("kill", "flights")
    assert made.may_hurt == {"flights"}
    assert made.may_starve == {"enrich", "store"}
    assert made.excuses("store", "freshness", "flights")
    assert not made.excuses("store", "availability", "flights")
    assert not made.excuses("store", "freshness", "dependency:weather")
    assert not made.excuses("store", "freshness", "broker")
    assert not made.excuses("predict", "freshness", "flights")
    assert not made.excuses("flights", "freshness", "enrich")


def test_one_that_waits_may_wait_for_another_that_waits() -> None:
    assert exercise("kill", "flights").excuses("store", "freshness", "enrich")


def test_a_faulted_link_looks_like_the_broker_or_the_reader_to_those_behind_it() -> None:
    made = exercise("stream_full", "enrich")
    assert made.excuses("store", "freshness", "broker")
    assert made.excuses("store", "freshness", "store")
    assert not made.excuses("flights", "freshness", "broker")


def test_who_may_not_starve_is_not_excused() -> None:
    made = exercise("kill", "flights", may_starve=False)
    assert not made.may_starve
    assert not made.excuses("store", "freshness", "flights")


def test_downstream_is_everything_behind_the_faulted_zone() -> None:
    assert exercise("kill", "flights", may_hurt=("downstream",)).may_hurt == {
        "flights", "enrich", "store",
    }  # fmt: skip


def test_behind_the_broker_are_all_data_zones_and_no_service() -> None:
    made = exercise("broker_down", "broker")
    assert made.may_starve == {"flights", "enrich", "store"}
    assert made.may_hurt == {"broker"}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (Asked(fault="kill", zone="nowhere"), "choose one of flights, enrich"),
        (Asked(fault="poison_raise", zone="flights"), "source"),
        (Asked(fault="kill", zone="enrich", may_hurt=("nowhere",)), "may_hurt"),
        (Asked(fault="kill", zone="enrich", share=0.5), "share"),
        (Asked(fault="latency", zone="enrich", intensity=1_000), "intensity"),
    ],
)
def test_what_does_not_fit_the_pipeline_is_refused(row: Asked, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        planned(row)


def test_a_row_twice_is_refused_but_not_at_another_strength() -> None:
    one, two = Asked(fault="latency", zone="enrich"), Asked(fault="latency", intensity=1)
    with pytest.raises(DeclarationError, match="twice"):
        planned(one, one)
    assert len(planned(one, two)) == 5


def test_a_known_breach_of_a_zone_that_is_gone_is_refused() -> None:
    known = Known(
        fault="kill", zone="enrich", hurts="gone", owner="a", because="b", until="2026-12-31"
    )
    with pytest.raises(DeclarationError, match=r"known\.hurts"):
        planned(Asked(fault="kill"), known=(known,))


def test_all_are_observed_or_those_that_are_named_in_the_order_of_the_pipeline() -> None:
    row = Asked(fault="kill")
    assert observed(Matrix(rows=(row,)), STAGE) == STAGE.names
    assert observed(Matrix(rows=(row,), zones=("predict", "enrich")), STAGE) == (
        "enrich",
        "predict",
    )


def test_too_many_exercises_are_refused() -> None:
    rows = tuple(Asked(fault="latency", intensity=1 + place / 100) for place in range(126))
    with pytest.raises(DeclarationError, match="500"):
        planned(*rows)

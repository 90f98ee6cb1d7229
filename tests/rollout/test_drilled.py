"""What drills say of a version that follows a rollback."""

from __future__ import annotations

import pytest

from firedoor.drill.catalogue import CATALOGUE
from firedoor.rollout.drilled import FAULTS, Drilled, Proof, Shown, faults_of, judge
from firedoor.wire.pack import DEATHS, Replayable, kind_of
from firedoor.wire.serving import FAILURES, Outcome

RAISES = ("model_raise",)


def drilled(shown: Shown, at_s: float = 200.0, *, fault: str = "model_raise") -> Drilled:
    return Drilled(fault=fault, shown=shown, at_s=at_s, drill="d-7", why="" if shown == "green"
                   else "store was hurt")  # fmt: skip


def judged(*drills: Drilled, faults: tuple[str, ...] = RAISES, need: bool = False) -> Proof:
    return judge(faults, drills, service="predict", since_s=100.0, need=need)


def test_every_fault_that_stands_for_a_failure_can_be_drilled_in_a_service() -> None:
    for fault in FAULTS.values():
        assert "service" in CATALOGUE[fault].kinds, fault


def test_every_way_to_fail_but_the_wrong_shape_has_a_fault() -> None:
    kinds = {
        kind_of(Replayable(kind="failing", form=1, body=b"", outcome=outcome, signature=signature))
        for outcome in FAILURES
        for signature in ("", "ValueError at model.py:3", *(f"{death} in a:b" for death in DEATHS))
    }
    assert kinds - FAULTS.keys() == {Outcome.MISSHAPED.name.lower()}
    assert FAULTS.keys() - kinds == set()


def test_faults_are_of_what_was_failed_at() -> None:
    assert faults_of(["raised", "hang", "misshaped"]) == ("model_hang", "model_raise")
    assert faults_of([]) == ()


@pytest.mark.parametrize("need", [True, False])
def test_a_green_drill_since_the_rollback_is_all_it_takes(*, need: bool) -> None:
    assert judged(drilled("green"), need=need) == Proof()


@pytest.mark.parametrize("need", [True, False])
@pytest.mark.parametrize("at_s", [50.0, 200.0])
def test_a_drill_that_found_somebody_hurt_holds_it_whenever_it_was(
    at_s: float, *, need: bool
) -> None:
    proof = judged(drilled("red", at_s), need=need)
    assert proof.holds
    assert "store was hurt (drill d-7)" in proof.lacks
    assert "`firedoor drill run --fault model_raise --zone predict`" in proof.lacks


@pytest.mark.parametrize(
    ("drills", "told"),
    [
        ((), "model_raise was never drilled"),
        ((drilled("green", 50.0),), "model_raise was drilled before it"),
        ((drilled("unclear"),), "model_raise does not show it (store was hurt; drill d-7)"),
        ((drilled("answered"),), "model_raise does not show it (store was hurt; drill d-7)"),
    ],
)
def test_what_no_drill_has_shown_is_said_and_holds_only_where_that_is_needed(
    drills: tuple[Drilled, ...], told: str
) -> None:
    proof = judged(*drills)
    assert not proof.holds
    assert told in proof.lacks
    assert judged(*drills, need=True) == Proof(holds=True, lacks=proof.lacks)


def test_each_fault_has_to_be_shown() -> None:
    both = ("model_hang", "model_raise")
    proof = judged(drilled("green"), faults=both, need=True)
    assert proof.holds
    assert "model_hang was never drilled" in proof.lacks
    assert "model_raise" not in proof.lacks
    assert judged(drilled("green"), drilled("green", fault="model_hang"), faults=both) == Proof()


def test_what_no_drill_can_make_holds_nothing_and_is_said() -> None:
    proof = judged(faults=(), need=True)
    assert not proof.holds
    assert "no drill can show" in proof.lacks

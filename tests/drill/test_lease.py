"""A lease ends where it is held: with the beat, with the drill's last sign of life, or at last."""

from __future__ import annotations

from msgspec.structs import replace

from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import LEASE_MAX_S, LEASE_S, RENEW_S, Fault
from firedoor.drill.lease import NOTHING, heard, in_force, is_for, refuse, taken_back

FAULT = make_fault("latency", zone="enrich", zone_kind="transform", drill="d1")


def renewed(times: int, fault: Fault = FAULT) -> Fault:
    return replace(fault, renewal=times)


def test_a_fault_holds_for_its_lease_after_the_last_renewal() -> None:
    lease = heard(NOTHING, FAULT, 100.0)
    assert in_force(lease, 100.0) == FAULT

    lease = heard(lease, renewed(1), 100.0 + RENEW_S)
    assert in_force(lease, 100.0 + RENEW_S + LEASE_S - 0.01) == renewed(1)
    assert in_force(lease, 100.0 + RENEW_S + LEASE_S) is None


def test_a_beat_that_goes_on_without_a_renewal_prolongs_nothing() -> None:
    lease = heard(NOTHING, FAULT, 0.0)
    for second in range(1, int(LEASE_S)):
        lease = heard(lease, FAULT, float(second))
        assert in_force(lease, float(second)) is not None
    lease = heard(lease, FAULT, LEASE_S)
    assert in_force(lease, LEASE_S) is None


def test_a_fault_ends_when_its_beat_is_gone_and_goes_on_where_it_was() -> None:
    lease = heard(heard(NOTHING, FAULT, 0.0), None, 3.0)
    assert in_force(lease, 3.0) is None

    again = heard(lease, FAULT, 5.0)
    assert in_force(again, 5.0) == FAULT
    assert in_force(again, LEASE_S) is None, "it did not begin anew"


def test_no_fault_lasts_longer_than_any_may_however_often_it_is_renewed() -> None:
    lease, now_s = heard(NOTHING, FAULT, 0.0), 0.0
    while now_s < LEASE_MAX_S:
        assert in_force(lease, now_s) is not None
        now_s += RENEW_S
        lease = heard(lease, renewed(int(now_s)), now_s)
    assert in_force(lease, now_s) is None


def test_a_fault_that_is_taken_back_ends_at_once_and_an_older_word_changes_nothing() -> None:
    lease = heard(heard(NOTHING, renewed(7), 0.0), taken_back(renewed(7)), 1.0)
    assert in_force(lease, 1.0) is None

    lease = heard(lease, renewed(7), 2.0)
    assert in_force(lease, 2.0) is None


def test_another_fault_begins_anew_and_a_refused_one_never_holds() -> None:
    other = replace(FAULT, id="d2-1")
    lease = heard(heard(NOTHING, FAULT, 0.0), other, 20.0)
    assert in_force(lease, 20.0) == other
    assert in_force(refuse(lease, "not here"), 20.0) is None


def test_what_a_supervisor_injects_is_not_the_zones_to_inject() -> None:
    kill = make_fault("kill", zone="enrich", zone_kind="transform", drill="d1")
    assert is_for(kill, supervisor=True)
    assert not is_for(kill, supervisor=False)
    assert is_for(FAULT, supervisor=False)

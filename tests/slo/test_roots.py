"""One page a root: who inherits a fault is noted where its root is paged."""

from __future__ import annotations

from firedoor.slo.policy import AlertPolicy
from firedoor.slo.roots import Heir, Key, unexplained

POLICY = AlertPolicy()
ENRICH, PREDICT = Key("enrich", "availability"), Key("predict", "availability")


def paging(heirs: dict[Key, Heir], *paged: str, at_s: float) -> set[Key]:
    return set(unexplained(heirs, frozenset(paged), at_s=at_s, policy=POLICY))


def test_nobody_is_paged_for_what_somebody_else_is_paged_for() -> None:
    heirs = {ENRICH: Heir(root="flights", since_s=0)}
    assert not paging(heirs, "flights", at_s=1_000)


def test_what_nobody_is_paged_for_pages_after_two_minutes() -> None:
    heirs = {ENRICH: Heir(root="dependency:weather", since_s=0)}
    assert not paging(heirs, at_s=119)
    assert paging(heirs, at_s=120) == {ENRICH}


def test_of_several_that_inherit_from_one_root_one_pages() -> None:
    heirs = {
        PREDICT: Heir(root="flights", since_s=10),
        ENRICH: Heir(root="flights", since_s=0),
    }
    assert paging(heirs, at_s=500) == {ENRICH}


def test_several_roots_page_once_each() -> None:
    heirs = {ENRICH: Heir(root="broker", since_s=0), PREDICT: Heir(root="flights", since_s=0)}
    assert paging(heirs, at_s=500) == {ENRICH, PREDICT}


def test_a_page_does_not_end_because_its_root_is_paged_late() -> None:
    heirs = {ENRICH: Heir(root="flights", since_s=0, paging=True)}
    assert paging(heirs, "flights", at_s=500) == {ENRICH}

"""Attempts multiply, timeouts nest, waits add up: what the rules about calls find, with figures."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firedoor as fd
from firedoor.lint.calling import backoff_max_s
from firedoor.lint.calls import Calls, calls_of
from firedoor.spec.plan import DependencyPlan, GuardPlan
from lint.plans import calls, edge, load, plan, rule, source, unjudged, zone

STALE = fd.Stale(age_max_s=60)


def test_attempts_along_a_path_are_multiplied() -> None:
    chain = [calls("enrich->a", retry=3), calls("a->b", retry=2), calls("b->c", retry=2)]
    severity, about, why = rule("FD101", zone("enrich", depends=tuple(chain)))[0]
    assert severity == "error"
    assert about == "enrich -> a -> b -> c"
    assert "3 x 2 x 2 = 12 at c" in why


def test_the_worst_of_several_paths_is_told() -> None:
    two = (calls("enrich->a", retry=3), calls("enrich->b", retry=2), calls("b->c", retry=3))
    assert [about for _, about, _ in rule("FD101", zone("enrich", depends=two))] == [
        "enrich -> b -> c"
    ]


@pytest.mark.parametrize(("attempts", "severities"), [(3, []), (4, ["warning"]), (9, ["warning"]),
                                                      (10, ["error"])])  # fmt: skip
def test_few_attempts_are_fine_and_many_are_not(attempts: int, severities: list[str]) -> None:
    one = zone("enrich", depends=(calls("enrich->a", retry=attempts),))
    assert [severity for severity, _, _ in rule("FD101", one)] == severities


def test_a_path_goes_on_in_what_another_zone_declares() -> None:
    zones = [
        zone("enrich", depends=(calls("enrich->a", retry=4),)),
        zone("price", depends=(calls("a->b", retry=3),)),
    ]
    assert [one[1] for one in rule("FD101", *zones)] == ["enrich -> a -> b"]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 4)).filter(
            lambda hop: hop[0] < hop[1]
        ),
        min_size=1, max_size=10, unique_by=lambda hop: hop[:2],
    )
)  # fmt: skip
def test_the_worst_path_is_the_greatest_product_of_all_paths(
    hops: list[tuple[int, int, int]],
) -> None:
    depends = tuple(
        DependencyPlan(guard=GuardPlan(name=f"n{a}->n{b}", attempts=n)) for a, b, n in hops
    )
    graph = calls_of(plan(zone("n0", depends=depends)))
    attempts, path = graph.worst("n0")
    assert attempts == math.prod(hop.guard.attempts for hop in path)
    assert attempts == max(products(graph, "n0"))


def products(graph: Calls, node: str) -> list[int]:
    """Return the product of every path from a node, by walking all of them."""
    hops = graph.of(node)
    return [1, *(hop.guard.attempts * rest for hop in hops for rest in products(graph, hop.callee))]


@pytest.mark.parametrize(("timeout_s", "finds"), [(4.9, 0), (5.0, 1), (6.0, 1)])
def test_a_wall_that_ends_before_an_attempt_is_found(timeout_s: float, finds: int) -> None:
    told = rule("FD102", zone("enrich", depends=(calls("enrich->a", timeout_s=timeout_s),)))
    assert len(told) == finds
    assert all(severity == "error" for severity, _, _ in told)
    assert all(f"take {timeout_s:g} s" in why and "after 5 s" in why for _, _, why in told)


def test_an_inner_timeout_as_long_as_the_outer_one_is_found() -> None:
    chain = (calls("enrich->a", timeout_s=2), calls("a->b", timeout_s=2))
    severity, about, why = rule("FD102", zone("enrich", depends=chain))[0]
    assert (severity, about) == ("error", "a->b")
    assert "the attempt that waits for a ends after 2 s" in why
    shorter = (calls("enrich->a", timeout_s=2), calls("a->b", timeout_s=1.9))
    assert rule("FD102", zone("enrich", depends=shorter)) == []


def test_the_caller_that_waits_least_decides() -> None:
    zones = [
        zone("enrich", depends=(calls("enrich->a", timeout_s=3), calls("a->b", timeout_s=2))),
        zone("price", depends=(calls("price->a", timeout_s=1),)),
    ]
    ((_, about, why),) = rule("FD102", *zones)
    assert about == "a->b"
    assert "the attempt that waits for a ends after 1 s" in why


def test_a_call_without_a_timeout_is_ended_by_the_wall() -> None:
    severity, _, why = rule(
        "FD102", zone("enrich", wall={"timeout_s": 30.0}, depends=(calls("enrich->a"),))
    )[0]
    assert severity == "warning"
    assert "by the wall of enrich after 30 s" in why


def test_a_path_of_which_a_timeout_is_missing_is_not_judged() -> None:
    chain = (calls("enrich->a", retry=2), calls("a->b", timeout_s=1, retry=2))
    one = zone("enrich", depends=chain)
    missing = ("enrich", "no timeout_s is declared at guard enrich->a")
    assert unjudged("FD102", one) == [missing]
    assert unjudged("FD103", one) == [missing]


def test_attempts_and_waits_have_to_fit_into_the_callers_time() -> None:
    one = calls("enrich->a", timeout_s=2, retry=3)
    severity, about, why = rule("FD103", zone("enrich", depends=(one,)))[0]
    assert (severity, about) == ("error", "enrich->a")
    assert "3 attempts of 2 s and 0.3 s of waits take up to 6.3 s" in why
    assert "the wall of enrich ends after 5 s" in why
    assert rule("FD103", zone("enrich", wall={"timeout_s": 6.3}, depends=(one,))) == []


def test_a_timeout_that_is_too_long_alone_is_told_once() -> None:
    one = zone("enrich", depends=(calls("enrich->a", timeout_s=9, retry=3),))
    assert len(rule("FD102", one)) == 1
    assert rule("FD103", one) == []


@given(st.integers(1, 40), st.floats(0, 10), st.floats(0, 10))
def test_the_longest_waits_are_those_that_a_guard_can_draw(
    attempts: int, first: float, longest: float
) -> None:
    low, high = sorted((first, longest))
    guard = GuardPlan(name="a", attempts=attempts, wait_min_s=low, wait_max_s=high)
    waits = list(itertools.islice(doubling(low, high), attempts - 1))
    assert backoff_max_s(guard) == pytest.approx(sum(waits), abs=1e-6)
    policy = fd.RetryPolicy(attempts=100, wait_min_s=low, wait_max_s=high)
    assert policy.wait_max_s * max(0, attempts - 1) >= backoff_max_s(guard) - 1e-6


def doubling(low: float, high: float) -> itertools.chain[float]:
    """Yield waits as ``guards.retry`` does at the greatest chance, without an end."""
    return itertools.chain(min(high, low * 2 ** min(n, 30)) for n in itertools.count())


def test_a_critical_call_without_a_fallback_is_an_error() -> None:
    bare = calls("enrich->a", priority="critical")
    severity, _, why = rule("FD104", zone("enrich", depends=(bare,)))[0]
    assert severity == "error"
    assert "nothing answers while a is away" in why
    helped = calls("enrich->a", priority="critical", fallback=STALE)
    assert rule("FD104", zone("enrich", depends=(helped,))) == []
    assert rule("FD104", zone("post", "sink", depends=(bare,))) == []


def test_a_promise_that_hangs_on_a_call_without_a_fallback_is_a_warning() -> None:
    one = zone("enrich", slo={"latency_p99_s": 2.0}, depends=(calls("enrich->a"),))
    assert [(s, "latency_p99_s=2" in why) for s, _, why in rule("FD104", one)] == [
        ("warning", True)
    ]
    quiet = zone("enrich", slo={"availability": 0.9}, depends=(calls("enrich->a"),))
    assert rule("FD104", quiet) == []


def test_attempts_without_a_wait_between_them_are_a_warning() -> None:
    hasty = calls("enrich->a", retry=fd.RetryPolicy(attempts=2, wait_min_s=0))
    assert [s for s, _, _ in rule("FD113", zone("enrich", depends=(hasty,)))] == ["warning"]
    patient = calls("enrich->a", retry=fd.RetryPolicy(attempts=2, wait_min_s=0.001))
    assert rule("FD113", zone("enrich", depends=(patient,))) == []


@pytest.mark.parametrize(("rate", "severity"), [(60, "warning"), (59, "error")])
def test_hasty_attempts_beyond_what_the_dependency_takes_are_an_error(
    rate: float, severity: str
) -> None:
    hasty = calls(
        "enrich->a", known={"calls": 3}, rate=rate, retry=fd.RetryPolicy(attempts=2, wait_min_s=0)
    )
    zones = [source(load=load(peak=100_000)), zone("enrich", depends=(hasty,))]
    told = rule("FD113", *zones)
    assert [one[0] for one in told] == [severity]
    assert ("60 calls a second where it takes 59" in told[0][2]) == (severity == "error")


def test_two_zones_that_share_a_guard_are_judged_by_their_own_walls() -> None:
    one = calls("flights->a", timeout_s=3)
    zones = [zone("enrich", depends=(one,)), zone("price", wall={"timeout_s": 3}, depends=(one,))]
    told = rule("FD102", *zones, edges=[edge("rows", "enrich"), edge("enrich", "price")])
    assert [why for _, _, why in told] == [
        "one attempt may take 3 s, and the wall of price ends after 3 s"
    ]

"""Queues, workers, breakers and shared limits: what the rules about room find, with figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firedoor as fd
from firedoor.lint.load import longest_wait_s, most_waiting, rates_of
from firedoor.spec.plan import ZonePlan
from lint.plans import calls, edge, load, plan, rule, source, unjudged, zone

MIB = 2**20


def test_an_inbox_without_a_bound_is_an_error() -> None:
    told = rule("FD105", zone("clean"), edges=[edge("rows", "clean", bytes_max=0)])
    assert [(severity, about) for severity, about, _ in told] == [("error", "rows:clean")]
    assert rule("FD105", zone("clean"), edges=[edge("rows", "clean", bytes_max=1)]) == []


def clean(**given: object) -> ZonePlan:
    """Return a zone of half a second and 1 MiB a batch, which promises 10 s."""
    fields: dict[str, Any] = {
        "slo": {"latency_p99_s": 10.5}, "load": load(batch_s=0.5, batch_bytes=MIB),
        "wall": {"workers": 2}, **given,
    }  # fmt: skip
    return zone("clean", **fields)


@pytest.mark.parametrize(("mib", "finds"), [(40, 0), (41, 1)])
def test_a_queue_is_as_deep_as_the_promise_allows(mib: int, finds: int) -> None:
    told = rule("FD106", clean(), edges=[edge("rows", "clean", bytes_max=mib * MIB)])
    assert len(told) == finds
    for severity, about, why in told:
        assert (severity, about) == ("warning", "rows:clean")
        assert "41 MiB hold 41 batches" in why
        assert "waits 10.25 s at 0.5 s a batch and 2 workers" in why
        assert "leaves 10 s, which is 40 batches" in why


def test_shedding_too_late_is_an_error() -> None:
    deep = [edge("rows", "clean", bytes_max=64 * MIB, when_full="shed")]
    assert [severity for severity, _, _ in rule("FD106", clean(), edges=deep)] == ["error"]


def test_all_inboxes_of_a_zone_wait_for_the_same_workers() -> None:
    zones = [source("a"), source("b"), clean()]
    edges = [edge("a", "clean", bytes_max=20 * MIB), edge("b", "clean", bytes_max=21 * MIB)]
    assert len(rule("FD106", *zones, edges=edges)) == 1


def test_freshness_bounds_the_wait_as_well() -> None:
    both = clean(slo={"latency_p99_s": 10.5, "freshness_s": 5.0})
    (told,) = rule("FD106", both, edges=[edge("rows", "clean", bytes_max=21 * MIB)])
    assert "freshness_s=5 leaves 5 s" in told[2]
    assert rule("FD106", both, edges=[edge("rows", "clean", bytes_max=20 * MIB)]) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"slo": {}}, "no latency or freshness is promised (slo=)"),
        ({"load": load(batch_bytes=MIB)}, "no batch_s= is declared"),
        ({"load": load(batch_s=1.0)}, "no batch_bytes= is declared"),
    ],
)
def test_a_queue_of_which_a_number_is_missing_is_not_judged(
    given: dict[str, object], why: str
) -> None:
    assert unjudged("FD106", clean(**given)) == [("clean", why)]


@given(st.floats(0.01, 1e4), st.floats(0.001, 100), st.integers(1, 256))
def test_as_many_may_wait_as_the_last_of_them_is_in_time(
    limit_s: float, batch_s: float, workers: int
) -> None:
    most = most_waiting(limit_s, batch_s, workers)
    assert longest_wait_s(most, batch_s, workers) <= limit_s * (1 + 1e-6) + 1e-6
    assert longest_wait_s(most + 1, batch_s, workers) > limit_s


@pytest.mark.parametrize(
    ("batch_s", "severities"),
    [(0.06, []), (0.07, ["warning"]), (0.089, ["warning"]), (0.09, ["error"])],
)
def test_a_zone_that_is_busy_at_the_peak_is_found(batch_s: float, severities: list[str]) -> None:
    zones = [source(load=load(peak=100_000)), zone("clean", load=load(batch_s=batch_s))]
    told = rule("FD107", *zones)
    assert [severity for severity, _, _ in told] == severities
    for _, _, why in told:
        assert f"10 batches a second of {batch_s:g} s each are {batch_s * 10:.0%}" in why
        assert "1 worker can do" in why


def test_more_workers_are_less_busy_and_the_rate_of_a_source_is_its_peak() -> None:
    zones = [source(rate=100_000), zone("clean", load=load(batch_s=0.3), wall={"workers": 5})]
    assert rule("FD107", *zones) == []
    assert len(rule("FD107", source(rate=120_000), zones[1])) == 1


def test_attempts_can_keep_a_zone_busy_that_is_not() -> None:
    one = (calls("clean->a", retry=3, timeout_s=0.01),)
    zones = [source(rate=100_000), zone("clean", load=load(batch_s=0.03), depends=one)]
    ((severity, _, why),) = rule("FD107", *zones)
    assert severity == "warning"
    assert "90% while 3 attempts are made" in why
    less = zone("clean", load=load(batch_s=0.029), depends=one)
    assert rule("FD107", zones[0], less) == []


def test_peaks_add_up_where_streams_join_and_are_missing_where_one_is() -> None:
    sources = [source("a", rate=10_000), source("b", load=load(peak=30_000)), source("c")]
    edges = [edge("a", "clean"), edge("b", "clean"), edge("clean", "store"), edge("c", "store")]
    joined = plan(*sources, zone("clean"), zone("store"), edges=edges)
    rates = rates_of(joined)
    assert rates["clean"].batches_s == pytest.approx(4)
    assert rates["store"].batches_s is None
    assert "at c (peak=, or rate=)" in rates["store"].missing


def test_a_zone_without_a_peak_or_a_time_is_not_judged() -> None:
    timed = zone("clean", load=load(batch_s=0.3))
    assert unjudged("FD107", timed) == [("clean", "no peak is declared at rows (peak=, or rate=)")]
    assert unjudged("FD107", source(rate=1), zone("clean")) == [
        ("clean", "no batch_s= is declared")
    ]


def breaking(
    peak: float, known: dict[str, object] | None = None, **given: object
) -> list[ZonePlan]:
    """Return a zone that calls once a batch, with so many batches a second."""
    policy = fd.BreakerPolicy(**given)  # type: ignore[arg-type]
    one = calls("clean->a", known=known or {"calls": 1}, timeout_s=1, breaker=policy)
    return [source(load=load(peak=peak * 10_000)), zone("clean", depends=(one,))]


@pytest.mark.parametrize(
    ("peak", "severities"), [(2, []), (1.9, ["warning"]), (0.01, ["warning"]), (0.008, ["error"])]
)
def test_a_breaker_needs_calls_to_judge_by(peak: float, severities: list[str]) -> None:
    told = rule("FD111", *breaking(peak))
    assert [severity for severity, _, _ in told] == severities
    if peak == 0.008:
        assert "10 s hold 0.08 calls at the peak, and it judges from 20 on" in told[0][2]
        assert "enough bad ones in a row take 625 s" in told[0][2]


def test_a_window_shorter_than_a_call_is_a_warning() -> None:
    assert len(rule("FD111", *breaking(100, window_s=0.9))) == 1
    assert rule("FD111", *breaking(100, window_s=1.0)) == []


def test_a_breaker_of_which_the_calls_are_not_known_is_not_judged() -> None:
    why = "clean->a is declared without calls= (fd.Dependency)"
    assert unjudged("FD111", *breaking(1, {"calls": None})) == [("clean", why)]
    assert unjudged("FD111", zone("clean", depends=(calls("clean->a"),))) == [
        ("clean", "no peak is declared at rows (peak=, or rate=)")
    ]
    chain = (calls("clean->a", known={"calls": 9}, breaker=False), calls("a->b"))
    assert unjudged("FD111", source(rate=1e4), zone("clean", depends=chain)) == [
        ("clean", "how often a calls b cannot be declared")
    ]


def test_a_limit_is_counted_once_for_each_process() -> None:
    zones = [
        zone("clean", wall={"workers": 2}, depends=(calls("clean->a", limit=20),)),
        zone("price", depends=(calls("price->a", limit=5, rate=50),)),
    ]
    ((severity, about, why),) = rule("FD116", *zones)
    assert (severity, about) == ("warning", "a")
    assert "2 x 20 (clean) + 1 x 5 (price) = 45 calls at once" in why
    assert rule("FD116", zones[1]) == []


def test_a_rate_is_counted_once_for_each_process() -> None:
    one = zone("clean", wall={"workers": 4}, depends=(calls("clean->a", rate=50),))
    assert "4 x 50 (clean) = 200 calls a second" in rule("FD116", one)[0][2]

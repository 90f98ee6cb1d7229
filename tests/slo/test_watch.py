"""Outages page, blips do not, and what others are to blame for is theirs."""

from __future__ import annotations

import math

import pytest

from firedoor.slo.objective import Tick
from firedoor.slo.policy import AlertPolicy, scaled
from firedoor.slo.verdict import verdict_of
from firedoor.slo.watch import Watch, step
from slo.feeding import BEGAN_S, POLICY, feed, objective

HOUR_S = 3_600


def warmed(rps: float = 100, seconds: float = 600) -> tuple[float, Watch]:
    """Return a zone that has been well for a while."""
    return list(feed(Watch(), seconds, rps=rps))[-1]


def first_page_s(
    bad: float, *, rps: float = 100, target: float = 0.999, seconds: float = 600
) -> float:
    """Return after how many seconds of a fault somebody is paged by evidence."""
    at_s, watch = warmed(rps)
    for now_s, state in feed(
        watch, seconds, rps=rps, bad=bad, at_s=at_s, promise=objective(target)
    ):
        if "fast_burn" in state.firing:
            return now_s - at_s
    return math.inf


@pytest.mark.parametrize("target", [0.999, 0.99, 0.95])
@pytest.mark.parametrize("rps", [1, 100])
def test_a_total_outage_pages_in_the_fifth_slice_whatever_is_promised(
    target: float, rps: float
) -> None:
    assert first_page_s(1.0, rps=rps, target=target) == pytest.approx(136, abs=2)


@pytest.mark.parametrize("times", [10, 20, 50, 200])
def test_ten_times_the_budget_or_more_pages_as_soon(times: float) -> None:
    assert first_page_s(0.001 * times) <= 138


def test_three_times_the_budget_is_no_page_but_a_ticket_in_half_an_hour() -> None:
    at_s, watch = warmed()
    states = list(feed(watch, 2 * HOUR_S, bad=0.003, at_s=at_s))
    assert not any("fast_burn" in state.firing for _, state in states)
    first = next(now_s for now_s, state in states if "slow_burn" in state.firing)
    assert first - at_s == pytest.approx(1_800, abs=310)


@pytest.mark.parametrize("seconds", [5, 30, 90, 120])
def test_what_lasts_for_two_minutes_or_less_never_pages_by_evidence(seconds: float) -> None:
    at_s, watch = warmed()
    states = list(feed(watch, seconds, bad=1.0, at_s=at_s))
    states += feed(states[-1][1], 600, at_s=states[-1][0])
    assert not any("fast_burn" in state.firing for _, state in states)


def test_a_service_that_spends_its_budget_exactly_is_left_alone_for_hours() -> None:
    states = feed(Watch(), 6 * HOUR_S, rps=10, bad=0.001)
    assert not any(state.firing for _, state in states)


def test_a_page_ends_within_six_minutes_of_recovery_where_there_is_traffic() -> None:
    at_s, watch = warmed()
    at_s, watch = list(feed(watch, 600, bad=1.0, at_s=at_s))[-1]
    assert "fast_burn" in watch.firing
    over = next(
        now_s for now_s, state in feed(watch, 900, at_s=at_s) if "fast_burn" not in state.firing
    )
    assert over - at_s <= 390


def test_a_page_ends_after_twenty_good_units_and_five_minutes_where_there_is_little() -> None:
    at_s, watch = warmed(rps=0.2)
    at_s, watch = list(feed(watch, 1_200, rps=0.2, bad=1.0, at_s=at_s))[-1]
    assert "fast_burn" in watch.firing
    over = next(
        now_s
        for now_s, state in feed(watch, HOUR_S, rps=0.2, at_s=at_s)
        if "fast_burn" not in state.firing
    )
    assert over - at_s == pytest.approx(300, abs=10)


def test_burn_rates_need_bad_units_besides_a_ratio() -> None:
    at_s, watch = warmed(rps=0.1, seconds=7_200)
    states = list(feed(watch, 60, rps=0.05, bad=1.0, at_s=at_s))
    assert not any("burn_rate" in state.firing for _, state in states), "three bad ones"
    states = list(feed(watch, 90, rps=20, bad=1.0, at_s=at_s))
    assert "burn_rate" in states[-1][1].firing


def test_two_blips_within_an_hour_are_no_outage_though_they_spend_as_much() -> None:
    at_s, watch = warmed(seconds=HOUR_S)
    states = list(feed(watch, 30, bad=1.0, at_s=at_s))
    states += feed(states[-1][1], 600, at_s=states[-1][0])
    states += feed(states[-1][1], 30, bad=1.0, at_s=states[-1][0])
    states += feed(states[-1][1], 600, at_s=states[-1][0])
    assert not any(state.firing for _, state in states)
    one = list(feed(watch, 62, bad=1.0, at_s=at_s))
    assert "burn_rate" in one[-1][1].firing


def test_one_request_in_a_minute_is_judged_by_the_last_ten() -> None:
    at_s, watch = warmed(rps=1 / 60, seconds=1_200)
    states = list(feed(watch, 300, rps=1 / 60, bad=1.0, at_s=at_s))
    fired = next(now_s for now_s, state in states if "low_traffic" in state.firing)
    assert fired - at_s == pytest.approx(180, abs=2)
    at_s, watch = states[-1]
    states = list(feed(watch, 660, rps=1 / 60, at_s=at_s))
    assert "low_traffic" not in states[-1][1].firing


def test_ten_bad_requests_at_once_are_no_low_traffic() -> None:
    at_s, watch = warmed(rps=1, seconds=60)
    _, watch = list(feed(watch, 1, rps=10, bad=1.0, at_s=at_s))[-1]
    assert "low_traffic" not in watch.firing


def test_what_is_inherited_pages_nobody_and_is_named() -> None:
    at_s, watch = warmed()
    at_s, watch = list(feed(watch, 300, inherited=1.0, at_s=at_s))[-1]
    assert not watch.firing
    assert watch.inherited.root == "flights"
    assert watch.inherited.since_s == pytest.approx(at_s - 165, abs=3)
    _, watch = list(feed(watch, 600, at_s=at_s))[-1]
    assert watch.inherited.since_s is None


def test_own_faults_under_inherited_ones_still_page() -> None:
    at_s, watch = warmed()
    at_s, watch = list(feed(watch, 300, inherited=1.0, at_s=at_s))[-1]
    states = list(feed(watch, 300, inherited=0.9, bad=0.1, at_s=at_s))
    fired = next(now_s for now_s, state in states if "fast_burn" in state.firing)
    assert fired - at_s <= 138


def test_three_blips_within_an_hour_are_a_ticket_and_one_is_none() -> None:
    at_s, watch = warmed()
    verdicts = []
    for _ in range(3):
        at_s, watch = list(feed(watch, 20, bad=0.5, at_s=at_s))[-1]
        at_s, watch = list(feed(watch, 600, at_s=at_s))[-1]
        verdicts.append(verdict_of(watch, watch.firing, at_s=at_s, flap_s=POLICY.flap_s))
    assert verdicts == ["transient", "transient", "recurrent"]
    assert watch.firing == {"flapping"}
    at_s, watch = list(feed(watch, HOUR_S, at_s=at_s))[-1]
    assert verdict_of(watch, watch.firing, at_s=at_s, flap_s=POLICY.flap_s) == "kept"


def test_an_outage_is_no_blip() -> None:
    at_s, watch = warmed()
    at_s, watch = list(feed(watch, 400, bad=0.5, at_s=at_s))[-1]
    assert verdict_of(watch, watch.firing, at_s=at_s, flap_s=POLICY.flap_s) == "systemic"
    at_s, watch = list(feed(watch, 1_000, at_s=at_s))[-1]
    assert verdict_of(watch, watch.firing, at_s=at_s, flap_s=POLICY.flap_s) == "kept"


def test_single_bad_units_are_no_blips() -> None:
    at_s, watch = warmed(rps=1)
    for _ in range(5):
        at_s, watch = list(feed(watch, 1, rps=1, bad=1.0, at_s=at_s))[-1]
        at_s, watch = list(feed(watch, 600, rps=1, at_s=at_s))[-1]
    assert not watch.firing


def test_a_time_scale_shortens_detectors() -> None:
    policy = scaled(AlertPolicy(time_scale=60))
    watch = Watch()
    for quarter in range(40):  # quarters of a second: good ones, then a total outage
        bad = quarter >= 20
        tick = Tick(at_s=BEGAN_S + quarter / 4, good=0 if bad else 100, own=100 if bad else 0)
        watch = step(watch, tick, objective(), policy)
        if "fast_burn" in watch.firing:
            assert (quarter - 20) / 4 == pytest.approx(2.5, abs=0.3)
            return
    pytest.fail("nobody was paged")


def test_who_promises_nearly_nothing_is_not_watched() -> None:
    promise = objective(0.5)
    assert not promise.watched
    _, watch = list(feed(Watch(), 600, bad=1.0, promise=promise))[-1]
    assert watch == Watch()


def test_a_promise_of_all_is_watched_as_nearly_all() -> None:
    assert first_page_s(1.0, target=1.0) == pytest.approx(136, abs=2)

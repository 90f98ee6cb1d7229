"""Whatever a short burst looks like: it does not page by evidence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firedoor.slo.objective import Tick
from firedoor.slo.watch import Watch, step
from slo.feeding import BEGAN_S, POLICY, objective

COUNTS = st.integers(0, 10_000)
SECONDS = st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=120)
TARGETS = st.sampled_from([0.6, 0.9, 0.95, 0.99, 0.999, 1.0])


@given(SECONDS, TARGETS, st.integers(1, 1_000))
def test_no_burst_of_two_minutes_pages_by_evidence(
    seconds: list[tuple[int, int]], target: float, rps: int
) -> None:
    watch, promise = Watch(), objective(target)
    quiet = [(rps, 0)] * 40
    for second, (good, bad) in enumerate([*quiet, *seconds, *quiet]):
        tick = Tick(at_s=BEGAN_S + second, good=good, own=bad)
        watch = step(watch, tick, promise, POLICY)
        assert not watch.fast.firing
        assert 0 <= watch.fast.evidence <= POLICY.fast_burn.most
        assert len(watch.rates[0].before) <= 722


@given(st.lists(st.tuples(st.integers(-5, 100), COUNTS, COUNTS, COUNTS), max_size=60), TARGETS)
def test_a_clock_that_stands_still_or_goes_back_breaks_nothing(
    ticks: list[tuple[int, int, int, int]], target: float
) -> None:
    watch, at_s = Watch(), BEGAN_S
    for moved, good, own, inherited in ticks:
        at_s += moved
        causes = {"flights": inherited} if inherited else {}
        watch = step(
            watch, Tick(at_s=at_s, good=good, own=own, inherited=causes), objective(target), POLICY
        )
        assert 0 <= watch.fast.evidence <= POLICY.fast_burn.most
        assert watch.inherited.root == "" or inherited or watch.inherited.causes

"""What the breaker says while it moves, to the word and the figure: people are woken by it."""

from __future__ import annotations

import pytest

from firedoor.guards import breaker as b
from firedoor.guards import events
from firedoor.guards.window import NOTHING, Counts

POLICY = b.BreakerPolicy(
    bad_share=0.5, calls_min=10, window_s=10.0, consecutive=10, row_s=1.0, open_s=1.0, growth=1.5,
    open_max_s=5.0, probe_every=20, jitter=0.2, flaps=3, flap_s=60.0,
)  # fmt: skip
TEN_BAD = Counts(calls=10, bad=10, consecutive=10, span_s=10.0)
MANY_BAD = Counts(calls=40, bad=30, slow=3, consecutive=2)
ROW_BAD = Counts(calls=100, bad=10, consecutive=10)


def opened(now_s: float = 100.0) -> b.Breaker:
    bad = b.Bad(generation=0, counts=TEN_BAD, cause="ConnectionError")
    return b.step(b.Breaker(), bad, POLICY, now_s)[0]


def probing() -> b.Breaker:
    """Return a breaker whose first probe began at 105 s, with a lease of 2 s."""
    return b.ask(opened(), POLICY, 105.0, lease_s=2.0)[0]


def test_a_breaker_begins_closed_and_has_nothing_to_remember() -> None:
    begun = b.Breaker()
    assert begun == b.Breaker(mode=b.Closed(), generation=0, openings_s=(), flapping=False)
    assert begun.flapping is False


def test_what_is_not_told_of_a_call_is_nothing() -> None:
    assert b.Bad(3) == (3, NOTHING, "", None, 0.5)
    assert b.Admitted(3) == (3, False)
    assert b.Open(0.0, 1.0, 1.0) == (0.0, 1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (MANY_BAD, "30 of 40 calls were bad in 10 s"),
        (ROW_BAD, "10 calls in a row were bad"),
        (TEN_BAD, "10 of 10 calls were bad in 10 s"),
    ],
)
def test_opening_tells_why_the_latest_cause_the_wait_and_the_counts(
    counts: Counts, why: str
) -> None:
    bad = b.Bad(generation=0, counts=counts, cause="TimeoutError", chance=1.0)
    state, told = b.step(b.Breaker(), bad, POLICY, 100.0)
    assert told == (events.BreakerOpened(why=why, cause="TimeoutError", wait_s=1.2, counts=counts),)
    assert state.mode == b.Open(since_s=100.0, until_s=101.2, open_s=1.0, probes=0)
    assert (state.generation, state.openings_s, state.flapping) == (1, (100.0,), False)


def test_a_probe_tells_its_number_and_its_lease() -> None:
    state, answer, told = b.ask(opened(), POLICY, 105.0, lease_s=2.0)
    assert told == (events.ProbeStarted(probe=1, lease_s=2.0),)
    assert answer == b.Admitted(state.generation, probe=True)
    assert state.mode == b.HalfOpen(since_s=105.0, until_s=107.0, open_s=1.0, probes=0)
    state, _ = b.step(state, b.Bad(state.generation), POLICY, 106.0)
    state, _, told = b.ask(state, POLICY, 120.0, lease_s=60.0)
    assert told == (events.ProbeStarted(probe=2, lease_s=10.0),)
    assert state.mode == b.HalfOpen(since_s=120.0, until_s=130.0, open_s=1.5, probes=1)


def test_who_asks_too_early_is_told_how_long_to_wait() -> None:
    for state, now_s, wait_s in ((opened(), 100.75, 0.25), (probing(), 106.5, 0.5)):
        after, answer, told = b.ask(state, POLICY, now_s, lease_s=2.0)
        assert (after, answer, told) == (state, b.Turned(wait_s), ())


def test_a_probe_without_an_answer_fails_at_the_end_of_its_lease() -> None:
    state, answer, told = b.ask(probing(), POLICY, 107.0, lease_s=2.0)
    cause = "the probe did not end within 2.0 s"
    assert told == (events.ProbeFailed(probe=1, cause=cause, wait_s=1.5),)
    assert answer == b.Turned(1.5)
    assert state.mode == b.Open(since_s=107.0, until_s=108.5, open_s=1.5, probes=1)
    _, answer, _ = b.ask(probing(), POLICY, 107.0, lease_s=2.0, chance=1.0)
    assert isinstance(answer, b.Turned)
    assert answer.retry_after_s == pytest.approx(1.8)


def test_a_bad_probe_tells_its_number_its_cause_and_the_wait() -> None:
    state, told = b.step(probing(), b.Bad(2, cause="TimeoutError", chance=0.0), POLICY, 106.0)
    assert isinstance(state.mode, b.Open)
    wait_s = state.mode.until_s - 106.0
    assert wait_s == pytest.approx(1.2)
    assert state.mode == b.Open(since_s=106.0, until_s=106.0 + wait_s, open_s=1.5, probes=1)
    (failed,) = told
    assert isinstance(failed, events.ProbeFailed)
    assert (failed.probe, failed.cause) == (1, "TimeoutError")
    assert failed.wait_s == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("event", "why", "wait_s"),
    [
        (b.Neutral(2), "the probe told nothing", 0.0),
        (b.Denied(2, wait_s=3.0), "another process probes", 3.0),
    ],
)
def test_a_probe_that_tells_nothing_counts_neither_way(
    event: b.Event, why: str, wait_s: float
) -> None:
    third = b.Breaker(mode=b.HalfOpen(105.0, 107.0, open_s=2.25, probes=2), generation=2)
    state, told = b.step(third, event, POLICY, 106.0)
    assert told == (events.ProbeVoid(why=why, wait_s=wait_s),)
    assert state.mode == b.Open(since_s=106.0, until_s=106.0 + wait_s, open_s=2.25, probes=2)


def test_a_good_probe_tells_how_many_it_took() -> None:
    state, told = b.step(probing(), b.Good(2), POLICY, 106.0)
    assert told == (events.BreakerClosed(probes=1),)
    assert (state.mode, state.generation) == (b.Closed(), 3)


@pytest.mark.parametrize(
    ("calls", "bad", "consecutive", "row_s", "opens"),
    [
        (10, 5, 1, 0.0, True), (9, 9, 9, 0.0, False), (10, 4, 4, 9.0, False),
        (100, 10, 10, 0.0, True), (100, 9, 9, 0.999, False),
        (100, 5, 5, 1.0, True), (100, 4, 4, 1.0, False),
    ],
)  # fmt: skip
def test_a_row_of_half_the_length_is_enough_if_it_lasted(
    calls: int,
    bad: int,
    consecutive: int,
    row_s: float,
    opens: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    counts = Counts(calls=calls, bad=bad, consecutive=consecutive, row_s=row_s)
    state, told = b.step(b.Breaker(), b.Bad(0, counts), POLICY, 100.0)
    assert (b.word(state) == "open", bool(told)) == (opens, opens)


def test_half_of_an_odd_row_is_rounded_up() -> None:
    odd = b.BreakerPolicy(calls_min=1_000, consecutive=7, row_s=1.0)
    for consecutive, word in ((3, "closed"), (4, "open")):
        counts = Counts(calls=100, bad=4, consecutive=consecutive, row_s=1.0)
        assert b.word(b.step(b.Breaker(), b.Bad(0, counts), odd, 100.0)[0]) == word


def wait_max_s(state: b.Breaker, calls: int, span_s: float, now_s: float) -> b.Breaker:
    """Open it after so many calls in so many seconds, and close it again."""
    counts = Counts(calls=calls, bad=calls, consecutive=10, span_s=span_s)
    state, _ = b.step(state, b.Bad(state.generation, counts), POLICY, now_s)
    return b.step(state, b.Ordered("close", "test", "next"), POLICY, now_s)[0]


@pytest.mark.parametrize(
    ("calls", "span_s", "most_s"),
    [(100, 10.0, 2.0), (200, 10.0, 1.0), (1_000, 10.0, 1.0), (41, 10.0, 200 / 41),
     (40, 10.0, 5.0), (10, 10.0, 5.0), (80, 8.0, 2.0), (0, 0.0, 5.0)],
)  # fmt: skip
def test_a_probe_is_made_for_every_twenty_refused_calls_within_the_bounds_of_the_policy(
    calls: int, span_s: float, most_s: float
) -> None:
    assert b.Breaker().wait_max_s == float("inf")
    assert wait_max_s(b.Breaker(), calls, span_s, 100.0).wait_max_s == pytest.approx(most_s)


def test_the_shortest_wait_of_a_minute_is_kept_and_forgotten_after_it() -> None:
    state = wait_max_s(b.Breaker(), 100, 10.0, 100.0)
    assert wait_max_s(state, 10, 10.0, 159.0).wait_max_s == 2.0
    assert wait_max_s(state, 200, 10.0, 159.0).wait_max_s == 1.0
    assert wait_max_s(state, 10, 10.0, 160.0).wait_max_s == 5.0


def flaps(*at: float) -> list[tuple[float, events.Event]]:
    """Open and close by hand at these times; return when it was told to flap, and how."""
    state, told = b.Breaker(), []
    for now_s in at:
        bad = b.Bad(generation=state.generation, counts=TEN_BAD)
        state, said = b.step(state, bad, POLICY, now_s)
        told += [(now_s, event) for event in said[1:]]
        state, _ = b.step(state, b.Ordered("close", "test", "next"), POLICY, now_s)
    return told


def test_openings_count_as_flapping_for_a_minute_and_no_longer() -> None:
    flapping = events.BreakerFlapping(openings=3, within_s=60.0)
    assert flaps(100.0, 100.0, 100.0) == [(100.0, flapping)]
    assert flaps(100.0, 130.0, 159.9) == [(159.9, flapping)]
    assert flaps(100.0, 130.0, 160.0) == []


def test_openings_in_the_future_of_a_clock_that_went_back_do_not_count() -> None:
    assert flaps(1_000.0, 1_001.0, 10.0, 11.0) == []


@pytest.mark.parametrize("order", ["open", "close", "disable"])
def test_an_order_is_told_with_who_gave_it_and_why(order: b.Order) -> None:
    modes = {"open": b.Forced("ada", "x"), "close": b.Closed(), "disable": b.Disabled("ada", "x")}
    state, told = b.step(opened(), b.Ordered(order, "ada", "x"), POLICY, 101.0)
    assert told == (events.BreakerOrdered(order=order, by="ada", because="x"),)
    assert (state.mode, state.generation) == (modes[order], 2)


def test_a_clock_that_stands_still_moves_nothing_not_even_by_rounding() -> None:
    until_s = 1_000.7 + 0.1
    assert 1_000.7 + until_s - 1_000.7 != until_s
    state = b.Breaker(mode=b.Open(1_000.7, until_s, open_s=0.1))
    assert b.ask(state, POLICY, 1_000.7, lease_s=2.0)[0] == state


def test_a_clock_that_went_back_begins_the_same_wait_anew() -> None:
    state, answer, _ = b.ask(opened(now_s=100.0), POLICY, 40.0, lease_s=2.0)
    assert answer == b.Turned(1.0)
    assert state.mode == b.Open(since_s=40.0, until_s=41.0, open_s=1.0, probes=0)
    state, answer, _ = b.ask(probing(), POLICY, 40.0, lease_s=9.0)
    assert answer == b.Turned(2.0)
    assert state.mode == b.HalfOpen(since_s=40.0, until_s=42.0, open_s=1.0, probes=0)

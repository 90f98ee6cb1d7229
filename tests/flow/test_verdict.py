"""The gate's window, against batches whose rows die as they are drawn to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firedoor.flow import verdict
from firedoor.flow.verdict import (
    DeadLetter,
    Halt,
    Pass,
    Piece,
    Throttle,
    Verdict,
    VerdictPolicy,
    Window,
)
from flow.drawn import many

POLICY = VerdictPolicy()
SMALL = VerdictPolicy(throttle_share=0.1, dead_max=0.4, window_rows=100, rows_min=20)
shares = st.sampled_from([0.0, 0.02, 0.1, 0.4, 1.0])


def exact(share: float) -> Fraction:
    return Fraction(str(share))


@st.composite
def policies(draw: st.DrawFn) -> VerdictPolicy:
    window_rows = draw(st.sampled_from([1, 10, 64, 200, 1_000]))
    return VerdictPolicy(
        throttle_share=draw(shares),
        dead_max=draw(shares),
        window_rows=window_rows,
        rows_min=draw(st.integers(1, min(40, window_rows))),
        throttle_max_s=draw(st.sampled_from([0.0, 5.0])),
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, dict[str, int]]:
    """Draw how many rows came, and which of them died of what."""
    rows = draw(st.integers(0, 30) | st.sampled_from([1, 100, 300]))
    dead = draw(st.integers(0, rows)) if draw(st.booleans()) else 0
    kinds = draw(st.sampled_from([1, 3, 50]))
    first = draw(st.integers(0, 100)) if kinds == 50 else 0
    return rows, dict(Counter(f"kind {first + row % kinds:03}" for row in range(dead)))


def run(
    *rows: tuple[int, int], policy: VerdictPolicy = SMALL, window: Window | None = None
) -> tuple[Window, list[Verdict]]:
    """Judge batches of so many rows, of which so many are dead."""
    window = Window() if window is None else window
    said = []
    for count, dead in rows:
        window, found = verdict.judge(window, count, {"bad": dead} if dead else {}, policy)
        said.append(found)
    return window, said


class Judging(RuleBasedStateMachine):
    """A gate, and all that ever went through it."""

    @initialize(policy=policies())
    def start(self, policy: VerdictPolicy) -> None:
        self.policy = policy
        self.begin()

    def begin(self) -> None:
        self.window = Window()
        self.counted: list[tuple[int, dict[str, int]]] = []
        self.slow = False

    @rule()
    def a_person_says_go_on(self) -> None:
        self.begin()

    @rule(batch=batches())
    def a_batch_comes(self, batch: tuple[int, dict[str, int]]) -> None:
        rows, dead = batch
        lenient = replace(self.policy, dead_max=1.0)
        seen, _ = verdict.judge(self.window, rows, dead, lenient)
        latest = self.the_latest(seen, [*self.counted, batch])
        before = self.window
        self.window, found = verdict.judge(before, rows, dead, self.policy)
        assert self.kind(latest, dead) is type(found)
        if isinstance(found, Halt):
            assert self.window is before, "a batch that is given back was counted"
            self.names_what_is_most_frequent(found, latest)
            return
        assert replace(self.window, throttled=False) == replace(seen, throttled=False)
        self.counted.append(batch)
        self.slow = isinstance(found, Throttle)
        assert self.window.throttled is self.slow
        if isinstance(found, Throttle):
            assert 0.0 <= found.wait_s <= self.policy.throttle_max_s

    def the_latest(
        self, window: Window, batches: list[tuple[int, dict[str, int]]]
    ) -> list[tuple[int, dict[str, int]]]:
        """Return the batches that a window holds: the newest, no fewer rows than it is wide."""
        count, rows, dead = 0, 0, 0
        while count < len(batches) and (rows, dead) != (window.rows, window.dead):
            count += 1
            rows += batches[-count][0]
            dead += sum(batches[-count][1].values())
        assert (rows, dead) == (window.rows, window.dead), "not what the newest batches held"
        assert rows >= min(sum(rows for rows, _ in batches), self.policy.window_rows)
        held = batches[len(batches) - count :]
        largest = max([rows for rows, _ in held], default=0)
        assert rows < self.policy.window_rows + max(largest, self.policy.window_rows / 64)
        return held

    def kind(
        self, latest: list[tuple[int, dict[str, int]]], dead: Mapping[str, int]
    ) -> type[Verdict]:
        """Return what is to be said, counted once more from the batches themselves."""
        rows = sum(rows for rows, _ in latest)
        bad = sum(sum(dead.values()) for _, dead in latest)
        if rows >= self.policy.rows_min:
            share = Fraction(bad, rows)
            if dead and share > exact(self.policy.dead_max):
                return Halt
            bound = exact(self.policy.throttle_share)
            if share > (bound / 2 if self.slow else bound):
                return Throttle
        return DeadLetter if dead else Pass

    def names_what_is_most_frequent(
        self, halt: Halt, latest: list[tuple[int, dict[str, int]]]
    ) -> None:
        counts: Counter[str] = Counter()
        for _, dead in latest:
            counts.update(dead)
        assert halt.code == "dead_max"
        assert halt.signature in counts
        assert halt.signature in halt.why
        assert f"{sum(counts.values()):,} of the latest" in halt.why
        if len(counts) <= 16:
            assert counts[halt.signature] == max(counts.values())

    @invariant()
    def the_window_is_short_however_small_the_batches(self) -> None:
        pieces = self.window.pieces
        assert len(pieces) <= 130
        assert all(len(piece.signatures) <= 16 for piece in pieces)
        assert sum(piece.rows for piece in pieces) == self.window.rows
        assert sum(piece.dead for piece in pieces) == self.window.dead
        assert 0.0 <= self.window.share <= 1.0


TestJudging = Judging.TestCase
TestJudging.settings = many


def test_what_is_said_at_each_edge() -> None:
    assert run((100, 0))[1] == [Pass()]
    assert run((100, 1))[1] == [DeadLetter()]
    assert run((100, 10))[1] == [DeadLetter()]
    assert isinstance(run((100, 11))[1][0], Throttle)
    assert isinstance(run((100, 40))[1][0], Throttle)
    assert isinstance(run((100, 41))[1][0], Halt)


def test_of_few_rows_nothing_is_concluded() -> None:
    assert run((19, 19))[1] == [DeadLetter()]
    assert isinstance(run((20, 20))[1][0], Halt)
    assert run((19, 19), (1, 0))[1][1] == Throttle(5.0), "no row of the batch is dead"


def test_by_default_two_in_a_hundred_slow_and_ten_halt_of_a_thousand_rows_at_least() -> None:
    assert run((999, 999), policy=POLICY)[1] == [DeadLetter()]
    assert run((1_000, 20), policy=POLICY)[1] == [DeadLetter()]
    assert isinstance(run((1_000, 21), policy=POLICY)[1][0], Throttle)
    assert isinstance(run((1_000, 100), policy=POLICY)[1][0], Throttle)
    assert isinstance(run((1_000, 101), policy=POLICY)[1][0], Halt)
    window, _ = run((100_000, 2_000), (99_999, 0), policy=POLICY)
    assert (window.rows, window.dead) == (199_999, 2_000), "the latest 100,000 go back into it"
    window, _ = run((1, 0), policy=POLICY, window=window)
    assert (window.rows, window.dead) == (100_000, 0)


def test_a_batch_that_halts_is_not_counted_and_a_good_one_goes_on_from_before() -> None:
    window, _ = run((100, 30))
    after, said = run((100, 60), (10, 0), (90, 60), window=window)
    assert isinstance(said[0], Halt)
    assert isinstance(said[2], Halt)
    assert after == run((10, 0), window=window)[0]


def test_throttling_ends_at_half_of_its_bound_and_does_not_flap() -> None:
    window, said = run((100, 11))
    assert isinstance(said[0], Throttle)
    for dead in (10, 8, 6):
        window, said = run((100, dead), window=window)
        assert isinstance(said[0], Throttle), f"{dead} dead rows"
    window, said = run((100, 5), window=window)
    assert said == [DeadLetter()]
    assert run((100, 6), (100, 10), (100, 0), window=window)[1] == [
        DeadLetter(), DeadLetter(), Pass(),
    ]  # fmt: skip


@many
@given(policies(), st.integers(1, 200), st.integers(1, 200), st.booleans())
def test_the_more_is_dead_the_longer_the_wait(
    policy: VerdictPolicy,
    one: int,
    other: int,
    slow: bool,  # noqa: FBT001 - drawn
) -> None:
    window = Window(throttled=slow)
    few, much = (
        run((200, dead), policy=policy, window=window)[1][0] for dead in sorted((one, other))
    )
    if isinstance(few, Throttle) and isinstance(much, Throttle):
        assert 0 <= few.wait_s <= much.wait_s <= policy.throttle_max_s


def test_the_wait_grows_from_nothing_to_its_maximum_where_the_zone_would_halt() -> None:
    slow = Window(throttled=True)
    waits = []
    for dead in (60, 125, 225, 400):
        (found,) = run((1_000, dead), policy=SMALL, window=slow)[1]
        assert isinstance(found, Throttle)
        waits.append(found.wait_s)
    assert waits == pytest.approx([0.14, 1.07, 2.5, 5.0], abs=0.01)
    early = replace(SMALL, dead_max=0.01)
    assert run((19, 19), (1, 0), policy=early)[1] == [DeadLetter(), Throttle(5.0)]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_bound_of_one_is_none(share: float) -> None:
    never = VerdictPolicy(throttle_share=1.0, dead_max=1.0, rows_min=1)
    assert run((100, 100), (1, 1), policy=never)[1] == [DeadLetter()] * 2
    no_halt = replace(never, throttle_share=share)
    assert run((100, 100), policy=no_halt)[1] == [Throttle(5.0)]


def test_a_bound_of_zero_halts_at_the_first_dead_row_of_enough() -> None:
    strict = VerdictPolicy(throttle_share=0.0, dead_max=0.0, rows_min=10)
    window, said = run((9, 0), (1, 1), policy=strict)
    assert isinstance(said[1], Halt)
    assert run((1, 0), policy=strict, window=window)[1] == [Pass()]


def test_one_row_a_batch_makes_no_long_window() -> None:
    window, _ = run(
        *[(1, row % 2) for row in range(2_000)], policy=replace(POLICY, window_rows=640)
    )
    assert (window.rows, window.dead) == (640, 320)
    assert len(window.pieces) == 64


def test_a_fault_is_named_although_each_batch_dies_of_many_more() -> None:
    dead = {f"odd value {n}": 1 for n in range(50)} | {"cannot parse": 2}
    window, policy = Window(), replace(SMALL, window_rows=1_000, rows_min=200)
    for _ in range(2):
        window, found = verdict.judge(window, 80, dead, policy)
        assert found == DeadLetter()
    _, halt = verdict.judge(window, 80, dead, policy)
    assert isinstance(halt, Halt)
    assert halt.signature == "cannot parse"
    assert halt.why == (
        "156 of the latest 240 rows are bad, more than the 40.0% of dead_max; 6 of them by: "
        "cannot parse"
    )


def test_a_window_without_rows_has_no_share() -> None:
    assert Window().share == 0.0
    window, said = run((0, 0), (0, 0))
    assert said == [Pass(), Pass()]
    assert window == Window(pieces=(Piece(),))

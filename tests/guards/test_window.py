"""The window holds exactly the calls of its last ten buckets, counted here one by one."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.guards.window import BUCKETS, NOTHING, Counts, Window


class WindowMachine(RuleBasedStateMachine):
    """Keeps every call with its bucket, and counts them anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(10.0, 0.0)
        self.now_s = self.latest_s = 0.0
        self.good_total = 0
        self.calls: list[tuple[int, str]] = []
        self.row_from_s = self.bad_s = 0.0

    def bucket(self) -> int:
        self.latest_s = max(self.latest_s, self.now_s)
        return int(self.latest_s)

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 3.25, 9.75, 10.0, 40.5]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(seconds=st.sampled_from([0.5, 2.25, 100.0]))
    def go_back(self, seconds: float) -> None:
        self.now_s -= seconds

    @rule(calls=st.integers(1, 30))
    def succeed(self, calls: int) -> None:
        if self.now_s >= self.window.edge_s:  # whoever counts successes promises this
            self.window.advance(self.now_s, self.good_total)
        self.calls += [(self.bucket(), "good")] * calls
        self.good_total += calls

    @rule(slow=st.booleans())
    def fail(self, slow: bool) -> None:  # noqa: FBT001 - drawn
        if not self.calls or self.calls[-1][1] == "good":
            self.row_from_s = self.now_s
        self.bad_s = self.now_s
        self.calls.append((self.bucket(), "slow" if slow else "failed"))
        counts = self.window.add_bad(self.now_s, self.good_total, slow=slow)
        assert counts == self.expected()

    def expected(self) -> Counts:
        newest = int(self.latest_s)
        held = [kind for at, kind in self.calls if newest - at < BUCKETS]
        kinds = [kind for _, kind in self.calls]
        run = next((i for i, kind in enumerate(reversed(kinds)) if kind == "good"), len(kinds))
        bad = [kind for kind in held if kind != "good"]
        return Counts(
            calls=len(held), bad=len(bad), slow=bad.count("slow"), consecutive=run,
            row_s=self.bad_s - self.row_from_s if run else 0.0,
            span_s=min(10.0, max(1.0, self.bad_s)),
        )  # fmt: skip

    @invariant()
    def counts_are_those_of_the_last_ten_buckets(self) -> None:
        self.window.advance(self.now_s, self.good_total)
        self.latest_s = max(self.latest_s, self.now_s)
        assert self.window.counts(self.good_total) == self.expected()


WindowMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, derandomize=True
)
TestWindow = WindowMachine.TestCase


def test_a_window_forgets_a_tenth_at_a_time() -> None:
    window = Window(5.0, 100.0)
    assert window.edge_s == 100.5
    assert window.counts(0) == Counts(span_s=0.5)
    window.advance(100.5, 2)
    assert window.edge_s == 101.0
    assert window.add_bad(100.75, 2).calls == 3
    assert window.add_bad(101.75, 2, slow=True) == Counts(4, 2, 1, 2, row_s=1.0, span_s=1.75)
    assert window.edge_s == 102.0
    assert window.counts(7) == Counts(9, 2, 1, 0, row_s=0.0, span_s=1.75)
    window.advance(104.9, 7)
    assert window.counts(7).calls == 9
    window.advance(105.0, 7)
    assert window.counts(7) == Counts(7, 2, 1, 0, row_s=0.0, span_s=1.75)
    window.advance(105.5, 7)
    assert window.counts(7).bad == 1
    window.advance(107.0, 7)
    assert window.counts(7).calls == 0


def test_a_row_lasts_from_its_first_bad_call_to_its_last() -> None:
    window = Window(5.0, 100.0)
    assert window.add_bad(100.25, 0) == Counts(1, 1, 0, 1, row_s=0.0, span_s=0.5)
    assert window.add_bad(103.0, 0).row_s == 2.75
    assert window.add_bad(104.0, 1) == Counts(4, 3, 0, 1, row_s=0.0, span_s=4.0)
    assert window.add_bad(108.0, 1) == Counts(2, 2, 0, 2, row_s=4.0, span_s=5.0)


def test_nothing_is_in_a_window_of_which_nothing_is_told() -> None:
    assert Counts() == NOTHING == (0, 0, 0, 0, 0.0, 0.0)


def test_an_empty_window_has_no_share_of_bad_calls() -> None:
    assert Counts().share == 0
    assert Counts(calls=4, bad=1).share == 0.25

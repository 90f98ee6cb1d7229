"""The search for guilty rows, against simulated worlds: no process, no clock, thousands of cases.

A world says which rows are poison and of what cause, and at which runs an accident happens: a kill
from outside, or an error that does not repeat. ``FIREDOOR_SEEDS`` (``make sim``) draws more worlds.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firedoor.isolation import narrow
from firedoor.isolation.narrow import Cause, Failure, NarrowPolicy, Search, Slice

SEEDS = int(os.environ.get("FIREDOOR_SEEDS") or os.environ.get("FIREDOOR_EXAMPLES") or 150)
many = settings(
    max_examples=SEEDS,
    deadline=None,
    derandomize=SEEDS == 150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
POLICY = NarrowPolicy()
DEADLY = [Cause.CRASH, Cause.HANG, Cause.MEMORY]


def failure(cause: Cause, *, external: bool = False, at: str = "steps.py:1") -> Failure:
    return Failure(cause=cause, signature=f"{cause} at {at}", message="said", external=external)


@dataclass
class World:
    """What is true of the rows, what happens by accident, and what has happened so far."""

    rows: int
    poison: Mapping[int, Failure]
    accidents: Mapping[int, Failure] = field(default_factory=dict)
    """By the number of the run. The same very slice meets one of each kind at most."""
    piece_rows: int | None = None
    runs: int = 0
    deaths: int = 0
    struck: set[tuple[int, int, bool]] = field(default_factory=set)
    held: dict[int, Counter[str]] = field(default_factory=dict)
    """For each poison row, the failed runs that held it, by cause."""

    def run(self, part: Slice) -> Failure | None:
        """Return how a run of these rows ends."""
        accident = self.accidents.get(self.runs)
        self.runs += 1
        found = next(
            (self.poison[r] for r in range(part.start, part.stop) if r in self.poison), None
        )
        if found is None and accident is not None:
            key = (part.start, part.stop, accident.external)
            found = None if key in self.struck else accident
            self.struck.add(key)
        if found is not None:
            self.deaths += found.cause is not Cause.EXCEPTION
            for row in self.poison:
                if part.start <= row < part.stop:
                    self.held.setdefault(row, Counter())[str(found.cause)] += 1
        return found

    def solve(self, policy: NarrowPolicy = POLICY) -> Search:
        """Search to the end, holding every state of the search to its invariants."""
        search = narrow.begin(self.rows, piece_rows=self.piece_rows)
        while search.todo:
            if self.rows < 100 or self.runs % 16 == 0:
                check_conservation(search, self.rows)
            found = self.run(search.todo[0])
            search = (
                narrow.passed(search) if found is None else narrow.failed(search, found, policy)
            )
        check_conservation(search, self.rows)
        return search


def check_conservation(search: Search, rows: int) -> None:
    """Passed, guilty and to do are disjoint, in row order, and together are the whole batch."""
    settled = sorted([*search.passed, *((g.row, g.row + 1) for g in search.guilty)])
    ranges = [*settled, *((part.start, part.stop) for part in search.todo)]
    at = 0
    for start, stop in ranges:
        assert start == at, "a gap, an overlap, or out of order"
        assert stop > start or rows == 0
        at = stop
    assert at == rows
    assert [g.row for g in search.guilty] == sorted({g.row for g in search.guilty})
    assert list(search.passed) == sorted(search.passed)


def levels(rows: int, parts: int) -> int:
    """Return how often a slice is cut until single rows are left."""
    count = 0
    while rows > 1:
        rows, count = math.ceil(rows / parts), count + 1
    return count


sizes = st.one_of(st.integers(0, 40), st.integers(0, 2_000), st.just(10_000))
causes = st.sampled_from(list(Cause))


@st.composite
def poisoned(draw: st.DrawFn, *, external: bool = True, rows_min: int = 0) -> World:
    """Draw a batch with up to twelve poison rows, or one that is all poison."""
    rows = draw(sizes.filter(lambda size: size >= rows_min))
    if rows and draw(st.integers(0, 9)) == 0:
        rows = min(rows, 60)
        numbers = set(range(rows))
    else:
        numbers = draw(st.sets(st.integers(0, rows - 1), max_size=12)) if rows else set()
    poison = {}
    for row in sorted(numbers):
        cause = draw(causes)
        outside = external and cause is Cause.CRASH and draw(st.booleans())
        poison[row] = failure(cause, external=outside, at=f"steps.py:{draw(st.integers(1, 3))}")
    pieces = draw(st.none() | st.integers(1, 30))
    return World(rows, poison, piece_rows=(pieces and math.ceil(rows / pieces)) or None)


accidents = st.dictionaries(
    st.integers(0, 200),
    st.sampled_from(
        [failure(Cause.CRASH, external=True), failure(Cause.EXCEPTION), failure(Cause.HANG)]
    ),
    max_size=30,
)


@many
@given(poisoned())
def test_exactly_the_poison_rows_are_guilty_each_with_its_own_failure(world: World) -> None:
    search = world.solve()
    assert {g.row: g.failure for g in search.guilty} == world.poison
    event(f"{len(world.poison)} poison rows")


@many
@given(poisoned(), accidents)
def test_accidents_blame_nobody_and_attempts_count_every_failed_run_that_held_the_row(
    world: World, accidents: dict[int, Failure]
) -> None:
    world = replace(world, accidents=accidents)
    search = world.solve()
    assert {g.row: g.failure for g in search.guilty} == world.poison
    assert {g.row: Counter(g.counts()) for g in search.guilty} == world.held
    assert search.deaths == world.deaths


@many
@given(poisoned(external=False, rows_min=1))
def test_runs_and_deaths_are_bounded_by_the_logarithm_of_the_rows(world: World) -> None:
    world = replace(world, piece_rows=None)
    world.solve()
    count = len(world.poison)
    by_death, by_error = levels(world.rows, 16), levels(world.rows, 2)
    # One death a level and two alone; a row that raises, the same in halves, before it.
    assert world.deaths <= count * (by_death + by_error + 2)
    assert world.runs <= 1 + count * (16 * by_death + 2 * by_error + 2)


@pytest.mark.parametrize("row", [0, 1, 624, 625, 5_000, 9_998, 9_999])
@pytest.mark.parametrize("cause", DEADLY)
def test_one_deadly_row_in_10000_costs_at_most_six_workers(row: int, cause: Cause) -> None:
    world = World(10_000, {row: failure(cause)})
    search = world.solve()
    assert [g.row for g in search.guilty] == [row]
    assert world.deaths <= 6
    assert world.runs <= 1 + 16 * 4 + 2


@pytest.mark.parametrize("row", [0, 4_999, 9_999])
def test_one_row_that_raises_in_10000_costs_no_worker_and_30_runs(row: int) -> None:
    world = World(10_000, {row: failure(Cause.EXCEPTION)})
    world.solve()
    assert world.deaths == 0
    assert world.runs <= 1 + 2 * 14 + 1


@many
@given(st.integers(1, 5_000), st.integers(1, 5_000), st.sampled_from([Cause.HANG, Cause.MEMORY]))
@example(rows=10_000, fits=1, cause=Cause.HANG)
def test_a_batch_too_large_for_its_limits_passes_in_slices_and_nobody_is_guilty(
    rows: int, fits: int, cause: Cause
) -> None:
    search = narrow.begin(rows)
    while search.todo:
        if search.todo[0].rows > fits:
            search = narrow.failed(search, failure(cause), POLICY)
        else:
            search = narrow.passed(search)
    assert search.guilty == ()
    assert search.passed == ((0, rows),)
    assert [f.cause for f in search.failures] == ([cause] if rows > fits else [])


@many
@given(st.data(), st.integers(1, 10), st.integers(1, 10), st.integers(2, 64), st.integers(2, 64))
def test_a_row_is_guilty_after_as_many_failures_alone_as_the_policy_asks(
    data: st.DataObject, inside: int, outside: int, error_parts: int, death_parts: int
) -> None:
    policy = NarrowPolicy(
        guilty_after=inside,
        external_guilty_after=outside,
        error_parts=error_parts,
        death_parts=death_parts,
    )
    external = data.draw(st.booleans())
    cause = Cause.CRASH if external else data.draw(causes)
    search = narrow.begin(1)
    for _ in range((outside if external else inside) - 1):
        search = narrow.failed(search, failure(cause, external=external), policy)
        assert search.guilty == ()
    search = narrow.failed(search, failure(cause, external=external), policy)
    assert [(g.row, g.counts()) for g in search.guilty] == [
        (0, {str(cause): outside if external else inside})
    ]
    rows = data.draw(st.integers(1, 100))
    world = World(rows, {data.draw(st.integers(0, rows - 1)): failure(cause, external=external)})
    assert {g.row for g in world.solve(policy).guilty} == set(world.poison)


def test_a_kill_from_outside_and_an_error_that_does_not_repeat_do_not_add_up() -> None:
    search = narrow.begin(1)
    for found in (failure(Cause.CRASH, external=True), failure(Cause.EXCEPTION)):
        search = narrow.failed(search, found, POLICY)
    assert search.guilty == ()
    assert narrow.passed(search).passed == ((0, 1),)


def test_a_slice_killed_from_outside_runs_again_whole_before_it_is_cut() -> None:
    killed = failure(Cause.CRASH, external=True)
    search = narrow.failed(narrow.begin(100), killed, POLICY)
    assert [(part.start, part.stop) for part in search.todo] == [(0, 100)]
    search = narrow.failed(search, killed, POLICY)
    assert len(search.todo) == 16


def test_a_batch_without_rows_ends_whatever_happens() -> None:
    assert narrow.passed(narrow.begin(0)).todo == ()
    search = narrow.failed(narrow.begin(0), failure(Cause.CRASH), POLICY)
    assert (search.todo, search.guilty) == ((), ())
    assert [f.cause for f in search.failures] == [Cause.CRASH]


def test_failures_of_many_kinds_are_kept_one_a_kind_and_sixteen_at_most() -> None:
    search = narrow.begin(2**20)
    for kind in [0, 0, 1, *range(1, 18)]:
        search = narrow.failed(search, failure(Cause.EXCEPTION, at=f"steps.py:{kind}"), POLICY)
    signatures = [f.signature for f in search.failures]
    assert signatures == [f"exception at steps.py:{kind}" for kind in range(16)]


@many
@given(st.integers(1, 100_000), st.integers(2, 64))
def test_a_split_keeps_every_row_once_and_the_parts_nearly_equal(rows: int, parts: int) -> None:
    whole = Slice(7, 7 + rows, attempts=(Cause.HANG,), alone=1, repeats=1)
    cut = narrow.split(whole, parts)
    assert [part.start for part in cut] == [7, *(part.stop for part in cut[:-1])]
    assert cut[-1].stop == 7 + rows
    assert len(cut) == min(rows, parts)
    assert max(part.rows for part in cut) - min(part.rows for part in cut) <= 1
    assert {(part.attempts, part.alone, part.repeats) for part in cut} == {((Cause.HANG,), 0, 0)}


@many
@given(st.integers(1, 100_000), st.integers(1, 64))
def test_rows_to_probe_are_distinct_and_leave_no_large_part_out_wherever_one_stops(
    rows: int, count: int
) -> None:
    picked = narrow.spread(rows, 64)[:count]
    assert len(picked) == len(set(picked))
    assert all(0 <= row < rows for row in picked)
    assert len(picked) == count or rows < 3 * 64
    inner = sorted(picked)
    gaps = [b - a for a, b in zip([0, *inner], [*inner, rows], strict=True)]
    assert max(gaps) <= 3 * rows / len(picked) + 1


def test_bad_rows_side_by_side_do_not_fill_the_first_of_a_sample() -> None:
    for start in range(0, 9_500, 100):
        for stop in range(1, 65):
            hit = sum(start <= row < start + 500 for row in narrow.spread(10_000, 64)[:stop])
            assert hit <= 2 + stop // 16


def test_probed_rows_follow_no_rhythm_that_data_may_have() -> None:
    for period in (2, 3, 4, 5, 7, 8, 10, 12, 16, 24):
        hit = Counter(row % period for row in narrow.spread(10_000, 64))
        assert len(hit) == period
        assert max(hit.values()) <= 64 * 3 / period + 1


def test_hangs_and_full_memories_are_one_family_wherever_they_were_caught() -> None:
    for cause in (Cause.HANG, Cause.MEMORY):
        assert failure(cause, at="a.py:1").family == failure(cause, at="b.py:2").family
    for cause in (Cause.EXCEPTION, Cause.CRASH):
        assert failure(cause, at="a.py:1").family != failure(cause, at="b.py:2").family


class Searching(RuleBasedStateMachine):
    """Any sequence of events at all, also such as no world would bring about."""

    search: Search
    rows: int

    @initialize(rows=st.integers(0, 300), piece=st.none() | st.integers(9, 50))
    def start(self, rows: int, piece: int | None) -> None:
        self.rows = rows
        self.search = narrow.begin(rows, piece_rows=piece)
        self.alone: Counter[tuple[int, bool]] = Counter()
        self.work = self.left()

    @precondition(lambda self: self.search.todo)
    @rule()
    def the_head_passes(self) -> None:
        head = self.search.todo[0]
        self.search = narrow.passed(self.search)
        assert head.rows == 0 or self.search.passed[-1][1] == head.stop
        self.shrinks()

    @precondition(lambda self: self.search.todo)
    @rule(cause=causes, external=st.booleans())
    def the_head_fails(self, cause: Cause, external: bool) -> None:  # noqa: FBT001 - drawn
        head = self.search.todo[0]
        outside = external and cause is Cause.CRASH
        if head.rows == 1:
            self.alone[head.start, outside] += 1
        self.search = narrow.failed(self.search, failure(cause, external=outside), POLICY)
        self.shrinks()

    @precondition(lambda self: not self.search.todo)
    @rule(rows=st.integers(0, 300))
    def the_next_batch_comes(self, rows: int) -> None:
        self.start(rows, None)

    def left(self) -> int:
        """Return a number that bounds the events to come: it falls with every one."""
        return sum(
            {0: 1, 1: 8}.get(part.rows, 12 * part.rows - 2) - part.alone - part.repeats
            for part in self.search.todo
        )

    def shrinks(self) -> None:
        """Every event shortens a slice, uses up an attempt, or settles a slice: it ends."""
        before, self.work = self.work, self.left()
        assert self.work < before

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        check_conservation(self.search, self.rows)

    @invariant()
    def guilty_is_who_failed_alone_as_often_as_the_policy_asks(self) -> None:
        enough = {
            row
            for (row, outside), count in self.alone.items()
            if count >= (POLICY.external_guilty_after if outside else POLICY.guilty_after)
        }
        assert {g.row for g in self.search.guilty} == enough
        assert max(self.alone.values(), default=0) <= POLICY.external_guilty_after


TestSearching = Searching.TestCase
TestSearching.settings = settings(many, max_examples=max(50, SEEDS // 10), stateful_step_count=50)

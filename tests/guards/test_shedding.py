"""Who waits, who begins, who is refused: held against sorting by hand."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.guards import shedding
from firedoor.guards.shedding import (
    PRIORITIES,
    Came,
    Left,
    Moves,
    Priority,
    Queue,
    Room,
    SheddingPolicy,
)

POLICY = SheddingPolicy(queue_max=6)
SHARES = {"critical": 1.0, "default": 0.9, "batch": 0.7, "sheddable": 0.5}


class SheddingMachine(RuleBasedStateMachine):
    """The model: a list of who waits, and since when somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.model: list[tuple[int, Priority, float]] = []
        self.busy_s: list[float | None] = [None] * 4
        self.now_s, self.number = 0.0, 0
        self.ended: list[int] = []

    def settle(self) -> None:
        for rank in range(4):
            if not any(PRIORITIES.index(c[1]) <= rank for c in self.model):
                self.busy_s[rank] = None

    def overload(self, priority: Priority) -> bool:
        since_s = self.busy_s[PRIORITIES.index(priority)]
        return since_s is not None and self.now_s - since_s >= 0.1

    @rule(seconds=st.sampled_from([0.001, 0.004, 0.03, 0.1, 0.5]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(priority=st.sampled_from(PRIORITIES))
    def come(self, priority: Priority) -> None:
        self.number += 1
        event = Came(number=self.number, priority=priority)
        self.queue, moves = shedding.step(self.queue, event, POLICY, self.now_s)
        for rank in range(PRIORITIES.index(priority), 4):
            since_s = self.busy_s[rank]
            self.busy_s[rank] = self.now_s if since_s is None else since_s
        self.model.append((self.number, priority, self.now_s))
        if len(self.model) > 6:
            worst = max(self.model, key=lambda c: (PRIORITIES.index(c[1]), c[0]))
            self.model.remove(worst)
            self.ended.append(worst[0])
            assert moves == Moves(refuse=(worst[0],))
            self.settle()
        else:
            assert moves == Moves()

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.model:
            gone = data.draw(st.sampled_from(self.model))
            self.queue, moves = shedding.step(self.queue, Left(gone[0]), POLICY, self.now_s)
            self.model.remove(gone)
            self.ended.append(gone[0])
            assert moves == Moves()
            self.settle()

    @rule(inflight=st.integers(0, 10), limit=st.integers(1, 10))
    def make_room(self, inflight: int, limit: int) -> None:
        event = Room(inflight=inflight, limit=limit)
        self.queue, moves = shedding.step(self.queue, event, POLICY, self.now_s)
        over = {name: self.overload(name) for name in PRIORITIES}
        late = [c for c in self.model if self.now_s - c[2] > (0.005 if over[c[1]] else 0.1)]
        rest = [c for c in self.model if c not in late]
        assert moves.refuse == tuple(c[0] for c in late)
        begun: list[tuple[int, Priority, float]] = []
        for name in PRIORITIES:
            line = [c for c in rest if c[1] == name]
            for call in reversed(line) if over[name] else line:
                if inflight + len(begun) < max(1, int(limit * SHARES[name] + 1e-9)):
                    begun.append(call)
            if any(c for c in line if c not in begun):
                break  # nobody goes past somebody more important
        assert moves.begin == tuple(c[0] for c in begun)
        self.model = [c for c in rest if c not in begun]
        self.ended += [*moves.begin, *moves.refuse]
        self.settle()

    @invariant()
    def who_waits_is_who_waits(self) -> None:
        assert [call.number for call in self.queue.waiting] == [c[0] for c in self.model]
        assert self.queue.busy_since_s == tuple(self.busy_s)

    @invariant()
    def nobody_ends_twice(self) -> None:
        assert len(self.ended) == len(set(self.ended))


SheddingMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestShedding = SheddingMachine.TestCase


def test_every_class_has_room_for_one_however_low_the_limit() -> None:
    assert [shedding.room(1, rank, POLICY) for rank in range(4)] == [1, 1, 1, 1]
    assert [shedding.room(10, rank, POLICY) for rank in range(4)] == [10, 9, 7, 5]


def test_a_call_waits_for_an_interval_and_no_longer_and_then_for_the_target() -> None:
    policy = SheddingPolicy(interval_s=0.5, target_s=0.25)
    queue, _ = shedding.step(Queue(), Came(number=1, priority="batch"), policy, 10.0)
    waiting = (shedding.Waiting(number=1, rank=2, since_s=10.0),)
    assert queue == Queue(waiting, (None, None, 10.0, 10.0))
    assert not shedding.overloaded(queue, policy, 10.4999)
    assert shedding.overloaded(queue, policy, 10.5)
    full = Room(inflight=9, limit=9)
    queue, _ = shedding.step(queue, Came(number=2, priority="batch"), policy, 10.25)
    assert shedding.step(queue, full, policy, 10.5)[1] == Moves(refuse=(1,))
    assert shedding.step(queue, full, policy, 10.51)[1] == Moves(refuse=(1, 2))
    assert shedding.step(queue, full, policy, 10.49)[1] == Moves(begin=(), refuse=())


def test_the_newest_is_served_first_while_the_queue_does_not_empty() -> None:
    policy = SheddingPolicy(interval_s=0.5, target_s=0.25)
    queue = Queue()
    for number, at_s in ((1, 10.0), (2, 10.3), (3, 10.4)):
        queue, _ = shedding.step(queue, Came(number, "batch"), policy, at_s)
    two = Room(inflight=0, limit=2)
    assert shedding.step(queue, two, policy, 10.45)[1] == Moves(begin=(1,))
    assert shedding.step(queue, two, policy, 10.52)[1] == Moves(begin=(3,), refuse=(1,))
    queue, _ = shedding.step(queue, Came(4, "critical"), policy, 10.51)
    rest, moves = shedding.step(queue, two, policy, 10.52)
    assert moves == Moves(begin=(4,), refuse=(1,))
    assert [call.number for call in rest.waiting] == [2, 3]


def test_a_call_that_was_not_waiting_leaves_nothing_behind() -> None:
    assert shedding.step(Queue(), Left(number=7), POLICY, 10.0) == (Queue(), Moves())
    assert (Queue(), Moves()) == (((), (None, None, None, None)), ((), ()))


def test_patience_is_short_once_the_queue_has_not_emptied() -> None:
    queue, _ = shedding.step(Queue(), Came(number=1, priority="default"), POLICY, 10.0)
    assert shedding.patience_s(queue, POLICY, 10.05) == 0.1
    assert shedding.patience_s(queue, POLICY, 10.2) == 0.005
    assert shedding.patience_s(Queue(), POLICY, 10.2) == 0.1


def test_those_who_are_passed_by_do_not_cost_the_important_their_patience() -> None:
    queue, _ = shedding.step(Queue(), Came(1, "sheddable"), POLICY, 10.0)
    queue, _ = shedding.step(queue, Came(2, "critical"), POLICY, 10.19)
    assert shedding.patience_s(queue, POLICY, 10.2, 3) == 0.005
    assert shedding.patience_s(queue, POLICY, 10.2, 0) == 0.1
    full = Room(inflight=9, limit=9)
    queue, moves = shedding.step(queue, full, POLICY, 10.21)
    assert moves == Moves(refuse=(1,))
    assert shedding.step(queue, Room(inflight=8, limit=9), POLICY, 10.28)[1] == Moves(begin=(2,))

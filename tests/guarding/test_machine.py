"""Whole guards, with calls that begin and end in any order, held against a plain model.

Calls are coroutines driven by hand: begun with ``send``, ended with a result, an exception or a
cancellation, as late as the machine likes. The pure breaker has a machine of its own; this one is
for what stands around it: counts, generations, places, orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import firedoor as fd
from guarding.world import World

POLICY = fd.BreakerPolicy(slow_s=2.0, jitter=0.0, window_s=3_600.0)


@coroutine
def until_ended() -> Generator[str, str, str]:
    """Wait for the machine to say how the work ends."""
    return (yield "begun")


@dataclass
class Out:
    """A call that is under way."""

    call: Coroutine[Any, Any, str]
    generation: int
    begun_s: float
    probe: bool


class GuardMachine(RuleBasedStateMachine):
    """The model: a word, when it changes, and the calls of the present closed time by outcome."""

    options: dict[str, Any] = {}  # noqa: RUF012 - hypothesis makes the machine without arguments

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.guard = self.world.guard(breaker=POLICY, **self.options)

        @self.guard
        async def work() -> str:
            return await until_ended()

        self.work = work
        self.out: list[Out] = []
        self.word, self.generation = "closed", 0
        self.due_s, self.open_s = 0.0, 1.0
        self.good = self.bad = self.run = 0
        self.totals = {"good": 0, "bad": 0, "refused": 0}

    def turn(self, word: str) -> None:
        self.word = word
        self.generation += 1
        if word in {"closed", "disabled"}:
            self.good = self.bad = self.run = 0

    def reopen(self) -> None:
        self.open_s = min(self.open_s * 1.5, 5.0)
        self.turn("open")
        self.due_s = self.world.now_s + self.open_s

    @rule(seconds=st.sampled_from([0.1, 0.9, 1.5, 3.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.world.now_s += seconds

    @precondition(lambda self: len(self.out) < 30)
    @rule()
    def begin(self) -> None:
        now_s, probe = self.world.now_s, False
        call = self.work()
        may = self.word in {"closed", "disabled"}
        if self.word == "open" and now_s >= self.due_s:
            may = probe = True
            self.turn("half-open")
            self.due_s = now_s + 10.0
        elif self.word == "half-open" and now_s >= self.due_s:
            self.reopen()
        try:
            assert call.send(None) == "begun"
        except fd.GuardOpen:
            assert not may
            self.totals["refused"] += 1
            return
        assert may
        self.out.append(Out(call, self.generation, now_s, probe))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), how=st.sampled_from(["good", "fail", "data", "cancel"]))
    def end(self, data: st.DataObject, how: str) -> None:
        out = data.draw(st.sampled_from(self.out))
        self.out.remove(out)
        try:
            if how == "good":
                out.call.send("done")
            elif how == "fail":
                out.call.throw(ConnectionError())
            elif how == "data":
                out.call.throw(ValueError())
            else:
                out.call.throw(asyncio.CancelledError())
        except (StopIteration, ConnectionError, ValueError, asyncio.CancelledError):
            pass
        slow = how == "good" and self.world.now_s - out.begun_s > 2.0
        if out.generation == self.generation:
            self.judge("bad" if how == "fail" or slow else how, probe=out.probe)

    def judge(self, how: str, *, probe: bool) -> None:
        if how in {"good", "bad"} and not (probe and how == "good"):
            self.totals[how] += 1
        if probe and how == "good":
            self.turn("closed")
        elif probe and how == "bad":
            self.reopen()
        elif probe:
            self.turn("open")
            self.due_s = self.world.now_s
        elif how == "good":
            self.good += 1
            self.run = 0
        elif how == "bad":
            self.bad += 1
            self.run += 1
            calls = self.good + self.bad
            trips = self.run >= 10 or (calls >= 10 and self.bad * 2 >= calls)
            if self.word == "closed" and trips:
                self.open_s = 1.0
                self.turn("open")
                self.due_s = self.world.now_s + 1.0

    @rule(order=st.sampled_from(["force_open", "disable", "reset"]), often=st.integers(0, 3))
    def order(self, order: str, often: int) -> None:
        if often:  # seldom, or nothing else is ever seen
            return
        getattr(self.guard, order)(by="ada", because="a drill")
        self.turn({"force_open": "forced-open", "disable": "disabled", "reset": "closed"}[order])

    @rule()
    def fail_ten_times(self) -> None:
        if self.word == "closed":
            for _ in range(10):
                self.begin()
                if self.word != "closed":
                    break
                out = self.out.pop()
                try:
                    out.call.throw(ConnectionError())
                except ConnectionError:
                    self.judge("bad", probe=False)

    @invariant()
    def the_guard_says_what_the_model_says(self) -> None:
        told = self.guard.explain()
        assert told.state == self.word
        if self.word in {"closed", "disabled"}:
            assert (told.calls, told.bad) == (self.good + self.bad, self.bad)
            assert told.consecutive == self.run
        assert told.totals.bad == self.totals["bad"]
        assert told.totals.refused == self.totals["refused"]
        assert told.inflight in {None, len(self.out)}

    def teardown(self) -> None:
        for out in self.out:
            out.call.close()


class WholeGuardMachine(GuardMachine):
    """The same with a limit and a rate that are never reached: the other closure."""

    options = {"limit": 1_000, "rate": fd.RatePolicy(per_s=1e6, burst=10**6)}  # noqa: RUF012


GuardMachine.TestCase.settings = WholeGuardMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestGuard = GuardMachine.TestCase
TestWholeGuard = WholeGuardMachine.TestCase

"""Answers kept for the ladder, while calls come and time passes: held against a plain list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from firedoor.guarding.ladder import Arguments, Memory
from firedoor.guards import fallback
from firedoor.guards.fallback import Answer, Kept, Previous, Stale

AGE_S, KEYS_MAX = 10.0, 3
STALE = Stale(age_max_s=AGE_S, keys_max=KEYS_MAX)
PREVIOUS = Previous(age_max_s=3 * AGE_S, any_request=True)
requests = st.sampled_from([1, 1.0, True, "JFK", "LGA", None])
functions = st.sampled_from(["wind", "rain"])


def same(one: object, other: object) -> bool:
    """Return whether two requests are the same: equal, and of one type."""
    return one == other and type(one) is type(other)


class Remembering(RuleBasedStateMachine):
    """The model: every answer there ever was, and when each was used last."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory((STALE, PREVIOUS))
        self.now_s, self.answers = 0.0, 0
        self.kept: list[tuple[str, object, Kept]] = []
        """Function, request, answer: the latest last."""

    def arguments(self, function: str, request: object) -> Arguments:
        return (function, request), {}

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 25.0, -2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(function=functions, request=requests)
    def a_call_is_answered(self, function: str, request: object) -> None:
        self.answers += 1
        arguments = self.arguments(function, request)
        self.memory.keep(arguments, self.answers, self.now_s, skip=1)
        self.kept.append((function, request, Kept(self.answers, self.now_s)))

    @rule(function=functions, request=requests)
    def a_call_fails(self, function: str, request: object) -> None:
        arguments = self.arguments(function, request)
        mine, latest = self.memory.find(arguments, skip=1)
        own = [kept for f, r, kept in self.kept if f == function and same(r, request)]
        every = [kept for f, _, kept in self.kept if f == function]
        assert mine is None or mine == own[-1], "the answer to another request, or an older one"
        assert latest is None or latest == every[-1]
        # What was kept or asked for last is never what has to go.
        stale = fallback.judge(STALE, mine, latest, self.now_s)
        if isinstance(stale, Answer):
            assert stale.value == own[-1].value
            assert (stale.source, stale.age_s) == ("stale", max(0.0, self.now_s - own[-1].at_s))
            assert self.now_s - own[-1].at_s <= AGE_S
        elif mine is not None:
            assert self.now_s - mine.at_s > AGE_S

    @rule(function=functions, request=requests)
    def what_was_answered_just_now_is_there(self, function: str, request: object) -> None:
        self.a_call_is_answered(function, request)
        mine, latest = self.memory.find(self.arguments(function, request), skip=1)
        assert mine == latest == self.kept[-1][2]


Remembering.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
TestRemembering = Remembering.TestCase


def test_the_longest_unused_answer_goes_first() -> None:
    memory = Memory((STALE,))
    for number in range(KEYS_MAX):
        memory.keep(((number,), {}), number, 0.0)
    memory.find(((0,), {}))
    memory.keep(((KEYS_MAX,), {}), KEYS_MAX, 0.0)
    found = [memory.find(((number,), {}))[0] for number in range(KEYS_MAX + 1)]
    assert [None if kept is None else kept.value for kept in found] == [0, None, 2, 3]

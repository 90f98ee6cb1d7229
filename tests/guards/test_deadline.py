"""Time left: never more than the caller has, in this process and in the next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.guards import deadline
from firedoor.guards.deadline import DeadlinePolicy, Passage
from firedoor.guards.shedding import PRIORITIES

many = settings(max_examples=200, deadline=None, derandomize=True)
passages = st.builds(
    Passage,
    deadline_s=st.none() | st.floats(0, 86_400),
    attempt=st.integers(1, 2_000),
    outer_retries=st.booleans(),
    priority=st.none() | st.sampled_from(PRIORITIES),
)


@many
@given(passages, st.floats(0, 50_000), st.floats(0, 1e6))
def test_what_crosses_processes_is_never_more_than_was_left(
    passage: Passage, now_s: float, there_s: float
) -> None:
    headers = deadline.to_headers(passage, now_s)
    assert all(f"{k}{v}".isascii() and k == k.lower() for k, v in headers.items())
    arrived = deadline.from_headers(headers, there_s)
    left_s = deadline.remaining_s(passage, now_s)
    arrived_s = deadline.remaining_s(arrived, there_s)
    if left_s is None:
        assert arrived_s is None
    else:
        assert arrived_s is not None
        assert left_s - 0.0011 <= arrived_s <= left_s + 1e-6
    assert arrived.attempt == min(passage.attempt, 1_000)
    assert (arrived.outer_retries, arrived.priority) == (passage.outer_retries, passage.priority)


@many
@given(passages, st.none() | st.floats(0.001, 100), st.floats(0, 50_000))
def test_a_deadline_only_comes_nearer(
    passage: Passage, timeout_s: float | None, now_s: float
) -> None:
    tight = deadline.tighten(passage, timeout_s, now_s)
    ways = [passage.deadline_s, None if timeout_s is None else now_s + timeout_s]
    told = [at for at in ways if at is not None]
    assert tight.deadline_s == (min(told) if told else None)


@pytest.mark.parametrize(
    ("headers", "left_s"),
    [
        ({"Firedoor-Timeout-Ms": "250"}, 0.25),
        ({"grpc-timeout": "250m"}, 0.25),
        ({"grpc-timeout": "2S"}, 2.0),
        ({"grpc-timeout": "1H"}, 3_600.0),
        ({"firedoor-timeout-ms": "100", "grpc-timeout": "9S"}, 0.1),
        ({"firedoor-timeout-ms": "soon"}, None),
        ({"firedoor-timeout-ms": "-5"}, None),
        ({"firedoor-timeout-ms": "nan"}, None),
        ({"firedoor-timeout-ms": "inf"}, None),
        ({"grpc-timeout": "5"}, None),
        ({"grpc-timeout": "m"}, None),
        ({"grpc-timeout": "-5m"}, None),
        ({"grpc-timeout": "123456789m"}, None),
        ({"firedoor-attempt": "many", "firedoor-priority": "mine"}, None),
        ({}, None),
    ],
)
def test_headers_that_say_nothing_sensible_say_nothing(
    headers: dict[str, str], left_s: float | None
) -> None:
    passage = deadline.from_headers(headers, now_s=5.0)
    left = deadline.remaining_s(passage, 5.0)
    assert left == (None if left_s is None else pytest.approx(left_s))
    assert passage.attempt == 1
    assert passage.priority is None


def test_a_call_is_refused_early_when_calls_take_longer_than_is_left() -> None:
    assert deadline.judge(0.2, 0.1, DeadlinePolicy())
    assert not deadline.judge(0.05, 0.1, DeadlinePolicy())
    assert deadline.judge(0.05, 0.1, DeadlinePolicy(refuse_early=False))
    assert not deadline.judge(0.0, 0.0, DeadlinePolicy(refuse_early=False))


def test_the_typical_time_is_about_the_median_and_outliers_do_not_move_it() -> None:
    typical_s = 0.0
    for i in range(2_000):
        typical_s = deadline.typical(typical_s, 60.0 if i % 10 == 0 else 0.1 + (i % 7) / 100)
    assert 0.1 <= typical_s <= 0.2

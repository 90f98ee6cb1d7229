"""What is sent along, header by header: other programs read these names."""

from __future__ import annotations

import pytest

from firedoor.guards import deadline
from firedoor.guards.deadline import DeadlinePolicy, Passage


def test_everything_that_is_known_is_sent_under_its_name() -> None:
    passage = Passage(deadline_s=12.5, attempt=2, outer_retries=True, priority="batch")
    assert deadline.to_headers(passage, 12.0) == {
        "firedoor-timeout-ms": "500", "grpc-timeout": "500m", "firedoor-attempt": "2",
        "firedoor-outer-retries": "1", "firedoor-priority": "batch",
    }  # fmt: skip


def test_what_says_nothing_is_not_sent() -> None:
    assert deadline.to_headers(Passage(), 12.0) == {}
    assert Passage() == (None, 1, False, None, None)
    assert deadline.to_headers(Passage(deadline_s=1.0), 12.0)["firedoor-timeout-ms"] == "0"


def test_what_is_sent_is_bounded() -> None:
    far = deadline.to_headers(Passage(deadline_s=1e9, attempt=5_000), 0.0)
    assert far["firedoor-timeout-ms"] == "86400000"
    assert far["firedoor-attempt"] == "1000"


def test_milliseconds_are_rounded_down_but_for_what_floats_lose() -> None:
    assert deadline.to_headers(Passage(deadline_s=0.0019), 0.0)["grpc-timeout"] == "1m"
    assert deadline.to_headers(Passage(deadline_s=10.3), 10.0)["grpc-timeout"] == "300m"


def test_everything_that_is_sent_is_read_under_its_name() -> None:
    headers = {
        "FIREDOOR-TIMEOUT-MS": "500", "Firedoor-Attempt": "2", "firedoor-outer-retries": "1",
        "firedoor-priority": "batch",
    }  # fmt: skip
    assert deadline.from_headers(headers, 12.0) == Passage(
        deadline_s=12.5, attempt=2, outer_retries=True, priority="batch"
    )


@pytest.mark.parametrize(
    ("headers", "passage"),
    [
        ({"firedoor-timeout-ms": "0"}, Passage(deadline_s=12.0)),
        ({"firedoor-timeout-ms": "1e99"}, Passage(deadline_s=86_412.0)),
        ({"firedoor-attempt": "0"}, Passage()),
        ({"firedoor-attempt": "7.9"}, Passage(attempt=7)),
        ({"firedoor-attempt": "5000"}, Passage(attempt=1_000)),
        ({"firedoor-outer-retries": "0"}, Passage()),
        ({"firedoor-outer-retries": "true"}, Passage()),
        ({"firedoor-priority": "critical"}, Passage(priority="critical")),
        ({"firedoor-priority": "Critical"}, Passage()),
    ],
)
def test_what_is_read_is_bounded(headers: dict[str, str], passage: Passage) -> None:
    assert deadline.from_headers(headers, 12.0) == passage


@pytest.mark.parametrize(
    ("text", "left_s"),
    [
        ("3H", 10_800.0), ("3M", 180.0), ("3S", 3.0), ("3m", 3e-3), ("3u", 3e-6), ("3n", 3e-9),
        ("12345678n", 0.012345678), ("12345678S", 86_400.0), ("123456789n", None), ("", None),
        ("3", None), ("3x", None), ("3.5S", None), ("+3S", None), ("S", None), ("0S", 0.0),
    ],
)  # fmt: skip
def test_a_timeout_of_grpc_is_digits_and_a_unit(text: str, left_s: float | None) -> None:
    passage = deadline.from_headers({"grpc-timeout": text}, 0.0)
    assert passage.deadline_s == (None if left_s is None else pytest.approx(left_s, rel=1e-12))


def test_what_is_left_is_never_negative() -> None:
    assert deadline.remaining_s(Passage(deadline_s=10.0), 12.0) == 0.0
    assert deadline.remaining_s(Passage(deadline_s=10.0), 9.5) == 0.5
    assert deadline.remaining_s(Passage(), 9.5) is None


def test_a_call_that_has_exactly_what_calls_take_is_begun() -> None:
    assert deadline.judge(0.1, 0.1, DeadlinePolicy())
    assert deadline.judge(1e-9, 60.0, DeadlinePolicy(refuse_early=False))
    assert not deadline.judge(0.0, 0.0, DeadlinePolicy())


def test_the_typical_time_moves_by_a_twentieth_of_itself() -> None:
    assert deadline.typical(0.0, 0.4) == 0.4
    assert deadline.typical(0.0, -1.0) == 0.0
    assert deadline.typical(-1.0, 0.4) == 0.4
    assert deadline.typical(2.0, 60.0) == pytest.approx(2.1)
    assert deadline.typical(2.0, 0.1) == pytest.approx(1.9)
    assert deadline.typical(2.0, 2.0) == pytest.approx(1.9)
    assert deadline.typical(0.5, 60.0) == pytest.approx(0.525)

"""What can be declared: the range of each number, to the digit, and what is said about the rest."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from firedoor.bounds import one_of, ordered, within
from firedoor.errors import DeclarationError
from firedoor.guards.breaker import BreakerPolicy, Ordered
from firedoor.guards.budget import BudgetPolicy
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.deadline import DeadlinePolicy
from firedoor.guards.fallback import Constant, Function, Previous, Stale
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.order import ORDER
from firedoor.guards.rate import RatePolicy
from firedoor.guards.retry import RetryPolicy
from firedoor.guards.shedding import SheddingPolicy

PAGE = Path(__file__).parents[2] / "docs/reference/guard-behaviour.md"
POLICIES = (
    BreakerPolicy, BudgetPolicy, BulkheadPolicy, DeadlinePolicy, LimitPolicy, Previous, RatePolicy,
    RetryPolicy, SheddingPolicy, Stale,
)  # fmt: skip

WHOLE: list[tuple[type, str, int, int, str, dict[str, Any]]] = [
    (BreakerPolicy, "calls_min", 1, 1_000_000, "calls", {}),
    (BreakerPolicy, "consecutive", 1, 1_000_000, "calls", {}),
    (BreakerPolicy, "probe_every", 1, 1_000_000, "calls", {}),
    (BreakerPolicy, "flaps", 2, 100, "openings", {}),
    (BudgetPolicy, "tokens", 1, 1_000_000, "tokens", {"retry_cost": 1, "timeout_cost": 1}),
    (BudgetPolicy, "retry_cost", 1, 40, "tokens", {"tokens": 40}),
    (BudgetPolicy, "timeout_cost", 1, 40, "tokens", {"tokens": 40}),
    (BudgetPolicy, "gain", 0, 40, "tokens", {"tokens": 40}),
    (BulkheadPolicy, "calls_max", 1, 100_000, "calls", {}),
    (LimitPolicy, "limit_max", 1, 100_000, "calls", {"initial": 1}),
    (LimitPolicy, "limit_min", 1, 100_000, "calls", {"initial": 100_000, "limit_max": 100_000}),
    (LimitPolicy, "initial", 3, 9, "calls", {"limit_min": 3, "limit_max": 9}),
    (RatePolicy, "burst", 1, 1_000_000, "calls", {"per_s": 1}),
    (RetryPolicy, "attempts", 1, 100, "attempts", {}),
    (SheddingPolicy, "queue_max", 0, 100_000, "calls", {}),
    (Stale, "keys_max", 1, 10_000_000, "requests", {}),
]
"""Policy, field, least, most, unit, and what has to be declared beside it."""
BROKEN: list[tuple[type, str, float, float, str, dict[str, Any]]] = [
    (BreakerPolicy, "bad_share", 0.001, 1, "as a share of the calls", {}),
    (BreakerPolicy, "window_s", 0.1, 3_600, "seconds", {}),
    (BreakerPolicy, "row_s", 0, 3_600, "seconds", {}),
    (BreakerPolicy, "slow_s", 0.000_001, 86_400, "seconds", {}),
    (BreakerPolicy, "open_s", 0.001, 3_600, "seconds", {"open_max_s": 3_600}),
    (BreakerPolicy, "growth", 1, 10, "as a factor", {}),
    (BreakerPolicy, "open_max_s", 2.5, 86_400, "seconds: open_s or more", {"open_s": 2.5}),
    (BreakerPolicy, "jitter", 0, 0.9, "as a share of the wait", {}),
    (BreakerPolicy, "flap_s", 1, 86_400, "seconds", {}),
    (LimitPolicy, "backoff", 0.1, 0.99, "as a factor", {}),
    (LimitPolicy, "pause_s", 0, 60, "seconds", {}),
    (Previous, "age_max_s", 0.001, 31_536_000, "seconds", {}),
    (RatePolicy, "per_s", 0.0001, 1_000_000, "calls a second", {}),
    (RetryPolicy, "wait_min_s", 0, 3_600, "seconds", {"wait_max_s": 3_600}),
    (RetryPolicy, "wait_max_s", 0, 3_600, "seconds", {"wait_min_s": 0}),
    (SheddingPolicy, "interval_s", 0.001, 60, "seconds", {"target_s": 0}),
    (SheddingPolicy, "target_s", 0, 60, "seconds", {"interval_s": 60}),
    (Stale, "age_max_s", 0.001, 31_536_000, "seconds", {}),
]
"""The same for numbers that need not be whole."""


def refusal(kind: Any, *values: object, **fields: object) -> str:
    """Return what is said to somebody who declares this."""
    with pytest.raises(DeclarationError) as refused:
        kind(*values, **fields)
    return str(refused.value)


@pytest.mark.parametrize(("kind", "field", "low", "high", "unit", "beside"), WHOLE)
def test_a_number_of_calls_is_whole_and_within_its_range(
    kind: Any, field: str, low: int, high: int, unit: str, beside: dict[str, Any]
) -> None:
    for good in (low, high):
        assert getattr(kind(**beside, **{field: good}), field) == good
    for bad in (low - 1, high + 1, low + 0.5, float(high), True, None, "1"):
        said = refusal(kind, **beside, **{field: bad})
        assert said == f"{field}={bad!r}: is out of range; give {low:,} to {high:,} {unit}"


@pytest.mark.parametrize(("kind", "field", "low", "high", "unit", "beside"), BROKEN)
def test_a_number_of_seconds_or_a_share_is_finite_and_within_its_range(
    kind: Any, field: str, low: float, high: float, unit: str, beside: dict[str, Any]
) -> None:
    for good in (low, (low + high) / 2, high):
        assert getattr(kind(**beside, **{field: good}), field) == good
    for bad in (low - 1e-9, high * (1 + 1e-9), float("nan"), float("inf"), True, "1", [1]):
        said = refusal(kind, **beside, **{field: bad})
        assert said == f"{field}={bad!r}: is out of range; give {low:,} to {high:,} {unit}"


def test_a_timeout_has_the_name_under_which_a_guard_takes_it() -> None:
    for good in (None, 0.001, 86_400):
        assert DeadlinePolicy(attempt_s=good).attempt_s == good
    for bad in (0, 86_401, True):
        said = refusal(DeadlinePolicy, attempt_s=bad)
        assert said == f"timeout_s={bad!r}: is out of range; give 0.001 to 86,400 seconds"


def test_a_refusal_names_field_value_range_and_remedy() -> None:
    within("open_s", 2, 1, 3, "seconds")
    within("calls", 1_000, 1, 1_000, "calls", whole=True)
    assert refusal(within, "calls", 2_000, 1, 1_000, "calls", whole=True) == (
        "calls=2000: is out of range; give 1 to 1,000 calls"
    )
    one_of("order", "open", ("open", "close"))
    assert refusal(one_of, "order", "shut", ("open", "close")) == (
        "order='shut': is not known; choose one of 'open', 'close'"
    )
    ordered("target_s", 1, "interval_s", 1)
    assert refusal(ordered, "target_s", 2_000, "interval_s", 1_000) == (
        "target_s=2000: is more than interval_s=1,000; give at most interval_s"
    )


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (LimitPolicy, {"limit_min": 9, "limit_max": 8},
         "limit_min=9: is more than limit_max=8; give at most limit_max"),
        (RetryPolicy, {"wait_min_s": 9, "wait_max_s": 8},
         "wait_min_s=9: is more than wait_max_s=8; give at most wait_max_s"),
        (SheddingPolicy, {"target_s": 9, "interval_s": 8},
         "target_s=9: is more than interval_s=8; give at most interval_s"),
        (SheddingPolicy, {"shares": (1.0, 0.9, 0.7)},
         ("shares=(1.0, 0.9, 0.7): is not a share for each of the four classes; "
         "write shares=(1.0, 0.9, 0.7, 0.5)")),
        (SheddingPolicy, {"shares": [1.0, 0.9, 0.7, 0.5]},
         ("shares=[1.0, 0.9, 0.7, 0.5]: is not a share for each of the four classes; "
         "write shares=(1.0, 0.9, 0.7, 0.5)")),
        (SheddingPolicy, {"shares": (1.0, 0.5, 0.7, 0.5)},
         ("shares=(1.0, 0.5, 0.7, 0.5): gives a class more than a more important one; "
         "write them falling: critical, default, batch, sheddable")),
        (SheddingPolicy, {"shares": (1.0, 0.9, 0.7, 0.009)},
         "shares=0.009: is out of range; give 0.01 to 1 as a share of the limit"),
        (SheddingPolicy, {"shares": (1.1, 0.9, 0.7, 0.5)},
         "shares=1.1: is out of range; give 0.01 to 1 as a share of the limit"),
        (Previous, {"any_request": 1}, "any_request=1: is no switch; write True or False"),
        (Stale, {"key": 3}, "key=3: cannot be called; give a function"),
        (Function, {"function": 3},
         "function=3: cannot be called; write Constant(value) for a value"),
        (Ordered, {"order": "shut", "by": "ada", "because": "x"},
         "order='shut': is not known; choose one of 'open', 'close', 'disable'"),
        (Ordered, {"order": "open", "by": " ", "because": "x"},
         """by=' ': is empty; write by="...": it is recorded, and read at night"""),
        (Ordered, {"order": "open", "by": "ada", "because": 3},
         """because=3: is empty; write because="...": it is recorded, and read at night"""),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_with_a_remedy(
    kind: type, fields: dict[str, object], said: str
) -> None:
    assert refusal(kind, **fields) == said


def test_bounds_that_touch_are_no_contradiction() -> None:
    assert SheddingPolicy(shares=(1, 1, 0.01, 0.01)).shares == (1, 1, 0.01, 0.01)
    assert LimitPolicy(limit_min=7, initial=7, limit_max=7).initial == 7
    assert RetryPolicy(wait_min_s=0, wait_max_s=0).wait_max_s == 0
    assert Stale(key=repr).key is repr
    assert Constant(3).value == 3


@pytest.mark.parametrize("kind", POLICIES)
def test_the_defaults_are_those_of_the_reference(kind: Any) -> None:
    told = PAGE.read_text(encoding="utf-8").partition(f"### `{kind.__name__}` (")[2]
    table = told.partition("\n\n###")[0]
    for field in dataclasses.fields(kind):
        default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        assert f"| `{field.name}` | {default} |" in table


def test_every_place_in_the_order_is_told_with_its_reason() -> None:
    told = PAGE.read_text(encoding="utf-8").partition("## Order")[2].partition("## States")[0]
    rows = [line.split(" | ", 1)[1] for line in told.splitlines() if line.startswith("| ")][1:]
    assert rows == [f"{position.name} | {position.why} |" for position in ORDER]

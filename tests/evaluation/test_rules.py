"""A rule reads as it is declared, and one that nothing could break is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from firedoor.errors import DeclarationError
from firedoor.evaluation import rules
from firedoor.evaluation.rules import (
    at_least,
    at_most,
    calibrated,
    deterministic,
    directional,
    invariant,
    latency_a_row_s,
    no_worse_than_champion,
    worst_slice,
)

SAID = [
    'at_least("roc_auc", 0.68)',
    'at_most("log_loss", 0.6123456)',
    'no_worse_than_champion("log_loss", margin=0.005)',
    'no_worse_than_champion("roc_auc", margin=0, first="promote")',
    'worst_slice("carrier", "roc_auc", 0.6, rows_min=500)',
    "calibrated(0.03)",
    'invariant("spelling", tolerance=0.01, share_max=0.01)',
    'directional("more rain", may="rise", tolerance=0, share_max=0.05)',
    "latency_a_row_s(0.002, share=0.99)",
    "deterministic()",
]


@pytest.mark.parametrize("said", SAID)
def test_a_rule_reads_as_it_is_declared(said: str) -> None:
    rule = eval(said, dict(vars(rules)))  # noqa: S307 - that it can be is what is claimed
    assert str(rule) == said


@pytest.mark.parametrize(
    ("declare", "field", "remedy"),
    [
        (lambda: at_least("log_loss", 0.6), "metric", 'write at_most("log_loss", 0.6)'),
        (lambda: at_most("roc_auc", 0.6), "metric", 'write at_least("roc_auc", 0.6)'),
        (lambda: at_least("auc", 0.6), "metric", "write 'roc_auc'"),
        (lambda: at_least("roc_auc", 68), "bound", "more than 0 and less than 1"),
        (lambda: at_least("roc_auc", 0), "bound", "more than 0"),
        (lambda: at_most("log_loss", math.inf), "bound", "more than 0 and less than inf"),
        (lambda: at_least("r2", math.nan), "bound", "less than 1"),
        (lambda: no_worse_than_champion("brier", margin=-1), "margin", "give 0 to"),
        (lambda: no_worse_than_champion("x", margin=1), "metric", "choose one of"),
        (
            lambda: no_worse_than_champion("brier", margin=0, first="yes"),  # type: ignore[arg-type]
            "first",
            "'hold', 'promote'",
        ),
        (lambda: worst_slice("", "brier", 0.2), "column", "1 to 200"),
        (lambda: worst_slice("carrier", "brier", 2), "bound", "less than 1"),
        (lambda: worst_slice("carrier", "brier", 0.2, rows_min=1), "rows_min", "10 to"),
        (lambda: calibrated(0), "rmsce_max", "more than 0"),
        (lambda: invariant("", tolerance=0.1), "check", "1 to 200"),
        (lambda: invariant("x", tolerance=-1), "tolerance", "give 0"),
        (lambda: invariant("x", share_max=1), "share_max", "less than 1"),
        (lambda: directional("x", may="stay"), "may", "'rise', 'fall'"),  # type: ignore[arg-type]
        (lambda: latency_a_row_s(0), "max_s", "86,400"),
        (lambda: latency_a_row_s(1, share=99), "share", "less than 1"),
    ],
)
def test_a_rule_that_nothing_could_break_or_keep_is_refused(
    declare: Callable[[], Any], field: str, remedy: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert refused.value.field == field
    assert remedy in refused.value.remedy


def test_a_rule_is_a_value() -> None:
    assert deterministic() == deterministic()
    assert len({calibrated(0.1), calibrated(0.1), calibrated(0.2)}) == 2

"""A declared evaluation as plain values, as they are kept in the plan."""

from __future__ import annotations

import msgspec


class RulePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, and how it reads."""

    kind: str
    """Name of its class in ``firedoor.evaluation.rules``."""
    said: str
    """As it is declared."""
    fields: msgspec.Raw


class EvaluationPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is judged, on what, by which rules."""

    model: str
    """Its name in the registry."""
    part: str
    """The sealed part of the dataset."""
    rules: tuple[RulePlan, ...]
    metrics: tuple[str, ...] = ()
    """Figures that no rule is about."""
    slices: tuple[str, ...] = ()
    """Columns by whose values figures are told."""
    clusters: str = ""
    """The column of what belongs together; empty: rows are independent."""
    checks: tuple[str, ...] = ()
    """Changes of inputs, by name."""
    allow: tuple[str, ...] = ()
    """``pickle`` where a model may be one."""
    seed: int = 0
    rows_min: int = 100
    """Rows below which nothing is judged."""
    slice_rows_min: int = 500
    """Rows below which a slice is counted, and not judged."""
    calls: int = 0
    """Calls of one row that are timed; 0: no rule asks."""

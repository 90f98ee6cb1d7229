"""Write weight, quality, age and versions of models into the rows that leave a pipeline.

Inside, they are in the envelope, where no step can lose them. A sink writes them as columns,
``fd_weight``, ``fd_weather_quality``, ``fd_weather_age_s``, if a zone upstream has a ladder or an
edge upstream sheds by key; and the version of a model that a zone upstream uses, if it names a
column for that. Which columns there are follows from the plan alone, so that all files of a sink
have the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from firedoor.errors import StepAtFault
from firedoor.quality.grades import CODES, Grade, worse
from firedoor.spec.plan import EdgePlan, Plan
from firedoor.wire.envelope import Envelope

WEIGHT = "fd_weight"


@dataclass(frozen=True, slots=True)
class Tags:
    """Which columns a sink adds."""

    names: dict[str, tuple[str, ...]]
    """By part of a column's name: the lookups and guards that are told in it."""
    models: dict[str, str] = field(default_factory=dict)
    """By column: the key of the model whose version is told in it."""
    weighted: bool = True

    def put(self, frame: pl.DataFrame, envelope: Envelope) -> pl.DataFrame:
        """Return a batch with what is told of it in each row; null: it was not used.

        Raises:
            StepAtFault: if the rows have such a column already.
        """
        columns = [pl.lit(envelope.weight, pl.Float64).alias(WEIGHT)] if self.weighted else []
        for part, names in self.names.items():
            grade = _worst(envelope.quality[name] for name in names if name in envelope.quality)
            code, age_s = (None, None) if grade is None else (grade.code, grade.age_s)
            columns += [
                pl.lit(code, pl.Enum(CODES)).cast(pl.String).alias(f"fd_{part}_quality"),
                pl.lit(age_s, pl.Float64).alias(f"fd_{part}_age_s"),
            ]
        columns += [
            pl.lit(envelope.models.get(key), pl.String).alias(column)
            for column, key in self.models.items()
        ]
        added = pl.select(columns)
        taken = [name for name in added.columns if name in frame.columns]
        if taken:
            message = (
                f"{envelope.batch} has a column {taken[0]!r} of its own, where it is to be written "
                "what its rows were made of: rename it in the step before"
            )
            raise StepAtFault(message, code="wrong_schema", signature="column is taken")
        return frame.with_columns(columns)


def tags_of(plan: Plan, sink: str) -> Tags | None:
    """Return the columns that a sink adds; None: none."""
    before, edges = {sink}, list[EdgePlan]()
    for zone in reversed(plan.zones):  # every zone comes after those that it reads
        if zone.name in before:
            edges += plan.inboxes(zone.name)
            before |= {edge.publisher for edge in plan.inboxes(zone.name)}
    upstream = [zone for zone in plan.zones if zone.name in before and zone.name != sink]
    used = (model for zone in upstream for model in zone.models.values() if model.column)
    models = {model.column: model.key for model in used}
    sampled = any(edge.shed is not None and edge.shed.key for edge in edges)
    if not sampled and not any(zone.ladder is not None for zone in upstream):
        return Tags({}, models, weighted=False) if models else None
    names: dict[str, list[str]] = {}
    for zone in upstream:
        for name in (*zone.lookups.values(), *(other.guard.name for other in zone.depends)):
            told = names.setdefault(re.sub(r"\W+", "_", name, flags=re.ASCII), [])
            told += [] if name in told else [name]
    return Tags({part: tuple(told) for part, told in sorted(names.items())}, models)


def _worst(grades: Iterable[Grade]) -> Grade | None:
    """Return the worst of some grades, None if there are none."""
    found: Grade | None = None
    for grade in grades:
        found = grade if found is None else worse(found, grade)
    return found

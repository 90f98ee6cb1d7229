"""Evaluate the rules of a dataframely schema on a frame, one verdict a row and rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from firedoor.errors import shorten
from firedoor.quality.schema_fault import SchemaBroken

if TYPE_CHECKING:
    import dataframely as dy

EVALUATIONS_MAX = 256
"""How often one rule that raises is evaluated on parts of a batch to find the rows it raises on."""


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """Rows that failed one rule in one way."""

    rule: str
    failed: pl.Series
    """bool, one a row."""
    columns: tuple[str, ...]
    """The columns that the rule names."""
    is_cast: bool = False
    """The value could not be cast to the declared dtype."""
    raised: str | None = None
    """What the rule raised on these rows, if it was not simply false."""


def rules_of(schema: type[dy.Schema]) -> dict[str, pl.Expr]:
    """Return the schema's rules by name: its own, the primary key, those of columns.

    They are built anew each time, as dataframely does: a rule may compare with today's date.

    Raises:
        SchemaBroken: if a rule cannot be built.
    """
    rules = {}
    # dataframely has no public way to its rules; a test holds this to what Schema.filter says.
    for name, rule in schema._validation_rules(with_cast=False).items():  # noqa: SLF001
        try:
            rules[name] = rule.expr
        except Exception as error:
            # A rule is user code and may raise anything; here it becomes a named fault.
            raise _rule_broken(schema, name, (), error) from error
    return rules


def evaluate(
    frame: pl.DataFrame, schema: type[dy.Schema], *, uncast: Mapping[str, pl.Series]
) -> list[Failure]:
    """Return what rows failed which rules; empty if the frame is good.

    A rule that is null for a row passes, as in dataframely. A rule is not held against a row in
    which a column that it reads could not be cast.

    Args:
        frame: all declared columns, cast.
        schema: the schema with the rules.
        uncast: by column, the rows whose value could not be cast.

    Raises:
        SchemaBroken: if a rule cannot be evaluated.
    """
    failures = [
        Failure(f"{name}|dtype", mask, (name,), is_cast=True) for name, mask in uncast.items()
    ]
    rules = rules_of(schema)
    if not rules:
        return failures
    # Rules see the declared columns only: one over all columns must not see undeclared ones.
    declared = frame.select(schema.column_names())
    try:
        verdicts = _evaluate(declared, rules)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever a rule raises: which one was it?
        found = _one_by_one(declared, schema, rules)
    else:
        found = _failed(verdicts, schema, rules)
    pardoned = (_pardon(failure, uncast) for failure in found)
    return failures + [failure for failure in pardoned if failure is not None]


def columns_read(expr: pl.Expr) -> tuple[str, ...]:
    """Return the columns that an expression names, each once; () for one like ``pl.all()``."""
    return tuple(dict.fromkeys(expr.meta.root_names()))


def _evaluate(declared: pl.DataFrame, rules: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Return one column a rule. The first data column keeps the height if all rules are scalar."""
    return declared.select(declared.columns[0], **rules)


def _failed(
    verdicts: pl.DataFrame, schema: type[dy.Schema], rules: Mapping[str, pl.Expr]
) -> list[Failure]:
    """Return the rules that were false for some row."""
    failures = []
    for name, expr in rules.items():
        verdict = verdicts.get_column(name)
        if verdict.dtype == pl.Null:
            continue
        if verdict.dtype != pl.Boolean:
            raise _not_boolean(schema, name, expr, verdict.dtype)
        if not verdict.all():
            failed = ~verdict.fill_null(value=True)
            failures.append(Failure(name, failed, columns_read(expr)))
    return failures


def _pardon(failure: Failure, uncast: Mapping[str, pl.Series]) -> Failure | None:
    """Return the failure without rows in which what the rule reads could not be cast."""
    failed = failure.failed
    for column, mask in uncast.items():
        # A rule that names no column (``pl.all()``) may read them all.
        if column in failure.columns or not failure.columns:
            failed = failed & ~mask
    return replace(failure, failed=failed) if failed.any() else None


def _one_by_one(
    declared: pl.DataFrame, schema: type[dy.Schema], rules: Mapping[str, pl.Expr]
) -> list[Failure]:
    """Evaluate each rule alone. One that raises on some rows only costs those rows."""
    failures: list[Failure] = []
    for name, expr in rules.items():
        rule = {name: expr}
        try:
            failures += _failed(_evaluate(declared, rule), schema, rule)
        except SchemaBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the rule is user code
            guilty = _rows_it_raises_on(declared, schema, name, expr, error)
            raised = f"{type(error).__name__}: {_first_line(error)}"
            failures.append(Failure(name, guilty, columns_read(expr), raised=raised))
            others = (~guilty).arg_true()
            for failure in _failed(_evaluate(declared[others], rule), schema, rule):
                false = pl.repeat(value=False, n=declared.height, eager=True)
                failed = false.scatter(others.filter(failure.failed), values=True)
                failures.append(replace(failure, failed=failed))
    return failures


def _rows_it_raises_on(
    declared: pl.DataFrame, schema: type[dy.Schema], name: str, expr: pl.Expr, error: Exception
) -> pl.Series:
    """Return a mask of the rows on which a rule raises, by halving.

    Raises:
        SchemaBroken: if it raises on no rows at all (the expression is bad), on rows only when
            they are together, or on so many that the search would take too long.
    """
    broken = _rule_broken(schema, name, columns_read(expr), error)
    if _raises(declared.clear(), name, expr):
        raise broken from error
    guilty: list[int] = []
    parts = [(0, declared.height)]  # each is known to raise
    evaluations = 0
    while parts:
        start, stop = parts.pop()
        if stop - start == 1:
            guilty.append(start)
            continue
        evaluations += 2
        if evaluations > EVALUATIONS_MAX:
            raise broken from error
        middle = (start + stop) // 2
        halves = ((start, middle), (middle, stop))
        raising = [half for half in halves if _raises(declared[slice(*half)], name, expr)]
        if not raising:
            raise broken from error
        parts += raising
    mask = pl.int_range(declared.height, eager=True).is_in(guilty)
    if _raises(declared.filter(~mask), name, expr):
        raise broken from error
    return mask


def _raises(declared: pl.DataFrame, name: str, expr: pl.Expr) -> bool:
    """Return whether evaluating a rule on these rows raises."""
    try:
        _evaluate(declared, {name: expr})
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _rule_broken(
    schema: type[dy.Schema], name: str, columns: tuple[str, ...], error: Exception
) -> SchemaBroken:
    """Return the error for a rule that raises."""
    message = (
        f"rule {name!r} of {schema.__name__} raises {type(error).__name__}: {_first_line(error)}. "
        "Correct the rule; no row was judged by it."
    )
    return SchemaBroken(message, code="rule_fails", rule=name, columns=columns)


def _not_boolean(
    schema: type[dy.Schema], name: str, expr: pl.Expr, dtype: pl.DataType
) -> SchemaBroken:
    """Return the error for a rule that answers with something else than true or false."""
    message = (
        f"rule {name!r} of {schema.__name__} gives {dtype} and not true or false: compare the "
        "value with something in the rule."
    )
    return SchemaBroken(message, code="rule_fails", rule=name, columns=columns_read(expr))


def _first_line(error: Exception) -> str:
    """Return the first line of what was raised."""
    return shorten(str(error).strip().split("\n", 1)[0], 200)

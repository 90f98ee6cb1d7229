"""Refuse the impossible where it is declared: numbers, choices, names."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.errors import DeclarationError

COLUMNS_MAX = 1_000


def within(
    field: str, value: object, low: float, high: float, unit: str, *, whole: bool = False
) -> None:
    """Refuse what is no number, not finite, or outside ``low`` to ``high``.

    Raises:
        DeclarationError: with field, value, range and remedy.
    """
    kinds = int if whole else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise DeclarationError(field, value, "is out of range", f"give {low:,} to {high:,} {unit}")


def share_between(field: str, value: object, low: float, high: float) -> None:
    """Refuse what is no share, or not strictly between ``low`` and ``high``.

    Raises:
        DeclarationError: with field, value, range and remedy.
    """
    number = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))
    if not number or not low < value < high:  # type: ignore[operator]
        remedy = f"give more than {low:g} and less than {high:g}"
        raise DeclarationError(field, value, "is out of range", remedy)


def seeds(seed: object) -> None:
    """Refuse what no chance can be drawn from.

    Raises:
        DeclarationError: with the range.
    """
    within("seed", seed, 0, 2**63 - 1, "as a whole number", whole=True)


def ordered(low: str, low_value: float, high: str, high_value: float) -> None:
    """Refuse a least that is more than the most.

    Raises:
        DeclarationError: naming both fields.
    """
    if low_value > high_value:
        raise DeclarationError(
            low, low_value, f"is more than {high}={high_value:,}", f"give at most {high}"
        )


def one_of(field: str, value: object, allowed: Sequence[object]) -> None:
    """Refuse a value that is not one of a few.

    Raises:
        DeclarationError: with what there is to choose from.
    """
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise DeclarationError(field, value, "is not known", f"choose one of {choices}")


def text(field: str, value: object) -> None:
    """Refuse what is no name: empty, or more than a line.

    Raises:
        DeclarationError: with field and value.
    """
    named = isinstance(value, str) and value.strip() and value.isprintable()
    if not named or len(str(value)) > 200:  # noqa: PLR2004 - a line that is read at a glance
        raise DeclarationError(field, value, "is no name", "give one line of 1 to 200 characters")


def columns(field: str, value: object) -> None:
    """Refuse what is no tuple of different names of columns.

    Raises:
        DeclarationError: with field and value.
    """
    example = f'write {field}=("tailnum",)'
    if not isinstance(value, tuple) or len(value) > COLUMNS_MAX:
        raise DeclarationError(field, value, "is no tuple of columns", example)
    if not all(isinstance(name, str) and name for name in value):
        raise DeclarationError(field, value, "holds what is no name of a column", example)
    if len(set(value)) < len(value):
        raise DeclarationError(field, value, "names a column twice", "name each once")

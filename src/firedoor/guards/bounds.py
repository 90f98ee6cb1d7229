"""What every policy does with its numbers: refuse the impossible where it is declared."""

from __future__ import annotations

from firedoor.errors import DeclarationError


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


def one_of(field: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not one of a few.

    Raises:
        DeclarationError: with what there is to choose from.
    """
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise DeclarationError(field, value, "is not known", f"choose one of {choices}")


def ordered(low: str, low_value: float, high: str, high_value: float) -> None:
    """Refuse a least that is more than the most.

    Raises:
        DeclarationError: naming both fields.
    """
    if low_value > high_value:
        raise DeclarationError(
            low, low_value, f"is more than {high}={high_value:,}", f"give at most {high}"
        )

"""What several declarations check: ranges, choices, columns, and arguments that nobody has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from firedoor.errors import DeclarationError
from firedoor.units import format_bytes, parse_bytes


def check_number(
    field: str, value: object, low: float, high: float, unit: str, *, whole: bool = False
) -> None:
    """Refuse what is no number, not finite, or outside ``low`` to ``high``.

    Raises:
        DeclarationError: naming the range and its unit.
    """
    kinds: tuple[type, ...] = (int,) if whole else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        remedy = f"give {low:,} to {high:,} {unit}"
        raise DeclarationError(field, value, "is out of range", remedy)


def check_share(field: str, value: object) -> None:
    """Refuse what is no share of the rows, 0 to 1."""
    check_number(field, value, 0, 1, "a share of the rows")


def check_switch(field: str, value: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool):
        raise DeclarationError(field, value, "is no switch", "give True or False")


def check_choice(field: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a value that is not one of a few."""
    if value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        raise DeclarationError(field, value, "is not known", f"choose one of {choices}")


def check_text(field: str, value: object, *, length_max: int = 200) -> str:
    """Return one line of text, which may be empty."""
    if not isinstance(value, str) or len(value) > length_max or not (value + "x").isprintable():
        remedy = f"give one line of at most {length_max} characters"
        raise DeclarationError(field, value, "is no line of text", remedy)
    return value


def check_columns(field: str, value: object) -> tuple[str, ...]:
    """Return names of columns as a tuple. One name alone is refused: it reads as its letters."""
    example = f'write {field}=["tailnum"]'
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DeclarationError(field, value, "is not a list of columns", example)
    names = tuple(value)
    if not all(isinstance(name, str) and name for name in names):
        raise DeclarationError(field, value, "holds what is no name of a column", example)
    if len(set(names)) < len(names):
        raise DeclarationError(field, value, "names a column twice", "name each once")
    return names


def check_bytes(field: str, value: int | str, low: int, high: int) -> int:
    """Return a size in bytes between two bounds."""
    size = parse_bytes(field, value)
    if not low <= size <= high:
        remedy = f"give {format_bytes(low)} to {format_bytes(high)}"
        raise DeclarationError(field, value, "is out of range", remedy)
    return size


def check_known(arguments: Iterable[tuple[str, object]], names: Sequence[str], what: str) -> None:
    """Refuse arguments that nobody has, naming the one that was meant.

    Args:
        arguments: field and value.
        names: those that there are.
        what: what they belong to, for example ``a transform``.
    """
    for field, value in arguments:
        if field not in names:
            alike = difflib.get_close_matches(field, names, n=1)
            known = ", ".join(names)
            remedy = f"write {alike[0]}=" if alike else f"leave it out: there are {known}"
            raise DeclarationError(field, value, f"is no option of {what}", remedy)

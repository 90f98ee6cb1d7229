"""Bytes and seconds as people write them."""

from __future__ import annotations

import re

from firedoor.errors import DeclarationError

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SPANS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_SECONDS = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-z]+)\s*")
_BYTES = re.compile(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([a-zA-Z]*)\s*")


def parse_bytes(field: str, value: int | str) -> int:
    """Return a size in bytes from ``1_000_000``, ``"512MiB"`` or ``"1.5 GB"``.

    Raises:
        DeclarationError: if it is neither a whole number of bytes nor a number with a unit.

    >>> parse_bytes("memory", "1GiB")
    1073741824
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _BYTES.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise DeclarationError(
            field, value, "is not a size in bytes", 'write bytes or a unit, for example "512MiB"'
        )
    whole, _, part = match[1].partition(".")
    return int(whole + part) * _UNITS[match[2].lower()] // int(10 ** len(part))


def parse_interval(field: str, value: float | str) -> float:
    """Return seconds from ``90``, ``"90s"``, ``"15min"``, ``"12h"``, ``"1d"`` or ``"1w"``.

    Raises:
        DeclarationError: if it is neither a number of seconds nor a number with a unit.

    >>> parse_interval("every", "1d")
    86400.0
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _SPANS:
        remedy = 'write seconds or a unit, for example "15min", "12h" or "1d"'
        raise DeclarationError(field, value, "is no length of time", remedy)
    return float(match[1]) * _SPANS[match[2]]


def format_interval(seconds: float) -> str:
    """Return a length of time as ``parse_interval`` reads it.

    >>> format_interval(86400), format_interval(5400), format_interval(0.5)
    ('1d', '90min', '0.5s')
    """
    for unit in ("d", "h", "min"):
        if seconds and seconds % _SPANS[unit] == 0:
            return f"{seconds / _SPANS[unit]:g}{unit}"
    return f"{seconds:g}s"


def format_bytes(size: float) -> str:
    """Return a size as a person reads it.

    >>> format_bytes(1610612736)
    '1.5 GiB'
    """
    for unit in ("GiB", "MiB", "KiB"):
        if abs(size) >= _UNITS[unit.lower()]:
            return f"{_trim(size / _UNITS[unit.lower()])} {unit}"
    return f"{size:.0f} B"


def format_seconds(seconds: float) -> str:
    """Return a duration as a person reads it.

    >>> format_seconds(0.0123)
    '12 ms'
    """
    for unit, scale in (("s", 1), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{_trim(seconds * scale) if scale == 1 else round(seconds * scale)} {unit}"
    return f"{seconds * 1e6:.0f} us"


def _trim(number: float) -> str:
    """Return a number with one digit after the point, and none where it is zero."""
    return f"{number:.1f}".removesuffix(".0")

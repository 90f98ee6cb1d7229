"""Plain values as YAML in block style: what rules and definitions are written in.

Text that could be taken for something else is quoted as JSON does, which YAML reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

Value = str | int | float | bool | Sequence["Value"] | Mapping[str, "Value"]
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_./(-][A-Za-z0-9_./()-]*)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
STEP = 2


def to_yaml(value: Value) -> str:
    """Return a document.

    >>> print(to_yaml({"groups": [{"name": "slo", "rules": []}], "for": "2m"}), end="")
    groups:
      - name: slo
        rules: []
    for: "2m"
    """
    return "\n".join(_block(value)) + "\n"


def _block(value: Value) -> list[str]:
    """Return the lines of a value, not indented."""
    if isinstance(value, Mapping) and value:
        lines = []
        for name, inner in value.items():
            lines += _entry(f"{_scalar(name)}:", inner)
        return lines
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        lines = []
        for inner in value:
            first, *rest = _block(inner)
            lines += [f"- {first}", *(" " * STEP + line if line else "" for line in rest)]
        return lines
    return [_scalar(value)]


def _entry(head: str, value: Value) -> list[str]:
    """Return the lines of a value under its name."""
    if isinstance(value, str) and _is_text(value):
        return [f"{head} |-", *(" " * STEP + line if line else "" for line in value.split("\n"))]
    if isinstance(value, str | int | float) or not value:
        return [f"{head} {_scalar(value)}"]
    return [head, *(" " * STEP + line if line else "" for line in _block(value))]


def _is_text(value: str) -> bool:
    """Return whether it can be written as lines as they are."""
    lines = value.split("\n")
    framed = lines[0].strip() and lines[-1].strip() and not lines[0].startswith(" ")
    return len(lines) > 1 and bool(framed) and all(line.isprintable() for line in lines)


def _scalar(value: Value) -> str:
    """Return a value in one line."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
        return value if plain else _quoted(value)
    if isinstance(value, float):
        number = repr(value)
        return number if "." in number else number.replace("e", ".0e")
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Return text in quotes; what cannot be seen is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)

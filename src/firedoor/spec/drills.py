"""What a pipeline declares of drills: in which environment it runs, and what may be injected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from firedoor.drill.catalogue import fault_kind
from firedoor.drill.permission import ENVIRONMENTS
from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_choice

Declared = Literal["", "development", "production"]


def check_environment(value: object) -> Declared:
    """Return in which environment a pipeline runs; empty: nobody said.

    Raises:
        DeclarationError: for a word that is neither.
    """
    if value is None:
        return ""
    check_choice("environment", value, ENVIRONMENTS)
    return "production" if value == "production" else "development"


def check_drills(value: object) -> tuple[str, ...]:
    """Return the names of faults that may be injected in production.

    Raises:
        DeclarationError: for what is no fault of the catalogue, or is named twice.
    """
    example = 'write drills=("latency", "kill")'
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DeclarationError("drills", value, "is no list of faults", example)
    names = tuple(fault_kind(name, field="drills").name for name in value)
    if len(set(names)) < len(names):
        raise DeclarationError("drills", value, "names a fault twice", "name each once")
    return names

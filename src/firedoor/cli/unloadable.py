"""A file that cannot be loaded, and other refusals: one clear message, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from firedoor.errors import FiredoorError


@contextmanager
def refusals_told(code: int = 1) -> Iterator[None]:
    """Print what firedoor refuses, and end the command with that exit code."""
    try:
        yield
    except FiredoorError as error:
        print(f"firedoor: {error}", file=sys.stderr)
        raise typer.Exit(code) from error

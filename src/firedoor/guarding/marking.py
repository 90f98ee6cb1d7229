"""Which guard a failure came through: so that who catches it further out knows whose it is."""

from __future__ import annotations

import contextlib

from firedoor.errors import causes

FIELD = "_firedoor_guard"


def mark(error: BaseException, guard: str) -> None:
    """Note on an exception that it came through a guard, as a failure of its dependency."""
    with contextlib.suppress(Exception):  # its class may take no attribute: then nobody knows
        setattr(error, FIELD, guard)


def guard_of(error: BaseException) -> str | None:
    """Return the guard that an exception, or one that it came of, went through; None: none."""
    names = (getattr(seen, FIELD, None) for seen in causes(error))
    return next((name for name in names if isinstance(name, str)), None)

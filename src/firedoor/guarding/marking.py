"""Which guard a failure came through: so that who catches it further out knows whose it is."""

from __future__ import annotations

import contextlib

FIELD = "_firedoor_guard"
CHAIN_MAX = 20


def mark(error: BaseException, guard: str) -> None:
    """Note on an exception that it came through a guard, as a failure of its dependency."""
    with contextlib.suppress(Exception):  # its class may take no attribute: then nobody knows
        setattr(error, FIELD, guard)


def guard_of(error: BaseException) -> str | None:
    """Return the guard that an exception, or one that it came of, went through; None: none.

    ``raise ... from None`` says that what came before does not matter.
    """
    seen: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if seen is None:
            return None
        name = getattr(seen, FIELD, None)
        if isinstance(name, str):
            return name
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None

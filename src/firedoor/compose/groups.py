"""Groups of errors, where one of them is enough to know."""

from __future__ import annotations


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in a group of what happened at once."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found

"""Guards in tests of the code that uses them: off, or without waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from firedoor.guarding.registry import switch


@contextmanager
def guards_off() -> Iterator[None]:
    """Let every call of this process through all guards as if there were none.

    Nothing is refused, retried, cut or counted; what the work raises is what the caller gets.
    """
    before = switch(off=True, instant=False)
    try:
        yield
    finally:
        switch(off=before[0], instant=before[1])


@contextmanager
def guards_instant() -> Iterator[None]:
    """Keep guards as they are, but make retries follow at once."""
    before = switch(off=False, instant=True)
    try:
        yield
    finally:
        switch(off=before[0], instant=before[1])

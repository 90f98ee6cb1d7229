"""The conformance suite of ``ports.streams``: what every adapter has to keep.

For pytest::

    from firedoor.testing.streams_conformance import CASES, Case

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_it_conforms(case: Case) -> None:
        asyncio.run(case.run(MyStore()))

Each case wants a store of its own, empty, and closes the clients that it opens. ``Store`` says what
one has to offer. Cases wait by its clock: with a virtual one they take no time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from types import ModuleType

from firedoor.testing.conformance import (
    dead_letters,
    inboxes,
    ledger,
    predictions,
    records,
    restarts,
    values,
)
from firedoor.testing.conformance.store import Store

__all__ = ["CASES", "Case", "Store"]


@dataclass(frozen=True, slots=True)
class Case:
    """One promise."""

    name: str
    """What is promised: ``records.the_first_record_stays``."""
    run: Callable[[Store], Coroutine[object, object, None]]
    """Fails with an AssertionError that says how it is broken."""

    def __str__(self) -> str:
        """Return the name, for pytest's list of tests."""
        return self.name


def _cases(module: ModuleType) -> Iterator[Case]:
    """Go through the cases that a module defines."""
    for name, member in vars(module).items():
        its_own = getattr(member, "__module__", "") == module.__name__
        if its_own and inspect.iscoroutinefunction(member) and not name.startswith("_"):
            yield Case(f"{module.__name__.rpartition('.')[2]}.{name}", member)


CASES: tuple[Case, ...] = tuple(
    case
    for module in (inboxes, restarts, records, dead_letters, values, predictions, ledger)
    for case in _cases(module)
)
"""All of it, each to be run on a store of its own."""

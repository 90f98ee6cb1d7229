"""What a zone reads, and what becomes of rows when its inbox is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_bytes, check_choice, check_columns, check_number
from firedoor.spec.plan import ShedPlan, WhenFull

if TYPE_CHECKING:
    from firedoor.spec.zone import Zone

WAYS: tuple[WhenFull, ...] = ("block", "shed", "detach")
INBOX = "256MiB"
INBOX_MIN_BYTES = 8 * 2**20
"""Room for two of the largest batches."""
INBOX_MAX_BYTES = 2**40

Published: TypeAlias = "Zone | Callable[..., object] | str"
"""What names a zone that can be read: its handle, its decorated function, its name."""


@dataclass(frozen=True, slots=True)
class Shed:
    """Which rows are kept when an inbox is full: a share, chosen by key or by priority.

    Give ``key`` or ``priority``. By key, rows of one key are kept or shed together, the same in
    every batch; by priority, the rows with the greatest values of that column are kept.

    >>> Shed(keep=0.1, key=["tailnum"]).key
    ('tailnum',)
    """

    keep: float
    """Share of the rows that is kept. 0.001 to 0.999."""
    key: Sequence[str] = ()
    """Columns whose hash decides."""
    priority: str = ""
    """Column of numbers."""

    def __post_init__(self) -> None:
        """Refuse what does not say which rows to keep."""
        check_number("keep", self.keep, 0.001, 0.999, "as a share of the rows")
        object.__setattr__(self, "key", check_columns("key", self.key))
        if not isinstance(self.priority, str):
            remedy = 'write priority="value"'
            raise DeclarationError("priority", self.priority, "is not a column", remedy)
        if bool(self.key) == bool(self.priority):
            why = "must be given, or priority=, and not both"
            raise DeclarationError("key", self.key, why, 'write fd.Shed(keep=0.1, key=["tailnum"])')

    def plan(self) -> ShedPlan:
        """Return it as a plain value."""
        return ShedPlan(keep=float(self.keep), key=tuple(self.key), priority=self.priority)


@dataclass(frozen=True, slots=True)
class Edge:
    """One publisher of a zone that reads several, with a manner of its own.

    >>> Edge("clean", when_full="shed", shed=Shed(keep=0.1, key=["tailnum"])).when_full
    'shed'
    """

    zone: Published
    """Handle, decorated function or name of the zone to read."""
    when_full: WhenFull | None = None
    """None: ``block`` for the only reader of a zone, ``detach`` where it has several."""
    inbox: int | str | None = None
    """Bytes that may wait. 8 MiB to 1 TiB; None: what the reader says, or 256 MiB."""
    shed: Shed | None = None
    """Which rows are kept. Needed by ``when_full="shed"``, and by nothing else."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.when_full is not None:
            check_choice("when_full", self.when_full, WAYS)
        if self.inbox is not None:
            check_inbox(self.inbox)
        if self.shed is not None and not isinstance(self.shed, Shed):
            remedy = 'write shed=fd.Shed(keep=0.1, key=["tailnum"])'
            raise DeclarationError("shed", self.shed, "does not say which rows to keep", remedy)
        if self.shed is not None and self.when_full not in {None, "shed"}:
            why = f"is of no use with when_full={self.when_full!r}"
            raise DeclarationError("shed", self.shed, why, 'write when_full="shed"')


def check_inbox(inbox: int | str) -> int:
    """Return the bytes that an inbox may hold."""
    return check_bytes("inbox", inbox, INBOX_MIN_BYTES, INBOX_MAX_BYTES)

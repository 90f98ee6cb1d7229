"""What reading gives: a batch, the lines that are none, and where to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from firedoor.wire.records import Position, Segment

if TYPE_CHECKING:
    import polars as pl

BLANK = "blank"
"""Reason of a dropped line that holds nothing."""
CONTINUED = "continued"
"""Reason of a dropped line that is the rest of a quoted value: its row began on a line before."""
KEPT_BYTES = 64 * 2**10
"""What is kept of a line that cannot be read. The whole of it is in the file."""


class Unreadable(Exception):
    """A source cannot go on reading: no line is to blame, or nobody knows which.

    Attributes:
        code: ``missing``, ``unreadable``, ``damaged``, ``changed``, ``wrong_frame``,
            ``wrong_schema``, ``rule_fails``, ``contrast`` or ``raised``.
        columns: columns that are concerned.
    """

    def __init__(self, message: str, *, code: str, columns: tuple[str, ...] = ()) -> None:
        """Say what is wrong, why, and what to do."""
        super().__init__(message)
        self.code = code
        self.columns = columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A line that cannot become a row."""

    number: int
    """In the batch, from 0."""
    text: str
    """The line; bytes that are no UTF-8 are escaped, what is over ``KEPT_BYTES`` left out."""
    signature: str
    """What lines that fail in the same way have in common."""
    message: str
    code: str = "parse"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cut:
    """A batch as it was read. Every line of it is a row of ``frame``, bad, or dropped."""

    frame: pl.DataFrame
    numbers: pl.Series | None = None
    """u32: the number of each row in the batch; None: they count from 0."""
    bad: tuple[Bad, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    segment: Segment
    position: Position
    """Where to go on."""

    @property
    def lines(self) -> int:
        """How many lines it takes up."""
        return self.segment.rows


class Supply(Protocol):
    """What batches are cut from. Asked again for the same place, it gives the same batch."""

    def cut(self, position: Position | None, rows: int) -> Cut | None:
        """Return the batch of at most about ``rows`` lines that begins at ``position``.

        Returns:
            None if nothing is there: for good, or for now if the supply is followed.

        Raises:
            Unreadable: if that cannot be said.
        """
        ...


def escaped(line: bytes) -> str:
    """Return a line as text, whatever it holds, without the end of the line."""
    return line[:KEPT_BYTES].rstrip(b"\r\n").decode("utf-8", "backslashreplace")

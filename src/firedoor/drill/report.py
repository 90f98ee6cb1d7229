"""What a drill found: the containment matrix with all that it was made of, as ``--json`` has it."""

from __future__ import annotations

import msgspec

from firedoor.drill.books import Conservation
from firedoor.drill.cell import Cell
from firedoor.drill.fault import Class

SCHEMA = 1
"""Of the report; rises when a field changes its meaning."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    at_s: float
    """UTC."""
    what: str
    """Kind of the entry, as in the ledger."""
    zone: str = ""
    text: str
    cause: str = ""
    trace: str = ""


class Unrecovered(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that was not well again in the time that a pipeline has to recover from a fault."""

    zone: str
    owner: str
    waited_s: float
    """After the end of the fault."""
    seen: str
    """What it says of itself, and what was bad, in words."""
    to_do: str
    """What its owner may begin with."""

    @property
    def in_words(self) -> str:
        """Return it in a sentence."""
        return (
            f"{self.zone} is not well {self.waited_s:.0f} s after the fault has ended "
            f"({self.seen}); {self.owner}: {self.to_do}"
        )


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the matrix: a fault in a zone, under each seed."""

    name: str
    fault: str
    of: Class
    zone: str
    intensity: float = 1.0
    unit: str = ""
    share: float = 1.0
    of_what: str = ""
    column: str = ""
    because: str = ""
    for_s: float
    seeds: tuple[int, ...] = ()
    may_hurt: tuple[str, ...] = ()
    may_starve: tuple[str, ...] = ()
    injected: bool = True
    """Whether the fault hit anything, under each seed. If not, the row proves nothing."""
    why_void: str = ""
    """Why the row proves nothing; empty: it does."""
    hits: int = 0
    """Rows, batches, requests or processes, in all."""
    aborted: str = ""
    """Why the fault was taken back early; empty: it was not."""
    cleaned: bool = True
    """Whether every process said that the fault is over."""
    began_s: float
    """UTC, of the first injection."""
    ended_s: float
    """UTC, when all was looked at."""
    contained_s: float | None = None
    """From the injection until no other zone came to be hurt; 0: none ever was. None: unknown."""
    recovered_s: float | None = None
    """From the end of the fault until all was well; None: that was not seen."""
    unrecovered: tuple[Unrecovered, ...] = ()
    """Who was not well when the time to recover was over; (): all were, or nobody waited for it."""
    conservation: tuple[Conservation, ...] = ()
    """One a seed."""
    cells: tuple[Cell, ...] = ()
    timeline: tuple[Moment, ...] = ()

    def cell(self, zone: str) -> Cell | None:
        """Return the cell of a zone; None if it was not observed."""
        return next((cell for cell in self.cells if cell.zone == zone), None)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How well faults were contained."""

    judged: int
    """Cells outside what may be hurt, of which enough was seen."""
    breaches: int
    known: int = 0
    """Breaches that somebody answers for until a day; they are among ``breaches``."""
    no_evidence: int = 0
    flaky: int = 0
    worst: str = ""
    """Name of the row with the most breaches, or without evidence; empty: all rows are well."""

    @property
    def containment(self) -> float | None:
        """Return the share of judged cells that were not hurt; None: none was judged."""
        return None if not self.judged else 1.0 - self.breaches / self.judged


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a drill found."""

    schema: int = SCHEMA
    drill: str
    pipeline: str
    environment: str = "development"
    by: str = ""
    because: str = ""
    began_s: float
    ended_s: float
    zones: tuple[str, ...]
    """Columns, in the order of the pipeline; ``end_to_end`` is the last."""
    rows: tuple[Row, ...]
    score: Score
    exit_code: int
    verdict: str
    """In a sentence."""
    stopped: str = ""
    """Why it did not run to its end; empty: it did."""
    doubt: float = 0.01
    """Chance that any cell at all is called a breach which is none."""
    settings: dict[str, float] = {}
    """Seconds and numbers of the matrix."""
    versions: dict[str, str] = {}
    """Of firedoor, and of the code of each zone."""
    matrix: str = ""
    """Digest of what was asked for: reports of one digest can be compared."""
    expired: tuple[str, ...] = ()
    """Known breaches whose last day is over, in words."""
    mended: tuple[str, ...] = ()
    """Known breaches that are none any more, in words."""


def encode_report(report: Report) -> bytes:
    """Return a report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2)


def decode_report(data: bytes) -> Report:
    """Return the report in JSON.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return msgspec.json.decode(data, type=Report)

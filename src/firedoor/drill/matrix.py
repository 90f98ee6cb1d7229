"""What a drill is asked to do: the rows of ``drills.yaml``, and under which hypothesis each is."""

from __future__ import annotations

import datetime as dt
import re

import msgspec

from firedoor.bounds import one_of, text, within
from firedoor.drill.catalogue import fault_kind
from firedoor.drill.fault import LEASE_MAX_S
from firedoor.errors import DeclarationError

VERSION = 1
ALL = "all"
"""In place of a zone: each in which the fault can be injected."""
DOWNSTREAM = "downstream"
"""Among those that may be hurt: all zones that come after the faulted one."""
ROWS_MAX = 200
SEEDS_MAX = 20
FOR_MIN_S = 1.0
WAIT_MAX_S = 3_600.0
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
            forbid_unknown_fields=True):  # fmt: skip
    """A row: one fault, where, and the hypothesis: who may be hurt by it. Nobody else is."""

    fault: str
    """Of the catalogue."""
    zone: str | tuple[str, ...] = ALL
    """Each of several is a row of its own. ``broker`` and ``control`` are zones here."""
    intensity: float | None = None
    """In the catalogue's unit; None: as usual."""
    share: float | None = None
    """Of what is hit, 0 to 1; None: as usual."""
    column: str = ""
    may_hurt: tuple[str, ...] = ()
    """Zones whose objectives may be missed besides the faulted one's; ``downstream``: all after."""
    may_starve: bool = True
    """Whether zones that come after it may wait for what it does not make, while that lasts."""
    for_s: float | None = None
    """How long; None: as the matrix says."""
    because: str = ""
    """Why this row: an incident, a change."""


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A breach that somebody answers for, until a day."""

    fault: str
    zone: str
    """Where the fault is injected."""
    hurts: str
    """Who is hurt: a zone, or ``end_to_end``."""
    owner: str
    because: str
    until: str
    """The last day on which it does not count: ``2026-12-31``."""

    def holds(self, today: str) -> bool:
        """Return whether it still counts as known on a day."""
        return today <= self.until


class Matrix(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
             forbid_unknown_fields=True):  # fmt: skip
    """What ``drills.yaml`` holds. Checked when it is made."""

    rows: tuple[Asked, ...]
    zones: tuple[str, ...] = ()
    """Who is observed; (): all zones and services."""
    warm_up_s: float = 20.0
    """For which all is measured before anything is injected. 5 to 3,600 s."""
    for_s: float = 15.0
    """For which a fault is injected. 1 to 600 s."""
    recover_s: float = 60.0
    """In which all must be well again once it has ended. 5 to 3,600 s."""
    settle_s: float = 5.0
    """For which all must be well to count as recovered. 1 to 600 s."""
    seeds: int = 1
    """How often each row is run; cells that differ are flaky. 1 to 20."""
    seed: int = 0
    """The first one."""
    doubt: float = 0.01
    """Chance that any cell at all is called a breach which is none. 0.000001 to 0.2."""
    units_min: int = 200
    """Rows or requests without which nothing is judged. 1 to 1,000,000."""
    known: tuple[Known, ...] = ()
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        one_of("version", self.version, (VERSION,))
        if not 1 <= len(self.rows) <= ROWS_MAX:
            raise DeclarationError(
                "rows", len(self.rows), "is no matrix", f"give 1 to {ROWS_MAX} rows"
            )
        within("warm_up_s", self.warm_up_s, 5, WAIT_MAX_S, "seconds")
        within("for_s", self.for_s, FOR_MIN_S, LEASE_MAX_S, "seconds")
        within("recover_s", self.recover_s, 5, WAIT_MAX_S, "seconds")
        within("settle_s", self.settle_s, 1, LEASE_MAX_S, "seconds")
        within("seeds", self.seeds, 1, SEEDS_MAX, "times", whole=True)
        within("seed", self.seed, 0, 2**32, "as a whole number", whole=True)
        within("doubt", self.doubt, 1e-6, 0.2, "as a chance")
        within("units_min", self.units_min, 1, 1_000_000, "units", whole=True)
        for number, row in enumerate(self.rows, start=1):
            _check_row(row, f"rows[{number}]")
        for number, known in enumerate(self.known, start=1):
            _check_known(known, f"known[{number}]")


def read_matrix(values: object, where: str) -> Matrix:
    """Return the matrix of plain values, as YAML or JSON has them.

    Args:
        values: what was written.
        where: the file, for the error.

    Raises:
        DeclarationError: for anything that is no matrix.
    """
    try:
        return msgspec.convert(values, Matrix)
    except msgspec.ValidationError as error:
        remedy = "write version, rows and known as docs/guide/drills.md shows them"
        raise DeclarationError("matrix", where, str(error), remedy) from error


def _check_row(row: Asked, field: str) -> None:
    """Refuse a row that no pipeline could run."""
    fault_kind(row.fault, field=f"{field}.fault")
    zones = (row.zone,) if isinstance(row.zone, str) else row.zone
    if not zones or not all(zones) or len(set(zones)) < len(zones):
        why, remedy = "names no zone, or one twice", "name zones, or leave it out for all"
        raise DeclarationError(f"{field}.zone", row.zone, why, remedy)
    if row.for_s is not None:
        within(f"{field}.for_s", row.for_s, FOR_MIN_S, LEASE_MAX_S, "seconds")


def _check_known(known: Known, field: str) -> None:
    """Refuse a known breach that nobody answers for, or that never ends."""
    fault_kind(known.fault, field=f"{field}.fault")
    text(f"{field}.owner", known.owner)
    text(f"{field}.because", known.because)
    try:
        if not _DAY.fullmatch(known.until):
            raise ValueError  # noqa: TRY301 - other ISO forms are no days here
        dt.date.fromisoformat(known.until)
    except ValueError:
        raise DeclarationError(
            f"{field}.until", known.until, "is no day", "write the last day as 2026-12-31"
        ) from None

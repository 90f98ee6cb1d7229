"""Files in which a judge keeps how objectives are, for whoever has no broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from firedoor.events.metrics import Sample
from firedoor.slo.samples import samples_of_slo
from firedoor.slo.status import SloStatus, decode_slo

Of = Literal["zones", "services"]
FILE_BYTES_MAX = 64 * 2**20
STALE_S = 10.0
"""After which a status says nothing of now: a judge writes it each 2 s."""


def status_file(folder: Path, of: Of) -> Path:
    """Return the file with the status; ``folder`` is ``.firedoor``."""
    return (folder if of == "zones" else folder / "serving") / "slo.json"


def memory_file(folder: Path, of: Of) -> Path:
    """Return the file with what the next judge goes on with."""
    return status_file(folder, of).with_name("slo-memory.json")


def read_status(folder: Path, of: Of) -> SloStatus | None:
    """Return the status that was written last; None if there is none that can be read."""
    try:
        with status_file(folder, of).open("rb") as opened:
            return decode_slo(opened.read(FILE_BYTES_MAX))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def judged(folder: Path, of: Of, *, now_s: float) -> Iterator[Sample]:
    """Yield budgets and alerts as metrics; nothing where nobody judges now (UTC)."""
    status = read_status(folder, of)
    if status is not None and abs(now_s - status.at_s) <= STALE_S:
        yield from samples_of_slo(status)

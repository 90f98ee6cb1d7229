"""How objectives are, as it is kept in files, said in beats, and shown by ``firedoor slo``."""

from __future__ import annotations

import msgspec

from firedoor.events.objective import Indicator
from firedoor.slo.policy import Detector, Severity
from firedoor.slo.verdict import Verdict


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert that is firing."""

    severity: Severity
    since_s: float
    """Seconds since 1970."""
    detectors: tuple[Detector, ...]
    text: str
    root: str = ""
    """Whose fault it is; empty: the zone's own."""
    suffering: tuple[str, ...] = ()
    """Zones that have inherited from this one."""
    left: float = 1.0
    """Share of the budget when it began."""
    joined: bool = False
    """Whether the zone was paged for another promise already, and nobody was paged again."""


class ObjectiveStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One objective."""

    zone: str
    indicator: Indicator
    promise: str
    """In words."""
    target: float
    period_days: float
    verdict: Verdict
    left: float
    """Share of the budget; below 0: overdrawn."""
    burn: float | None = None
    """How many times too fast the budget burns, over the last hour; None: nothing was counted."""
    evidence: float = 0.0
    """That it burns fast: 0 to 1 and beyond; it pages from 1 on."""
    good: int = 0
    """Units of the period; ``own`` and ``inherited`` are bad."""
    own: int = 0
    inherited: int = 0
    root: str = ""
    """From whom it inherits now; empty: from nobody."""
    alerts: tuple[Alert, ...] = ()
    owner: str = ""
    runbook: str = ""


class SloStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one judge watches: the value of the files ``slo.json`` and the beats ``slo.JUDGE``."""

    pipeline: str
    at_s: float
    judge: str
    """``zones`` or ``services``."""
    objectives: tuple[ObjectiveStatus, ...] = ()
    blind: str = ""
    """Why nothing is seen now; empty: it is."""


def encode_slo(status: SloStatus) -> bytes:
    """Return a status as JSON."""
    return msgspec.json.encode(status)


def decode_slo(data: bytes) -> SloStatus:
    """Return the status in JSON.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return msgspec.json.decode(data, type=SloStatus)

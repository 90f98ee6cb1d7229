"""A batch or a request that a zone has worked on: what metrics, traces and objectives are made of.

Times are seconds since 1970, UTC; durations are measured on a clock that never jumps.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Fate = Literal["good", "late", "degraded", "bad"]
"""What became of a unit: ``late`` came through after what its zone promises, ``degraded`` came
through by something worse than promised (an older lookup, a fallback), ``bad`` did not."""


class Ran(NamedTuple):
    """User code that ran in a worker, as its zone's trusted process saw it."""

    pid: int
    began_s: float
    seconds: float
    rows: int
    died_of: str = ""
    """``crash``, ``hang``, ``memory`` ...; empty: it lived."""


class Died(NamedTuple):
    """Dead rows of one batch, by what they died of."""

    code: str
    signature: str
    rows: int


class BatchWorked(NamedTuple):
    """A batch that left a zone, or came to nothing there and will come again."""

    zone: str
    batch: str
    edge: str
    """``publisher:reader``; empty at a source."""
    began_s: float
    seconds: float
    """From its arrival at this process to its acknowledgement."""
    waited_s: float
    """In the inbox, before that."""
    rows_in: int
    rows_out: int
    passed: int
    dead: tuple[Died, ...] = ()
    dropped: int = 0
    shed: int = 0
    fate: Fate = "good"
    cause: str = ""
    """Whose fault a ``bad`` or ``late`` one is: empty: this zone's own; else what it comes from:
    the name of a zone, ``dependency:NAME``, ``broker``."""
    trouble: str = ""
    """Code of what came in between where nothing left: ``halted``, ``dependency_down`` ..."""
    deliveries: int = 1
    attempts: tuple[tuple[str, int], ...] = ()
    """Runs that came to nothing, by cause."""
    ran: tuple[Ran, ...] = ()
    traceparent: str = ""
    """Of this zone's own span: what it publishes names it as parent."""
    parent: str = ""
    """``traceparent`` under which it came; empty: the trace begins here."""
    origin: str = ""
    """At a source: ``FILE:LINE`` of its first row, where that is known."""
    models: tuple[str, ...] = ()
    """Versions of models by which its rows were scored up to here: ``delays@3``."""


class RequestAnswered(NamedTuple):
    """A request that a service has answered."""

    service: str
    id: str
    began_s: float
    seconds: float
    rows: int
    status: int
    arm: str
    version: str
    degraded: str
    """Why it is not what was asked for; see ``gateway.exchange.Answer.degraded``."""
    fate: Fate
    cause: str = ""
    """As of ``BatchWorked``."""
    ran: tuple[Ran, ...] = ()
    traceparent: str = ""
    parent: str = ""
    source: str = ""
    """Where the caller says that its rows are from: ``flights-000123/17``."""

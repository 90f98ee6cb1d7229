"""A request and its answer, whatever protocol they came by."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from firedoor.events.work import Ran
from firedoor.guards.shedding import Priority
from firedoor.wire.serving import Form

ArmUsed = Literal["champion", "candidate", "previous", "cached", "constant", "function", "none"]
ORDERED: Final = "ordered"


class Request(NamedTuple):
    """Rows to predict."""

    form: Form
    body: bytes
    json_bytes: int = 0
    """Of ``V2_BINARY``: how many bytes of the body are JSON."""
    id: str = ""
    """The caller's own id, printable ASCII; empty: one is made."""
    key: str = ""
    """The subject that a split sticks to, from the caller's header; empty: by the declared column,
    or else by the body."""
    priority: Priority = "default"
    timeout_s: float | None = None
    """How long the caller waits; None: as the service declares."""
    version: str = ""
    """Which version the caller names (``/versions/3``); empty: whichever serves."""
    tester: Literal["", "candidate", "champion"] = ""
    """Which arm a tester wants; such requests are no evidence."""
    source: str = ""
    """Where the caller says that its rows are from: ``flights-000123/17``."""
    trace: str = ""
    """``traceparent`` of the span that its answer is; empty: nobody wants to see it."""


class Answer(NamedTuple):
    """What is said to it."""

    status: int
    """200, 400 (not what the model takes), 404 (no such version), 408, 429, 500 or 503."""
    id: str
    prediction: str = ""
    """Id of the prediction in the log; labels name it."""
    rows: int = 0
    fragment: bytes = b""
    """See ``wire.serving.Told``."""
    tail: bytes = b""
    model: str = ""
    version: str = ""
    arm: ArmUsed = "none"
    degraded: str = ""
    """Why it is not what was asked for: ``previous_version``, ``cached``, ``constant``,
    ``function``, ``features``; several joined by ``+``; empty: it is."""
    features: str = ""
    """Quality of looked-up features where one is not live: ``weather=cached:42s``."""
    message: str = ""
    """Of anything but 200: what, why and what to do."""
    retry_after_s: float | None = None
    cause: str = ""
    """Whose fault it is that there is no prediction: empty: the service's own, or the caller's, as
    the status says; ``dependency:NAME``; or ``ordered``: a person switched it off."""
    ran: tuple[Ran, ...] = ()
    """Attempts in workers, of a request with a trace."""

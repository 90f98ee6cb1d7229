"""What the faces of a gateway know of a service: it answers, and it says how it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from firedoor.gateway.exchange import Answer, Request
from firedoor.spec.service_plan import ServiceLimits
from firedoor.wire.bundle import Field

Answered = Callable[[Answer], None]
"""Takes an answer; raises nothing."""


class Label(NamedTuple):
    """What turned out to be true of a prediction."""

    prediction: str
    """Its id, as the answer said it: printable ASCII, at most 200 characters."""
    value: float
    """Finite; 0 or 1 where the loss is ``log_loss``."""
    row: int = 0
    """Which row of the request."""


class Labelled(NamedTuple):
    """What became of a label."""

    outcome: Literal["joined", "kept", "unknown", "refused"]
    """``joined``: it was compared with what both versions predicted. ``kept``: it was recorded, and
    nothing is compared (one version predicted, or another gateway has the prediction).
    ``unknown``: nobody here knows this prediction, or no longer. ``refused``: not a label that
    this service takes."""
    message: str = ""
    """Of ``unknown`` and ``refused``: why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMetadata:
    """What a version of a service takes and returns."""

    inputs: tuple[Field, ...] = ()
    """Of its rows; looked-up features are not among them. Empty: nobody has said."""
    outputs: tuple[Field, ...] = ()
    keys: tuple[str, ...] = ()
    """Columns besides, by which features are looked up: every row has to have them."""
    about: tuple[str, ...] = ()
    """Columns besides that a rollout is split and judged by: rows may have them."""
    versions: tuple[str, ...] = ()
    """Which may be asked for by name: ``("3", "4")``, the one that serves first."""
    ready: bool = False
    """Of the version that was asked for, or else of the service: whether it answers by a model."""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantShown:
    """How a version is that is held here."""

    name: str
    """``delays@3``."""
    arm: Literal["champion", "candidate", "previous"]
    state: str
    because: str = ""
    replicas: int = 0
    waiting: int = 0
    deaths: dict[str, int]
    """Of its workers, by cause, since it was opened."""
    memory_bytes: int = 0


class Failing(NamedTuple):
    """What something fails at lately. For those who run the service: its text may hold rows."""

    about: str
    """``delays@3``, ``fallback`` for the declared function, ``features.weather``."""
    kind: str
    """In words that stay the same while it goes on failing so."""
    text: str
    """What the code said itself, the first time since it last did well for a while."""
    request: str = ""
    """Which was failed at then; empty: it is not known."""


class Sample(NamedTuple):
    """One number besides, for ``/metrics``."""

    name: str
    """Without prefix and, of counters, without ``_total``: ``labels``, ``cache_bytes``."""
    kind: Literal["counter", "gauge"]
    help: str
    """A sentence; the same wherever the name is."""
    labels: tuple[tuple[str, str], ...]
    """Besides ``service``; of a bounded set of values."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """How a service is now."""

    ready: bool
    """Whether a version of the model answers."""
    because: str = ""
    """Where it is not: why, and what to do. Where it is, what is wrong all the same, if anything:
    ``the candidate delays@4 is backing off``."""
    ordered: bool = False
    """Whether a person switched its versions off: then it is no fault that it is not ready."""
    variants: tuple[VariantShown, ...] = ()
    generation: int = 0
    """Of the route that it follows."""
    mode: str = "steady"
    weight: float = 0.0
    """The candidate's share of the subjects, in force: 0 where the lease ran out."""
    lease_age_s: float | None = None
    """Since the control plane's last heartbeat; None: none was ever seen."""
    shed: int = 0
    """Requests that were refused for lack of room since it began."""
    limit: float = 0.0
    """Requests that may be under way at once, as the adaptive limit has it; 0: none is set."""
    log_written: int = 0
    """Of the whole gateway, as ``log_dropped``; 0 of a service that is not logged."""
    log_dropped: int = 0
    failing: tuple[Failing, ...] = ()
    """Not for callers."""
    samples: tuple[Sample, ...] = ()


class Service(Protocol):
    """One service, as faces see it. Used from one event loop."""

    @property
    def name(self) -> str:
        """As it is declared: what callers write into the path."""
        ...

    @property
    def limits(self) -> ServiceLimits:
        """As they are declared."""
        ...

    def answer(self, request: Request) -> Awaitable[Answer]:
        """Have one request answered, always: never raises but for cancellation.

        Cancelled when the caller hangs up.
        """
        ...

    def begin(self, request: Request, answered: Answered) -> bool:
        """Begin to answer a request without a task, where nothing special holds.

        Returns False where something does: nothing was done, and ``answer`` has to. Else
        ``answered`` is called once with what ``answer`` would return, perhaps before this returns.
        """
        ...

    def label(self, labels: Sequence[Label]) -> Awaitable[list[Labelled]]:
        """Take labels, and say of each what became of it, in their order."""
        ...

    def metadata(self, version: str = "") -> ServiceMetadata | None:
        """Return what it takes; None: there is no such version here."""
        ...

    def facts(self) -> ServiceFacts:
        """Return how it is now; called a few times a second at most."""
        ...

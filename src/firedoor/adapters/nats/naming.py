"""Names of everything that firedoor keeps in the broker, and who may touch what.

Names of pipelines and zones have no ``-`` and no ``.``, so that streams (joined by ``-``) and
subjects (joined by ``.``) are read back without doubt. Ids of batches have no dots.
"""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.events.kinds import Book
from firedoor.spec.plan import EdgePlan

ADMIN = "admin"
"""The user of the supervisor and of commands. No zone has this name: theirs begin ``zone-``."""
API = "$JS.API"
WHOLE = "_"
"""In place of a zone: the pipeline as a whole. No zone can have this name."""
_BOOKS: dict[Book, str] = {"happenings": "led", "acts": "act"}


@dataclass(frozen=True, slots=True)
class Names:
    """Streams and subjects of one pipeline."""

    pipeline: str

    @property
    def prefix(self) -> str:
        """What all its subjects begin with."""
        return f"fd.{self.pipeline}"

    @property
    def inbox_prefix(self) -> str:
        """What the streams of its inboxes begin with."""
        return f"fd-{self.pipeline}-in-"

    def inbox(self, edge: str) -> str:
        """Return the stream of the inbox of ``publisher:reader``."""
        return self.inbox_prefix + edge.replace(":", "-")

    def edge_of(self, stream: str) -> str:
        """Return the edge of an inbox's stream."""
        return stream.removeprefix(self.inbox_prefix).replace("-", ":")

    def batch(self, edge: str, batch: str) -> str:
        """Return the subject of a batch in an inbox."""
        return f"{self.prefix}.in.{edge.replace(':', '.')}.{batch}"

    @property
    def records(self) -> str:
        """The stream of records."""
        return f"fd-{self.pipeline}-records"

    def record(self, zone: str, batch: str) -> str:
        """Return the subject of a record."""
        return f"{self.prefix}.rec.{zone}.{batch}"

    @property
    def dead(self) -> str:
        """The stream of dead letters."""
        return f"fd-{self.pipeline}-dead"

    def letter(self, zone: str, batch: str) -> str:
        """Return the subject of an entry of dead letters."""
        return f"{self.prefix}.dead.{zone}.{batch}"

    @property
    def attempts(self) -> str:
        """The stream of runs that came to nothing."""
        return f"fd-{self.pipeline}-attempts"

    def attempt(self, zone: str, batch: str) -> str:
        """Return the subject of a batch's runs that came to nothing."""
        return f"{self.prefix}.try.{zone}.{batch}"

    @property
    def values(self) -> str:
        """The stream of durable values."""
        return f"fd-{self.pipeline}-values"

    def value(self, key: str) -> str:
        """Return the subject of a durable value."""
        return f"{self.prefix}.val.{key}"

    @property
    def predictions(self) -> str:
        """The stream of the prediction log."""
        return f"fd-{self.pipeline}-predictions"

    def prediction(self, service: str) -> str:
        """Return the subject of a service's predictions."""
        return f"{self.prefix}.pred.{service}"

    def book(self, book: Book) -> str:
        """Return the stream of a book of the ledger."""
        return f"fd-{self.pipeline}-{book}"

    def entry(self, book: Book, zone: str, process: str, sequence: str) -> str:
        """Return the subject of an entry of the ledger."""
        return f"{self.prefix}.{_BOOKS[book]}.{zone}.{process}.{sequence}"

    @property
    def beats(self) -> str:
        """The stream of beats, in memory."""
        return f"fd-{self.pipeline}-beats"

    def beat(self, key: str) -> str:
        """Return the subject of a beat."""
        return f"{self.prefix}.beat.{key}"


_READING = ("MSG.NEXT", "PAUSE")
"""What a reader asks of the consumer of its inbox."""


def user_of(zone: str | None) -> str:
    """Return the user's name of a zone, or of the supervisor and the commands."""
    return ADMIN if zone is None else f"zone-{zone}"


def account_user(pipeline: str, zone: str | None) -> str:
    """Return the name of a user at a broker that others run: pipelines share none there."""
    return f"{pipeline}-{user_of(zone)}"


def replies_of(zone: str | None) -> str:
    """Return what the reply subjects of a user begin with: no other may listen to them."""
    return f"_INBOX.{user_of(zone)}"


def durable_of(edge: str) -> str:
    """Return the consumer of an inbox: it is named like the zone that reads."""
    return edge.partition(":")[2]


def may_publish(
    names: Names, zone: str, edges: tuple[EdgePlan, ...], *, clustered: bool = False
) -> list[str]:
    """Return the subjects that a zone may publish to; it may listen to its replies only.

    In a cluster it reads from leaders, and those cannot be told which subjects it may read: it
    sees the attempts of other zones then, which hold counts and no rows.
    """
    allowed: list[str] = []
    for edge in edges:
        if zone not in {edge.publisher, edge.reader}:
            continue
        stream, durable = names.inbox(edge.name), durable_of(edge.name)
        allowed += [f"{API}.STREAM.INFO.{stream}", f"{API}.CONSUMER.INFO.{stream}.{durable}"]
        if edge.reader == zone:
            allowed += [f"{API}.CONSUMER.{verb}.{stream}.{durable}" for verb in _READING]
            allowed += [f"$JS.ACK.{stream}.{durable}.>", f"{API}.STREAM.MSG.DELETE.{stream}"]
        if edge.publisher == zone:
            allowed += [names.batch(edge.name, "*")]
    own = (names.record(zone, "*"), names.letter(zone, "*"), names.attempt(zone, "*"))
    allowed += [*own, names.entry("happenings", zone, "*", "*")]
    # What a zone reads: records and values hold no rows; of dead letters and attempts its own.
    for stream in (names.records, names.values, names.beats):
        allowed += [f"{API}.DIRECT.GET.{stream}", f"{API}.DIRECT.GET.{stream}.>"]
    allowed += [f"{API}.DIRECT.GET.{names.dead}.{own[1]}"]
    allowed += [f"{API}.DIRECT.GET.{names.attempts}.{own[2]}"]
    if clustered:
        kept = (names.records, names.values, names.attempts, names.beats)
        allowed += [f"{API}.STREAM.MSG.GET.{stream}" for stream in kept]
    allowed += [names.value(f"source.{zone}"), names.value(f"source.{zone}.>")]
    allowed += [names.value(f"detached.{zone}.*"), names.value(f"shadow.{zone}")]
    # Beats are in memory: whoever notices first that the broker was restarted makes them again.
    allowed += [
        names.beat(f"zone.{zone}.>"),
        names.beat(f"objective.{zone}.>"),
        names.beat(f"probe.{zone}"),
        names.beat(f"injected.{zone}.>"),
        f"{API}.STREAM.CREATE.{names.beats}",
    ]
    return [*allowed, f"{API}.STREAM.INFO.{names.values}"]

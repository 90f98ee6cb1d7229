"""What becomes of each batch in a zone's process: counted here, and told to whoever listens.

This is the one place where a zone tells of its work. What it keeps of its promises is counted
always; the event of a batch is made only where somebody listens and its trace is sampled.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from firedoor.data.conduct import Conduct
from firedoor.data.degrading import SAMPLED
from firedoor.events.counting import ObjectiveCounts
from firedoor.events.trace import is_sampled
from firedoor.events.work import BatchWorked, Died, Fate, Ran
from firedoor.flow.probes import Trouble
from firedoor.ports.clock import Clock
from firedoor.ports.stage import DeadRows
from firedoor.ports.telemetry import Telemetry
from firedoor.quality.grades import QUALITY, Grade
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import BatchRecord, InboxNote, WorkCounts

RETURNED_MAX = 1_000
"""Batches that were given back, whose arrival is remembered."""
CODES_MAX = 50
"""Different ones that are counted; further ones are ``other``."""
SCHEMA = "schema"
"""Code of rows that came in against the schema."""

Key = tuple[str, str]
"""Edge and batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The stay of one batch at this process."""

    key: Key
    began_s: float
    """When it arrived, UTC, and ``arrived_s`` by the clock that never jumps."""
    arrived_s: float
    waited_s: float = 0.0
    deliveries: int = 1
    parent: str = ""
    """``traceparent`` under which it came."""
    own: str = ""
    """``traceparent`` of this zone's span; empty: nobody listens."""

    @property
    def seen(self) -> str | None:
        """What the zone's work is told: its span, if somebody wants to see it."""
        return self.own if is_sampled(self.own) else None

    @property
    def onward(self) -> str | None:
        """What travels on with the rows: who does not listen hands on what came."""
        return self.own or self.parent or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a zone made of a batch, besides its record."""

    dead: DeadRows | None = None
    ran: tuple[Ran, ...] = ()
    step_s: float = 0.0
    deadline_s: float | None = None
    cause: str = ""
    """Under which it went on. See ``Envelope.cause``."""


class Observer:
    """Counts the batches of one process of a zone."""

    def __init__(
        self,
        conduct: Conduct,
        clock: Clock,
        *,
        replica: str,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Begin at nothing.

        Args:
            conduct: says what has come in between.
            clock: the time.
            replica: which process this is.
            telemetry: is told of each batch; None: nobody listens.
        """
        self._zone = conduct.plan.name
        self._promised_s = conduct.plan.slo.get("latency_p99_s")
        self._conduct = conduct
        self._clock = clock
        self._telemetry = telemetry
        boot = f"{clock.utc_s():.3f}"
        self.counts = ObjectiveCounts(self._zone, process=replica, boot=boot)
        self.inboxes: dict[str, InboxNote] = {}
        self._returned: OrderedDict[Key, float] = OrderedDict()
        """When a batch arrived that was given back: its time goes on."""
        self._fates: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._redelivered = self._shed = 0
        self._seconds = self._waited_s = self._step_s = 0.0

    # ---- a batch comes, and goes

    def arrived(
        self, key: Key, at_s: float, *, envelope: Envelope | None = None, deliveries: int = 1
    ) -> Visit:
        """Take note of a batch whose work begins.

        Args:
            key: edge and batch.
            at_s: when it came to this process, by ``now_s``.
            envelope: None at a source, and of what cannot be read.
            deliveries: how often it was delivered.
        """
        at_s = min(at_s, self._returned.pop(key, at_s))
        began_s = self._clock.utc_s() - (self._clock.now_s() - at_s)
        sent_s = 0.0 if envelope is None else envelope.sent_s
        parent = "" if envelope is None else envelope.traceparent or ""
        return Visit(
            key=key,
            began_s=began_s,
            arrived_s=at_s,
            waited_s=max(0.0, began_s - sent_s) if sent_s else 0.0,
            deliveries=deliveries,
            parent=parent,
            own="" if self._telemetry is None else self._telemetry.begin(parent),
        )

    def returned(self, key: Key, at_s: float) -> None:
        """Take note that a batch is given back: when it comes again, its time has gone on."""
        self._returned[key] = min(at_s, self._returned.get(key, at_s))
        while len(self._returned) > RETURNED_MAX:
            self._returned.popitem(last=False)

    def cause(self, visit: Visit, envelope: Envelope, record: BatchRecord) -> str:
        """Return whose fault it is that rows go on late or worse than promised. Of the first."""
        if envelope.cause:
            return envelope.cause
        worse = _worse(record.quality)
        if worse:
            return f"dependency:{worse}"
        if SAMPLED in record.dropped:
            return self._zone
        overdue = envelope.deadline_s is not None and self._clock.utc_s() > envelope.deadline_s
        if overdue or self._is_late(self._clock.now_s() - visit.arrived_s):
            return self._conduct.hindered_since(visit.arrived_s) or self._zone
        return ""

    def done(self, visit: Visit, record: BatchRecord, made: Made) -> None:
        """Count a batch that is recorded, and tell of it."""
        seconds = self._clock.now_s() - visit.arrived_s
        late = self._is_late(seconds)
        cause = self._conduct.hindered_since(visit.arrived_s) if late else ""
        through = record.passed + sum(record.dropped.values())
        shed = sum(record.shed.values())
        counts = self.counts
        counts.through(through, seconds, late=late, cause=cause)
        died = (
            tuple(Died(g.code, g.signature, g.rows) for g in made.dead.groups) if made.dead else ()
        )
        self._bury(died, record)
        degraded = bool(_worse(record.quality) or SAMPLED in record.dropped or shed)
        if degraded:
            counts.degraded += through
        fate: Fate = "degraded" if degraded else "good"
        if late or (made.deadline_s is not None and record.ended_s > made.deadline_s):
            fate = "late"
        self._count(visit, record, made, fate=fate, seconds=seconds, shed=shed)
        if self._telemetry is not None and visit.seen:
            self._telemetry.batch(
                BatchWorked(
                    zone=self._zone, batch=record.batch, edge=record.edge, began_s=visit.began_s,
                    seconds=seconds, waited_s=visit.waited_s, rows_in=record.rows_in,
                    rows_out=record.rows_out, passed=record.passed, dead=died,
                    dropped=sum(record.dropped.values()), shed=shed, fate=fate,
                    cause=(cause if late else made.cause if fate != "good" else ""),
                    deliveries=record.deliveries, attempts=tuple(record.attempts.items()),
                    ran=made.ran, traceparent=visit.own, parent=visit.parent,
                    origin=_origin(record), models=tuple(record.models.values()),
                )
            )  # fmt: skip

    def failed(self, visit: Visit, trouble: Trouble, *, rows: int) -> None:
        """Count a batch that came to nothing and comes again, and tell of it."""
        self._fates["bad"] += 1
        if self._telemetry is None or not visit.seen:
            return
        edge, batch = visit.key
        self._telemetry.batch(
            BatchWorked(
                zone=self._zone, batch=batch, edge=edge, began_s=visit.began_s,
                seconds=self._clock.now_s() - visit.arrived_s, waited_s=visit.waited_s,
                rows_in=rows, rows_out=0, passed=0, fate="bad", cause=trouble.cause,
                trouble=trouble.code, deliveries=visit.deliveries, traceparent=visit.own,
                parent=visit.parent,
            )
        )  # fmt: skip

    # ---- telling

    def work(self) -> WorkCounts:
        """Return what was counted besides promises."""
        return WorkCounts(
            fates=dict(self._fates),
            codes=dict(self._codes),
            retries=dict(self._retries),
            redelivered=self._redelivered,
            shed=self._shed,
            seconds=self._seconds,
            waited_s=self._waited_s,
            step_s=self._step_s,
            inboxes=dict(self.inboxes),
        )

    def _is_late(self, seconds: float) -> bool:
        """Return whether so long is longer than promised."""
        return self._promised_s is not None and seconds > self._promised_s

    def _bury(self, died: tuple[Died, ...], record: BatchRecord) -> None:
        """Count dead rows: what came in against the schema is its publisher's fault."""
        publisher = record.edge.partition(":")[0]
        for group in died:
            known = group.code in self._codes or len(self._codes) < CODES_MAX
            self._codes[group.code if known else "other"] += group.rows
        came_bad = sum(group.rows for group in died if group.code in {SCHEMA, QUALITY})
        came_bad = min(came_bad, record.dead)
        self.counts.dead += record.dead
        if came_bad:
            self.counts.availability.bad(came_bad, publisher)
        if record.dead > came_bad:
            self.counts.availability.bad(record.dead - came_bad)

    def _count(
        self,
        visit: Visit,
        record: BatchRecord,
        made: Made,
        *,
        fate: Fate,
        seconds: float,
        shed: int,
    ) -> None:
        """Count what is no promise."""
        self._fates[fate] += 1
        self._retries.update(record.attempts)
        self._redelivered += max(0, record.deliveries - 1)
        self._shed += shed
        self._seconds += seconds
        self._waited_s += visit.waited_s
        self._step_s += made.step_s


def _origin(record: BatchRecord) -> str:
    """Return where the first row of a batch was cut; empty: not here."""
    first = record.segments[0] if record.segments else None
    return "" if first is None else f"{first.file}:{first.line}"


def _worse(quality: Mapping[str, Grade]) -> str:
    """Return the first name, of a lookup or guard, whose grade is worse than live; empty: none."""
    return next((name for name in sorted(quality) if quality[name].code != "live"), "")

"""Take one batch through a zone, in the order that makes a death at any point harmless.

``recorded?`` -> attempts -> the zone's work -> the gate's verdict -> publish -> bury -> record ->
forget attempts -> acknowledge. Nothing is acknowledged that is not recorded, and nothing recorded
that is not published and buried; what is done twice has the same key both times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from firedoor.data import writing_up
from firedoor.data.conduct import Conduct
from firedoor.data.degrading import SAMPLED, Degrading, Taken
from firedoor.data.duties import bury
from firedoor.data.faults import Leaving, trouble_of
from firedoor.data.insist import Insist
from firedoor.data.observing import SCHEMA, Made, Observer, Visit
from firedoor.data.outlets import Outlets
from firedoor.data.room import Room
from firedoor.data.tries import Tries
from firedoor.errors import StepAtFault, StreamsUnavailable
from firedoor.events.trace import CURRENT
from firedoor.flow import attempts
from firedoor.flow.attempts import AttemptsPolicy
from firedoor.flow.zone import Passed, ProbeVoid, Troubled
from firedoor.ports.clock import Clock
from firedoor.ports.stage import DeadRows, Handled, Parcel, Stage
from firedoor.ports.streams import Delivery, Streams
from firedoor.quality.grades import REFUSED
from firedoor.spec.plan import ZonePlan
from firedoor.wire.envelope import Damaged, Envelope
from firedoor.wire.records import BatchRecord


@dataclass(slots=True, eq=False)
class Held:
    """A batch in hand."""

    delivery: Delivery
    """The latest: a batch that is held for long while the broker is away comes again."""
    arrived_s: float = 0.0
    """When it came to this process, by ``now_s``."""
    over: bool = False
    """Whether it is being given back: what comes now is a delivery of its own."""
    envelope: Envelope | None = field(init=False)
    damage: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Read the envelope once: that checks the payload."""
        self.envelope = None
        try:
            self.envelope = self.delivery.envelope
        except Damaged as damage:
            self.damage = str(damage)

    def read(self) -> Envelope:
        """Return the envelope.

        Raises:
            Damaged: if the message is not what was sent.
        """
        if self.envelope is None:
            raise Damaged(self.damage)
        return self.envelope

    async def ack(self) -> None:
        """Acknowledge the latest delivery."""
        await self.delivery.ack()

    async def give_back(self) -> None:
        """Give the latest delivery back."""
        await self.delivery.give_back()

    @property
    def key(self) -> tuple[str, str]:
        """Edge and batch, or something of its own for what cannot be read."""
        name = f"?{id(self.delivery)}" if self.envelope is None else self.envelope.batch
        return self.delivery.edge, name


class Carrier:
    """Does with each batch what has to be done, and tells the zone's conduct how it went."""

    def __init__(
        self,
        plan: ZonePlan,
        streams: Streams,
        stage: Stage,
        clock: Clock,
        *,
        conduct: Conduct,
        insist: Insist,
        outlets: Outlets,
        degrading: Degrading,
        observer: Observer,
        policy: AttemptsPolicy | None = None,
    ) -> None:
        """Take what a zone has."""
        self._plan = plan
        self._streams = streams
        self._stage = stage
        self._clock = clock
        self._conduct = conduct
        self._insist = insist
        self._outlets = outlets
        self._degrading = degrading
        self._observer = observer
        depends = [one.guard.name for one in plan.depends]
        self._dependency = depends[0] if len(depends) == 1 else ""
        self._policy = AttemptsPolicy() if policy is None else policy
        self._room = Room()

    async def carry(self, held: Held, *, probe: bool = False) -> None:
        """Take a batch through, or leave its input unacknowledged; never raises but to cancel."""
        name = held.key[1] if held.envelope else f"a batch from {held.delivery.edge}"
        visit = self._observer.arrived(
            held.key, held.arrived_s, envelope=held.envelope, deliveries=held.delivery.deliveries
        )
        CURRENT.set(visit.own)
        try:
            await self._carry(held, held.read(), visit, probe=probe)
        except Leaving:
            await self.give_back(held)  # the next run goes on with it
        except Exception as error:  # noqa: BLE001 - whatever it is, it halts this zone and no other
            if not (isinstance(error, StreamsUnavailable) and self._conduct.leaving):
                trouble = trouble_of(
                    error,
                    batch=name,
                    publisher=held.delivery.edge.partition(":")[0],
                    dependency=self._dependency,
                    fault=self._conduct.struck(name),
                )
                self._conduct.tell(Troubled(trouble, probe))
                rows = held.envelope.rows if held.envelope else 0
                self._observer.failed(visit, trouble, rows=rows)
            await self.give_back(held)

    async def give_back(self, held: Held) -> None:
        """Have a batch delivered again, and counted as no attempt."""
        held.over = True
        self._observer.returned(held.key, held.arrived_s)
        try:
            if held.envelope is not None:
                # Who stood still for longer than the broker waits may find that another has done
                # it, who has forgotten what was noted: nobody would forget what is noted now.
                tries = self._tries(held.envelope)
                if await self._known(held.envelope) is not None:
                    await tries.clear()  # what this one noted since
                    await self._insist.few(held.ack)
                    return
                await tries.load()
                await tries.returned(held.delivery.deliveries)
        except StreamsUnavailable:
            return  # it comes again by itself, and counts: better too early alone than never
        await self._insist.few(held.give_back)

    async def _known(self, envelope: Envelope) -> BatchRecord | None:
        """Return the record of a batch that is done here."""
        zone, batch = self._plan.name, envelope.batch
        return await self._insist(lambda: self._streams.recorded(zone, batch))

    def _tries(self, envelope: Envelope) -> Tries:
        """Return what is noted of a batch."""
        return Tries(self._streams, self._insist, zone=self._plan.name, batch=envelope.batch)

    async def _carry(self, held: Held, envelope: Envelope, visit: Visit, *, probe: bool) -> None:
        """Take a batch through whose envelope is whole."""
        tries = self._tries(envelope)
        if await self._known(envelope) is not None:
            if probe:
                self._conduct.tell(ProbeVoid())
            if held.delivery.deliveries > 1:
                await tries.clear()
            await self._insist.few(held.ack)
            return
        alone = await self._weigh(held, tries, envelope.batch)
        async with self._room.entered(alone=alone):
            began_s = self._clock.utc_s()
            again = held.delivery.deliveries > 1
            taken = await self._degrading.take(
                envelope, held.delivery.payload, tries, first=not again
            )
            handled = await self._handle(taken, tries, visit)
            record = writing_up.begun_record(
                self._plan, envelope, handled, tries, weight=taken.envelope.weight
            )
            self._judge(record, handled)
            self._conduct.tell(Passed(probe))
            if self._outlets.by_quality and tries.noted.quality is None:
                await tries.graded(record.quality)
            if handled.models:
                await tries.scored(handled.models)
            out = self._onward(visit, envelope, record, handled)
            sent = await self._outlets.send(out, handled.parcel.payload, tries=tries, again=again)
            if handled.dead is not None and handled.dead.rows:
                await self._bury(held, taken.envelope, handled.dead)
            record = writing_up.ended_record(
                record,
                sent,
                tries,
                edge=held.delivery.edge,
                deliveries=held.delivery.deliveries,
                began_s=began_s,
                ended_s=self._clock.utc_s(),
                fault=self._conduct.struck(record.batch),
            )
            kept = await self._insist(lambda: self._streams.record(record))
            if kept:
                self._conduct.count(record)
            await tries.forget()
            await self._insist.few(held.ack)
            if kept:  # else another process has counted it
                made = Made(
                    dead=handled.dead,
                    ran=handled.ran,
                    step_s=handled.step_s,
                    deadline_s=envelope.deadline_s,
                    cause=out.cause,
                )
                self._observer.done(visit, record, made)

    def _tried(self, envelope: Envelope, visit: Visit) -> Envelope:
        """Return the envelope with the number of this attempt: a late batch has had its first."""
        late = envelope.deadline_s is not None and self._clock.utc_s() > envelope.deadline_s
        attempt = max(visit.deliveries, 2 if late else 1)
        return msgspec.structs.replace(envelope, attempt=attempt, traceparent=visit.seen)

    async def _scored(self, envelope: Envelope, tries: Tries) -> Envelope:
        """Return the envelope with the versions that this zone has scored the batch by before.

        Asked also where it seems to come for the first time: one that was published twice may.
        """
        if not self._plan.models:
            return envelope
        await tries.load()
        return msgspec.structs.replace(envelope, models=tries.noted.models)

    async def _handle(self, taken: Taken, tries: Tries, visit: Visit) -> Handled:
        """Take what is taken of a batch through the zone's work; without a row there is none."""
        if not taken.envelope.rows and taken.dropped:
            return Handled(Parcel(b"", 0, 0), dropped=taken.dropped)
        envelope = await self._scored(self._tried(taken.envelope, visit), tries)
        handled = await self._stage.handle(envelope, taken.payload, tries.journal)
        self._degrading.used(handled.quality)
        return replace(handled, dropped={**handled.dropped, **taken.dropped})

    async def _weigh(self, held: Held, tries: Tries, batch: str) -> bool:
        """Note an earlier delivery that came to nothing; return whether to go alone.

        Raises:
            StepAtFault: if too many came to nothing.
        """
        deliveries = held.delivery.deliveries
        if deliveries <= 1:
            return False
        await tries.load()
        noted = tries.noted
        found = attempts.judge(deliveries, noted.counts, noted.returned, self._policy)
        if found.counts is not None:
            await tries.count(found.counts)
        if found.action == "halt":
            raise StepAtFault(
                f"{found.deaths} runners ended with it in hand, lately with nothing else, and none "
                f"finished; look at .firedoor/logs/{self._plan.name}.log, then correct the step "
                f"and run `firedoor zone restart {self._plan.name}`",
                code=attempts.CODE,
                signature=batch,
            )
        return found.action == "alone"

    def _judge(self, record: BatchRecord, handled: Handled) -> None:
        """Ask the gate before anything of the batch is published or buried.

        Rows that did not come to the step tell nothing about it.

        Raises:
            StepAtFault: if the zone is to halt.
        """
        if REFUSED in record.signatures:
            return
        rows = record.rows_in - record.dropped.get(SAMPLED, 0)
        halt = self._conduct.judge(rows, record.signatures)
        if halt is not None:
            raise StepAtFault(
                f"{halt.why}; nothing of this batch was dead-lettered: correct the step or its "
                f"input and run `firedoor zone restart {self._plan.name}`, or raise dead_max",
                code=halt.code,
                signature=halt.signature,
                failed_rows=record.dead,
                of_input=_came_bad(handled, halt.signature),
            )

    def _onward(
        self, visit: Visit, envelope: Envelope, record: BatchRecord, handled: Handled
    ) -> Envelope:
        """Return the envelope under which the output travels."""
        return writing_up.onward_envelope(
            self._plan,
            envelope,
            record,
            handled,
            traceparent=visit.onward,
            cause=self._observer.cause(visit, envelope, record),
            sent_s=self._clock.utc_s(),
        )

    async def _bury(self, held: Held, envelope: Envelope, dead: DeadRows) -> None:
        """Keep dead rows; while there is no room for them the zone is paused.

        Raises:
            Leaving: if the zone drains and there stays no room.
        """
        await bury(
            writing_up.dead_entry(
                self._plan, envelope, dead, edge=held.delivery.edge, at_s=self._clock.utc_s()
            ),
            dead.payload,
            streams=self._streams,
            insist=self._insist,
            conduct=self._conduct,
            clock=self._clock,
        )


def _came_bad(handled: Handled, signature: str) -> bool:
    """Return whether rows that died in one way came in against the schema."""
    groups = handled.dead.groups if handled.dead else ()
    return any(each.code == SCHEMA for each in groups if each.signature == signature)

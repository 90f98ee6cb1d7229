"""Take one batch through a zone, in the order that makes a death at any point harmless.

``recorded?`` -> attempts -> the zone's work -> the gate's verdict -> publish -> bury -> record ->
forget attempts -> acknowledge. Nothing is acknowledged that is not recorded, and nothing recorded
that is not published and buried; what is done twice has the same key both times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.degrading import SAMPLED, Degrading, Taken
from firedoor.data.faults import Leaving, trouble_of
from firedoor.data.insist import LEAVE_S, Insist
from firedoor.data.outlets import Outlets, Sent
from firedoor.data.room import Room
from firedoor.data.tries import Tries
from firedoor.errors import DeadLettersFull, StepAtFault, StreamsUnavailable
from firedoor.flow import attempts
from firedoor.flow.attempts import AttemptsPolicy
from firedoor.flow.zone import DEAD_LETTERS, Emptied, Filled, Passed, ProbeVoid, Troubled
from firedoor.ports.clock import Clock
from firedoor.ports.stage import DeadRows, Handled, Parcel, Stage
from firedoor.ports.streams import Delivery, Streams
from firedoor.quality.grades import REFUSED, merged
from firedoor.spec.plan import ZonePlan
from firedoor.units import format_bytes
from firedoor.wire.envelope import PAYLOAD_MAX, WIRE_VERSION, Damaged, Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry

ROOM_RETRY_S = 1.0
"""Wait between two looks for room among the dead letters."""


@dataclass(slots=True, eq=False)
class Held:
    """A batch in hand."""

    delivery: Delivery
    """The latest: a batch that is held for long while the broker is away comes again."""
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
        self._policy = AttemptsPolicy() if policy is None else policy
        self._room = Room()

    async def carry(self, held: Held, *, probe: bool = False) -> None:
        """Take a batch through, or leave its input unacknowledged; never raises but to cancel."""
        name = held.key[1] if held.envelope else f"a batch from {held.delivery.edge}"
        try:
            await self._carry(held, held.read(), probe=probe)
        except Leaving:
            await self.give_back(held)  # the next run goes on with it
        except Exception as error:  # noqa: BLE001 - whatever it is, it halts this zone and no other
            if not (isinstance(error, StreamsUnavailable) and self._conduct.leaving):
                fault = self._conduct.struck(name)
                self._conduct.tell(Troubled(trouble_of(error, batch=name, fault=fault), probe))
            await self.give_back(held)

    async def give_back(self, held: Held) -> None:
        """Have a batch delivered again, and counted as no attempt."""
        held.over = True
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

    async def _carry(self, held: Held, envelope: Envelope, *, probe: bool) -> None:
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
            handled = await self._handle(taken, tries, held.delivery.deliveries)
            record = self._check(envelope, taken, handled, tries)
            self._judge(record)
            self._conduct.tell(Passed(probe))
            if self._outlets.by_quality and tries.noted.quality is None:
                await tries.graded(record.quality)
            if handled.models:
                await tries.scored(handled.models)
            out = self._envelope(envelope, record, handled)
            sent = await self._outlets.send(out, handled.parcel.payload, tries=tries, again=again)
            if handled.dead is not None and handled.dead.rows:
                entry = self._entry(held, taken.envelope, handled.dead)
                await self._bury(entry, handled.dead.payload)
            record = self._complete(record, held, sent, tries, began_s=began_s)
            if await self._insist(lambda: self._streams.record(record)):
                self._conduct.count(record)
            await tries.forget()
            await self._insist.few(held.ack)

    def _tried(self, envelope: Envelope, deliveries: int) -> Envelope:
        """Return the envelope with the number of this attempt: a late batch has had its first."""
        late = envelope.deadline_s is not None and self._clock.utc_s() > envelope.deadline_s
        return msgspec.structs.replace(envelope, attempt=max(deliveries, 2 if late else 1))

    async def _scored(self, envelope: Envelope, tries: Tries) -> Envelope:
        """Return the envelope with the versions that this zone has scored the batch by before.

        Asked also where it seems to come for the first time: one that was published twice may.
        """
        if not self._plan.models:
            return envelope
        await tries.load()
        return msgspec.structs.replace(envelope, models=tries.noted.models)

    async def _handle(self, taken: Taken, tries: Tries, deliveries: int) -> Handled:
        """Take what is taken of a batch through the zone's work; without a row there is none."""
        if not taken.envelope.rows and taken.dropped:
            return Handled(Parcel(b"", 0, 0), dropped=taken.dropped)
        envelope = await self._scored(self._tried(taken.envelope, deliveries), tries)
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

    def _check(
        self, envelope: Envelope, taken: Taken, handled: Handled, tries: Tries
    ) -> BatchRecord:
        """Return the record as far as it is known now.

        The quality by which it was decided where the batch goes holds when it comes again.

        Raises:
            StepAtFault: if rows are missing, or the output is too large to be published.
        """
        parcel, dead = handled.parcel, handled.dead
        if len(parcel.payload) > PAYLOAD_MAX:
            raise StepAtFault(
                f"the step made {format_bytes(len(parcel.payload))} of {envelope.rows:,} rows, "
                f"and a batch may have {format_bytes(PAYLOAD_MAX)}: declare smaller batch_rows at "
                "the source, or return fewer columns",
                code="output_too_large",
                signature="output too large",
            )
        dead_rows = dead.rows if dead else 0
        passed = envelope.rows - dead_rows - sum(handled.dropped.values())
        if passed < 0:
            raise StepAtFault(
                f"{dead_rows:,} rows dead and {handled.dropped} dropped are more than the "
                f"{envelope.rows:,} that came in: this is a defect of firedoor, please report it",
                code="miscounted",
                signature="miscounted rows",
            )
        quality = tries.noted.quality
        if quality is None:
            quality = merged(envelope.quality, handled.quality)
        signatures: dict[str, int] = {}
        for group in dead.groups if dead else ():
            signatures[group.signature] = signatures.get(group.signature, 0) + group.rows
        return BatchRecord(
            zone=self._plan.name,
            batch=envelope.batch,
            zone_version=self._plan.version,
            rows_in=envelope.rows,
            rows_out=parcel.rows,
            passed=passed,
            dead=dead_rows,
            dropped=handled.dropped,
            signatures=signatures,
            began_s=0.0,
            ended_s=0.0,
            cut_s=envelope.cut_s,
            numbered=handled.numbered,
            parent=envelope.parent,
            only=envelope.only,
            lookups={**envelope.lookups, **handled.lookups},
            sink=handled.sink,
            weight=taken.envelope.weight,
            quality=quality,
            models={**envelope.models, **handled.models},
        )

    def _judge(self, record: BatchRecord) -> None:
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
            )

    def _complete(
        self, record: BatchRecord, held: Held, sent: Sent, tries: Tries, *, began_s: float
    ) -> BatchRecord:
        """Return the record with how it went."""
        return msgspec.structs.replace(
            record,
            edge=held.delivery.edge,
            published=sent.published,
            shed=sent.shed,
            missed=sent.missed,
            elsewhere=sent.elsewhere,
            deliveries=held.delivery.deliveries,
            fault=self._conduct.struck(record.batch),
            attempts=tries.noted.counts,
            began_s=began_s,
            ended_s=self._clock.utc_s(),
        )

    def _envelope(self, envelope: Envelope, record: BatchRecord, handled: Handled) -> Envelope:
        """Return the envelope under which the output travels."""
        parcel = handled.parcel
        return msgspec.structs.replace(
            envelope,
            rows=parcel.rows,
            frame_bytes=parcel.frame_bytes,
            crc32=checksum(parcel.payload),
            zone=self._plan.name,
            zone_version=self._plan.version,
            schema=parcel.schema,
            attempt=1,
            lookups=record.lookups,
            weight=record.weight,
            quality=record.quality,
            models=record.models,
            wire=WIRE_VERSION,
        )

    def _entry(self, held: Held, envelope: Envelope, dead: DeadRows) -> DeadEntry:
        """Return the entry of dead rows."""
        return DeadEntry(
            zone=self._plan.name,
            batch=envelope.batch,
            edge=held.delivery.edge,
            zone_version=self._plan.version,
            rows=dead.rows,
            frame_bytes=dead.frame_bytes,
            crc32=checksum(dead.payload),
            groups=dead.groups,
            at_s=self._clock.utc_s(),
            cut_s=envelope.cut_s,
            sensitive=self._plan.sensitive,
            lookups=envelope.lookups,
            weight=envelope.weight,
            quality=envelope.quality,
            models=envelope.models,
        )

    async def _bury(self, entry: DeadEntry, payload: bytes) -> None:
        """Keep dead rows; while there is no room for them the zone is paused.

        Raises:
            Leaving: if the zone drains and there stays no room.
        """
        leaving_s = 0.0
        while True:
            try:
                await self._insist(lambda: self._streams.bury(entry, payload))
            except DeadLettersFull:
                self._conduct.tell(Filled(DEAD_LETTERS))
                if leaving_s >= LEAVE_S:
                    raise Leaving("there is no room for dead letters") from None
                await self._clock.wait(ROOM_RETRY_S)
                leaving_s += ROOM_RETRY_S * self._conduct.leaving
            else:
                if DEAD_LETTERS in self._conduct.state.full:
                    self._conduct.tell(Emptied(DEAD_LETTERS))
                return

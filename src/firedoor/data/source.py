"""Run a source: cut, publish, bury, record, go on; say how it goes; take orders.

A batch is published to every edge, then its dead rows are buried, then it is recorded with the
place where the next begins. After a death the last record says where to go on; what was under way
is cut again, the same, under the same id.

A reader that dies is replaced and goes on at the same place; after three deaths there the source
halts, naming file and lines. A missing, damaged or changed file, or a schema that does not fit,
halts it at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.duties import Duties, bury
from firedoor.data.faults import Leaving, trouble_of
from firedoor.data.freshness import Freshness
from firedoor.data.insist import Insist
from firedoor.data.observing import Made, Visit
from firedoor.data.outlets import Outlets, Shedder, keep_all
from firedoor.data.progress import Progress
from firedoor.data.reader import Fresh, Reader, ReaderDied
from firedoor.data.source_pace import DrilledPace
from firedoor.data.source_records import entry_of, record_of, signatures_of
from firedoor.data.tries import Tries
from firedoor.errors import StepAtFault, StreamsUnavailable
from firedoor.events.trace import CURRENT
from firedoor.flow.zone import Drained, Ordered, Passed, ProbeSent, ProbeVoid, Troubled
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults
from firedoor.ports.streams import Streams
from firedoor.ports.telemetry import Telemetry
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import ZoneStatus

DEATHS_MAX = 3
"""Readers that may die at one place running before the source halts."""
LOOK_S = 1.0
RAISED = "raised"
"""Code of an iterable that raised: what it reads from may be back in a moment."""


class SourceRunner:
    """A source's trusted process: it parses nothing and runs no user code."""

    def __init__(
        self,
        zone: ZonePlan,
        plan: Plan,
        streams: Streams,
        reader: Reader,
        clock: Clock,
        *,
        replica: str,
        chance: random.Random,
        lookups: Callable[[], Mapping[str, str]] = dict,
        shed: Shedder = keep_all,
        memory_bytes: Callable[[], int] = lambda: 0,
        faults: Faults | None = None,
        firedoor: str = "",
        telemetry: Telemetry | None = None,
    ) -> None:
        """Take what a source has.

        Args:
            zone: its plan.
            plan: the pipeline's.
            streams: its end of the broker; the runner does not close it.
            reader: where batches come from; the runner closes it.
            clock: the time.
            replica: which process this is: small letters, digits and ``-``. One runs at a time.
            chance: for waits that are not in step with others.
            lookups: gives the version of each lookup that holds now.
            shed: what makes a batch less where an inbox is full and the edge sheds.
            memory_bytes: what the source's processes use, for its status.
            faults: what a drill injects here.
            firedoor: the version to put into envelopes.
            telemetry: is told of each batch; None: nobody listens.
        """
        assert zone.source is not None, f"{zone.name} is a source"
        self.conduct = Conduct(
            zone, clock, replica=replica, memory_bytes=memory_bytes, faults=faults
        )
        self.deaths = 0
        """Readers that died so far."""
        self._zone, self._plan = zone, plan
        self._rate = zone.source.rate
        self._files = zone.source.form != "frames"
        self._drilled = DrilledPace(self.conduct.faults, clock)
        self._streams = streams
        self._reader = reader
        self._clock = clock
        self._lookups = lookups
        self._firedoor = firedoor
        self._insist = Insist(self.conduct, clock, chance)
        self._outlets = Outlets(
            plan.outlets(zone.name),
            streams,
            clock,
            conduct=self.conduct,
            insist=self._insist,
            shed=shed,
        )
        self._duties = Duties(
            streams,
            clock,
            conduct=self.conduct,
            replica=replica,
            status=self.status,
            refresh=self._outlets.refresh,
        )
        self.freshness = Freshness(
            plan, streams, clock, conduct=self.conduct, replica=replica, telemetry=telemetry
        )
        self._observer = self.freshness.observer
        self._progress = Progress(streams, self._insist, zone=zone.name)
        self._reading = False
        self._died_here = 0
        self._uncertain = True
        """Whether the next batch may have been published before."""
        self._not_before_s = clock.now_s()

    def drain(self, because: str = "asked to leave") -> None:
        """Finish the batch in hand, cut no more, and have ``run`` return."""
        generation = max(0, self.conduct.state.generation)
        self.conduct.tell(Ordered("drain", generation, because))

    def status(self) -> ZoneStatus:
        """Return what is known of the source."""
        position = self._progress.position
        place = f"{position.file}, line {position.line:,}" if position else "at the beginning"
        wall = f"reader: {place}; {self.deaths} lost"
        status = self.conduct.status(wall=wall, workers_lost=self.deaths)
        return msgspec.structs.replace(status, work=self._observer.work())

    async def run(self) -> None:
        """Run until there is nothing more, or the source has drained."""
        try:
            async with asyncio.TaskGroup() as group:
                aside = [
                    group.create_task(self._duties.beat()),
                    group.create_task(self.freshness.watch()),
                ]
                done = False
                if await self._begin():
                    aside.append(group.create_task(self._duties.follow_orders()))
                    done = await self._work(group)
                self.conduct.tell(Drained(done))
                for task in aside:
                    task.cancel()
        finally:
            await self._reader.close()
        await self.freshness.say()
        await self._duties.beat_once()

    async def _begin(self) -> bool:
        """Learn what is wanted and where to go on; False if the source is to leave first."""
        try:
            await self._insist(self._duties.read_order)
            await self._insist(self._outlets.refresh)
            await self._progress.load()
            await self._progress.reopen()
        except StreamsUnavailable:
            return False
        return True

    async def _work(self, group: asyncio.TaskGroup) -> bool:
        """Take batches until there are no more (True), or the source drains (False)."""
        while not self.conduct.leaving:
            pull = self.conduct.pull()
            wait_s = max(self._not_before_s - self._clock.now_s(), self._drilled.hold_s(self._rate))
            if pull not in {"pull", "probe"} or wait_s > 0:
                await self._look_again(wait_s)
                continue
            probe = pull == "probe"
            if probe:
                self.conduct.tell(ProbeSent())
            try:
                ended = await self._next(group, probe=probe)
            except (Leaving, StreamsUnavailable):
                return False  # only while draining: the next run goes on with it
            except Exception as error:  # noqa: BLE001 - whatever it is, it halts this source and no other
                await self._stop_reading()
                batch = str(self._progress.batch)
                trouble = trouble_of(error, batch=batch, fault=self.conduct.struck(batch))
                self.conduct.tell(Troubled(trouble, probe))
            else:
                if ended:
                    return True
        return False

    async def _look_again(self, wait_s: float) -> None:
        """Wait until something changes, a probe is due, or the rate lets the next batch in."""
        times = [LOOK_S]
        if wait_s > 0:
            times.append(wait_s)
        probe_in_s = self.conduct.probe_in_s()
        if probe_in_s:
            times.append(probe_in_s)
        await self.conduct.bell.wait(min(times))

    async def _next(self, group: asyncio.TaskGroup, *, probe: bool) -> bool:
        """Read and carry one batch; return whether there was none, for good."""
        task = group.create_task(self._read())
        try:
            # What is read while a person pauses the source waits here.
            while not task.done() or not (probe or self.conduct.pull() == "pull"):
                if self.conduct.leaving:
                    return False
                await self.conduct.bell.wait(LOOK_S)
            fresh = task.result()
        finally:
            task.cancel()
        if isinstance(fresh, ReaderDied):
            await self._mourn(fresh)
            if probe:
                self.conduct.tell(ProbeVoid())
        elif isinstance(fresh, Exception):
            raise fresh
        elif fresh is None:
            await self._progress.end()
            return True
        else:
            await self._carry(fresh)
            self.conduct.tell(Passed(probe))
            self._died_here = 0
        return False

    # ---- reading

    async def _read(self) -> Fresh | Exception | None:
        """Return the next batch, or what was the matter; ring when there is one.

        What is the matter is returned, because a task that raises would end its siblings.
        """
        try:
            if not self._reading:
                await self._reader.begin(self._progress.position, self._progress.files)
                self._reading = True
            return await self._reader.next()
        except StepAtFault as fault:
            return ReaderDied(str(fault)) if fault.code == RAISED else fault
        except Exception as error:  # noqa: BLE001 - raised again by who takes it
            return error
        finally:
            self.conduct.bell.ring()

    async def _stop_reading(self) -> None:
        """End the reader; the next one begins after the last batch that is recorded."""
        self._reading = False
        await self._reader.close()

    async def _mourn(self, died: ReaderDied) -> None:
        """Note a death, and wait before the next reader is tried.

        Raises:
            StepAtFault: if it was one too many.
        """
        await self._stop_reading()
        self.deaths += 1
        self._died_here += 1
        self.conduct.note(str(died), kind="worker.died", code="reader")
        if self._died_here >= DEATHS_MAX:
            self._died_here = 0
            raise StepAtFault(
                f"{DEATHS_MAX} readers running ended before they had read {self._place()}, "
                f"lately: {died}; look at .firedoor/logs/{self._zone.name}.log, correct what is "
                f"read there and run `firedoor zone restart {self._zone.name}`",
                code="reader_dies",
                signature=str(died),
            )
        await self._insist.back_off(self._died_here)

    def _place(self) -> str:
        """Return where the next batch is cut."""
        assert self._zone.source is not None
        position, rows = self._progress.position, self._zone.source.batch_rows
        if position is None:
            patterns = ", ".join(self._zone.source.patterns[:3]) or "the first frame"
            return f"the first {rows:,} lines of {patterns}"
        rows = position.rows or rows
        return f"{position.file}, lines {position.line + 1:,} to {position.line + rows:,}, or after"

    # ---- carrying

    async def _carry(self, fresh: Fresh) -> None:
        """Publish, bury and record one batch.

        Raises:
            StepAtFault: if too many rows are dead; nothing has happened then.
            Leaving, StreamsUnavailable: if the source drains and cannot finish it.
        """
        batch = str(self._progress.batch)
        visit = self._observer.arrived(("", batch), self._clock.now_s())
        CURRENT.set(visit.own)
        try:
            self._judge(fresh)
            await self._publish(fresh, batch, visit)
        except StepAtFault as fault:
            self._observer.failed(visit, trouble_of(fault, batch=batch), rows=fresh.lines)
            raise
        self._pace(fresh.lines)

    async def _publish(self, fresh: Fresh, batch: str, visit: Visit) -> None:
        """Publish, bury and record what was judged."""
        if self._files:
            await self._progress.note_file(fresh.segment.file)
        tries = Tries(self._streams, self._insist, zone=self._zone.name, batch=batch)
        if self._uncertain:
            await tries.load()
        cut_s = self._clock.utc_s() - self._drilled.late_s(batch)
        envelope = self._envelope(batch, fresh, cut_s, visit)
        sent = await self._outlets.send(
            envelope, fresh.parcel.payload, tries=tries, again=self._uncertain
        )
        if fresh.dead is not None:
            entry = entry_of(self._zone, envelope, fresh.dead, self._clock.utc_s())
            await bury(
                entry,
                fresh.dead.payload,
                streams=self._streams,
                insist=self._insist,
                conduct=self.conduct,
                clock=self._clock,
            )
        record = record_of(
            self._zone,
            envelope,
            fresh,
            sent,
            attempts=tries.noted.counts,
            ended_s=self._clock.utc_s(),
            fault=self.conduct.struck(batch),
        )
        kept = await self._insist(lambda: self._streams.record(record))
        await tries.forget()
        self._uncertain = False
        if kept:
            self.conduct.count(record)
            self._progress.advance(fresh.position)
            ran = () if fresh.read is None else (fresh.read,)
            self._observer.done(visit, record, Made(dead=fresh.dead, ran=ran))
        else:
            # An answer was lost, or somebody else cut it: what is kept says where to go on.
            await self._stop_reading()
            await self._progress.load()
            self._uncertain = True

    def _judge(self, fresh: Fresh) -> None:
        """Ask the gate before anything of the batch is published or buried."""
        signatures = signatures_of(fresh.dead)
        halt = self.conduct.judge(fresh.lines, signatures)
        if halt is not None:
            where = f"{fresh.segment.file}, from line {fresh.segment.line:,}"
            raise StepAtFault(
                f"{where}: {halt.why}; nothing of this batch was dead-lettered: correct the file "
                f"or the schema and run `firedoor zone restart {self._zone.name}`, or raise "
                "dead_max",
                code=halt.code,
                signature=halt.signature,
                failed_rows=sum(signatures.values()),
            )

    def _pace(self, lines: int) -> None:
        """Put the next batch off, as the rate and the gate want it."""
        now_s = self._clock.now_s()
        wait_s = self.conduct.state.throttle_s
        rate = self._drilled.rate(self._rate)
        if rate:
            # From when this one was due, so that the rate holds on average.
            due_s = max(self._not_before_s, now_s - LOOK_S) + lines / rate
            wait_s = max(wait_s, due_s - now_s)
        self._not_before_s = now_s + wait_s

    def _envelope(self, batch: str, fresh: Fresh, cut_s: float, visit: Visit) -> Envelope:
        """Return a batch's envelope."""
        return Envelope(
            batch=batch,
            rows=fresh.parcel.rows,
            frame_bytes=fresh.parcel.frame_bytes,
            crc32=checksum(fresh.parcel.payload),
            zone=self._zone.name,
            zone_version=self._zone.version,
            schema=fresh.parcel.schema,
            cut_s=cut_s,
            sent_s=self._clock.utc_s(),
            deadline_s=self._plan.deadline_s(self._zone.name, cut_s),
            lookups=dict(self._lookups()),
            traceparent=visit.onward,
            firedoor=self._firedoor,
        )

"""The way of one row, told from records: where it came from, what each zone did, where it ended.

Told from its beginning, with the replays of it. Records know batches; which row died is in the
dead letters, and which rows were replayed in ``control.settling``. Which rows were dropped as
declared is nowhere kept, so that is said as what it is: not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec
import polars as pl

from firedoor.control import settling
from firedoor.control.degraded import tell, worse_than_live
from firedoor.control.letters import parse_row
from firedoor.control.payloads import ROW, decode_dead
from firedoor.errors import NotKnown
from firedoor.names import BatchId
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.records import BatchRecord, Segment

STOPS_MAX = 200
"""Zones and batches in one story."""

Fate = Literal[
    "passed", "dead", "replayed", "discarded", "written", "waiting", "missed", "shed", "unclear"
]


class Stop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one zone did."""

    zone: str
    batch: str
    fate: Fate
    words: str
    depth: int = 0
    """0 on the first way; one more with each replay."""
    version: str = ""
    at_s: float = 0.0
    """When the zone had finished it; 0: it has not."""
    seconds: float = 0.0
    deliveries: int = 1
    attempts: dict[str, int] = {}
    models: dict[str, str] = {}
    """Which version of each model the batch was scored by up to here."""
    line: str | None = None
    """``file:line`` of the user's code, where it died."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The way of a row (or, where ``row`` is None, of a batch)."""

    batch: str
    row: int | None
    source: str
    file: str
    line: int | None
    rows: int
    """Of the batch."""
    cut_s: float
    lookups: dict[str, str]
    stops: tuple[Stop, ...]
    ends: tuple[str, ...]


async def trace(streams: Streams, plan: Plan, text: str) -> Story:
    """Tell the way of ``flights-000123/4711``, or of all of ``flights-000123``.

    Raises:
        NotKnown: if there is no such batch or row, or not yet.
    """
    batch, row = parse_row(text)
    root = BatchId.parse(batch).root
    sources = [zone.name for zone in plan.zones if zone.kind == "source"]
    if root.source not in sources:
        known = ", ".join(sources) or "none"
        message = f"there is no source {root.source!r}: sources here are {known}"
        raise NotKnown(message)
    record = await streams.recorded(root.source, str(root))
    if record is None:
        last = await streams.last_record(root.source)
        message = (
            f"{root.source} has no record of {root}: "
            + (f"the last batch it cut is {last.batch}" if last else "it has cut no batch yet")
            + f"; records are kept for {plan.retention_days:g} days"
        )
        raise NotKnown(message)
    if row is not None and row >= record.rows_in:
        message = f"{root} has {record.rows_in} rows, from {root}/0 to {root}/{record.rows_in - 1}"
        raise NotKnown(message)
    walk = _Walk(streams, plan, row)
    await walk.visit(record.zone, record, depth=0, known=True)
    segment = segment_of(record, row or 0)
    return Story(
        batch=str(root),
        row=row,
        source=record.zone,
        file=segment.file if segment else "",
        line=segment.line + (row or 0) - segment.first_row if segment else None,
        rows=record.rows_in,
        cut_s=record.cut_s,
        lookups=record.lookups,
        stops=tuple(walk.stops),
        ends=tuple(walk.ends),
    )


async def find_row(streams: Streams, plan: Plan, file: str, line: int) -> str:
    """Return the name of the row that was read from a line of a file, ``flights-000123/4711``.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        file: its path, or as much of the end of it as no other file has.
        line: from 1.

    Raises:
        NotKnown: if no such line was read, or several files are meant.
    """
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for zone in plan.zones:
        if zone.kind != "source":
            continue
        async for record in streams.records(zone.name):
            for segment in record.segments:
                if not is_meant(segment.file, file):
                    continue
                end = segment.line + segment.rows - 1
                lines[segment.file] = max(lines.get(segment.file, 0), end)
                if segment.line <= line <= end:
                    row = segment.first_row + line - segment.line
                    found.setdefault(segment.file, f"{record.batch}/{row}")
    exact = [name for name in lines if name == file]
    files = exact or list(lines)
    if len(files) > 1:
        message = f"{file} can be any of {', '.join(sorted(files)[:5])}: give more of its path"
        raise NotKnown(message)
    if not files:
        message = f"no line of {file} was read by a source of {plan.pipeline}, or not yet"
        raise NotKnown(message)
    if files[0] not in found:
        message = (
            f"{files[0]} was read up to line {lines[files[0]]}; line {line} was not, or not yet"
        )
        raise NotKnown(message)
    return found[files[0]]


def is_meant(path: str, given: str) -> bool:
    """Return whether ``given`` is a path, or the last parts of it."""
    given = given.removeprefix("./")
    return path == given or path.endswith("/" + given.lstrip("/"))


def segment_of(record: BatchRecord, row: int) -> Segment | None:
    """Return the segment that a row of a source's batch comes from."""
    for segment in record.segments:
        if segment.first_row <= row < segment.first_row + segment.rows:
            return segment
    return None


@dataclass(slots=True)
class _Walk:
    """Goes from zone to zone."""

    streams: Streams
    plan: Plan
    row: int | None
    stops: list[Stop] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    async def visit(self, zone: str, record: BatchRecord, *, depth: int, known: bool) -> None:
        """Tell what a zone did with a batch, and go on from there.

        Args:
            zone: its name.
            record: what it recorded.
            depth: how many replays it is away from the first way.
            known: whether the row still has the number that it had at its source.
        """
        if (zone, record.batch) in self.seen or len(self.stops) >= STOPS_MAX:
            return
        self.seen.add((zone, record.batch))
        row = self.row if known else None
        died = await self._dead(record, row, depth) if record.dead else False
        if died:
            return
        words = _counts(record, self.row, known=known)
        fate: Fate = "unclear" if row is not None and record.dropped else "passed"
        if record.sink:
            fate = "written" if fate == "passed" else fate
            words = f"written to {record.sink}; {words}"
            self.ends.append(f"{zone}: {record.sink}" + _one_of(record, self.row))
        elif not self.plan_outlets(zone) and fate == "passed":
            fate = "written"
            self.ends.append(f"{zone}" + _one_of(record, self.row))
        if fate == "unclear":
            self.ends.append(f"{zone}: perhaps dropped as declared ({_reasons(record)})")
        self._stop(record, fate, words, depth)
        if record.dead and row is None:
            await self._replays(record, depth)
        await self._onwards(record, depth=depth, known=known and record.numbered)

    def plan_outlets(self, zone: str) -> list[str]:
        """Return the edges behind a zone."""
        return [edge.name for edge in self.plan.edges if edge.publisher == zone]

    async def _onwards(self, record: BatchRecord, *, depth: int, known: bool) -> None:
        """Go to the readers of a zone."""
        ways = {edge.name: edge.publisher for edge in self.plan.edges if edge.by_way}
        batch = BatchId.parse(record.batch)
        for edge in record.published:
            named = str(batch.by_way_of(ways[edge])) if edge in ways else record.batch
            await self._arrive(edge, named, depth=depth, known=known)
        for edge, rows in record.shed.items():
            self._shed(record, edge, rows, depth)
        for edge in record.missed:
            core = settling.without_ways(record.batch)
            settled = await settling.load(self.streams, core)
            acts = [act for act in settled.of("backfill", edge) if act.missed == record.batch]
            end = f"{edge} was cut and missed {record.batch}"
            words = end + ("" if acts else f": `firedoor backfill {edge}` runs it there")
            self._stop(record, "missed", words, depth, zone=edge.partition(":")[2])
            if not acts:
                self.ends.append(f"{edge.partition(':')[2]}: {words}")
            for act in acts:
                made = BatchId.parse(settled.made(act))
                for way in settling.ways_of(record.batch):
                    made = made.by_way_of(way)
                named = str(made.by_way_of(ways[edge]) if edge in ways else made)
                await self._arrive(edge, named, depth=depth + 1, known=known)

    def _shed(self, record: BatchRecord, edge: str, rows: int, depth: int) -> None:
        """Tell that rows were not published, because an inbox was full and so it was declared."""
        some = rows < record.rows_out
        words = f"{rows} of {record.rows_out} rows were shed at {edge}, which was full"
        if some and self.row is not None:
            words += "; whether this row is among them is not kept"
        self._stop(record, "unclear" if some else "shed", words, depth, zone=edge.partition(":")[2])
        self.ends.append(f"{edge.partition(':')[2]}: {words}")

    async def _arrive(self, edge: str, batch: str, *, depth: int, known: bool) -> None:
        """Tell what became of a batch behind an edge."""
        zone = edge.partition(":")[2]
        record = await self.streams.recorded(zone, batch)
        if record is not None:
            await self.visit(zone, record, depth=depth, known=known)
            return
        if len(self.stops) >= STOPS_MAX:
            return
        tried = await self.streams.attempts(zone, batch)
        waiting = 0
        if edge in {known.name for known in self.plan.edges}:
            waiting = (await self.streams.depth(edge)).messages
        words = f"in flight: waits in the inbox {edge} ({waiting} batches there)"
        if tried.counts:
            words = f"in flight: being tried, {tried.last}"
        elif not waiting:
            words = f"no record of it, and nothing waits in {edge}: it was on its way just now"
        self.stops.append(
            Stop(
                zone=zone,
                batch=batch,
                fate="waiting",
                words=words,
                depth=depth,
                attempts=tried.counts,
            )
        )
        self.ends.append(f"{zone}: {words}")

    async def _dead(self, record: BatchRecord, row: int | None, depth: int) -> bool:
        """Tell how the row died, if it did; for a whole batch nothing is told here."""
        if row is None:
            return False
        found = await self.streams.dead_rows(record.zone, record.batch)
        if found is not None:
            entry, payload = found
            _, reasons = decode_dead(entry, payload)
            mine = reasons.filter(pl.col(ROW) == row)
            if mine.height:
                why = mine.row(0, named=True)
                lines = {group.signature: group.line for group in entry.groups}
                message = str(why["message"])
                known = "" if why["signature"] in message else f"{why['signature']}: "
                self._stop(
                    record,
                    "dead",
                    f"dead: {known}{message}",
                    depth,
                    line=lines.get(why["signature"]),
                )
                self.ends.append(
                    f"{record.zone}: a dead letter: firedoor dlq show {record.batch}/{row}"
                )
                return True
        settled = await settling.load(self.streams, record.batch)
        for act in settled.acts:
            if act.zone != record.zone or not settling.holds_row(act.spans, row):
                continue
            if act.kind == "discard":
                words = f"dead, and discarded by {act.by}: {act.because}"
                self._stop(record, "discarded", words, depth)
                self.ends.append(f"{record.zone}: discarded ({act.because})")
                return True
            made = settled.made(act)
            self._stop(record, "replayed", f"dead, and replayed as {made} by {act.by}", depth)
            await self._arrive(record.edge, made, depth=depth + 1, known=True)
            return True
        return False

    async def _replays(self, record: BatchRecord, depth: int) -> None:
        """Follow the replays of a whole batch's dead rows."""
        settled = await settling.load(self.streams, record.batch)
        for act in settled.of("replay", record.zone):
            await self._arrive(record.edge, settled.made(act), depth=depth + 1, known=True)

    def _stop(
        self,
        record: BatchRecord,
        fate: Fate,
        words: str,
        depth: int,
        *,
        zone: str = "",
        line: str | None = None,
    ) -> None:
        """Add a stop."""
        self.stops.append(
            Stop(
                zone=zone or record.zone,
                batch=record.batch,
                fate=fate,
                words=words,
                depth=depth,
                version=record.zone_version,
                at_s=record.ended_s,
                seconds=record.ended_s - record.began_s,
                deliveries=record.deliveries,
                attempts=record.attempts,
                models=record.models,
                line=line,
            )
        )


def _counts(record: BatchRecord, row: int | None, *, known: bool) -> str:
    """Say what a zone did with the batch as a whole."""
    parts = [f"{record.passed} of {record.rows_in} rows passed"]
    if record.rows_out != record.passed:
        parts.append(f"made {record.rows_out} rows of them")
    if record.dead:
        parts.append(f"{record.dead} died")
    if record.dropped:
        unknown = "; whether this row is among them is not kept" if row is not None else ""
        parts.append(f"dropped as declared: {_reasons(record)}{unknown}")
    if record.weight > 1:
        parts.append(f"each stands for {record.weight:g}")
    parts += [f"made of {name}, {tell(grade)}" for name, grade in worse_than_live(record.quality)]
    parts += [f"scored by {version}" for version in record.models.values()]
    parts += [f"not good enough for {edge.partition(':')[2]}" for edge in record.elsewhere]
    if row is not None and not known:
        parts.append("rows have no numbers here, since a zone before made new ones")
    return ", ".join(parts)


def _reasons(record: BatchRecord) -> str:
    """Say what was dropped and why."""
    return ", ".join(f"{rows} {reason}" for reason, rows in record.dropped.items())


def _one_of(record: BatchRecord, row: int | None) -> str:
    """Say that a row is one of those that were written."""
    return f" ({'one of ' if row is not None else ''}{record.passed} rows)"

"""The stage of a transform: the step behind its wall, on batches as bytes."""

from __future__ import annotations

import asyncio
import functools
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import polars as pl

from firedoor.compose.aimed import Aimed
from firedoor.compose.pinned import PinnedLookups
from firedoor.compose.serving import ServedModels
from firedoor.compute import ipc, letters
from firedoor.compute.conversation import Manner
from firedoor.compute.crew import Crew
from firedoor.compute.held import Held
from firedoor.compute.models import DAMAGED
from firedoor.compute.outputs import Settled
from firedoor.compute.passage import Passage
from firedoor.compute.step import StepReference
from firedoor.compute.suspicion import Rules
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.names import BatchId
from firedoor.ports.faults import Faults
from firedoor.ports.stage import DeadRows, Handled, Journal, Parcel
from firedoor.quality.grades import merged
from firedoor.spec.plan import Plan, SchemaNote, ZonePlan
from firedoor.spec.wall import WallOptions
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder

if TYPE_CHECKING:
    from firedoor.spec.wall import WallArguments

JOURNAL_S = 60.0
FAILED_LATELY_S = 60.0
DEPENDENCY_ERRORS = (
    "BrokenPipeError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "InterfaceError",
    "OperationalError",
    "PoolTimeout",
    "ReadTimeout",
    "RemoteDisconnected",
    "ServiceUnavailable",
    "TimeoutError",
    "URLError",
    "gaierror",
)
"""Exceptions by which Python, database drivers (PEP 249) and HTTP clients say that something else
is away. Where a step fails by one of them on more than a few rows, it is not the step."""


def build_stage(
    zone: ZonePlan, plan: Plan, *, project: Path, faults: Faults | None = None
) -> WallStage:
    """Return the stage of a transform.

    Args:
        zone: the transform.
        plan: its pipeline.
        project: the project folder, ``.firedoor``, in which lookups and models are.
        faults: what a drill injects here.
    """
    sys.path[:] = [*sys.path, *(path for path in plan.sys_path if path not in sys.path)]
    options = dict(zone.wall)
    if zone.lookups:
        folder = project / "lookups"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options["reads"] = [*cast("list[str]", options.get("reads") or []), str(folder)]
    models = ServedModels(zone, project=project)
    if zone.models:
        options["reads"] = [*cast("list[str]", options.get("reads") or []), str(models.folder)]
    lookups = PinnedLookups(zone, plan, project=project)
    limits = WallOptions(**cast("WallArguments", options))
    return WallStage(zone, limits, lookups, models, faults=faults)


class WallStage:
    """Takes batches through a wall. See ``ports.stage.Stage``."""

    def __init__(
        self,
        zone: ZonePlan,
        options: WallOptions,
        lookups: PinnedLookups,
        models: ServedModels,
        *,
        faults: Faults | None = None,
    ) -> None:
        """Prepare; workers start at the first batch, or at ``warm``."""
        assert zone.step is not None, "a transform has a step"
        self._zone = zone
        self._lookups = lookups
        self._models = models
        self._served: dict[str, str] = {}
        """Versions of models by which the latest batch was scored."""
        self._orders: tuple[GuardOrder, ...] = ()
        reference = StepReference(
            zone.step.name, zone.step.pickled, zone.step.main_path, zone.step.main_module
        )
        self._passage = Passage(
            reference,
            options,
            name=zone.name,
            schema=_rules(zone.schema),
            out_schema=_rules(zone.out_schema),
        )
        self._threads = ThreadPoolExecutor(options.workers + 1, thread_name_prefix=zone.name)
        self._aimed = Aimed(faults, self._threads, memory_bytes=options.memory_bytes)

    async def warm(self) -> None:
        """Start a worker before the first batch comes.

        Raises:
            StepUnloadable, WorkersUnavailable: if that cannot be.
        """
        crew = self._passage.crew
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, lambda: crew.give_back(crew.take()))

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Take a batch through. See ``ports.stage.Stage.handle``."""
        loop = asyncio.get_running_loop()

        def note(cause: str, where: str) -> None:
            asyncio.run_coroutine_threadsafe(_told(journal, cause, where), loop).result(JOURNAL_S)

        marks = BatchId.parse(envelope.batch).marks
        replayed = any(mark.startswith("~r") for mark in marks)
        joined = self._lookups.of(envelope)
        manner = Manner(
            compress=True,
            lookups=joined.files,
            journal=note,
            lenient=replayed,
            attempt=envelope.attempt,
            orders=self._orders,
            strike=await self._aimed.at(envelope, payload, proven=self._passage.crew.proven),
        )
        work = functools.partial(self._work, envelope, payload, manner)
        try:
            handled = await loop.run_in_executor(self._threads, work)
            return replace(
                handled, quality=merged(handled.quality, joined.grades), lookups=joined.versions
            )
        except StepAtFault as fault:
            kind = fault.signature.partition(" at ")[0].rpartition(".")[2]
            if kind in DEPENDENCY_ERRORS or kind in self._failed_calls():
                raise DependencyDown(str(fault)) from fault
            raise

    def workers_lost(self) -> int:
        """Return how many workers died so far."""
        return self._passage.report().workers_lost

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how the guards are that the step calls through."""
        return self._passage.guards()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have guards do as a person wants, from the next batch on."""
        self._orders = orders

    def report(self) -> str:
        """Return what happened behind the wall."""
        return f"{self._passage.report()}{self._models.report()}"

    def processes(self) -> dict[str, list[int]]:
        """Return process ids: ``server``, ``workers``."""
        return self._passage.crew.pids()

    def close(self) -> None:
        """End the workers."""
        Crew.close(self._passage.crew)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _failed_calls(self) -> set[str]:
        """Return the exceptions by which calls through guards failed lately."""
        bad = (call for note in self.guards() for call in note.explained.last_bad)
        return {call.cause.partition(":")[0] for call in bad if call.ago_s < FAILED_LATELY_S}

    def _work(self, envelope: Envelope, payload: bytes, manner: Manner) -> Handled:
        """Take a batch through, in a thread of the stage."""
        served = self._models.of(envelope.models)
        if served.versions != self._served:
            self._served = served.versions
            self._passage.crew.sample = None  # it would have new workers load the version before
        manner = replace(manner, models=served.files)
        incoming = payload[envelope.frame_bytes :]
        numbers = decode_numbers(incoming) if incoming else None
        frame = payload[: envelope.frame_bytes] if incoming else payload
        held = Held.of_bytes(frame, envelope.rows)
        tally = self._passage.tally
        began_s = tally.step_s
        try:
            settled = self._passage.take(held, manner)
        except StepAtFault as fault:
            if fault.code != DAMAGED:
                raise
            self._models.renew(served)
            raise DependencyDown(f"{fault}: they are copied again") from fault
        return Handled(
            parcel=_parcel(settled, held, numbers, incoming=incoming),
            dead=self._dead(settled, held, numbers),
            dropped=settled.dropped,
            numbered=settled.rows is not None,
            quality=settled.quality,
            models=served.versions,
            step_s=tally.step_s - began_s,
        )

    def peak_bytes(self) -> int:
        """Return the most memory that a worker has taken so far."""
        return self._passage.report().peak_bytes

    def _dead(self, settled: Settled, held: Held, numbers: pl.Series | None) -> DeadRows | None:
        """Return the dead rows as bytes, numbered as their source numbered them."""
        reasons = settled.reasons
        if not reasons.height:
            return None
        rows = held.frame[reasons["row"]]
        if numbers is not None:
            reasons = reasons.with_columns(row=numbers.gather(reasons["row"]))
        return letters.pack(rows, reasons, sensitive=self._zone.sensitive)


def decode_numbers(section: bytes) -> pl.Series:
    """Return the row numbers in the second section of a payload."""
    return ipc.decode(io.BytesIO(section))["row"]


def encode_numbers(numbers: pl.Series) -> bytes:
    """Return row numbers as the second section of a payload."""
    return b"".join(ipc.encode(numbers.cast(pl.UInt32).alias("row").to_frame(), compress=True))


def _parcel(settled: Settled, held: Held, numbers: pl.Series | None, *, incoming: bytes) -> Parcel:
    """Return what goes on: the rows as they left the worker, and their numbers if need be."""
    frame = settled.good.bytes_of_frame(compress=True)
    rows = settled.good.height
    section = b""
    if settled.rows is not None:
        if settled.rows.len() == held.height:
            section = b"" if numbers is None else incoming
        else:
            kept = settled.rows if numbers is None else numbers.gather(settled.rows)
            section = encode_numbers(kept)
    return Parcel(frame + section if section else frame, len(frame), rows, settled.schema)


async def _told(journal: Journal, cause: str, where: str) -> None:
    """Have the runner keep a failed run."""
    await journal(cause, where)


def _rules(note: SchemaNote | None) -> Rules | None:
    """Return what is known of a schema."""
    if note is None:
        return None
    return Rules(note.name, lambda rule: _columns_of(note, rule))


def _columns_of(note: SchemaNote, rule: str) -> tuple[str, ...]:
    """Return the columns that a rule reads."""
    column, _, kind = rule.rpartition("|")
    return (column,) if kind == "dtype" else note.rules.get(rule, ())

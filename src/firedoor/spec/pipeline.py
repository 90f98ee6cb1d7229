"""``Pipeline``: zones joined by streams, declared in Python, checked where they are declared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack, overload

from firedoor.errors import DeclarationError
from firedoor.names import check_name
from firedoor.spec import steps
from firedoor.spec.beside import Beside, Function
from firedoor.spec.checking import (
    check_bytes,
    check_columns,
    check_known,
    check_number,
    check_switch,
    check_text,
)
from firedoor.spec.degrade import check_ladder
from firedoor.spec.drills import check_drills, check_environment
from firedoor.spec.edge import INBOX
from firedoor.spec.exempt import Exempt, check_exempt
from firedoor.spec.lookup import Lookup, check_lookups
from firedoor.spec.model_use import check_models
from firedoor.spec.options import (
    FOLDER_SINK,
    FUNCTION_SINK,
    SOURCE,
    TRANSFORM,
    FolderSinkOptions,
    StepOptions,
    TransformOptions,
)
from firedoor.spec.plan import EdgePlan, WhenFull
from firedoor.spec.reads import Reads
from firedoor.spec.schema_note import check_schema, check_times
from firedoor.spec.slo import SLO, check_slo
from firedoor.spec.sources import Files, Frames, check_folder
from firedoor.spec.upkeep import SourceUpkeep, check_runbook, declared_at, take_upkeep
from firedoor.spec.zone import Reading, Zone, check_gate
from firedoor.spec.zone_wall import check_wall

if TYPE_CHECKING:
    import dataframely as dy

ROWS_MAX = 1_000_000
RATE_MAX = 1e9
ROOM_BYTES = (2**20, 2**44)
RETENTION_MAX_DAYS = 3_650


class Pipeline(Beside):
    """Zones joined by streams.

    Args:
        name: names streams, metrics and folders: small letters, digits and ``_``.
        owner: who is told, for zones that name nobody else.
        dead_bytes: room for dead letters, 1 MiB to 16 TiB; when it is full, zones pause.
        predictions_bytes: room for copies of what services answer, 1 MiB to 16 TiB; when it is
            full, the oldest go.
        retention_days: how long records are kept, up to 3,650. Dead letters stay until they are
            replayed or discarded.
        runbook: a URL or a path, for zones that name no other.
        exempt: rules of ``firedoor check`` that shall not count for the pipeline as a whole.
        environment: ``development``, where a drill may inject anything, or ``production``, where
            only what zones allow and a person agrees to. Default: production where the broker is
            one that firedoor has not started. ``FIREDOOR_ENVIRONMENT`` overrides it.
        drills: faults that may be injected in production, for zones that name none.

    Raises:
        DeclarationError: for anything that cannot work.

    Each zone is declared after those that it reads, so there are no circles. Paths are relative
    to the file in which ``Pipeline(...)`` is written.
    """

    def __init__(
        self,
        name: str,
        *,
        owner: str = "",
        dead_bytes: int | str = "1GiB",
        predictions_bytes: int | str = "1GiB",
        retention_days: float = 30,
        runbook: str = "",
        exempt: Sequence[Exempt] = (),
        environment: Literal["development", "production"] | None = None,
        drills: Sequence[str] = (),
    ) -> None:
        """Begin without zones."""
        called, told = check_name("pipeline", name), check_text("owner", owner)
        self.dead_bytes_max = check_bytes("dead_bytes", dead_bytes, *ROOM_BYTES)
        self.predictions_bytes_max = check_bytes(
            "predictions_bytes", predictions_bytes, *ROOM_BYTES
        )
        check_number("retention_days", retention_days, 0.01, RETENTION_MAX_DAYS, "days")
        self.retention_days = float(retention_days)
        book, self.exempt = check_runbook(runbook), check_exempt(exempt)
        self.environment = check_environment(environment)
        frame = inspect.currentframe()
        file = frame.f_back.f_globals.get("__file__") if frame and frame.f_back else None
        folder = Path(file).resolve().parent if file else Path.cwd()
        super().__init__(called, told, folder, runbook=book, drills=check_drills(drills))

    def __repr__(self) -> str:
        """Return name and zones."""
        return f"<Pipeline {self.name}: {', '.join(self._declared.zones) or 'no zones'}>"

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones, each after those that it reads."""
        return tuple(self._declared.zones.values())

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        """The lookups that any zone joins to, each once."""
        used = (lookup for zone in self.zones for lookup in zone.lookups.values())
        return tuple({lookup.name: lookup for lookup in used}.values())

    def zone(self, name: str) -> Zone:
        """Return a zone. Raises KeyError if there is none of that name."""
        return self._declared.zones[name]

    def freeze(self) -> tuple[EdgePlan, ...]:
        """Return the edges. After this no zone can be added.

        Raises:
            DeclarationError: if there is neither a source nor a job nor a service, or a zone whose
                rows nobody reads.
        """
        return self._declared.freeze()

    def source(
        self,
        name: str,
        form: Files | Frames,
        *,
        schema: type[dy.Schema] | None = None,
        batch_rows: int = 10_000,
        rate: float | None = None,
        sensitive: Sequence[str] = (),
        throttle_share: float = 0.02,
        dead_max: float = 0.1,
        owner: str | None = None,
        slo: SLO | None = None,
        **upkeep: Unpack[SourceUpkeep],
    ) -> Zone:
        """Declare where rows come from, and return the handle to read it by.

        Args:
            name: also names the batches: ``flights-000123``.
            form: ``fd.jsonl``, ``fd.csv``, ``fd.parquet`` or ``fd.frames``.
            schema: what rows must be; others are dead letters. Its times name their zone.
            batch_rows: rows in a batch, 1 to 1,000,000.
            rate: rows a second at most, to replay history at a pace; None: as fast as they go.
            sensitive: columns that listings, logs, traces and exports mask, here and downstream;
                ``schema`` declares them, if there is one.
            throttle_share: share of dead rows above which it reads more slowly. 0 to 1.
            dead_max: share of dead rows above which it halts. 0 to 1; 1 disables.
            owner: default: the pipeline's.
            slo: what it promises.
            upkeep: ``runbook``, ``exempt``, ``drills``, and ``peak``: rows a second at the
                busiest hour.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        check_known(upkeep.items(), SOURCE, "a source")
        if not isinstance(form, Files | Frames):
            remedy = f'write pipeline.source({name!r}, fd.jsonl("data/*.jsonl"))'
            raise DeclarationError("form", form, "is nothing rows are read from", remedy)
        check_number("batch_rows", batch_rows, 1, ROWS_MAX, "rows", whole=True)
        if rate is not None:
            check_number("rate", rate, 0.001, RATE_MAX, "rows a second")
        return self._declared.add(
            Zone(
                name=check_name("source", name),
                kind="source",
                pipeline=self.name,
                owner=self._owner(owner),
                schema=check_times("schema", check_schema("schema", schema)),
                reading=Reading(form=form, batch_rows=batch_rows, rate=rate),
                sensitive=check_columns("sensitive", sensitive),
                gate=check_gate(throttle_share, dead_max),
                slo=check_slo(slo),
                upkeep=take_upkeep(upkeep, self.runbook, self.drills)[0],
                where=declared_at(),
            )
        )

    def transform(
        self,
        *,
        reads: Reads,
        name: str | None = None,
        schema: type[dy.Schema] | None = None,
        out_schema: type[dy.Schema] | None = None,
        lookups: Mapping[str, Lookup] | None = None,
        expands: bool = False,
        when_full: WhenFull | None = None,
        inbox: int | str = INBOX,
        throttle_share: float = 0.02,
        dead_max: float = 0.1,
        sensitive: Sequence[str] = (),
        owner: str | None = None,
        slo: SLO | None = None,
        **more: Unpack[TransformOptions],
    ) -> Callable[[Function], Function]:
        """Declare a step that rows flow through. Decorates a plain function, and returns it.

        Args:
            reads: handle, decorated function or name of a zone, ``fd.Edge``, or a list of them.
            name: default: the function's.
            schema: what rows must be before the step; others are dead letters.
            out_schema: what the step promises to return.
            lookups: by parameter of the function, what it joins to.
            expands: the step may return more rows than it is given.
            when_full: what becomes of rows when an inbox is full; default: ``block`` for the only
                reader of a zone, ``detach`` where it has several.
            inbox: bytes that may wait on each edge, from 8 MiB.
            throttle_share: share of dead rows above which it pulls more slowly. 0 to 1.
            dead_max: share of dead rows above which it halts. 0 to 1; 1 disables.
            sensitive: columns to mask, here and downstream.
            owner: default: the pipeline's.
            slo: what it promises.
            more: limits of the wall, see ``WallOptions``, whose ``reads`` is ``may_read`` here;
                what ``firedoor check`` judges by: ``depends``, the guards that the step calls
                through, ``batch_s``, ``batch_bytes``, ``runbook``, ``exempt`` and ``drills``;
                ``degrade``, what it does under pressure, ``requires_quality``, which batches it
                takes, and ``models``, what it scores by.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        check_known(more.items(), TRANSFORM, "a transform")
        upkeep, wall = take_upkeep(more, self.runbook, self.drills)
        check_switch("expands", expands)
        options, given = check_wall({**wall, "expands": expands}, self.folder)
        joined = check_lookups(lookups, {lookup.name: lookup for lookup in self.lookups})
        models = check_models(more.get("models"), joined, self.zones)
        ladder = check_ladder(more.get("degrade", ()), joined)
        inboxes = self._declared.inboxes(reads, when_full, inbox)
        demand = self._declared.demand(more.get("requires_quality"), inboxes)
        gate, masked = check_gate(throttle_share, dead_max), check_columns("sensitive", sensitive)
        schemas = (check_schema("schema", schema), check_schema("out_schema", out_schema))
        promised, told = check_slo(slo), self._owner(owner)

        def declare(step: Function) -> Function:
            steps.check_transform(step, [*joined, *models])
            zone = Zone(
                name=steps.name_of(name, step), kind="transform", pipeline=self.name, owner=told,
                doc=steps.doc_of(step), inboxes=inboxes, step=step,
                schema=schemas[0], out_schema=schemas[1], options=options, given=given,
                lookups=joined, models=models, gate=gate, sensitive=masked, expands=expands,
                slo=promised, upkeep=upkeep, ladder=ladder, demand=demand, where=declared_at(),
            )  # fmt: skip
            self._declared.add_step(step, zone)
            return step

        return declare

    @overload
    def sink(
        self,
        name: str,
        to: Files,
        *,
        reads: Reads,
        when_full: WhenFull | None = None,
        inbox: int | str = INBOX,
        owner: str | None = None,
        slo: SLO | None = None,
        **more: Unpack[FolderSinkOptions],
    ) -> Zone: ...

    @overload
    def sink(
        self,
        name: str | None = None,
        to: None = None,
        *,
        reads: Reads,
        schema: type[dy.Schema] | None = None,
        when_full: WhenFull | None = None,
        inbox: int | str = INBOX,
        throttle_share: float = 0.02,
        dead_max: float = 0.1,
        sensitive: Sequence[str] = (),
        owner: str | None = None,
        slo: SLO | None = None,
        **more: Unpack[StepOptions],
    ) -> Callable[[Function], Function]: ...

    def sink(
        self,
        name: str | None = None,
        to: Files | None = None,
        *,
        reads: Reads,
        schema: type[dy.Schema] | None = None,
        when_full: WhenFull | None = None,
        inbox: int | str = INBOX,
        throttle_share: float = 0.02,
        dead_max: float = 0.1,
        sensitive: Sequence[str] = (),
        owner: str | None = None,
        slo: SLO | None = None,
        **more: Unpack[StepOptions],
    ) -> Zone | Callable[[Function], Function]:
        """Declare where rows end: a folder of Parquet files, or a function.

        ``pipeline.sink("store", fd.parquet("out/"), reads=weather)`` returns a handle. Without
        a folder it decorates a function ``def post(frame, key)``, called once with all rows of a
        batch, in a worker behind a wall. After a crash it can be called again with the same key
        (``post/flights-000123``): let the key decide whether the effect is there already.

        See ``transform`` for the other arguments.

        Raises:
            DeclarationError: for anything that cannot work.
        """
        known = FUNCTION_SINK if to is None else FOLDER_SINK
        written: dict[str, object] = {**more}
        if schema is not None:
            written["schema"] = schema
        if tuple(sensitive):
            written["sensitive"] = sensitive
        check_known(written.items(), known, "a sink" if to is None else "a sink that writes files")
        inboxes = self._declared.inboxes(reads, when_full, inbox)
        demand = self._declared.demand(more.get("requires_quality"), inboxes)
        promised, told = check_slo(slo), self._owner(owner)
        upkeep, wall = take_upkeep(more, self.runbook, self.drills)
        if to is not None:
            folder = check_folder(to)
            zone = Zone(
                name=check_name("sink", name), kind="sink", pipeline=self.name, owner=told,
                inboxes=inboxes, folder=folder, slo=promised, upkeep=upkeep, demand=demand,
                where=declared_at(),
            )  # fmt: skip
            return self._declared.add(zone)
        options, given = check_wall(wall, self.folder)
        checked, masked = check_schema("schema", schema), check_columns("sensitive", sensitive)
        gate = check_gate(throttle_share, dead_max)

        def declare(step: Function) -> Function:
            steps.check_sink(step)
            zone = Zone(
                name=steps.name_of(name, step), kind="sink", pipeline=self.name, owner=told,
                doc=steps.doc_of(step), inboxes=inboxes, step=step, schema=checked,
                options=options, given=given, gate=gate, sensitive=masked, slo=promised,
                upkeep=upkeep, demand=demand, where=declared_at(),
            )  # fmt: skip
            self._declared.add_step(step, zone)
            return step

        return declare

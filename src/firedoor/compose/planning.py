"""A declared pipeline as a plan. Runs where user code runs: steps and schemas are at hand here."""

from __future__ import annotations

import functools
import glob
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from firedoor.compose.arguments import reads_argument
from firedoor.compose.noting import beside, hash_of, inner, note, sources_of
from firedoor.compose.planning_services import plan_service
from firedoor.spec.dataset import plan_dataset
from firedoor.spec.graph import sensitive_of
from firedoor.spec.job import Job
from firedoor.spec.lookup import Lookup
from firedoor.spec.pipeline import Pipeline
from firedoor.spec.plan import JobPlan, LadderPlan, LookupPlan, Plan, SinkPlan, SourcePlan, ZonePlan
from firedoor.spec.reach import check_reach
from firedoor.spec.referred import StepNote
from firedoor.spec.schema_note import note_schema
from firedoor.spec.sources import Frames
from firedoor.spec.zone import Zone

Option = bool | int | float | str | list[str | int] | None


def plan_of(pipeline: Pipeline, *, file: Path, sys_path: tuple[str, ...]) -> Plan:
    """Return a pipeline as a plan, frozen from now on.

    Args:
        pipeline: as declared by a file that was run under the name ``__mp_main__``.
        file: that file.
        sys_path: where processes that import user code look for modules.

    Raises:
        DeclarationError: if a worker could not find a step or schema, or rows would go nowhere.
    """
    edges = pipeline.freeze()
    masked = sensitive_of(pipeline.zones)
    zones = tuple(_zone(zone, pipeline, file, masked[zone.name]) for zone in pipeline.zones)
    return Plan(
        pipeline=pipeline.name,
        owner=pipeline.owner,
        file=str(file),
        sys_path=sys_path,
        zones=zones,
        edges=edges,
        lookups=tuple(_lookup(lookup, pipeline.folder) for lookup in pipeline.lookups),
        dead_bytes_max=pipeline.dead_bytes_max,
        predictions_bytes_max=pipeline.predictions_bytes_max,
        retention_days=pipeline.retention_days,
        exempt=pipeline.exempt,
        environment=pipeline.environment,
        drills=pipeline.drills,
        jobs=tuple(_job(job, pipeline, file, zones) for job in pipeline.jobs),
        datasets=tuple(plan_dataset(one, _folder(one.sink, pipeline)) for one in pipeline.datasets),
        services=tuple(
            plan_service(
                one,
                file=file,
                folder=pipeline.folder,
                runbook=_runbook(one.runbook, pipeline.folder),
            )
            for one in pipeline.services
        ),
    )


def _zone(zone: Zone, pipeline: Pipeline, file: Path, sensitive: tuple[str, ...]) -> ZonePlan:
    """Return a zone as a plain value, with the version of its code."""
    plan = ZonePlan(
        name=zone.name,
        kind=zone.kind,
        owner=zone.owner,
        version="",
        doc=zone.doc,
        step=_step(zone, file),
        schema=note_schema("schema", zone.schema),
        out_schema=note_schema("out_schema", zone.out_schema),
        wall={name: _plain(value) for name, value in zone.given.items()},
        source=_source(zone, pipeline.folder),
        sink=_sink(zone, pipeline.folder),
        lookups={parameter: lookup.name for parameter, lookup in zone.lookups.items()},
        models=dict(zone.models),
        gate=zone.gate,
        sensitive=sensitive,
        expands=zone.expands,
        slo=dict(zone.slo),
        where=zone.where,
        runbook=_runbook(zone.upkeep.runbook, pipeline.folder),
        depends=zone.upkeep.depends,
        load=zone.upkeep.load,
        exempt=zone.upkeep.exempt,
        drills=zone.upkeep.drills,
        ladder=_ladder(zone),
        demand=zone.demand,
    )
    return msgspec.structs.replace(plan, version=_version(zone, plan))


def _ladder(zone: Zone) -> LadderPlan | None:
    """Return what a zone does under pressure; it samples as no other zone does."""
    if zone.ladder is None or zone.ladder.sample is None:
        return zone.ladder
    sample = msgspec.structs.replace(zone.ladder.sample, salt=zone.name)
    return msgspec.structs.replace(zone.ladder, sample=sample)


def _folder(sink: str, pipeline: Pipeline) -> str:
    """Return the folder that a sink writes."""
    return _absolute(pipeline.zone(sink).folder, pipeline.folder)


def _job(job: Job, pipeline: Pipeline, file: Path, zones: tuple[ZonePlan, ...]) -> JobPlan:
    """Return a job as a plain value, with the version of its code."""
    dataset = job.dataset.name if job.dataset else ""
    if job.dataset is not None and job.dataset.sealed:
        check_reach(job.name, job.limits.may_read, zones, file)
    step = note(
        f"job {job.name!r}", _run_by(job), memory_bytes=job.limits.memory_bytes, by_value=False,
        file=file,
    )  # fmt: skip
    limits = msgspec.structs.replace(job.limits, may_read=())
    told: tuple[object, ...] = (limits, job.parameters, dataset or job.reads)
    said = msgspec.json.encode((*told, job.evaluation) if job.evaluation else told, order="sorted")
    made = (job.step, *job.checks.values())
    sources = {module: text for one in made for module, text in sources_of(one).items()}
    sources.update(beside(file))
    return JobPlan(
        name=job.name,
        owner=job.owner,
        version=hash_of(said, sources),
        step=step,
        limits=job.limits,
        doc=job.doc,
        reads=job.reads,
        folder=_folder(job.reads, pipeline) if job.reads else "",
        dataset=dataset,
        evaluation=job.evaluation,
        parameters=dict(job.parameters),
        trigger=job.trigger,
        slo=dict(job.slo),
        where=job.where,
    )


def _run_by(job: Job) -> Callable[..., object]:
    """Return what the worker of a job runs: of an evaluation, what calls the user's functions."""
    if job.evaluation is None:
        return job.step
    from firedoor.compute.predicting import predict  # noqa: PLC0415 - imports numpy, an extra

    return functools.partial(predict, evaluate=job.step, checks=dict(job.checks))


def _step(zone: Zone, file: Path) -> StepNote | None:
    """Return what a worker needs to find the step of a zone, if it has one."""
    if zone.step is None or zone.options is None:
        return None
    return note(
        f"zone {zone.name!r}", zone.step, zone.schema, zone.out_schema,
        memory_bytes=zone.options.memory_bytes, by_value=zone.options.cloudpickle, file=file,
    )  # fmt: skip


def _source(zone: Zone, folder: Path) -> SourcePlan | None:
    """Return what a source reads, with absolute paths."""
    if zone.reading is None:
        return None
    form, rows, rate = zone.reading.form, zone.reading.batch_rows, zone.reading.rate
    if isinstance(form, Frames):
        return SourcePlan(form="frames", batch_rows=rows, rate=rate)
    return SourcePlan(
        form=form.form,
        patterns=tuple(_pattern(path, folder) for path in form.paths),
        batch_rows=rows,
        rate=rate,
        follow=form.follow,
        line_bytes_max=form.line_bytes_max,
    )


def _sink(zone: Zone, folder: Path) -> SinkPlan | None:
    """Return what a sink writes."""
    if zone.kind != "sink":
        return None
    if zone.step is not None:
        return SinkPlan(form="function", keyed=reads_argument(inner(zone.step), "key"))
    return SinkPlan(form="parquet", path=_absolute(zone.folder, folder))


def _lookup(lookup: Lookup, folder: Path) -> LookupPlan:
    """Return a lookup as a plain value."""
    return LookupPlan(
        name=lookup.name,
        path=_absolute(lookup.path, folder) if lookup.path else "",
        key=lookup.key,
        refresh_s=lookup.refresh_s,
        live_s=lookup.live_s,
    )


def _runbook(runbook: str, folder: Path) -> str:
    """Return where a runbook is: a URL as it is, a path as an absolute one."""
    return runbook if not runbook or "://" in runbook else _absolute(runbook, folder)


def _absolute(path: str, folder: Path) -> str:
    """Return a path or glob as an absolute one. Nothing needs to be there yet."""
    return str(folder / Path(path).expanduser())


def _pattern(path: str, folder: Path) -> str:
    """Return a path or glob as an absolute one, in which only the user's own part is a glob."""
    given = Path(path).expanduser()
    base = str(folder)
    if given.is_absolute() or not glob.has_magic(base):
        return _absolute(path, folder)
    return str(Path(glob.escape(base)) / given)


def _plain(value: object) -> Option:
    """Return the value of a wall's option as JSON has it."""
    if isinstance(value, list | tuple):
        return [item if isinstance(item, int) else str(item) for item in value]
    return cast("Option", value)


def _version(zone: Zone, plan: ZonePlan) -> str:
    """Return a hash of the code that makes the zone's step and schemas, and of its options.

    Code is the source of the modules that define them, not of what these import. Paths are left
    out, so that the same code has the same version wherever it is.
    """
    reads = plan.source and msgspec.structs.replace(plan.source, patterns=())
    options = {name: value for name, value in plan.wall.items() if name != "reads"}
    told = (plan.kind, options, plan.lookups, plan.gate, plan.expands, reads)
    said = msgspec.json.encode(told, order="sorted")
    if plan.ladder or plan.demand:
        said += msgspec.json.encode((plan.ladder, plan.demand), order="sorted")
    if plan.models:  # which version an alias names is no part of the zone
        said += msgspec.json.encode(plan.models, order="sorted")
    return hash_of(said, sources_of(zone.step, zone.schema, zone.out_schema))

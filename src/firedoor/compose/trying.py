"""Each step run on frames without rows, to find what types cannot. User code: in a child only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import polars as pl

from firedoor.compose.hearing import ask_child, be_child
from firedoor.compose.lookup_reader import check as check_table
from firedoor.compose.pipeline_file import check_file, load_pipeline
from firedoor.compute import frames
from firedoor.compute.blame import encodable, of_exception, said_by
from firedoor.errors import FrameRefused, PipelineUnloadable
from firedoor.quality import gate
from firedoor.spec.lookup import Lookup
from firedoor.spec.pipeline import Pipeline
from firedoor.spec.plan import LookupPlan
from firedoor.spec.zone import Zone

TIMEOUT_S = 120.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a trial shows."""

    zone: str
    verdict: Literal["ok", "untried", "problem"]
    said: str = ""


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What the child found."""

    found: tuple[Found, ...] = ()
    error: str = ""


def try_pipeline(
    path: Path, *, timeout_s: float = TIMEOUT_S, python: str = sys.executable
) -> tuple[Found, ...]:
    """Return what running each step on no rows shows, zone by zone, from a child process.

    Args:
        path: the file that declares the pipeline.
        timeout_s: longest time that all of it may take.
        python: the interpreter.

    Raises:
        PipelineUnloadable: if the file cannot be loaded, or the child does not answer.
    """
    path = check_file(path)
    said = ask_child("firedoor.compose.trying", path, timeout_s=timeout_s, python=python)
    trials = msgspec.json.decode(said, type=Trials)
    if trials.error:
        raise PipelineUnloadable(trials.error)
    return trials.found


def answer_trials(path: Path) -> bytes:
    """Return what the trials show, as JSON. Runs in the child."""
    try:
        pipeline = load_pipeline(path)
    except PipelineUnloadable as error:
        return msgspec.json.encode(Trials(error=encodable(str(error))))
    return msgspec.json.encode(Trials(found=tuple(_try(pipeline))))


class _ZoneFails(Exception):
    """A zone cannot take the frame that it gets; the text says why."""


def _try(pipeline: Pipeline) -> list[Found]:
    """Take frames without rows through all zones, in order."""
    published: dict[str, pl.DataFrame] = {}
    found = []
    for zone in pipeline.zones:
        if zone.kind == "source":
            if zone.schema is not None:
                published[zone.name] = zone.schema.create_empty()
            said = "" if zone.schema is not None else "without schema=, its columns are not known"
            found.append(Found(zone=zone.name, verdict="ok", said=said))
            continue
        given = {
            inbox.publisher: published[inbox.publisher]
            for inbox in zone.inboxes
            if inbox.publisher in published
        }
        if not given and zone.schema is not None:
            given = {"its schema": zone.schema.create_empty()}
        found.append(_try_zone(zone, given, published, pipeline.folder))
    return found


def _try_zone(
    zone: Zone,
    given: Mapping[str, pl.DataFrame],
    published: dict[str, pl.DataFrame],
    folder: Path,
) -> Found:
    """Take each frame that a zone is given through it; note what it publishes."""
    if zone.models and zone.step is not None:
        # Loading a model runs code that the step's worker is sealed for.
        if zone.out_schema is not None:
            published[zone.name] = zone.out_schema.create_empty()
        used = " and ".join(sorted({model.name for model in zone.models.values()}))
        said = f"model {used} is loaded when rows come"
        return Found(zone=zone.name, verdict="untried", said=said)
    if not given:
        try:
            _joined(zone, folder)
        except _ZoneFails as error:
            return Found(zone=zone.name, verdict="problem", said=encodable(str(error)))
        said = "what it is given is not known: write schema= here, or at what it reads"
        return Found(zone=zone.name, verdict="untried", said=said)
    for publisher, frame in given.items():
        try:
            made = _through(zone, frame, folder)
        except _ZoneFails as error:
            said = encodable(f"on rows of {publisher}: {error}")
            return Found(zone=zone.name, verdict="problem", said=said)
        if made is not None:
            published.setdefault(zone.name, made)
    if zone.kind == "sink" and zone.step is not None:
        return Found(zone=zone.name, verdict="ok", said="not called, since a sink has effects")
    return Found(zone=zone.name, verdict="ok")


def _through(zone: Zone, frame: pl.DataFrame, folder: Path) -> pl.DataFrame | None:
    """Return what a zone makes of a frame without rows; None at a sink.

    Raises:
        _ZoneFails: if it cannot take it.
    """
    extra = zone.options.extra if zone.options is not None else "keep"
    try:
        if zone.schema is not None:
            frame = gate.judge(frame, zone.schema, extra=extra).kept
    except gate.SchemaBroken as error:
        raise _ZoneFails(str(error)) from error
    if zone.kind == "sink" or zone.step is None:
        return None
    joined = _joined(zone, folder)
    try:
        returned = zone.step(frames.from_polars(frame, frames.wanted_kind(zone.step)), **joined)
    except Exception as error:
        # Whatever the step raises: it is told.
        raise _ZoneFails(_told(error, frame.columns)) from error
    try:
        made = frames.returned_to_polars(returned)
        if zone.out_schema is not None:
            made = gate.check_output(made, zone.out_schema, extra=extra).kept
    except (frames.NotAFrame, gate.SchemaBroken) as error:
        raise _ZoneFails(str(error)) from error
    return made


def _joined(zone: Zone, folder: Path) -> dict[str, object]:
    """Return the tables that a step joins to, without their rows, by parameter."""
    if zone.step is None:
        return {}
    kind = frames.wanted_kind(zone.step)
    return {name: _empty(lookup, folder, kind) for name, lookup in zone.lookups.items()}


def _empty(lookup: Lookup, folder: Path, kind: frames.Kind) -> object:
    """Return a lookup's table without its rows."""
    try:
        made = lookup.make() if lookup.make is not None else _read(folder / lookup.path)
        table = frames.returned_to_polars(made)
        check_table(table, LookupPlan(name=lookup.name, key=lookup.key))
        return frames.from_polars(table.clear(), kind)
    except FrameRefused as refused:
        raise _ZoneFails(str(refused)) from refused
    except Exception as error:
        # A user's function, or a file of whatever content: it is told.
        raise _ZoneFails(f"lookup {lookup.name!r} cannot be read: {said_by(error)}") from error


def _read(path: Path) -> pl.DataFrame:
    """Return the columns of a table, and rows only where its form needs them to tell types."""
    match path.suffix.lower():
        case ".parquet":
            return pl.read_parquet(path, n_rows=0)
        case ".csv":
            return pl.read_csv(path)
        case _:
            return pl.read_ipc(path, n_rows=0)


def _told(error: Exception, columns: list[str]) -> str:
    """Return what a step raised, and where."""
    blame = of_exception(error, columns)
    return f"{blame.message} ({blame.line})" if blame.line else blame.message


if __name__ == "__main__":
    be_child(sys.argv[1:], answer_trials)

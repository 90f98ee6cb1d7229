"""The zones of a pipeline as a graph: rows that go nowhere, ways there are, full inboxes. Pure.

Zones come in an order in which each comes after those that it reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from firedoor.errors import DeclarationError
from firedoor.spec.compat import misfits
from firedoor.spec.plan import EdgePlan, ShedPlan, WhenFull
from firedoor.spec.schema_note import note_schema
from firedoor.spec.zone import Inbox, Zone


def check_whole(pipeline: str, zones: Sequence[Zone]) -> None:
    """Refuse a pipeline in which rows come from nowhere or go nowhere.

    Raises:
        DeclarationError: naming the zone and what to write.
    """
    if not zones:
        raise DeclarationError(
            "pipeline", pipeline, "has no zones", "declare a source, and what reads it"
        )
    if not any(zone.kind == "source" for zone in zones):
        remedy = f'write {pipeline}.source("rows", fd.jsonl("data/*.jsonl"))'
        raise DeclarationError("pipeline", pipeline, "has no source", remedy)
    read = {inbox.publisher for zone in zones for inbox in zone.inboxes}
    for zone in zones:
        if zone.kind != "sink" and zone.name not in read:
            raise DeclarationError(
                zone.kind,
                zone.name,
                "is read by no zone, so its rows would go nowhere",
                f"write reads={zone.name} at a transform or a sink, or leave it out",
            )


def join(zones: Sequence[Zone]) -> tuple[EdgePlan, ...]:
    """Return the edges: publisher, reader, and what becomes of rows when the inbox is full."""
    readers: dict[str, int] = {}
    for zone in zones:
        for inbox in zone.inboxes:
            readers[inbox.publisher] = readers.get(inbox.publisher, 0) + 1
    origins = sources_of(zones)
    return tuple(
        EdgePlan(
            publisher=inbox.publisher,
            reader=zone.name,
            when_full=_when_full(inbox, readers[inbox.publisher]),
            bytes_max=inbox.bytes_max,
            shed=_salted(inbox.shed, f"{inbox.publisher}:{zone.name}"),
            by_way=_has_other_way(inbox, zone, origins),
            demand=zone.demand if zone.demand and zone.demand.below == "zone" else None,
            instead_of=_relieved(zone, inbox, zones),
        )
        for zone in zones
        for inbox in zone.inboxes
    )


def sources_of(zones: Sequence[Zone]) -> dict[str, frozenset[str]]:
    """Return by zone the sources that its rows come from; a source comes from itself."""
    origins: dict[str, frozenset[str]] = {}
    for zone in zones:
        own = [zone.name] if zone.kind == "source" else []
        origins[zone.name] = frozenset(own).union(
            *(origins[inbox.publisher] for inbox in zone.inboxes)
        )
    return origins


def sensitive_of(zones: Sequence[Zone]) -> dict[str, tuple[str, ...]]:
    """Return by zone the columns to mask: its own, and those of all that it reads."""
    masked: dict[str, tuple[str, ...]] = {}
    for zone in zones:
        names = [*zone.sensitive]
        for inbox in zone.inboxes:
            names += masked[inbox.publisher]
        masked[zone.name] = tuple(dict.fromkeys(names))
    return masked


def check_fit(zone: Zone, zones: Mapping[str, Zone]) -> None:
    """Refuse a zone that reads other columns than those that are declared to it.

    Raises:
        DeclarationError: naming what does not fit.
    """
    read = note_schema("schema", zone.schema)
    for inbox in zone.inboxes:
        publisher = zones[inbox.publisher]
        field = "schema" if publisher.kind == "source" else "out_schema"
        problems = misfits(note_schema(field, publisher.published), read)
        if problems:
            why = f"does not fit the schema of {zone.name!r}: {'; '.join(problems)}"
            remedy = f"make {field}= of {publisher.name} and schema= of {zone.name} agree"
            raise DeclarationError("reads", publisher.name, why, remedy)


def check_masked(zone: Zone) -> None:
    """Refuse a column to mask that the zone's schemas do not declare: misspelt, it would be shown.

    A transform without ``out_schema``, or a zone without ``schema``, may have any column.

    Raises:
        DeclarationError: naming the column, and the one that was meant.
    """
    schemas = [zone.schema, zone.out_schema] if zone.kind == "transform" else [zone.schema]
    declared = [schema for schema in schemas if schema is not None]
    if len(declared) < len(schemas):
        return
    known = [name for schema in declared for name in schema.columns()]
    for name in zone.sensitive:
        if name not in known:
            alike = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {alike[0]!r}? Otherwise " if alike else ""
            why = f"is no column of {' or '.join(schema.__name__ for schema in declared)}"
            raise DeclarationError("sensitive", name, why, f"{meant}declare it there as well")


def _when_full(inbox: Inbox, readers: int) -> WhenFull:
    """Return what was declared; else block for the only reader, spare the siblings of others."""
    if inbox.when_full is not None:
        return inbox.when_full
    return "block" if readers == 1 else "detach"


def _salted(shed: ShedPlan | None, salt: str) -> ShedPlan | None:
    """Return what is kept where an inbox is full, hashed as nowhere else."""
    return None if shed is None else msgspec.structs.replace(shed, salt=salt)


def _relieved(zone: Zone, inbox: Inbox, zones: Sequence[Zone]) -> tuple[str, ...]:
    """Return the readers of a publisher for which a zone takes what is below their demands."""
    return tuple(
        other.name
        for other in zones
        if other.demand is not None
        and other.demand.otherwise == zone.name
        and any(theirs.publisher == inbox.publisher for theirs in other.inboxes)
    )


def _has_other_way(inbox: Inbox, zone: Zone, origins: Mapping[str, frozenset[str]]) -> bool:
    """Return whether rows of one source reach the zone by another of its inboxes as well."""
    mine = origins[inbox.publisher]
    others = (other for other in zone.inboxes if other.publisher != inbox.publisher)
    return any(mine & origins[other.publisher] for other in others)

"""What ``reads=`` means: which zones, by which inboxes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_choice
from firedoor.spec.edge import WAYS, Edge, Published, check_inbox
from firedoor.spec.plan import WhenFull
from firedoor.spec.zone import Inbox, Zone

Reads: TypeAlias = "Edge | Published | Sequence[Edge | Published]"
"""What ``reads=`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The zones that are declared so far."""

    zones: Mapping[str, Zone]
    steps: Sequence[tuple[Callable[..., object], Zone]]
    """Decorated functions, each with its zone."""
    jobs: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    """Functions of jobs."""


def resolve(
    reads: Reads, known: Known, *, when_full: WhenFull | None, inbox: int | str
) -> tuple[Inbox, ...]:
    """Return the inboxes of a zone, in order.

    Args:
        reads: as the user wrote it.
        known: zones that can be meant.
        when_full: for edges that do not say.
        inbox: bytes, for edges that do not say.

    Raises:
        DeclarationError: for what is no zone, a sink, a zone of another pipeline, or read twice.
    """
    size = check_inbox(inbox)
    if when_full is not None:
        check_choice("when_full", when_full, WAYS)
    listed = reads if isinstance(reads, Sequence) and not isinstance(reads, str) else [reads]
    if not listed:
        raise DeclarationError("reads", reads, "names no zone", "name what it reads")
    inboxes: list[Inbox] = []
    for item in listed:
        edge = item if isinstance(item, Edge) else Edge(item)
        publisher = _published(edge.zone, known)
        if any(publisher == other.publisher for other in inboxes):
            raise DeclarationError("reads", publisher, "is read twice", "name it once")
        inboxes.append(
            Inbox(
                publisher=publisher,
                when_full=_way(edge, publisher, when_full),
                bytes_max=size if edge.inbox is None else check_inbox(edge.inbox),
                shed=None if edge.shed is None else edge.shed.plan(),
            )
        )
    return tuple(inboxes)


def _way(edge: Edge, publisher: str, when_full: WhenFull | None) -> WhenFull | None:
    """Return what becomes of rows when the inbox of an edge is full, as far as it is said."""
    way = edge.when_full or ("shed" if edge.shed else when_full)
    if way == "shed" and edge.shed is None:
        remedy = f'write reads=fd.Edge({publisher!r}, shed=fd.Shed(keep=0.1, key=["tailnum"]))'
        raise DeclarationError("when_full", "shed", "does not say which rows to keep", remedy)
    return way


def _published(zone: object, known: Known) -> str:
    """Return the name of a zone that can be read."""
    publisher = found(zone, known)
    if publisher.kind == "sink":
        why = "is a sink, which publishes nothing"
        raise DeclarationError("reads", publisher.name, why, _remedy(known))
    return publisher.name


def found(zone: object, known: Known, field: str = "reads") -> Zone:
    """Return the zone that a handle, a function or a name stands for.

    Raises:
        DeclarationError: if it stands for none, or for one of another pipeline.
    """
    remedy = _remedy(known)
    if isinstance(zone, Zone):
        if known.zones.get(zone.name) is not zone:
            why = f"is a zone of another pipeline, {zone.pipeline!r}"
            raise DeclarationError(field, zone.name, why, remedy)
        return zone
    if isinstance(zone, str):
        if zone in known.zones:
            return known.zones[zone]
        alike = difflib.get_close_matches(zone, known.zones, n=1)
        remedy = f"did you mean {alike[0]!r}? Otherwise {remedy}" if alike else remedy
    else:
        made = [other for step, other in known.steps if step is zone]
        if len(made) > 1:
            why = f"is the step of several zones: {', '.join(other.name for other in made)}"
            raise DeclarationError(field, zone, why, "name the zone")
        if made:
            return made[0]
    raise DeclarationError(field, zone, "is no zone that is declared so far", remedy)


def _remedy(known: Known) -> str:
    """Return what can be read."""
    names = [zone.name for zone in known.zones.values() if zone.kind != "sink"]
    return f"read one of: {', '.join(names)}" if names else "declare a source first"

"""Which edges a batch goes to, where a reader requires a quality and another takes the rest."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.quality.grades import lack
from firedoor.spec.plan import EdgePlan
from firedoor.wire.envelope import Envelope


def routes(
    edges: Sequence[EdgePlan], envelope: Envelope
) -> tuple[tuple[EdgePlan, ...], tuple[EdgePlan, ...]]:
    """Return the edges that a batch goes to, and those whose reader it is not good enough for.

    A replay or a backfill may be meant for one reader alone; then no other can take it instead, and
    it goes where it was meant to go.
    """
    if envelope.only:
        edges = [edge for edge in edges if edge.reader in envelope.only]
    readers = {edge.reader for edge in edges}
    below = {edge.reader: edge for edge in edges if _is_below(edge, envelope, readers)}
    going = [
        edge
        for edge in edges
        if edge.reader not in below
        and (not readers.intersection(edge.instead_of) or below.keys() & set(edge.instead_of))
    ]
    return tuple(going), tuple(below.values())


def decides(edges: Sequence[EdgePlan]) -> bool:
    """Return whether the quality of a batch decides where it goes."""
    return any(edge.demand is not None for edge in edges)


def _is_below(edge: EdgePlan, envelope: Envelope, readers: set[str]) -> bool:
    """Return whether a batch is not good enough for a reader, and another takes it."""
    demand = edge.demand
    if demand is None or demand.otherwise not in readers or edge.reader in envelope.waived:
        return False
    return bool(lack(demand, envelope.quality, envelope.weight))

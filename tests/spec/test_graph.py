"""Edges of pipelines drawn at random: by_way, when_full and masks, against slow definitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firedoor.spec.graph import join, sensitive_of, sources_of
from firedoor.spec.zone import Inbox, Zone


def zone(name: str, reads: tuple[str, ...], *, sensitive: tuple[str, ...] = ()) -> Zone:
    inboxes = tuple(
        Inbox(publisher=publisher, when_full=None, bytes_max=2**23, shed=None)
        for publisher in reads
    )
    kind = "transform" if reads else "source"
    return Zone(name=name, kind=kind, pipeline="p", owner="", inboxes=inboxes, sensitive=sensitive)  # type: ignore[arg-type]


@st.composite
def pipelines(draw: st.DrawFn) -> list[Zone]:
    """Draw zones in order; each reads some of those before it."""
    zones: list[Zone] = []
    for number in range(draw(st.integers(1, 9))):
        before = [other.name for other in zones]
        reads = draw(st.lists(st.sampled_from(before), unique=True, max_size=4)) if before else []
        masked = draw(st.sampled_from([(), ("a",), ("b",)]))
        zones.append(zone(f"z{number}", tuple(reads), sensitive=masked))
    return zones


def ways(zones: list[Zone], source: str, reader: str) -> list[tuple[str, ...]]:
    """Return every way from a source to a zone, as the zones on it."""
    if source == reader:
        return [(source,)]
    (found,) = [other for other in zones if other.name == reader]
    return [
        (*way, reader) for inbox in found.inboxes for way in ways(zones, source, inbox.publisher)
    ]


@given(pipelines())
def test_a_batch_says_its_way_where_it_can_come_by_several_of_a_readers_inboxes(
    zones: list[Zone],
) -> None:
    sources = [other.name for other in zones if not other.inboxes]
    for edge in join(zones):
        shared = False
        for source in sources:
            last = {way[-2] for way in ways(zones, source, edge.reader) if len(way) > 1}
            shared |= edge.publisher in last and len(last) > 1
        assert edge.by_way == shared


@given(pipelines())
def test_ids_are_unique_in_every_inbox(zones: list[Zone]) -> None:
    arriving: dict[str, list[str]] = {}
    edges = join(zones)
    for other in zones:
        own = [f"{other.name}-1"] if not other.inboxes else arriving.get(other.name, [])
        assert len(own) == len(set(own))
        for edge in edges:
            if edge.publisher == other.name:
                mark = f"@{other.name}" if edge.by_way else ""
                arriving.setdefault(edge.reader, []).extend(f"{name}{mark}" for name in own)


@given(pipelines())
def test_only_a_reader_without_siblings_blocks_its_publisher(zones: list[Zone]) -> None:
    edges = join(zones)
    for edge in edges:
        readers = [other for other in edges if other.publisher == edge.publisher]
        assert edge.when_full == ("block" if len(readers) == 1 else "detach")


@given(pipelines())
def test_a_column_that_is_masked_anywhere_upstream_is_masked(zones: list[Zone]) -> None:
    masked = sensitive_of(zones)
    by_name = {other.name: other for other in zones}
    for other in zones:
        names, waiting = set(other.sensitive), [inbox.publisher for inbox in other.inboxes]
        while waiting:
            above = by_name[waiting.pop()]
            names |= set(above.sensitive)
            waiting += [inbox.publisher for inbox in above.inboxes]
        assert set(masked[other.name]) == names
        assert len(masked[other.name]) == len(names)


def test_a_diamond_is_reached_by_two_ways_and_what_follows_it_by_one() -> None:
    zones = [
        zone("s", ()),
        zone("a", ("s",)),
        zone("b", ("s",)),
        zone("both", ("a", "b")),
        zone("after", ("both",)),
    ]
    told = {edge.name: edge.by_way for edge in join(zones)}
    assert told == {
        "s:a": False, "s:b": False, "a:both": True, "b:both": True, "both:after": False,
    }  # fmt: skip
    assert sources_of(zones)["after"] == {"s"}

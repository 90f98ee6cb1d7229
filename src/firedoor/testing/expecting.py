"""What has to be true of a world when it has ended, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from firedoor.adapters.memory.store import MemoryStore
from firedoor.names import BatchId
from firedoor.spec.plan import EdgePlan
from firedoor.testing.drawing import Drawn
from firedoor.testing.stage import Effects, Key, decode_rows
from firedoor.wire.records import BatchRecord


def complaints(drawn: Drawn, store: MemoryStore, effects: Effects) -> list[str]:
    """Return what is wrong, in words; empty if nothing is."""
    found = [*_left_over(store), *_unbalanced(drawn, store), *_journals(store, effects)]
    found += _scored_by_others(drawn, store)
    expected = _Expected(drawn)
    if drawn.lossy:
        return [*found, *_beyond(expected, store, effects)]
    return [*found, *_other_than(expected, store, effects)]


def _left_over(store: MemoryStore) -> list[str]:
    """Return what should have been cleaned up."""
    found = [
        f"{name} still holds {[message.id for message in box.messages.values()]}"
        for name, box in store.boxes.items()
        if box.messages
    ]
    found += [
        f"attempts of {key} were never forgotten: {attempts}"
        for key, attempts in store.attempts.items()
    ]
    return found


def _unbalanced(drawn: Drawn, store: MemoryStore) -> list[str]:
    """Return zones and edges whose rows are not conserved. Inboxes are empty."""
    found = []
    published: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for key, record in store.records.items():
        if record.rows_in != record.passed + record.dead + sum(record.dropped.values()):
            found.append(f"rows of {key} are not conserved: {record}")
        published.update(record.published)
        taken.update({record.edge: record.rows_in} if record.edge else {})
        found += _unsettled(drawn, record)
    return found + [
        f"{edge}: {published[edge]} rows published, {taken[edge]} taken"
        for edge in sorted(published.keys() | taken.keys())
        if published[edge] != taken[edge]
    ]


def _unsettled(drawn: Drawn, record: BatchRecord) -> list[str]:
    """Return edges at which it is not told what became of the rows of a batch."""
    found = []
    for edge in drawn.plan.outlets(record.zone) if record.rows_out else ():
        told = record.published.get(edge.name, 0) + record.shed.get(edge.name, 0)
        missed = edge.name in record.missed
        if told != (0 if missed or _goes_elsewhere(edge, record) else record.rows_out):
            found.append(f"{record.zone} {record.batch} at {edge.name}: not settled: {record}")
        if (missed and edge.when_full != "detach") or (
            edge.name in record.shed and edge.when_full != "shed"
        ):
            found.append(f"{edge.name} loses rows, and is declared {edge.when_full}")
    return found


def _goes_elsewhere(edge: EdgePlan, record: BatchRecord) -> bool:
    """Return whether the quality of a batch sent it to another reader."""
    beside = [f"{edge.publisher}:{reader}" for reader in edge.instead_of]
    taken = any(name in record.elsewhere for name in beside)
    return edge.name in record.elsewhere or (bool(beside) and not taken)


def _journals(store: MemoryStore, effects: Effects) -> list[str]:
    """Return batches whose second runs were journaled and forgotten before they were recorded."""
    return [
        f"{key}: {count} runs were journaled, the record says {record.attempts}"
        for key, count in effects.journaled.items()
        if (record := store.records.get(key)) is not None
        and not record.attempts.get("crash", 0) > 0
        and count
    ]


def _scored_by_others(drawn: Drawn, store: MemoryStore) -> list[str]:
    """Return records that name another version of a model than the zone that scored the batch."""
    scored: dict[tuple[str, str], set[str]] = {}
    for (zone, batch), record in store.records.items():
        for model in drawn.plan.zone(zone).models.values():
            versions = scored.setdefault((model.key, str(BatchId.parse(batch).root)), set())
            versions.add(record.models.get(model.key, "none"))
    return [
        f"{key} was scored by {name}, and the zone says {known}"
        for key, record in store.records.items()
        for model, name in record.models.items()
        if name not in (known := scored[model, str(BatchId.parse(key[1]).root)])
    ]


class _Expected:
    """The outcome of a world in which nothing goes wrong, without running one."""

    def __init__(self, drawn: Drawn) -> None:
        """Take every batch through the graph."""
        self._drawn = drawn
        self.passed: dict[Key, list[int]] = {}
        self.dead: dict[Key, list[int]] = {}
        self.dropped: Counter[Key] = Counter()
        self.sinks = {zone.name for zone in drawn.plan.zones if zone.kind == "sink"}
        for source, count in drawn.batches.items():
            for number in range(count):
                self._through(source, BatchId(source, number), drawn.rows_of(source, number))

    def _through(self, zone: str, batch: BatchId, rows: list[int]) -> None:
        """Take a batch through a zone and all behind it."""
        key = (zone, str(batch))
        assert key not in self.passed, f"{key} comes by two ways under one name"
        fates = {row: self._drawn.fate(zone, row) for row in rows}
        self.passed[key] = passed = [row for row in rows if fates[row] == "passes"]
        if dead := [row for row in rows if fates[row] == "dead"]:
            self.dead[key] = dead
        self.dropped[key] = len(rows) - len(passed) - len(dead)
        for edge in self._drawn.plan.outlets(zone) if passed else ():
            self._through(edge.reader, _by_way(edge, batch), passed)

    @property
    def written(self) -> dict[Key, list[int]]:
        """What sinks write, by key."""
        return {key: rows for key, rows in self.passed.items() if key[0] in self.sinks}


def _by_way(edge: EdgePlan, batch: BatchId) -> BatchId:
    """Return the id under which a batch goes by an edge."""
    return batch.by_way_of(edge.publisher) if edge.by_way else batch


def _other_than(expected: _Expected, store: MemoryStore, effects: Effects) -> list[str]:
    """Return all in which a world is other than without faults."""
    dead = {key: decode_rows(payload) for key, (_, payload) in store.dead.items()}
    found = _differ("recorded", dict.fromkeys(expected.passed), dict.fromkeys(store.records))
    found += _differ("dead", expected.dead, dead)
    found += _differ("written", expected.written, effects.written)
    for key, record in store.records.items():
        told = (record.passed, record.dead, sum(record.dropped.values()))
        due = (
            len(expected.passed.get(key, ())),
            len(expected.dead.get(key, ())),
            expected.dropped[key],
        )
        if told != due:
            found.append(f"{key} passed, dead, dropped: {told} recorded, {due} due")
    return found


def _beyond(expected: _Expected, store: MemoryStore, effects: Effects) -> list[str]:
    """Return what a world has that one without faults and losses does not have."""
    dead = {key: decode_rows(payload) for key, (_, payload) in store.dead.items()}
    found = []
    for what, due, came in (
        ("dead", expected.dead, dead),
        ("written", expected.written, effects.written),
    ):
        for key, rows in came.items():
            if not set(rows) <= set(due.get(key, ())) or len(set(rows)) != len(rows):
                found.append(f"{what} at {key}: {rows}, of {due.get(key)} that can be")
            record = store.records.get(key)
            count = None if record is None else (record.dead if what == "dead" else record.passed)
            if count != len(rows):
                found.append(f"{what} at {key}: {len(rows)} rows, recorded: {count}")
    return found


def _differ(what: str, due: Mapping[Key, object], came: Mapping[Key, object]) -> list[str]:
    """Return the differences of two outcomes."""
    found = [f"{what}: {key} is lost" for key in due.keys() - came.keys()]
    found += [f"{what}: {key} is too much" for key in came.keys() - due.keys()]
    found += [
        f"{what}: {key} is {came[key]}, due is {rows}"
        for key, rows in due.items()
        if key in came and came[key] != rows
    ]
    return sorted(found)

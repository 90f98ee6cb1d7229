"""What was done about a batch, against acts that are begun, broken off and finished as drawn."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control.opening import open_world
from control.world import make_plan
from firedoor.control import settling
from firedoor.control.settling import (
    Act,
    Settled,
    holds_row,
    key_of,
    rows_of,
    spans_of,
    ways_of,
    without_ways,
)
from firedoor.errors import StoreRefused
from firedoor.names import BatchId
from firedoor.testing.loop import run
from flow.drawn import SEEDS, many

names = st.sampled_from(["flights", "clean", "a", "b_2", "r1"])
numbers = st.sets(st.integers(0, 40))
marks = st.one_of(
    st.builds("~r{}".format, st.integers(1, 3)),
    st.builds("~f{}".format, st.integers(1, 3)),
    st.builds("@{}".format, names),
)
batches = st.builds(
    BatchId, names, st.integers(0, 10**9), st.lists(marks, max_size=4).map(tuple)
).map(str)


class Settling(RuleBasedStateMachine):
    """One batch, and a diary of what was done about it."""

    @initialize(batch=batches)
    def start(self, batch: str) -> None:
        self.settled = Settled(batch=batch)
        self.diary: dict[tuple[str, int], Act] = {}

    @rule(kind=st.sampled_from(["replay", "discard", "backfill"]), zone=names, rows=numbers)
    def an_act_is_begun(self, kind: str, zone: str, rows: set[int]) -> None:
        number = self.settled.next_number(kind)
        act = msgspec.convert(
            {
                "kind": kind, "number": number, "zone": zone, "rows": len(rows),
                "spans": spans_of(rows), "at_s": 5.0,
            },
            Act,
        )  # fmt: skip
        assert (kind, number) not in self.diary, "a number was given twice"
        self.settled = self.settled.put(act)
        self.diary[kind, number] = act

    @precondition(lambda self: self.diary)
    @rule(data=st.data())
    def one_that_broke_off_is_finished(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.diary)))
        done = msgspec.structs.replace(self.diary[key], done=True, published={"a:b": 3})
        self.settled = self.settled.put(done)
        self.diary[key] = done

    @rule()
    def it_is_kept_and_read_again(self) -> None:
        async def keep() -> Settled:
            streams = (await open_world(make_plan())).streams
            await settling.save(streams, self.settled)
            (found,) = [each async for each in settling.everything(streams)]
            assert found == self.settled
            return await settling.load(streams, self.settled.batch)

        again = run(keep())
        assert again == self.settled
        self.settled = again

    @invariant()
    def every_act_is_there_once_as_it_was_left(self) -> None:
        acts = {(act.kind, act.number): act for act in self.settled.acts}
        assert acts == self.diary
        assert len(self.settled.acts) == len(self.diary)
        for kind, zone in {(act.kind, act.zone) for act in self.diary.values()}:
            assert {act.number for act in self.settled.of(kind, zone)} == {
                act.number for act in self.diary.values() if (act.kind, act.zone) == (kind, zone)
            }

    @invariant()
    def the_batches_that_it_made_have_names_of_their_own(self) -> None:
        made = [self.settled.made(act) for act in self.settled.acts if act.kind != "discard"]
        assert len(set(made)) == len(made)
        for name in made:
            parsed = BatchId.parse(name)
            assert parsed.root == BatchId.parse(self.settled.batch).root
            assert name.startswith(self.settled.batch)


TestSettling = Settling.TestCase
TestSettling.settings = settings(many, max_examples=max(20, SEEDS // 5), stateful_step_count=20)


@many
@given(numbers, st.integers(0, 41))
def test_spans_hold_the_rows_they_were_made_of_and_no_others(rows: set[int], row: int) -> None:
    spans = spans_of([*sorted(rows, reverse=True), *rows])
    assert rows_of(spans) == rows
    assert holds_row(spans, row) is (row in rows)
    ends = [first + count for first, count in spans]
    assert all(end < first for end, (first, _) in zip(ends, spans[1:], strict=False)), (
        "no neighbours"
    )


def test_a_mark_and_a_way_of_one_name_are_told_apart() -> None:
    assert key_of("flights-000001~r1@clean") == "settled.flights-000001--r1---clean"
    assert key_of("flights-000001~r1") != key_of("flights-000001@r1")
    assert spans_of([4, 1, 2, 9, 2]) == ((1, 2), (4, 1), (9, 1))


@many
@given(batches, batches)
def test_every_batch_has_a_key_of_its_own_that_a_broker_takes(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) is (one == other)
    assert re.fullmatch(r"settled\.[-_a-z0-9]+", key_of(one))


@many
@given(batches)
def test_a_batch_without_its_ways_is_what_was_cut_or_made(batch: str) -> None:
    parsed = BatchId.parse(batch)
    bare = BatchId.parse(without_ways(batch))
    assert (bare.root, ways_of(str(bare))) == (parsed.root, ())
    assert bare.marks == tuple(mark for mark in parsed.marks if mark[0] == "~")
    assert tuple(f"@{way}" for way in ways_of(batch)) == tuple(
        mark for mark in parsed.marks if mark[0] == "@"
    )


def test_acts_count_from_one_and_name_the_batches_that_they_made() -> None:
    settled = Settled(batch="flights-000001@clean")
    assert [settled.next_number(kind) for kind in ("replay", "backfill", "discard")] == [1, 1, 1]
    replay = Act(kind="replay", number=1, zone="clean", rows=1, at_s=0.0)
    backfill = Act(kind="backfill", number=2, zone="clean:store", rows=1, at_s=0.0)
    settled = settled.put(replay).put(backfill)
    assert [settled.next_number(kind) for kind in ("replay", "backfill", "discard")] == [2, 3, 1]
    assert settled.made(replay) == "flights-000001@clean~r1"
    assert settled.made(backfill) == "flights-000001@clean~f2"


def test_of_a_batch_that_nothing_was_done_about_there_is_nothing() -> None:
    async def main() -> None:
        streams = (await open_world(make_plan())).streams
        assert await settling.load(streams, "flights-000001") == Settled(batch="flights-000001")
        await streams.put(key_of("flights-000002"), b"")
        assert [each async for each in settling.everything(streams)] == []

    run(main())


def test_what_cannot_be_read_is_refused_and_not_taken_for_nothing() -> None:
    async def main() -> None:
        streams = (await open_world(make_plan())).streams
        await streams.put(key_of("flights-000001"), b"{")
        with pytest.raises(StoreRefused, match=r"flights-000001 cannot be read.*firedoor doctor"):
            await settling.load(streams, "flights-000001")

    run(main())

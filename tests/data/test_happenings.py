"""What a process notes of its zone for the ledger: states, deaths, troubles, and no batches."""

from __future__ import annotations

from typing import Any

from firedoor.adapters.memory import MemoryJournal
from firedoor.data.conduct import Conduct
from firedoor.events.trace import CURRENT, Place, write
from firedoor.flow.probes import Trouble
from firedoor.flow.zone import (
    BrokerAway,
    BrokerBack,
    Emptied,
    Filled,
    Ordered,
    Passed,
    Troubled,
)
from firedoor.guards.explain import Explanation, Totals
from firedoor.spec.plan import ZonePlan
from firedoor.testing.loop import EPOCH_S, VirtualClock, run
from firedoor.wire.records import BatchRecord, GuardNote, Order

AWAY = Trouble(
    cause="dependency:db",
    word="paused",
    code="dependency_down",
    why="src-000001: db is away",
    probes=True,
    quick=True,
)


def conduct() -> tuple[Conduct, MemoryJournal]:
    made = Conduct(
        ZonePlan(name="clean", kind="transform", owner="me", version="v1"), VirtualClock(),
        replica="here-1",
    )  # fmt: skip
    made.happenings.journal = journal = MemoryJournal()
    return made, journal


def record(**more: Any) -> BatchRecord:
    fields: dict[str, Any] = {
        "zone": "clean", "batch": "src-000001", "zone_version": "v1", "rows_in": 10,
        "rows_out": 7, "passed": 7, "dead": 3, "began_s": 0.0, "ended_s": 1.0, "cut_s": 0.0,
    }  # fmt: skip
    return BatchRecord(**{**fields, **more})


def guard(state: str, *, worker: int = 1) -> GuardNote:
    explained = Explanation(
        guard="db", state=state, why="Opened because 5 of 10 calls were bad.", next_probe_s=None,
        by="", calls=10, bad=5, slow=0, consecutive=0, window_s=10.0, last_bad=(), asked=(),
        flapping=False, totals=Totals(), limit=None, inflight=None, waiting=0, retry_tokens=None,
        listener_error="",
    )  # fmt: skip
    return GuardNote(worker=worker, explained=explained)


def test_each_state_is_noted_with_whose_fault_it_is() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.order(Order())
        zone.tell(Troubled(AWAY))
        zone.tell(Passed(probe=True))
        zone.tell(Ordered("run", 1))
        zone.tell(BrokerAway("no answer"))
        zone.tell(BrokerBack())
        zone.tell(Filled("clean:store"))
        zone.tell(Filled("clean:audit"))
        zone.tell(Emptied("clean:store"))
        zone.tell(Emptied("clean:audit"))
        told = [(one.before, one.after, one.code, one.cause) for one in journal.of("zone.state")]
        assert told == [
            ("starting", "running", "running", ""),
            ("running", "paused", "dependency_down", "dependency:db"),
            ("paused", "running", "running", ""),
            ("running", "blocked", "broker_away", "broker"),
            ("blocked", "running", "running", ""),
            ("running", "blocked", "inbox_full", "store"),
            ("blocked", "running", "running", ""),
        ]
        assert {(one.zone, one.at_s) for one in journal.noted} == {("clean", EPOCH_S)}

    run(work())


def test_what_happens_over_a_batch_names_its_trace() -> None:
    async def work() -> None:
        zone, journal = conduct()
        CURRENT.set(write(Place(7, 8, sampled=True)))
        zone.order(Order())
        zone.tell(Troubled(AWAY))
        assert {one.trace for one in journal.noted} == {f"{7:032x}"}

    run(work())


def test_a_pause_that_a_person_ordered_is_theirs() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.order(Order())
        zone.order(Order(want="pause", because="look at it", by="ann"))
        state = journal.of("zone.state")[-1]
        assert (state.code, state.by, state.cause) == ("ordered", "ann", "")
        assert state.text == "paused: look at it"

    run(work())


def test_a_batch_that_comes_to_nothing_is_noted_with_its_name() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.order(Order())
        zone.tell(Troubled(AWAY))
        zone.tell(Troubled(AWAY))
        troubles = journal.of("batch.trouble")
        assert [(one.about, one.code) for one in troubles] == [
            ("src-000001", "dependency_down")
        ] * 2
        assert len(journal.of("zone.state")) == 2, "it was paused already"

    run(work())


def test_rows_that_die_are_noted_by_what_they_died_of_and_good_batches_not_at_all() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.count(record(dead=0, passed=10, rows_out=10))
        assert journal.noted == []
        zone.count(record(signatures={"KeyError": 1, "hang": 2}))
        dead = journal.of("dead_letters")
        assert [(one.code, one.facts["rows"]) for one in dead] == [("hang", 2), ("KeyError", 1)]
        many = {f"rule{number}": 1 for number in range(40)}
        zone.count(record(dead=40, rows_in=47, signatures=many))
        later = journal.of("dead_letters")[2:]
        assert len(later) == 11
        assert sum(int(one.facts["rows"]) for one in later) == 40

    run(work())


def test_runs_that_came_to_nothing_and_rows_that_were_shed_are_noted() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.count(record(attempts={"crash": 3}, shed={"clean:store": 5, "clean:audit": 0}))
        (trouble,) = journal.of("batch.trouble")
        assert (trouble.code, trouble.facts["times"]) == ("crash", 3)
        (shed,) = journal.of("shed")
        assert (shed.about, shed.facts["rows"]) == ("clean:store", 5)

    run(work())


def test_workers_that_died_are_counted_once() -> None:
    async def work() -> None:
        zone, journal = conduct()
        for lost in (0, 1, 1, 4):
            zone.status(workers_lost=lost)
        assert [one.facts["times"] for one in journal.of("worker.died")] == [1, 3]

    run(work())


def test_a_breaker_is_noted_when_its_gravest_state_changes() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.status(guards=(guard("closed"), guard("closed", worker=2)))
        zone.status(guards=(guard("open"), guard("closed", worker=2)))
        zone.status(guards=(guard("open"), guard("open", worker=2)))
        zone.status(guards=(guard("half-open"), guard("closed", worker=2)))
        zone.status(guards=(guard("closed"), guard("closed", worker=2)))
        told = [(one.about, one.before, one.after, one.cause) for one in journal.of("breaker")]
        assert told == [
            ("db", "closed", "open", "dependency:db"),
            ("db", "open", "half-open", "dependency:db"),
            ("db", "half-open", "closed", ""),
        ]

    run(work())


def test_notes_have_the_kind_of_what_they_tell() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.note("clean:audit was cut", kind="edge", code="cut", about="clean:audit")
        zone.note("ann: open guard db")
        assert [(one.kind, one.code, one.about) for one in journal.noted] == [
            ("edge", "cut", "clean:audit"), ("zone.note", "", ""),
        ]  # fmt: skip

    run(work())


def test_what_a_drill_did_is_told_apart_from_what_a_zone_did() -> None:
    async def work() -> None:
        zone, journal = conduct()
        zone.order(Order())
        injected = Trouble(word="halted", code="contrast", why="src-000001: bad", fault="d1-3")
        zone.tell(Troubled(injected))
        zone.count(record(signatures={"KeyError": 3}, fault="d1-3"))
        zone.count(record(signatures={"KeyError": 3}))
        assert [one.cause for one in journal.of("batch.trouble")] == ["drill:d1-3"]
        assert journal.of("zone.state")[-1].cause == "drill:d1-3"
        assert [one.cause for one in journal.of("dead_letters")] == ["drill:d1-3", ""]

    run(work())

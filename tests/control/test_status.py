"""The first line says who is hurt; the rows below say what to do."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from control.opening import open_world
from control.world import EPOCH_S, World, make_plan
from firedoor.control.board import ago, next_command, show_board
from firedoor.control.causes import gather_evidence, show_why
from firedoor.control.harm import first_line, judge, view_zones
from firedoor.control.status import (
    Detached,
    Snapshot,
    decode_snapshot,
    encode_snapshot,
    read_detached,
    read_order,
    take,
)
from firedoor.errors import NotKnown
from firedoor.ports.streams import Depth
from firedoor.spec.plan import Plan
from firedoor.wire.records import Order, Transition, ZoneStatus

CHAIN = ("flights:clean", "clean:weather", "weather:store")
FAN = ("flights:clean", "flights:audit", "clean:store")
NOW_S = EPOCH_S + 600


def beat(zone: str, state: str = "running", **more: Any) -> ZoneStatus:
    values = {
        "zone": zone, "replica": "here-1", "pid": 1, "version": "v1", "state": state,
        "since_s": NOW_S - 300, "at_s": NOW_S,
    }  # fmt: skip
    return msgspec.convert({**values, **more}, ZoneStatus)


def depth(messages: int, oldest_s: float | None = None) -> Depth:
    return Depth(messages, messages * 1000, 2**20, 0, oldest_s)


def picture(
    plan: Plan,
    states: dict[str, str] | None = None,
    *,
    waiting: dict[str, int] | None = None,
    causes: dict[str, str] | None = None,
    **more: Any,
) -> Snapshot:
    """Return a snapshot in which every zone runs, but those that are named."""
    zones = tuple(
        beat(zone.name, (states or {}).get(zone.name, "running"),
             cause=(causes or {}).get(zone.name, ""))
        for zone in plan.zones if (states or {}).get(zone.name) != "gone"
    )  # fmt: skip
    depths = {edge.name: depth((waiting or {}).get(edge.name, 0)) for edge in plan.edges}
    values: dict[str, Any] = {"pipeline": "year", "at_s": NOW_S, "supervisor_pid": 7,
                              "zones": zones, "depths": depths}  # fmt: skip
    return Snapshot(**{**values, **more})


@pytest.mark.parametrize(
    ("states", "waiting", "line"),
    [
        ({}, {}, "all zones well"),
        (dict.fromkeys(("flights", "clean", "weather", "store"), "done"), {}, "all zones are done"),
        (
            {"clean": "halted"},
            {"flights:clean": 3, "clean:weather": 2, "weather:store": 1},
            (
                'clean is halted (renamed column "distance"); nobody else is hurt: weather and '
                "store go on with what they have; inputs wait in the inbox (3 batches)"
            ),
        ),
        (
            {"clean": "halted", "flights": "blocked"},
            {"flights:clean": 9, "clean:weather": 1},
            (
                'clean is halted (renamed column "distance"); others are hurt: flights waits (the '
                "next inbox is full), store starves; weather goes on with what it has; inputs wait "
                "in the inbox (9 batches)"
            ),
        ),
        (
            {"store": "halted"},
            {"weather:store": 1},
            "store is halted; nobody else is hurt; inputs wait in the inbox (1 batch)",
        ),
        (
            {"clean": "gone"},
            {"clean:weather": 2, "weather:store": 2},
            (
                "clean is gone (no process of it says anything); nobody else is hurt: weather and "
                "store go on with what they have"
            ),
        ),
        ({"flights": "blocked"}, {}, "all zones well; flights waits for a slower reader"),
        (
            {"clean": "throttled"},
            {},
            'all zones well; clean is throttled (renamed column "distance")',
        ),
        (
            {"flights": "done", "clean": "halted", "weather": "done", "store": "done"},
            {},
            'clean is halted (renamed column "distance"); nobody else is hurt',
        ),
    ],
)
def test_the_first_line_says_who_is_hurt(
    states: dict[str, str], waiting: dict[str, int], line: str
) -> None:
    plan = make_plan(CHAIN)
    causes = {"clean": 'renamed column "distance"'}
    assert first_line(plan, picture(plan, states, waiting=waiting, causes=causes)) == line


def test_a_sibling_of_a_faulted_zone_is_hurt_only_when_their_publisher_waits() -> None:
    plan = make_plan(FAN)
    free = picture(plan, {"clean": "halted"}, waiting={"clean:store": 1})
    assert not judge(plan, free).outside
    held = picture(plan, {"clean": "halted", "flights": "blocked"}, waiting={"clean:store": 1})
    assert judge(plan, held).outside
    assert judge(plan, held).starving == ("audit",)


def test_an_edge_that_was_cut_hurts_its_reader_only_if_that_is_well() -> None:
    plan = make_plan(FAN)
    cut = {"flights:audit": Detached(since_s=NOW_S - 60, because="full for 30 s")}
    well = picture(plan, detached=cut)
    assert first_line(plan, well) == (
        "no zone is at fault, but flights:audit misses what was published while cut"
    )
    assert show_board(plan, well, now_s=NOW_S)[-1] == (
        "flights:audit has been cut for 1 min: full for 30 s; when its reader is well: firedoor "
        "backfill flights:audit"
    )
    ill = picture(plan, {"audit": "halted"}, detached=cut)
    assert "nobody else is hurt" in first_line(plan, ill)


def test_a_zone_paused_by_a_person_says_by_whom_and_how_to_go_on() -> None:
    plan = make_plan(CHAIN)
    orders = {"clean": Order(want="pause", by="ann", because="looking at May")}
    snapshot = picture(plan, {"clean": "paused"}, orders=orders)
    assert first_line(plan, snapshot).startswith("clean is paused (by ann: looking at May)")
    view = view_zones(plan, snapshot)[1]
    assert next_command(plan, snapshot, view) == "firedoor zone resume clean"


def test_of_several_processes_the_one_that_is_worst_off_counts() -> None:
    plan = make_plan(CHAIN)
    snapshot = picture(plan)
    halted = beat("clean", "halted", replica="there-2", cause="contrast")
    snapshot = msgspec.structs.replace(snapshot, zones=(*snapshot.zones, halted))
    assert view_zones(plan, snapshot)[1].condition == "halted"


def test_when_nothing_runs_it_says_so() -> None:
    plan = make_plan(CHAIN)
    snapshot = Snapshot(pipeline="year", at_s=NOW_S)
    assert first_line(plan, snapshot) == "nothing runs here"


def test_a_broker_that_is_away_is_named_and_the_age_is_told() -> None:
    plan = make_plan(CHAIN)
    snapshot = picture(plan, {"clean": "halted"}, broker="down")
    lines = show_board(plan, snapshot, now_s=NOW_S + 90)
    assert lines[0].startswith("the broker does not answer: zones wait, nothing is dropped; ")
    assert "clean is halted" in lines[0]
    assert lines[1] == "as of 1 min ago, from the last snapshot"


def test_a_row_a_zone_tells_state_cause_inbox_owner_and_next_command() -> None:
    plan = make_plan(CHAIN)
    snapshot = picture(plan, {"clean": "halted"}, causes={"clean": "contrast:\n " + "x" * 90})
    zones = tuple(
        msgspec.structs.replace(zone, dead_a_min=12.4, next_command="firedoor zone restart clean")
        if zone.zone == "clean" else zone for zone in snapshot.zones
    )  # fmt: skip
    depths = {**snapshot.depths, "flights:clean": depth(3, NOW_S - 125)}
    snapshot = msgspec.structs.replace(snapshot, zones=zones, depths=depths)
    lines = show_board(plan, snapshot, now_s=NOW_S)
    assert lines[2].split() == ["zone", "state", "since", "cause", "inbox", "dead/min", "owner",
                                "next"]  # fmt: skip
    row = lines[4]
    assert row.startswith("clean    halted   5 min  contrast: xxx")
    assert " ...  3, 2 min  12        clean@example.com  " in row
    assert row.endswith("  firedoor zone restart clean")
    assert all(len(line) < 200 for line in lines)


def test_what_to_run_next_follows_from_the_state() -> None:
    plan = make_plan(CHAIN)
    snapshot = picture(plan, {"flights": "blocked", "clean": "halted", "weather": "gone"})
    commands = [next_command(plan, snapshot, view) for view in view_zones(plan, snapshot)]
    assert commands == ["firedoor why clean", "firedoor why clean", "firedoor why weather", ""]
    dead = msgspec.structs.replace(snapshot, zones=(beat("store", dead=4),))
    assert next_command(plan, dead, view_zones(plan, dead)[3]) == "firedoor dlq --zone store"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")],
)
def test_time_spans_are_told_as_people_do(seconds: float, words: str) -> None:
    assert ago(seconds) == words


def test_a_snapshot_is_taken_of_beats_depths_orders_and_cuts_and_comes_back_from_json() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        streams = world.streams
        await streams.beat("zone.clean.b-2", msgspec.json.encode(beat("clean", replica="b-2")))
        await streams.beat("zone.clean.a-1", msgspec.json.encode(beat("clean", replica="a-1")))
        await streams.beat("zone.flights.a-3", msgspec.json.encode(beat("flights")))
        await streams.beat("zone.gone.a-3", msgspec.json.encode(beat("gone")))
        await streams.beat("zone.store.a-4", b"not json")
        await streams.put("order.clean", msgspec.json.encode(Order(want="pause", by="ann")))
        await streams.put("order.store", b"")
        await streams.put("detached.clean.audit", b'{"since_s": 5.0, "because": "full"}')
        await streams.put("detached.clean.store", b"")
        await streams.put("deploy.clean", b"{}")
        snapshot = await take(streams, world.plan, at_s=NOW_S, supervisor_pid=9)
        assert [zone.replica for zone in snapshot.zones] == ["here-1", "a-1", "b-2"]
        assert snapshot.depths["flights:clean"].messages == 2
        assert list(snapshot.orders) == ["clean"]
        assert snapshot.detached == {"clean:audit": Detached(since_s=5.0, because="full")}
        assert snapshot.deploys == {"clean": "{}"}
        assert decode_snapshot(encode_snapshot(snapshot)) == snapshot

    asyncio.run(run())


@pytest.mark.parametrize("value", [None, b"", b"null", b"not json"])
def test_a_value_that_says_nothing_is_no_order_and_no_cut(value: bytes | None) -> None:
    assert read_detached(value) is None
    assert read_order(value) is None


async def dead_world() -> World:
    world = await open_world(make_plan())
    await world.cut(2)
    await world.run_all(dead={103: "KeyError at steps.py:12", 203: "KeyError at steps.py:12"})
    return world


def test_why_tells_transitions_changes_signatures_and_the_walls_report() -> None:
    async def run() -> None:
        world = await dead_world()
        zones = tuple(
            msgspec.structs.replace(zone, version="clean-v2") if zone.name == "clean" else zone
            for zone in world.plan.zones
        )
        world.plan = msgspec.structs.replace(world.plan, zones=zones)
        await world.cut()
        await world.run_all()
        evidence = await gather_evidence(world.streams, world.plan, "clean")
        told = beat(
            "clean",
            "halted",
            cause="contrast",
            wall="wall clean\n  2 workers lost",
            transitions=(Transition(at_s=NOW_S - 9, state="halted", cause="contrast"),),
        )
        orders = {"clean": Order(want="run", by="ann", because="fixed", at_s=NOW_S)}
        snapshot = picture(world.plan, orders=orders)
        others = tuple(zone for zone in snapshot.zones if zone.zone != "clean")
        snapshot = msgspec.structs.replace(snapshot, zones=(*others, told))
        text = "\n".join(show_why(world.plan, snapshot, "clean", evidence, now_s=NOW_S))
        for part in [
            "clean is halted since 5 min: contrast",
            "next: firedoor zone restart clean, when the cause is removed",
            "2026-01-01 00:09:51 UTC  halted  contrast",
            "version clean-v2, before clean-v1, from flights-000003 on",
            "ordered to run by ann: fixed",
            "2 rows: KeyError at steps.py:12, first flights-000001/3",
            "  2 workers lost",
        ]:
            assert part in text, text
        assert text.index("clean-v1, from flights-000001") < text.index("clean-v2, before")

    asyncio.run(run())


def test_why_without_a_broker_tells_what_the_last_snapshot_knew() -> None:
    plan = make_plan()
    snapshot = picture(plan)
    zone = beat("clean", signatures={"KeyError at steps.py:12": 4})
    snapshot = msgspec.structs.replace(snapshot, zones=(zone,))
    lines = show_why(plan, snapshot, "clean", None, now_s=NOW_S)
    assert "  4  KeyError at steps.py:12" in lines
    assert "the broker does not answer" in lines[-1]


def test_why_of_a_zone_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(NotKnown, match="no zone 'claen': its zones are flights, clean, store"):
        show_why(make_plan(), picture(make_plan()), "claen", None, now_s=NOW_S)


def test_after_a_run_it_says_that_nothing_runs_and_how_it_was_left() -> None:
    plan = make_plan(CHAIN)
    snapshot = picture(plan, dict.fromkeys(("flights", "clean", "weather", "store"), "done"))
    lines = show_board(plan, snapshot, now_s=NOW_S + 3_600, running=False)
    assert lines[0] == "nothing runs here; 1 h 0 min ago: all zones are done"

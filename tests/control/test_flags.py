"""The table of flags is changed by everybody at once, and nothing is lost or done in secret."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from control.world import make_plan
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.control.changes import changes
from firedoor.control.flags import (
    CONFIRM_S,
    FLAGS_MAX,
    KEY,
    Verb,
    Wanted,
    change_flags,
    edit,
    edit_offline,
    known_switch,
    merge_back,
    read_flags,
    switches,
)
from firedoor.errors import DeclarationError, NotKnown, StoreRefused
from firedoor.spec.plan import DependencyPlan, GuardPlan, Plan
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import FeaturesPlan, ServicePlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.flags import Flag, Flags, Value, killed, newer


def wanted(name: str, verb: Verb = "set", *, at_s: float = 100.0, value: Value = True) -> Wanted:
    return Wanted(
        verb=verb, name=name, by="ann@laptop", because="it lies", at_s=at_s, value=value,
        confirm_after_s=CONFIRM_S if verb == "set" else None,
    )  # fmt: skip


def plan() -> Plan:
    note = StepNote(name="f", pickled=b"", main_path=None, main_module=None, where="m.py:1")
    weather = FeaturesPlan(name="weather", keys=("origin",), columns={"wind": "Float64"}, step=note)
    service = ServicePlan(
        name="predict",
        owner="x",
        version="v1",
        step=note,
        model=ModelPlan(name="delays"),
        features=(weather,),
    )
    guarded = DependencyPlan(guard=GuardPlan(name="clean->geo"))
    base = make_plan()
    zones = [
        msgspec.structs.replace(zone, depends=(guarded,)) if zone.name == "clean" else zone
        for zone in base.zones
    ]
    return msgspec.structs.replace(base, zones=tuple(zones), services=(service,))


# ---- one change


def test_a_flag_that_is_set_says_who_why_and_until_when() -> None:
    after, change = edit(Flags(generation=4), wanted("kill.predict.route"))
    assert after.generation == 5
    assert after.flags["kill.predict.route"] == Flag(
        value=True, by="ann@laptop", because="it lies", at_s=100.0, confirm_s=100.0 + CONFIRM_S
    )
    assert (change.what, change.by, change.because) == ("killed", "ann@laptop", "it lies")
    assert (change.before, change.after) == ("", "true")


def test_a_kill_that_is_confirmed_holds_on_and_is_looked_at_again_later() -> None:
    killed_, _ = edit(Flags(), wanted("kill.predict.route"))
    after, change = edit(killed_, wanted("kill.predict.route", "confirm", at_s=5_000.0))
    assert after.flags["kill.predict.route"].confirm_s == 5_000.0 + CONFIRM_S
    assert after.flags["kill.predict.route"].value is True
    assert change.what == "kill confirmed"


def test_a_kill_that_is_lifted_is_gone() -> None:
    killed_, _ = edit(Flags(), wanted("kill.predict.route"))
    after, change = edit(killed_, wanted("kill.predict.route", "unset"))
    assert after == Flags(generation=2)
    assert (change.what, change.before, change.after) == ("kill lifted", "true", "")


@pytest.mark.parametrize("verb", ["unset", "confirm"])
def test_what_is_not_there_is_neither_unset_nor_confirmed(verb: Verb) -> None:
    with pytest.raises(NotKnown, match="there are other"):
        edit(edit(Flags(), wanted("other"))[0], wanted("new", verb))


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("name", {"name": "with space"}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 121}),
        ("because", {"because": "  "}),
        ("share", {"share": 1.1}),
        ("share", {"share": float("nan")}),
        ("confirm_after_s", {"confirm_after_s": 0.0}),
        ("value", {"value": "x" * 1_001}),
        ("value", {"value": 2**60}),
        ("value", {"value": float("inf")}),
        ("value", {"value": float("nan")}),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_remedy(field: str, more: dict[str, object]) -> None:
    values = {"verb": "set", "name": "new", "by": "ann", "because": "x", "at_s": 1.0}
    with pytest.raises(DeclarationError, match=f"^{field}="):
        Wanted(**{**values, **more})  # type: ignore[arg-type]


def test_there_are_no_more_flags_than_have_room() -> None:
    full = Flags(flags={f"flag{number}": Flag(value=True) for number in range(FLAGS_MAX)})
    with pytest.raises(StoreRefused, match="unset those"):
        edit(full, wanted("one.more"))
    assert edit(full, wanted("flag1", value=False))[0].flags["flag1"].value is False


# ---- the broker's table


def test_no_change_is_lost_where_many_are_made_at_once() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(change_flags(streams, wanted(f"flag{number}", value=number)))
        table = await read_flags(streams)
        assert {name: flag.value for name, flag in table.flags.items()} == {
            f"flag{number}": number for number in range(20)
        }
        assert table.generation == 20
        assert {each.about for each in await changes(streams)} == set(table.flags)

    run(work(), seed=5)


def test_a_table_of_another_version_is_not_thrown_away() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await streams.put(KEY, b"{]")
        with pytest.raises(StoreRefused, match="another version"):
            await change_flags(streams, wanted("new"))
        assert await streams.get(KEY) == b"{]"

    run(work())


# ---- without the broker, and back


def test_what_was_changed_without_the_broker_is_merged_back_and_recorded() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await change_flags(streams, wanted("old", at_s=1.0))
        await change_flags(streams, wanted("gone", at_s=2.0))
        kept = await read_flags(streams)
        kept, _ = edit_offline(kept, wanted("kill.predict.route", at_s=10.0))
        kept, _ = edit_offline(kept, wanted("gone", "unset", at_s=11.0))
        # Meanwhile somebody whose broker did answer has changed something else.
        await change_flags(streams, wanted("theirs", at_s=12.0))
        assert killed(newer(kept, await read_flags(streams)), "predict", "route")
        table, found = await merge_back(streams, kept)
        assert set(table.flags) == {"old", "theirs", "kill.predict.route"}
        assert table.offline == {}
        assert await read_flags(streams) == table
        assert {(each.about, each.by, each.because) for each in found} == {
            ("kill.predict.route", "ann@laptop", "it lies"),
            ("gone", "ann@laptop", "it lies"),
        }
        assert newer(kept, table) is table, "a gateway goes on with what the broker says"
        again, nothing = await merge_back(streams, kept)
        assert (again, nothing) == (table, ())
        assert len(await changes(streams)) == 5

    run(work())


def test_what_somebody_decided_later_is_not_overturned_by_a_merge() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        kept, _ = edit_offline(Flags(generation=7), wanted("new", at_s=10.0, value="old"))
        await change_flags(streams, wanted("new", at_s=20.0, value="young"))
        table, found = await merge_back(streams, kept)
        assert table.flags["new"].value == "young"
        assert found == ()

    run(work())


# ---- what can be killed


def test_what_can_be_killed_depends_on_what_a_zone_has() -> None:
    assert switches(plan()) == {
        "predict": (
            "route",
            "candidate",
            "model",
            "mirror",
            "retry",
            "features",
            "features.weather",
            "log",
        ),
        "flights": ("ingest",),
        "clean": ("ingest", "retry"),
        "store": ("ingest",),
        "audit": ("ingest",),
    }


def test_a_switch_is_known_by_zone_and_capability() -> None:
    assert known_switch(plan(), "predict.features.weather") == "kill.predict.features.weather"
    assert known_switch(plan(), "kill.clean.retry") == "kill.clean.retry"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("nothing.route", "it has predict, flights"),
        ("flights.retry", "it has flights.ingest"),
        ("predict.features.rain", "predict.features.weather"),
        ("predict", "predict.route"),
    ],
)
def test_a_switch_that_is_not_there_is_refused_with_what_there_is(target: str, told: str) -> None:
    with pytest.raises(NotKnown, match=told):
        known_switch(plan(), target)

"""The ladder of looked-up features, in virtual time against a scripted store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine

import msgspec
import pytest

from firedoor.gateway.feature_cache import FeatureCache, Kept
from firedoor.gateway.features import FeatureLookups, LookedUp
from firedoor.testing.loop import run
from firedoor.wire.fetching import Fetch, Fetched, Scalar, decode_columns
from gateway.scripted_fetcher import (
    CLOCK,
    ScriptedFetcher,
    fails,
    lookups,
    temp_of,
    temperatures,
    weather,
)

Story = Callable[[], Coroutine[object, object, None]]


async def ask(features: FeatureLookups, *origins: Scalar, within_s: float = 1.0) -> LookedUp:
    """Look up the weather of some rows."""
    return await features.look_up({"origin": list(origins)}, len(origins), CLOCK.now_s() + within_s)


def temps(looked: LookedUp) -> list[Scalar]:
    """Return what the model would be given."""
    return decode_columns(looked.extra)["temp"]


def told(story: Story) -> None:
    """Run a story in virtual time."""
    run(story())


def test_each_row_gets_the_value_of_its_own_key_whatever_came_before_or_beside() -> None:
    dice = random.Random(3)
    origins = [f"{dice.randrange(10**6):06d}" for _ in range(300)]

    async def story() -> None:
        features = lookups(weather(fresh_s=5), ScriptedFetcher())
        async with asyncio.TaskGroup() as group:
            pending = []
            for _ in range(60):
                mine = [dice.choice(origins) for _ in range(dice.randrange(1, 9))]
                pending.append((mine, group.create_task(ask(features, *mine))))
                await CLOCK.wait(dice.random() / 50)
        for mine, task in pending:
            assert temps(task.result()) == [temp_of(origin) for origin in mine]
            assert not task.result().degraded
        await features.close()

    told(story)


def test_what_was_fetched_is_live_until_it_is_no_longer_fresh_and_then_fetched_again() -> None:
    async def story() -> None:
        store = ScriptedFetcher()
        features = lookups(weather(fresh_s=5), store)
        await ask(features, "EWR")
        await CLOCK.wait(4)
        second = await ask(features, "EWR")
        assert store.asked == [[("EWR",)]]
        assert second.features[0].code == "live"
        assert second.features[0].age_s == pytest.approx(4.01)
        assert list(second.features[0].ages_s["temp"]) == [pytest.approx(4.01)]
        await CLOCK.wait(2)
        third = await ask(features, "EWR")
        assert len(store.asked) == 2
        assert third.features[0].age_s == 0
        assert third.said == ""

    told(story)


def test_a_store_that_is_down_is_stood_in_for_by_what_was_fetched_within_its_bound() -> None:
    async def story() -> None:
        store = ScriptedFetcher()
        features = lookups(weather(stale_max_s=60, default={"temp": 1.5}), store)
        await ask(features, "EWR")
        store.reply = fails
        await CLOCK.wait(42)
        looked = await ask(features, "JFK", "EWR")
        assert temps(looked) == [1.5, temp_of("EWR")]
        feature = looked.features[0]
        assert feature.code == "default"
        assert feature.codes == {"temp": "dc"}
        assert list(feature.ages_s["temp"]) == [0.0, pytest.approx(42.02, abs=0.03)]
        assert looked.degraded
        assert (await ask(features, "EWR")).said == "weather=cached:42s"
        await CLOCK.wait(60)
        late = await ask(features, "EWR")
        assert temps(late) == [1.5]
        assert late.said == "weather=default"
        assert not late.abstain

    told(story)


def test_the_default_of_null_is_a_value_and_without_any_default_the_service_abstains() -> None:
    async def story() -> None:
        store = ScriptedFetcher(reply=fails)
        with_null = await ask(lookups(weather(default={"temp": None}), store), "EWR")
        assert temps(with_null) == [None]
        assert with_null.features[0].code == "default"
        assert not with_null.abstain
        bare = await ask(lookups(weather(), store), "EWR")
        assert bare.features[0].code == "missing"
        assert "weather.temp is missing in 1 of 1 rows" in bare.abstain
        assert "ConnectionError: refused (weather.py:7)" in bare.abstain
        assert bare.abstain_told
        assert "refused" not in bare.abstain_told, "callers are not told what its code said"

    told(story)


def test_a_null_that_the_store_says_is_live_where_null_is_the_default() -> None:
    def nothing(ask: Fetch) -> Fetched:
        return Fetched(values={"temp": [None for _ in ask.keys["origin"]]})

    async def story() -> None:
        store = ScriptedFetcher(reply=nothing)
        looked = await ask(lookups(weather(default={"temp": None}), store), "EWR")
        assert (temps(looked), looked.features[0].code) == ([None], "live")
        assert not looked.degraded
        other = await ask(lookups(weather(default={"temp": 7.5}), store), "EWR")
        assert (temps(other), other.features[0].code) == ([7.5], "default")

    told(story)


@pytest.mark.parametrize(
    ("takes", "cached", "default"),
    [("live", True, True), ("cached", False, True), ("", False, False)],
)
def test_beyond_what_the_model_tolerates_it_abstains_and_says_which_column_and_why(
    takes: str, *, cached: bool, default: bool
) -> None:
    async def story() -> None:
        store = ScriptedFetcher()
        plan = weather(
            stale_max_s=60, default={"temp": 0.0}, tolerates={"temp": takes} if takes else {}
        )
        features = lookups(plan, store)
        assert not (await ask(features, "EWR")).abstain
        store.reply = fails
        assert bool((await ask(features, "EWR")).abstain) is cached
        of_default = (await ask(features, "EWR", "JFK")).abstain
        assert bool(of_default) is default
        if default:
            assert f"the model takes {takes} at worst" in of_default

    told(story)


def test_a_key_that_the_store_does_not_have_gets_the_default_and_never_another_keys_value() -> None:
    async def story() -> None:
        store = ScriptedFetcher(
            lambda ask: Fetched(values={"temp": [None] * len(ask.keys["origin"])})
        )
        features = lookups(weather(fresh_s=9, stale_max_s=99, default={"temp": -1.0}), store)
        assert temps(await ask(features, "EWR")) == [-1.0]
        store.reply = temperatures
        assert temps(await ask(features, "EWR", "JFK")) == [-1.0, temp_of("JFK")]
        assert store.asked == [[("EWR",)], [("JFK",)]], (
            "that there is none is known for a while, too"
        )

    told(story)


def test_a_value_that_cannot_be_used_leaves_the_one_before_and_others_of_the_call() -> None:
    def half(ask: Fetch) -> Fetched:
        values: list[Scalar] = [temp_of(origin) + 1 for origin in ask.keys["origin"]]
        values[0] = None
        return Fetched(values={"temp": values}, wrong={"temp": [0]}, said="temp of 1 keys is NaN")

    async def story() -> None:
        store = ScriptedFetcher()
        features = lookups(weather(stale_max_s=60), store)
        await ask(features, "EWR", "JFK")
        store.reply = half
        looked = await ask(features, "EWR", "JFK")
        assert temps(looked) == [temp_of("EWR"), temp_of("JFK") + 1]
        assert looked.features[0].codes == {"temp": "cl"}
        assert features.facts()["weather"].wrong == 1
        assert "NaN" in (await ask(lookups(weather(), ScriptedFetcher(half)), "EWR")).abstain

    told(story)


def test_a_hanging_store_costs_its_timeout_once_and_then_nothing_until_it_answers() -> None:
    async def story() -> None:
        store = ScriptedFetcher()
        features = lookups(weather(stale_max_s=999, default={"temp": -1.0}), store)
        await ask(features, "EWR")
        store.reply = None
        waits: list[float] = []
        for number in range(50):
            began_s = CLOCK.now_s()
            assert temps(await ask(features, "EWR", f"A{number}")) == [temp_of("EWR"), -1.0]
            waits.append(round(CLOCK.now_s() - began_s, 6))
            await CLOCK.wait(0.01)
        assert waits[0] == 0.1
        assert set(waits[1:]) == {0}, "nobody waits behind a call that is late"
        assert len(store.held) == 1
        store.reply = temperatures
        store.held.pop()()
        looked = await ask(features, "EWR", "JFK")
        assert temps(looked) == [temp_of("EWR"), temp_of("JFK")]
        assert not looked.degraded

    told(story)


def test_a_deadline_that_is_shorter_than_the_timeout_is_kept() -> None:
    async def story() -> None:
        features = lookups(weather(default={"temp": 2.0}), ScriptedFetcher(reply=None))
        began_s = CLOCK.now_s()
        assert temps(await ask(features, "EWR", within_s=0.03)) == [2.0]
        assert CLOCK.now_s() - began_s == pytest.approx(0.03)

    told(story)


def test_what_a_late_call_brings_is_kept_for_the_next() -> None:
    async def story() -> None:
        store = ScriptedFetcher(seconds=0.25)
        features = lookups(weather(fresh_s=9, default={"temp": 2.0}), store)
        assert temps(await ask(features, "EWR")) == [2.0]
        await CLOCK.wait(0.2)
        assert temps(await ask(features, "EWR")) == [temp_of("EWR")]
        assert len(store.asked) == 1

    told(story)


def test_a_failing_store_is_asked_no_more_and_is_found_again_when_it_is_back() -> None:
    async def story() -> None:
        store = ScriptedFetcher(reply=fails)
        features = lookups(weather(default={"temp": 2.0}), store)
        for _ in range(40):
            await ask(features, "EWR")
        assert len(store.asked) == 5, "five failures in a row open the breaker"
        assert features.facts()["weather"].breaker == "open"
        store.reply = temperatures
        began_s = CLOCK.now_s()
        while (looked := await ask(features, "EWR")).degraded:
            await CLOCK.wait(0.05)
            assert CLOCK.now_s() - began_s < 3, "a store that is back is found"
        assert temps(looked) == [temp_of("EWR")]
        assert features.facts()["weather"].breaker == "closed"

    told(story)


def test_keys_that_are_asked_for_at_once_are_asked_of_the_store_once_and_one_call_at_a_time() -> (
    None
):
    async def story() -> None:
        store = ScriptedFetcher()
        features = lookups(weather(), store)
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(ask(features, "EWR", f"A{number % 5}"))
        assert store.out_most == 1
        assert len(store.asked) == 2, "the first, and all that came while it was out"
        every = [key for keys in store.asked for key in keys]
        assert len(every) == len(set(every)) == 6

    told(story)


def test_keys_of_other_types_are_other_keys_and_travel_in_calls_of_their_own() -> None:
    def by_type(ask: Fetch) -> Fetched:
        kinds = {type(key) for key in ask.keys["origin"]}
        assert len(kinds) == 1, f"a frame has one type a column, not {kinds}"
        return temperatures(ask)

    async def story() -> None:
        features = lookups(weather(fresh_s=9), ScriptedFetcher(by_type))
        mixed = (1, True, 1.0, "1", False, 0, "0")
        for _ in range(2):
            looked = await ask(features, *mixed)
            assert temps(looked) == [temp_of(key) for key in mixed]
            assert not looked.degraded

    told(story)


def test_a_key_that_makes_the_function_fail_costs_other_keys_nothing_for_long() -> None:
    def poisoned(ask: Fetch) -> Fetched:
        return fails(ask) if "BAD" in ask.keys["origin"] else temperatures(ask)

    async def story() -> None:
        store = ScriptedFetcher(poisoned)
        features = lookups(weather(default={"temp": -1.0}), store)
        good = [f"A{number}" for number in range(31)]
        rounds: list[int] = []
        for _ in range(40):
            async with asyncio.TaskGroup() as group:
                held = group.create_task(ask(features, "first"))  # the others go together
                tasks = [group.create_task(ask(features, origin)) for origin in [*good, "BAD"]]
            assert temps(tasks[-1].result()) == [-1.0]
            assert temps(held.result()) == [temp_of("first")]
            rounds.append(sum(task.result().degraded for task in tasks[:-1]))
            assert features.facts()["weather"].breaker == "closed"
        assert rounds[0] == 31, "the first call fails with all that are in it"
        assert sum(rounds) < 80, "and then fewer and fewer do"
        assert rounds[8:] == [0] * 32
        asked = sum(("BAD",) in call for call in store.asked)
        assert asked <= 8, "what fails alone is left alone for a while"
        await CLOCK.wait(60)
        store.reply = temperatures
        assert temps(await ask(features, "BAD")) == [temp_of("BAD")]

    told(story)


def test_where_all_calls_fail_it_is_the_store_and_no_key_is_suspected_when_it_is_back() -> None:
    async def story() -> None:
        store = ScriptedFetcher(reply=fails)
        features = lookups(weather(default={"temp": -1.0}), store)
        origins = [f"A{number}" for number in range(64)]
        for _ in range(10):
            await ask(features, *origins)
        assert features.facts()["weather"].breaker == "open"
        store.reply = temperatures
        await CLOCK.wait(6)
        calls = len(store.asked)
        assert temps(await ask(features, *origins)) == [temp_of(origin) for origin in origins]
        assert len(store.asked) == calls + 1, "all keys in one call"

    told(story)


def test_groups_are_looked_up_at_once_and_each_is_told_by_its_worst() -> None:
    async def story() -> None:
        wind = msgspec.structs.replace(weather(), name="wind", columns={"wind": "Float64"})
        slow = ScriptedFetcher(seconds=0.08)
        winds = ScriptedFetcher(
            lambda ask: Fetched(values={"wind": [len(str(key)) for key in ask.keys["origin"]]}),
            seconds=0.09,
        )
        features = FeatureLookups(
            [weather(), wind],
            {"weather": slow, "wind": winds},
            clock=CLOCK,
            killed=lambda capability: capability == "features.none",
            dice=random.Random(1),
        )
        began_s = CLOCK.now_s()
        looked = await ask(features, "EWR", "LGA9")
        assert CLOCK.now_s() - began_s == pytest.approx(0.09)
        assert decode_columns(looked.extra) == {
            "temp": [temp_of("EWR"), temp_of("LGA9")],
            "wind": [3, 4],
        }
        winds.reply = fails
        worse = await ask(features, "EWR")
        assert [(group.group, group.code) for group in worse.features] == [
            ("weather", "live"), ("wind", "missing"),
        ]  # fmt: skip
        assert worse.said == "wind=missing"
        assert features.facts()["wind"].values == {
            "live": 2, "cached": 0, "default": 0, "missing": 1,
        }  # fmt: skip
        await features.close()
        assert slow.closed
        assert winds.closed

    told(story)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_store_does_no_value_is_another_keys_and_nobody_waits_too_long(
    seed: int,
) -> None:
    dice = random.Random(seed)

    def any_way(ask: Fetch) -> Fetched:
        drawn = dice.random()
        if drawn < 0.2:
            return fails(ask)
        found = temperatures(ask).values["temp"]
        lacking = [row for row in range(len(found)) if dice.random() < 0.1]
        values = [None if row in lacking else value for row, value in enumerate(found)]
        return Fetched(values={"temp": values}, wrong={"temp": lacking} if drawn < 0.4 else {})

    async def customer(features: FeatureLookups) -> None:
        for _ in range(30):
            origins = [f"A{dice.randrange(50)}" for _ in range(dice.randrange(1, 6))]
            within_s = dice.choice([1.0, 0.05])
            began_s = CLOCK.now_s()
            looked = await ask(features, *origins, within_s=within_s)
            assert CLOCK.now_s() - began_s <= min(0.1, within_s) + 1e-6
            for origin, value in zip(origins, temps(looked), strict=True):
                assert value in {temp_of(origin), -1.0}
            await CLOCK.wait(dice.random() / 20)

    async def story() -> None:
        store = ScriptedFetcher(any_way)
        plan = weather(
            fresh_s=dice.choice([0.0, 0.5]), stale_max_s=dice.choice([None, 2.0]),
            default={"temp": -1.0},
        )  # fmt: skip
        features = lookups(plan, store)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(customer(features)) for _ in range(8)]
            while not all(task.done() for task in tasks):
                store.seconds = dice.choice([0.001, 0.02, 0.3])
                store.reply = None if dice.random() < 0.1 else any_way
                await CLOCK.wait(dice.random() / 5)
                while store.held:
                    store.held.pop()()
        assert store.out_most == 1

    run(story(), seed=seed)


def test_the_kill_switch_makes_it_as_if_the_store_was_down() -> None:
    async def story() -> None:
        store, killed = ScriptedFetcher(), set[str]()
        features = lookups(weather(stale_max_s=60), store, killed)
        await ask(features, "EWR")
        killed.add("features.weather")
        looked = await ask(features, "EWR")
        assert looked.said == "weather=cached:0s"
        assert "switched off" in (await ask(features, "JFK")).abstain
        assert len(store.asked) == 1
        killed.clear()
        assert not (await ask(features, "JFK")).degraded

    told(story)


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"Origin": ["EWR"]},
        {"origin": [None]},
        {"origin": []},
        {"origin": [["EWR"]]},
        {"origin": [{"a": 1}]},
        {"origin": [float("nan")]},
        {"origin": [2**63]},
        {"origin": ["x" * 1_001]},
    ],
)
def test_a_request_without_usable_keys_is_refused_and_told_which(
    columns: dict[str, list[Scalar]],
) -> None:
    async def story() -> None:
        store = ScriptedFetcher()
        looked = await lookups(weather(), store).look_up(columns, 1, CLOCK.now_s() + 1)
        assert "origin" in looked.refused
        assert "send" in looked.refused
        assert store.asked == []

    told(story)


def test_more_keys_than_may_wait_are_answered_as_if_the_store_was_down() -> None:
    async def story() -> None:
        features = lookups(weather(default={"temp": -1.0}), ScriptedFetcher(seconds=0.001))
        origins = [f"{number:05d}" for number in range(20_000)]
        found = temps(await ask(features, *origins))
        live = [value for value in found if value != -1.0]
        assert live == [temp_of(origin) for origin in origins[: len(live)]]
        assert 9_000 <= len(live) <= 11_000

    told(story)


def test_the_cache_is_bounded_by_entries_and_by_bytes_and_the_least_used_go() -> None:
    cache = FeatureCache(entries_max=3, bytes_max=10_000)
    for name in (b"a", b"b", b"c"):
        cache.put(name, Kept((1.0,), (0.0,)))
    assert cache.get(b"a")
    cache.put(b"d", Kept((1.0,), (0.0,)))
    assert [cache.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [
        True, False, True, True,
    ]  # fmt: skip
    cache.put(b"e", Kept(("x" * 9_500,), (0.0,)))
    assert len(cache) == 1
    assert cache.bytes <= 10_000
    cache.put(b"f", Kept(("x" * 20_000,), (0.0,)))
    assert cache.get(b"f") is None, "what does not fit at all pushes nothing out"
    assert cache.get(b"e")


def test_looked_up_columns_travel_as_the_worker_reads_them() -> None:
    async def story() -> None:
        looked = await ask(lookups(weather(), ScriptedFetcher()), "EWR", "JFK")
        assert msgspec.msgpack.decode(looked.extra) == {"temp": [temp_of("EWR"), temp_of("JFK")]}

    told(story)

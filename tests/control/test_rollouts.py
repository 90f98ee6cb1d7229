"""The controller takes good versions through and bad ones back, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from control.rollout_world import POLICY, RolloutWorld, make_plan, target, world
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.control.changes import changes
from firedoor.errors import LedgerFull
from firedoor.rollout.drilled import Drilled, Shown
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.testing.loop import run
from firedoor.wire.evidence import Counts
from firedoor.wire.rollout_order import RolloutOrder, RolloutOrders


def weights(one: RolloutWorld) -> list[float]:
    """Return the weights that the first gateway followed."""
    return one.gateways[0].seen


def test_a_good_version_goes_live_step_by_step_and_every_step_is_written_down() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2, because="faster")
            kept = await one.until_over()
            assert kept.state.ended[-1].phase == "live"
            assert one.registry.live == 2
            await one.clock.wait(1)
            assert weights(one) == [0.0, 0.1, 0.5, 1.0, 0.0]
            route = one.route()
            assert (route.champion.version, route.mode, route.candidate) == (2, "steady", None)
            assert route.previous is not None
            assert route.previous.version == 1
            said = [change.what for change in await changes(one.streams, about="predict")]
            for what in (
                "rollout start ordered", "rollout started", "rollout at shadow", "rollout at 10 %",
                "rollout at 50 %", "rollout at 100 %", "rollout live",
            ):  # fmt: skip
                assert what in said

    run(story())


def test_a_bad_version_goes_back_and_is_barred_with_the_evidence_as_reason() -> None:
    async def story() -> None:
        async with world(rates={2: 0.08}) as one:
            one.gateways[0].pack = 7
            await one.order("start", 2)
            kept = await one.until_over(200)
            ended = kept.state.ended[-1]
            assert (ended.phase, ended.guilty, ended.pack) == ("quarantined", True, 7)
            assert "errors: " in one.registry.barred[2]
            assert "of the champion" in one.registry.barred[2]
            assert one.registry.live == 1
            assert one.route().candidate is None
            assert one.route().weight == 0

    run(story())


def test_a_blip_that_all_share_rolls_nothing_back_and_promotes_nothing_bad() -> None:
    async def blips(one: RolloutWorld) -> None:
        for _ in range(4):
            await one.clock.wait(17)
            for gateway in one.gateways:
                gateway.blip = 0.3
            await one.clock.wait(3)
            for gateway in one.gateways:
                gateway.blip = 0.0

    async def story(rates: dict[int, float], seed: int) -> str:
        async with world(rates=rates, seed=seed) as one:
            await one.order("start", 2)
            task = one.group.create_task(blips(one))
            kept = await one.until_over()
            task.cancel()
            return kept.state.ended[-1].phase

    assert [run(story({}, seed)) for seed in range(2)] == ["live", "live"]
    assert [run(story({2: 0.025}, seed)) for seed in range(2)] == ["quarantined", "quarantined"]


def test_a_hard_fault_is_back_within_a_second() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.place == "canary")  # fmt: skip
            await one.clock.wait(5)
            assert one.gateways[0].route is not None
            assert one.gateways[0].route.weight > 0
            assert one.route().lease_s == POLICY.lease_s / POLICY.time_scale
            one.gateways[0].trips = {"crash_loop": "SIGSEGV 5 times in 10 s"}
            await one.clock.wait(1.0)  # until it says so
            began_s = one.clock.now_s()
            while one.route().weight:
                await one.clock.wait(0.05)
            assert one.clock.now_s() - began_s < 1
            assert "SIGSEGV 5 times" in one.registry.barred[2]
            assert one.route().lease_s is None

    run(story())


def test_an_order_to_abort_is_obeyed_within_a_second_and_bars_nothing() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.place == "canary")  # fmt: skip
            began_s = one.clock.now_s()
            await one.order("abort", because="not today")
            await one.until_over(5)
            assert one.clock.now_s() - began_s < 1
            assert one.route().weight == 0
            assert not one.registry.barred
            assert not (await one.streams.get("orders.predict") or b"").count(b"abort")

    run(story())


def test_a_controller_that_dies_again_and_again_counts_nothing_twice_and_loses_nothing() -> None:
    async def story() -> None:
        async with world() as one:
            one.plan = make_plan(replace(POLICY, beta=0.001))
            await one.kill_control()
            one.start_control()
            await one.order("start", 2)
            for turn in range(6):
                await one.clock.wait(6.1 + 0.07 * turn)
                await one.kill_control()
                await one.clock.wait(0.5 * turn)
                one.start_control()
            kept = await one.until(lambda kept: kept.state.current is not None and
                                   kept.state.current.place in {"canary", "bake"})  # fmt: skip
            await one.clock.wait(5)
            kept = await one.kept()
            assert kept.state.current is not None
            meters = kept.state.current.trial.meters
            counted = meters["error"].candidate[0]
            sent = sum(gateway.arms["candidate"].n for gateway in one.gateways)
            assert 0 < counted <= sent
            kept = await one.until_over()
            assert kept.state.ended[-1].phase == "live"

    run(story())


def test_a_gateway_that_begins_anew_or_counts_backward_makes_no_evidence() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.place == "canary")  # fmt: skip
            await one.clock.wait(3)
            for wild in (one.gateways[0], one.gateways[1]):
                wild.restart()
                wild.arms = {"candidate": Counts(n=10_000, error=9_000)}
            await one.clock.wait(3)
            one.gateways[0].arms = {"candidate": Counts(n=9_999, error=9_999)}
            kept = await one.until_over()
            assert kept.state.ended[-1].phase == "live"

    run(story())


def test_silence_holds_and_a_broker_that_is_away_is_waited_for() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.place == "canary")  # fmt: skip
            for gateway in one.gateways:
                gateway.silent = True
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.hold == "no_evidence", 30)  # fmt: skip
            held = one.route()
            await one.clock.wait(60)
            assert one.route() == held
            one.store.down()
            await one.clock.wait(60)
            one.store.up()
            assert one.route() == held
            for gateway in one.gateways:
                gateway.silent = False
            kept = await one.until_over()
            assert kept.state.ended[-1].phase == "live"
            said = [line for line in one.told if "nothing is decided" in line]
            assert len(said) == 1

    run(story())


def test_answers_that_the_broker_loses_change_nothing() -> None:
    async def story(*, done: bool) -> None:
        async with world(rates={2: 0.08}) as one:
            await one.order("start", 2)
            for _ in range(10):
                await one.clock.wait(0.9)
                one.store.lose("swap", done=done)
                one.store.lose("put", done=done)
            kept = await one.until_over(200)
            assert kept.state.ended[-1].phase == "quarantined"
            await one.clock.wait(1)
            assert one.route().candidate is None
            noted = {change.what for change in await changes(one.streams, about="predict")}
            assert {said.what for said in (await one.kept()).state.said} <= noted

    run(story(done=True))
    run(story(done=False))


def test_a_ledger_that_is_full_stops_no_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        message = "the ledger has no room for what people do"
        raise LedgerFull(message)

    async def story() -> None:
        async with world(rates={2: 0.5}) as one:
            await one.order("start", 2)
            monkeypatch.setattr(MemoryStreams, "enter", full)
            kept = await one.until_over(200)
            assert kept.state.ended[-1].phase == "quarantined"
            assert one.registry.calls == ["quarantine 2"]
            assert any("written down nowhere else" in line for line in one.told)

    run(story())


def test_a_promotion_and_a_rollback_by_hand_are_followed_at_once() -> None:
    async def story() -> None:
        async with world() as one:
            await one.until(lambda kept: kept.state.live == target(1))
            one.registry.live, one.registry.lived, one.registry.by = 3, [1], "bob"
            await one.clock.wait(2)
            assert one.route().champion.version == 3
            await one.order("rollback", because="3 is odd")
            await one.clock.wait(0.5)
            assert one.route().champion.version == 1
            await one.clock.wait(3)
            assert one.registry.live == 1
            assert one.route().champion.version == 1

    run(story())


def test_the_candidates_kill_switch_ends_a_rollout_and_bars_nothing() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and
                            kept.state.current.place == "canary")  # fmt: skip
            table = b'{"flags":{"kill.predict.candidate":{"value":true,"by":"eve","because":"no"}}}'
            await one.streams.put("flags", table)
            kept = await one.until_over(2)
            assert "kill switch was thrown: eve: no" in kept.state.ended[-1].verdict
            assert not one.registry.barred

    run(story())


def test_a_successor_replays_what_made_the_last_one_go() -> None:
    async def story(outcome: ReplayOutcome, phase: str) -> None:
        async with world(rates={2: 0.08}) as one:
            one.gateways[0].pack = 40
            one.replays.outcome = outcome
            await one.order("start", 2)
            await one.until_over(200)
            await one.order("start", 2, because="again")
            await one.clock.wait(1)
            assert len((await one.kept()).state.ended) == 1
            assert "quarantined" in (await one.kept()).state.said[-1].because
            await one.order("start", 3)
            await one.until(
                lambda kept: (
                    len(kept.state.ended) > 1
                    or (kept.state.current is not None and kept.state.current.place == phase)
                ),
                200,
            )
            assert one.replays.asked[0] == ("predict-1", "delays@3")
            kept = await one.kept()
            if kept.state.current is None:
                assert kept.state.ended[-1].phase == phase
                assert "still fails: 1 of 30 ValueError" in kept.state.ended[-1].verdict
            else:
                assert kept.state.current.second_chance

    run(story(ReplayOutcome(failing={"ValueError": (30, 1)}, good=10), "rolled_back"))
    run(story(ReplayOutcome(failing={"ValueError": (30, 0)}, good=10), "canary"))


def test_a_red_drill_holds_a_successor_across_a_new_controller_until_a_green_one() -> None:
    def drilled(shown: Shown, at_s: float) -> Drilled:
        return Drilled(fault="model_raise", shown=shown, at_s=at_s, drill="d-7", why="store hurt")

    async def story() -> None:
        async with world(rates={2: 0.08}) as one:
            one.gateways[0].pack = 40
            one.replays.outcome = ReplayOutcome(failing={"E": (30, 0)}, kinds=("raised", "late"))
            await one.order("start", 2)
            await one.until_over(200)
            one.drills.shown["model_raise"] = drilled("red", one.clock.utc_s())
            await one.order("start", 3)
            await one.until(lambda kept: "store hurt (drill d-7)" in kept.waits)
            await one.kill_control()
            one.start_control()
            await one.clock.wait(5)
            current = (await one.kept()).state.current
            assert current is not None
            assert (current.phase, len(one.replays.asked)) == ("held", 1)
            one.drills.shown["model_raise"] = drilled("green", one.clock.utc_s())
            await one.until(
                lambda kept: (
                    kept.waits.startswith("shadow") and "model_slow was never drilled" in kept.waits
                )
            )

    run(story())


def test_gateways_are_led_on_after_the_brokers_store_was_wiped() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until_over()
            await one.clock.wait(5)
            before = one.route().generation
            await one.kill_control()
            one.store.values.clear()
            one.start_control()
            await one.clock.wait(5)
            route = one.route()
            assert route.generation > before
            assert route.champion.version == 2
            assert all(gateway.route == route for gateway in one.gateways)
            await one.clock.wait(5)
            assert one.route() == route  # written once, and not again and again

    run(story())


def test_an_order_that_was_seen_to_is_not_seen_to_again() -> None:
    async def story() -> None:
        async with world() as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.handled == 1)
            left = RolloutOrder(number=1, verb="start", version=2, by="ann")
            table = RolloutOrders(next_number=2, orders=(left,))
            await one.streams.put("orders.predict", msgspec.json.encode(table))
            await one.clock.wait(1)
            assert b"start" not in one.store.values["orders.predict"]
            said = [one.what for one in (await one.kept()).state.said]
            assert said.count("rollout started") == 1
            assert "order refused" not in said

    run(story())


def test_two_controllers_do_not_both_decide() -> None:
    async def story() -> None:
        async with world(rates={2: 0.08}) as one:
            first = one._driver
            one.start_control()
            await one.order("start", 2)
            kept = await one.until_over(200)
            assert kept.state.ended[-1].phase == "quarantined"
            await one.clock.wait(1)
            noted = [change.what for change in await changes(one.streams, about="predict")]
            for what in ("rollout started", "rollout at shadow", "rollout quarantined"):
                assert noted.count(what) == 1
            assert first is not None
            first.cancel()
            await asyncio.wait([first])

    run(story())


@pytest.mark.soak
def test_good_and_bad_versions_find_their_way_whatever_the_seed() -> None:
    async def story(seed: int) -> tuple[str, str]:
        phases = []
        for rates in ({}, {2: 0.04}):
            async with world(seed=seed, rates=rates) as one:
                await one.order("start", 2)
                phases.append((await one.until_over()).state.ended[-1].phase)
        return phases[0], phases[1]

    found = [run(story(seed)) for seed in range(60)]
    assert sum(good == "live" for good, _ in found) >= 59
    assert sum(bad == "quarantined" for _, bad in found) >= 59

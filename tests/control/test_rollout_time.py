"""A rollout takes no notice of a clock that is set, nor of time in which nobody looked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.rollout_world import POLICY, RolloutWorld, world
from firedoor.testing.loop import VirtualClock, run

DAY_S = 86_400.0


class SetClock(VirtualClock):
    """A clock that somebody sets."""

    ahead_s = 0.0

    def utc_s(self) -> float:
        return super().utc_s() + self.ahead_s


async def driven_by(one: RolloutWorld) -> SetClock:
    """Have rollouts driven by a clock that can be set."""
    await one.kill_control()
    one.control_clock = clock = SetClock()
    one.start_control()
    return clock


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S, 3_600.0, -3_600.0])
def test_a_clock_that_is_set_neither_ends_a_rollout_nor_stops_it(ahead_s: float) -> None:
    async def story() -> None:
        async with world() as one:
            clock = await driven_by(one)
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and one.route().weight > 0)
            clock.ahead_s = ahead_s
            await clock.wait(5)
            before = await one.streams.beats("lease.")
            await clock.wait(5)
            assert before != await one.streams.beats("lease."), "gateways hear that it lives"
            kept = await one.until_over(400)
            assert kept.state.ended[-1].phase == "live", kept.state.ended[-1].verdict

    run(story())


def test_a_clock_that_is_set_back_hides_no_bad_version() -> None:
    async def story() -> None:
        async with world(rates={2: 0.08}) as one:
            clock = await driven_by(one)
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None)
            clock.ahead_s = -DAY_S
            kept = await one.until_over(200)
            assert kept.state.ended[-1].phase == "quarantined"

    run(story())


def test_time_without_control_is_no_part_of_a_step() -> None:
    async def story() -> None:
        async with world(policy=replace(POLICY, step_timeout_s=600.0)) as one:
            await one.order("start", 2)
            await one.until(lambda kept: kept.state.current is not None and one.route().weight > 0)
            await one.kill_control()
            await one.clock.wait(900.0)
            one.start_control()
            kept = await one.until_over(400)
            assert kept.state.ended[-1].phase == "live", kept.state.ended[-1].verdict

    run(story())

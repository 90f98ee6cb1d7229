"""Everything at once: poison, kills and load, drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import msgspec
import pytest

from compute.serving.kit import QUICK, ask, bundle, opened, plan, until, value
from firedoor.compute.variant import WorkerVariant
from firedoor.wire.serving import Outcome

POISON = ("raise", "segfault", "exit", "hang", "garbage", "nan", "short", "leak")
DEADLINE_S = 1.0
LITTLE_S = 0.5
"""By which an answer may come after its deadline, on a machine that does much else."""


class World:
    """Clients that check what they get, and somebody who kills."""

    def __init__(self, variant: WorkerVariant, seed: int, seconds: float) -> None:
        self.variant = variant
        self.seed = seed
        self.until_s = time.monotonic() + seconds
        self.asked = self.good = 0

    async def client(self, number: int) -> None:
        drawn = random.Random(f"{self.seed} {number}")
        while time.monotonic() < self.until_s:
            self.asked += 1
            x, what = float(self.asked), None
            if drawn.random() < 0.0005:
                what = drawn.choice(POISON)
            began_s = time.monotonic()
            told = await self.variant.ask(ask(x, what, deadline_s=began_s + DEADLINE_S))
            assert time.monotonic() - began_s < DEADLINE_S + LITTLE_S
            if told.outcome is Outcome.OK:
                assert what is None
                assert value(told) == 2 * x + 1
                self.good += 1
            elif told.outcome is Outcome.BUSY:
                await pause(0.01)

    async def killer(self) -> None:
        drawn = random.Random(self.seed)
        while time.monotonic() < self.until_s:
            await pause(drawn.uniform(0.5, 2))
            pids = self.variant.facts.pids
            with contextlib.suppress(ProcessLookupError):
                if pids:
                    os.kill(drawn.choice(pids), signal.SIGKILL)


async def pause(seconds: float) -> None:
    """Let others go on for so long."""
    until_s = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= until_s)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(12))
def test_in_every_chaos_answers_are_right_or_none_in_time_and_the_end_is_calm(
    tmp_path: Path, seed: int
) -> None:
    async def main() -> None:
        limits = msgspec.structs.replace(QUICK, attempt_s=0.5, replicas=1 + seed % 2)
        async with opened(tmp_path / "b", bundle(tmp_path / "b"), plan(limits=limits)) as variant:
            world = World(variant, seed, 10.0)
            async with asyncio.TaskGroup() as tasks:
                for number in range(16):
                    tasks.create_task(world.client(number))
                tasks.create_task(world.killer())
            assert world.good > world.asked * 0.8
            await until(lambda: variant.facts.replicas > 0 and not variant.facts.waiting, 60)
            assert value(await variant.ask(ask(3.0))) == 7.0

    asyncio.run(main())

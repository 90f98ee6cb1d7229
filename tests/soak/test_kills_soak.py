"""A hundred kills over every kind of process, during the year of flights."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from pipelines.killing import KINDS, Killing
from pipelines.truth import PIPELINE, make_months
from pipelines.weather import Weather

KILLS = int(os.environ.get("FIREDOOR_KILLS", "100"))
SEED = int(os.environ.get("FIREDOOR_KILL_SEED", "1"))
YEAR = range(1, 13)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    year = make_months(tmp_path / "year", months=YEAR)
    dice = random.Random(SEED)
    killed: Counter[str] = Counter()
    rate = 130_000 // KILLS  # so that the year lasts until the last kill
    with (
        Weather(year.weather).start() as weather,
        Killing(
            PIPELINE, tmp_path / "project", seed=SEED,
            environment={
                "FLIGHTS_YEAR": str(year.folder),
                "FLIGHTS_RATE": str(rate),
                "FLIGHTS_WEATHER": weather.address,
            },
        ) as killing,
    ):  # fmt: skip
        while sum(killed.values()) < KILLS:
            kind = dice.choice(KINDS)
            assert killing.kill(kind, within_s=3.0), f"over after {sum(killed.values())} kills"
            killed[kind] += 1
        code = killing.finish(within_s=900)
        told = killing.told()

    print(f"killed: {dict(killed)}")
    assert code == 0, told[-4000:]
    year.check_store(told)

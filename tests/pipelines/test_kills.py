"""Whatever is killed, and when: the sink ends with exactly the rows of a run without kills."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pipelines.killing import KINDS, Killing
from pipelines.truth import PIPELINE, Months, make_months
from pipelines.weather import Weather

SEED = int(os.environ.get("FIREDOOR_KILL_SEED", "1"))
POISONED = (6, 7)
"""One row raises in June, one segfaults in July."""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Months:
    return make_months(tmp_path_factory.mktemp("kills") / "year", months=POISONED)


@pytest.mark.timeout(300)
def test_a_kill_of_every_kind_of_process_loses_and_doubles_nothing(
    months: Months, tmp_path: Path
) -> None:
    kinds = random.Random(SEED).sample(KINDS, len(KINDS))
    with (
        Weather(months.weather).start() as weather,
        Killing(
            PIPELINE, tmp_path, seed=SEED,
            environment={
                "FLIGHTS_YEAR": str(months.folder),
                "FLIGHTS_RATE": "5000",
                "FLIGHTS_WEATHER": weather.address,
            },
        ) as killing,
    ):  # fmt: skip
        for kind in kinds:
            assert killing.kill(kind, within_s=1.5), f"over before a {kind} was killed"
        code = killing.finish(within_s=120)
        told = killing.told()

    assert code == 0, told[-4000:]
    months.check_store(told)

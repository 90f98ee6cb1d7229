"""A folder with a pipeline, and rows as its sink would have written them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from firedoor.adapters.clock import SystemClock
from firedoor.compose.jobs import job_of, run_job, with_parameters
from firedoor.compose.loading import load_plan
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.dataset import SINK_KEY
from firedoor.wire.run import RunRecord

SPRING = datetime(2013, 3, 1, tzinfo=UTC)
SUMMER = datetime(2013, 7, 1, tzinfo=UTC)


def frame_of(first: int, count: int, at: datetime) -> pl.DataFrame:
    """Return rows whose keys are numbers from ``first`` on."""
    numbers = range(first, first + count)
    return pl.DataFrame(
        {
            "flight": [f"N{number}" for number in numbers],
            "at": [at + timedelta(minutes=number) for number in numbers],
            "distance": [float(number) for number in numbers],
            "late": [number % 3 == 0 for number in numbers],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def write(place: Path, number: int, frame: pl.DataFrame) -> Path:
    """Write a batch into the sink's folder."""
    batch = f"rows-{number:06d}"
    path = place / "out" / f"{batch}.parquet"
    path.parent.mkdir(exist_ok=True)
    frame.write_parquet(path, metadata={SINK_KEY: f"store/{batch}/{number:08x}"})
    return path


def settle(place: Path) -> Plan:
    """Make a folder with the pipeline, 40 rows of spring and 20 of summer."""
    shutil.copy(Path(__file__).with_name("parted.py"), place / "parted.py")
    (place / "data").mkdir()
    write(place, 1, frame_of(0, 40, SPRING))
    write(place, 2, frame_of(100, 20, SUMMER))
    return load_plan(place / "parted.py")


def run_one(
    plan: Plan,
    place: Path,
    name: str,
    params: dict[str, Any] | None = None,
    *,
    change: Callable[[JobPlan], JobPlan] = lambda job: job,
    **more: Any,
) -> RunRecord:
    """Run a job."""
    job = change(job_of(plan, name))
    given = with_parameters(job, params or {})
    return run_job(
        plan, job, project=place, clock=SystemClock(), by="ann", parameters=given, **more
    )

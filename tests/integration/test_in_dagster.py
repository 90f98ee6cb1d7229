"""A wall inside a real Dagster job: the op delivers the good rows and reports the bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TC002 - Dagster reads the annotations
import pytest
from polars.testing import assert_frame_equal

import firedoor as fd
from wall import steps

if TYPE_CHECKING:
    import dagster
else:
    dagster = pytest.importorskip(
        "dagster", reason="dagster is in an optional group: run `make test-integration`"
    )
pytestmark = [
    pytest.mark.integration,
    # Dagster and its dependencies warn about themselves; that is no matter of ours.
    pytest.mark.filterwarnings("ignore"),
]

POISON = {100: steps.SEGFAULTS, 200: steps.RAISES}


@pytest.fixture(name="job")
def make_job() -> Any:
    """Return a job of two ops with a wall in the second."""

    @dagster.op
    def extract() -> pl.DataFrame:
        return steps.rows([POISON.get(row, steps.GOOD) for row in range(500)])

    @dagster.op
    def enrich(frame: pl.DataFrame) -> dagster.Output[pl.DataFrame]:
        with fd.Wall(steps.double) as wall:
            outcome = wall(frame)
        reasons = outcome.dead.reasons
        return dagster.Output(outcome.good, metadata={"dead": reasons["code"].to_list()})

    @dagster.job
    def flights() -> None:
        enrich(extract())

    return flights


def test_an_op_behind_a_wall_delivers_every_good_row_though_a_row_segfaults(job: Any) -> None:
    run = job.execute_in_process()
    assert run.success
    frame = run.output_for_node("extract")
    good = [row for row in range(500) if row not in POISON]
    assert_frame_equal(run.output_for_node("enrich"), steps.double(frame[good]))
    events = run.events_for_node("enrich")
    (output,) = [event for event in events if event.event_type_value == "STEP_OUTPUT"]
    assert output.step_output_data.metadata["dead"].value == ["crash", "exception"]


def test_without_a_wall_the_same_op_fails_whole(job: Any) -> None:
    @dagster.op
    def enrich_bare() -> pl.DataFrame:
        return steps.double(steps.rows([steps.GOOD] * 499 + [steps.RAISES]))

    @dagster.job
    def bare() -> None:
        enrich_bare()

    assert not bare.execute_in_process(raise_on_error=False).success
    assert job.execute_in_process().success

"""A sink's function is called whole, with its key, and nobody is blamed for a row."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from compose import stage_steps
from firedoor.compute.conversation import Manner
from firedoor.compute.crew import Crew
from firedoor.compute.effect import Effect
from firedoor.compute.held import Held
from firedoor.compute.step import refer
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.spec.wall import WallOptions


@pytest.fixture
def effect() -> Iterator[Effect]:
    reference = refer(stage_steps.tell, None, None, by_value=False)
    options = WallOptions(expands=True, batchwise=True, timeout_s=5)
    made = Effect(reference, options, name="store")
    yield made
    Crew.close(made.crew)


def trips(tail: str, file: str) -> Held:
    rows = 100
    return Held.of_frame(pl.DataFrame({"tail": [tail] * rows, "origin": [file] * rows}))


def test_the_function_is_called_once_with_all_rows_and_the_key(
    effect: Effect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        effect.call(trips("N1", ""), Manner(key="store/trips-000001"))

    assert [record.getMessage() for record in caplog.records] == ["store/trips-000001: 100 rows"]
    report = effect.report()
    assert (report.batches, report.rows, report.workers_lost) == (1, 100, 0)


def test_a_function_that_raises_has_its_dependency_away(effect: Effect) -> None:
    with pytest.raises(DependencyDown, match="warehouse is away"):
        effect.call(trips("GLIDER", ""), Manner(key="store/trips-000001"))
    assert effect.report().workers_lost == 0


def test_a_function_that_crashes_three_times_is_at_fault(effect: Effect) -> None:
    seen: list[str] = []
    manner = Manner(key="store/trips-000001", journal=lambda cause, _where: seen.append(cause))

    with pytest.raises(StepAtFault, match="SIGSEGV") as caught:
        effect.call(trips("NULL", ""), manner)

    assert caught.value.code == "crash"
    assert seen == ["crash"] * 3

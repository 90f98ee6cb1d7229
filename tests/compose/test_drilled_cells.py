"""What drills that are kept have shown of a service."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from drilled import report, row, second
from firedoor.compose.drill_files import REPORT, drills_folder, keep
from firedoor.compose.drilled_cells import DrilledCells
from firedoor.drill.report import Row
from firedoor.rollout.drilled import Drilled

FAULTS = ("model_raise", "model_nan", "model_slow")
WELL = row()
HURT = row({"store": [second(lost=30)] * 12})
PIPELINE = report(WELL).pipeline


def of_service(made: Row, fault: str, began_s: float) -> Row:
    """Return a row as if the fault had been injected in the service."""
    name = f"{fault} at {began_s:g}"
    return replace(made, name=name, fault=fault, zone="predict", began_s=began_s)


def kept(project: Path, drill: str, *rows: Row, pipeline: str = PIPELINE) -> None:
    """Keep a drill."""
    keep(replace(report(*rows), drill=drill, pipeline=pipeline), project)


def last(cells: DrilledCells) -> list[tuple[str, str, float, str]]:
    """Return what is found."""
    found: tuple[Drilled, ...] = asyncio.run(cells.last(FAULTS))
    return [(one.fault, one.shown, one.at_s, one.drill) for one in found]


def test_the_last_drill_of_each_fault_counts_and_in_it_the_worst_row(tmp_path: Path) -> None:
    cells = DrilledCells(tmp_path, PIPELINE, "predict")
    assert last(cells) == []
    kept(tmp_path, "20261101", of_service(HURT, "model_raise", 1.0),
         of_service(WELL, "model_nan", 2.0))  # fmt: skip
    assert last(cells) == [
        ("model_raise", "red", 1.0, "20261101"), ("model_nan", "green", 2.0, "20261101"),
    ]  # fmt: skip
    kept(tmp_path, "20261102", of_service(WELL, "model_raise", 3.0),
         of_service(HURT, "model_nan", 4.0), of_service(WELL, "model_nan", 5.0))  # fmt: skip
    assert last(cells) == [
        ("model_raise", "green", 3.0, "20261102"), ("model_nan", "red", 4.0, "20261102"),
    ]  # fmt: skip


def test_a_drill_that_saw_too_little_wipes_out_nothing_and_is_told_where_it_is_all(
    tmp_path: Path,
) -> None:
    cells, missed = DrilledCells(tmp_path, PIPELINE, "predict"), replace(WELL, injected=False)
    kept(tmp_path, "20261101", of_service(HURT, "model_raise", 1.0))
    kept(tmp_path, "20261102", of_service(missed, "model_raise", 2.0),
         of_service(missed, "model_nan", 3.0))  # fmt: skip
    assert last(cells) == [
        ("model_raise", "red", 1.0, "20261101"), ("model_nan", "unclear", 3.0, "20261102"),
    ]  # fmt: skip


def test_other_zones_other_pipelines_and_what_cannot_be_read_show_nothing(tmp_path: Path) -> None:
    kept(tmp_path, "20261101", of_service(WELL, "model_raise", 1.0))
    kept(tmp_path, "20261102", replace(HURT, fault="model_raise", zone="other"))
    kept(tmp_path, "20261103", of_service(HURT, "model_raise", 2.0), pipeline="another")
    broken = drills_folder(tmp_path) / "20261104"
    broken.mkdir()
    (broken / REPORT).write_text("{")
    cells = DrilledCells(tmp_path, PIPELINE, "predict")
    assert last(cells) == [("model_raise", "green", 1.0, "20261101")]


def test_a_drill_is_read_once_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    kept(tmp_path, "20261101", of_service(WELL, "model_raise", 1.0))
    cells = DrilledCells(tmp_path, PIPELINE, "predict")
    assert last(cells)
    file = drills_folder(tmp_path) / "20261101" / REPORT
    file.write_text("{")
    assert last(cells), "it was read again"
    file.unlink()
    assert last(cells) == []

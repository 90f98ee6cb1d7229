"""The stage of a transform: batches as bytes through a wall, with their row numbers."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from compose import stage_steps
from firedoor.compose.stage import WallStage, build_stage, decode_numbers, encode_numbers
from firedoor.compute import ipc
from firedoor.compute.step import refer
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.ports.stage import Handled
from firedoor.spec.plan import Plan, SchemaNote, ZonePlan
from firedoor.spec.referred import StepNote
from firedoor.wire.envelope import Envelope

pytestmark = pytest.mark.usefixtures("kept_fork_servers")
ROWS = 1_000


def trips(**columns: Any) -> pl.DataFrame:
    """Return a thousand trips."""
    frame = pl.DataFrame(
        {
            "distance": [(row * 7) % 5_000 + 1 for row in range(ROWS)],
            "tail": [f"N{row:05}" for row in range(ROWS)],
            "origin": ["JFK", "EWR"] * (ROWS // 2),
        }
    )
    return frame.with_columns(**columns)


def at(row: int, value: object, column: str = "tail") -> pl.Expr:
    """Return a column with one value overwritten."""
    return pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(column)


def zone_of(step: Any, *, schema: Any = None, **fields: Any) -> ZonePlan:
    reference = refer(step, schema, None, by_value=False)
    note = StepNote(
        name=reference.name, pickled=reference.pickled, main_path=reference.main_path,
        main_module=reference.main_module, where="",
    )  # fmt: skip
    described = None
    if schema is not None:
        described = SchemaNote(
            name=schema.__name__, columns={}, nullable=(), rules={"distance|min": ("distance",)}
        )
    return ZonePlan(
        name=step.__name__, kind="transform", owner="o", version="1", step=note,
        schema=described, **fields,
    )  # fmt: skip


class Opened:
    """Stages of one test, closed at its end; takes frames through them."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.stages: list[WallStage] = []
        self.journal: list[tuple[str, str]] = []

    def stage(self, zone: ZonePlan) -> WallStage:
        plan = Plan(
            pipeline="p", owner="o", file="", sys_path=tuple(sys.path), zones=(zone,), edges=()
        )
        self.stages.append(build_stage(zone, plan, project=self.project))
        return self.stages[-1]

    def take(
        self, stage: WallStage, frame: pl.DataFrame, *, numbers: pl.Series | None = None,
        lookups: dict[str, str] | None = None,
        batch: str = "trips-000001",
    ) -> Handled:  # fmt: skip
        rows = b"".join(ipc.encode(frame, compress=True))
        payload = rows + (encode_numbers(numbers) if numbers is not None else b"")
        envelope = Envelope(
            batch=batch, rows=frame.height, frame_bytes=len(rows), crc32=0, zone="trips",
            zone_version="1", cut_s=0.0, lookups=lookups or {},
        )  # fmt: skip

        async def note(cause: str, where: str) -> None:
            self.journal.append((cause, where))

        return asyncio.run(stage.handle(envelope, payload, note))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path)
    yield found
    for stage in found.stages:
        stage.close()


def rows_of(handled: Handled) -> pl.DataFrame:
    return ipc.decode(io.BytesIO(handled.parcel.payload[: handled.parcel.frame_bytes]))


def numbers_of(handled: Handled) -> list[int]:
    return decode_numbers(handled.parcel.payload[handled.parcel.frame_bytes :]).to_list()


def dead_of(handled: Handled) -> pl.DataFrame:
    assert handled.dead is not None
    rows = ipc.decode(io.BytesIO(handled.dead.payload[: handled.dead.frame_bytes]))
    reasons = ipc.decode(io.BytesIO(handled.dead.payload[handled.dead.frame_bytes :]))
    return pl.concat([rows, reasons], how="horizontal")


def test_a_clean_batch_comes_out_as_the_bare_step_makes_it(opened: Opened) -> None:
    handled = opened.take(opened.stage(zone_of(stage_steps.double)), trips())

    assert rows_of(handled).equals(stage_steps.double(trips()))
    assert len(handled.parcel.payload) == handled.parcel.frame_bytes  # rows count from 0
    assert handled.numbered
    assert handled.dead is None
    assert opened.journal == []


def test_bad_rows_are_dead_with_the_numbers_that_their_source_gave_them(opened: Opened) -> None:
    frame = trips(tail=at(500, "NULL")).with_columns(tail=at(77, "GLIDER"))
    numbers = pl.Series("row", range(10_000, 10_000 + ROWS), dtype=pl.UInt32)

    handled = opened.take(opened.stage(zone_of(stage_steps.delicate)), frame, numbers=numbers)

    dead = dead_of(handled)
    assert dead.select("row", "code", "tail").rows() == [
        (10_077, "exception", "GLIDER"),
        (10_500, "crash", "NULL"),
    ]
    assert numbers_of(handled) == [n for n in numbers.to_list() if n not in {10_077, 10_500}]
    assert rows_of(handled).equals(frame.filter(~pl.col("tail").is_in(["GLIDER", "NULL"])))
    assert {group.line is not None for group in handled.dead.groups} == {True}  # type: ignore[union-attr]


def test_every_death_is_journalled_before_rows_are_run_again(opened: Opened) -> None:
    opened.take(opened.stage(zone_of(stage_steps.delicate)), trips(tail=at(500, "NULL")))

    assert len(opened.journal) >= 3
    assert {cause for cause, _ in opened.journal} == {"crash"}
    assert opened.journal[-1] == ("crash", "rows 500 to 501")


def test_rows_that_fail_the_schema_are_dead_by_the_rule(opened: Opened) -> None:
    zone = zone_of(stage_steps.double, schema=stage_steps.Trip)

    handled = opened.take(opened.stage(zone), trips(distance=at(3, -1, "distance")))

    assert dead_of(handled).select("row", "code", "signature").rows() == [
        (3, "schema", "rule distance|min")
    ]
    assert handled.parcel.rows == ROWS - 1


def test_dropped_rows_are_counted_and_the_others_keep_their_numbers(opened: Opened) -> None:
    zone = zone_of(stage_steps.only_long, wall={"may_drop": 1.0})

    handled = opened.take(opened.stage(zone), trips())

    long = trips().with_row_index("row").filter(pl.col("distance") > 2_000)
    assert numbers_of(handled) == long["row"].to_list()
    assert handled.dropped == {"may_drop": ROWS - long.height}


def test_a_step_that_expands_gives_rows_without_numbers_and_loses_none(opened: Opened) -> None:
    zone = zone_of(stage_steps.twice_over, wall={"expands": True, "batchwise": True})

    handled = opened.take(opened.stage(zone), trips())

    assert handled.parcel.rows == 2 * ROWS
    assert not handled.numbered
    assert handled.dropped == {}
    assert len(handled.parcel.payload) == handled.parcel.frame_bytes


def test_a_step_that_adds_rows_undeclared_is_told_how_to_declare_it(opened: Opened) -> None:
    with pytest.raises(StepAtFault, match="expands=True") as caught:
        opened.take(opened.stage(zone_of(stage_steps.twice_over)), trips())
    assert caught.value.code == "rows_added"


def test_a_lookup_is_an_argument_of_the_step_in_the_version_of_the_batch(opened: Opened) -> None:
    folder = opened.project / "lookups" / "sky"
    folder.mkdir(parents=True)
    for version, wind in (("aa", 1.0), ("bb", 2.0)):
        table = pl.DataFrame({"origin": ["JFK", "EWR"], "wind": [wind, wind]})
        table.write_parquet(folder / f"{version}.parquet")
    (folder.parent / "current.json").write_text(json.dumps({"sky": "bb"}))
    stage = opened.stage(zone_of(stage_steps.with_weather, lookups={"observations": "sky"}))

    pinned = opened.take(stage, trips(), lookups={"sky": "aa"})
    free = opened.take(stage, trips())

    assert rows_of(pinned)["wind"].unique().to_list() == [1.0]
    assert rows_of(free)["wind"].unique().to_list() == [2.0]
    with pytest.raises(DependencyDown, match="version cc is not at"):
        opened.take(stage, trips(), lookups={"sky": "cc"})


def test_a_server_that_does_not_answer_is_a_dependency_and_no_row(opened: Opened) -> None:
    with pytest.raises(DependencyDown, match="port 5432 does not answer"):
        opened.take(opened.stage(zone_of(stage_steps.calls_a_server)), trips())


def test_a_renamed_column_is_the_steps_fault(opened: Opened) -> None:
    with pytest.raises(StepAtFault, match="distanse") as caught:
        opened.take(opened.stage(zone_of(stage_steps.renamed)), trips())
    assert caught.value.code == "always_fails"


def test_sensitive_values_are_in_no_message(opened: Opened) -> None:
    zone = zone_of(stage_steps.delicate, sensitive=("tail",))

    handled = opened.take(opened.stage(zone), trips(tail=at(77, "GLIDER")))

    dead = dead_of(handled)
    assert dead["tail"].to_list() == ["GLIDER"]  # the row itself is kept whole
    assert "no such tail ***" in dead["message"][0]
    assert all("GLIDER" not in group.message for group in handled.dead.groups)  # type: ignore[union-attr]


def test_rows_that_are_replayed_are_blamed_however_many_fail_alike(opened: Opened) -> None:
    frame = trips(tail=pl.lit("GLIDER"))[:30]
    stage = opened.stage(zone_of(stage_steps.delicate))

    with pytest.raises(StepAtFault):
        opened.take(stage, frame)
    handled = opened.take(stage, frame, batch="trips-000001~r1")

    assert dead_of(handled)["row"].to_list() == list(range(30))

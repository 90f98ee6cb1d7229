"""Weight, quality and age are columns of a sink, the same over its life."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.sinks import build_sink
from firedoor.compose.tagging import Tags, tags_of
from firedoor.compute import ipc
from firedoor.errors import StepAtFault
from firedoor.quality.grades import Grade
from firedoor.spec.plan import (
    DependencyPlan,
    EdgePlan,
    GuardPlan,
    LadderPlan,
    Plan,
    ShedPlan,
    SinkPlan,
    ZonePlan,
)
from firedoor.wire.envelope import Envelope, checksum

FRAME = pl.DataFrame({"a": [1, 2, 3]})
LADDER = LadderPlan(slower_s=1.0)


def plan_of(
    folder: Path, *, ladder: LadderPlan | None = LADDER, shed: ShedPlan | None = None
) -> Plan:
    """``s -> mid (weather, a guard) -> out``, and ``aside`` that nobody at ``out`` reads."""
    guard = DependencyPlan(guard=GuardPlan(name="mid->fees.api"))
    zones = (
        ZonePlan(name="s", kind="source", owner="me", version="1"),
        ZonePlan(
            name="mid", kind="transform", owner="me", version="1", lookups={"w": "weather"},
            depends=(guard,), ladder=ladder,
        ),
        ZonePlan(
            name="aside", kind="transform", owner="me", version="1", lookups={"x": "other"},
            ladder=LADDER,
        ),
        ZonePlan(
            name="out", kind="sink", owner="me", version="1",
            sink=SinkPlan(form="parquet", path=str(folder)),
        ),
    )  # fmt: skip
    edges = (
        EdgePlan(publisher="s", reader="mid", shed=shed),
        EdgePlan(publisher="s", reader="aside"),
        EdgePlan(publisher="mid", reader="out"),
    )
    return Plan(pipeline="p", owner="me", file="", sys_path=(), zones=zones, edges=edges)


def written(plan: Plan, quality: dict[str, Grade], *, number: int = 1, weight: float = 1.0,
            frame: pl.DataFrame = FRAME) -> pl.DataFrame:  # fmt: skip
    payload = b"".join(ipc.encode(frame, compress=True))
    envelope = Envelope(
        batch=f"s-{number:06}", rows=frame.height, frame_bytes=len(payload),
        crc32=checksum(payload), zone="mid", zone_version="1", cut_s=0.0, weight=weight,
        quality=quality,
    )  # fmt: skip

    async def journal(cause: str, where: str) -> None:
        raise AssertionError(cause + where)

    sink = build_sink(plan.zone("out"), plan)
    try:
        return pl.read_parquet(asyncio.run(sink.handle(envelope, payload, journal)).sink)
    finally:
        sink.close()


def test_each_row_says_what_it_stands_for_and_how_good_its_features_are(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    quality = {"weather": Grade("older", 130.5), "mid->fees.api": Grade("default", None)}
    first = written(plan, quality, weight=10.0)
    assert first.drop("a").unique().rows(named=True) == [
        {
            "fd_weight": 10.0,
            "fd_mid_fees_api_quality": "default",
            "fd_mid_fees_api_age_s": None,
            "fd_weather_quality": "older",
            "fd_weather_age_s": 130.5,
        }
    ]
    assert first["a"].equals(FRAME["a"])
    assert written(plan, {}, number=2).schema == first.schema, "also where nothing was used"


def test_rows_are_written_as_they_came_where_nobody_upstream_degrades(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ladder=None)
    assert written(plan, {"weather": Grade()}).equals(FRAME)
    assert tags_of(plan, "out") is None


@pytest.mark.parametrize(
    ("shed", "tagged"),
    [(ShedPlan(keep=0.5, key=("a",)), True), (ShedPlan(keep=0.5, priority="a"), False)],
)
def test_an_edge_upstream_that_sheds_by_key_makes_weights_worth_telling(
    tmp_path: Path, shed: ShedPlan, *, tagged: bool
) -> None:
    assert (tags_of(plan_of(tmp_path, ladder=None, shed=shed), "out") is not None) == tagged


def test_names_that_make_one_column_are_told_by_the_worst_of_them() -> None:
    tags = Tags({"a_b": ("a.b", "a-b")})
    envelope = Envelope(
        batch="s-000001", rows=3, frame_bytes=0, crc32=0, zone="mid", zone_version="1", cut_s=0.0,
        quality={"a.b": Grade("older", 3.0), "a-b": Grade("live", 9.0)},
    )  # fmt: skip
    assert tags.put(FRAME, envelope).row(0) == (1, 1.0, "older", 9.0)


def test_a_column_of_the_users_is_never_overwritten(tmp_path: Path) -> None:
    frame = FRAME.with_columns(fd_weight=pl.lit(1))
    with pytest.raises(StepAtFault, match="column 'fd_weight' of its own") as caught:
        written(plan_of(tmp_path), {}, frame=frame)
    assert caught.value.code == "wrong_schema"

"""Models that steps use: what can be declared, and what is refused where it is declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.control.map import mermaid, svg
from firedoor.spec.model_use import MODELS_MAX
from firedoor.spec.plan import Plan, decode_plan, encode_plan
from firedoor.spec.referred import ModelPlan


def step(frame: pl.DataFrame, model: object, other: object = None) -> pl.DataFrame:
    return frame.with_columns(score=pl.lit(str((model, other))))


def declared(**models: Any) -> fd.Pipeline:
    """Return a pipeline in which a zone uses models."""
    pipeline = fd.Pipeline("shop")
    rows = pipeline.source("rows", fd.jsonl("rows.jsonl"))
    pipeline.transform(reads=rows, name="score", models=models)(step)
    pipeline.sink("out", fd.parquet("out"), reads="score")
    return pipeline


def planned(**models: Any) -> Plan:
    pipeline = declared(**models)
    return plan_of(pipeline, file=pipeline.folder / "shop.py", sys_path=())


def test_a_plan_says_which_models_a_step_uses_and_how() -> None:
    plan = planned(model=fd.model("late", alias="challenger", allow=["pickle"], column="by"))
    used = decode_plan(encode_plan(plan)).zone("score").models
    assert used == {
        "model": ModelPlan(name="late", alias="challenger", allow=("pickle",), column="by")
    }
    assert used["model"].key == "late@challenger"
    assert fd.model("late").key == "late"


@pytest.mark.parametrize(
    ("declare", "field", "says"),
    [
        (lambda: fd.model("Late"), "model", "use a small letter"),
        (lambda: fd.model("late", alias="best"), "alias", "'champion', 'challenger', 'previous'"),
        (lambda: fd.model("late", alias="3"), "alias", "choose one of"),
        (lambda: fd.model("late", allow="pickle"), "allow", "is not a list"),
        (lambda: fd.model("late", allow=["yaml"]), "allow", "choose one of 'pickle'"),
        (lambda: fd.model("late", column="fd_weight"), "column", "begins with fd_"),
        (lambda: fd.model("late", column=None), "column", "is no text"),  # type: ignore[arg-type]
        (lambda: fd.model("late", column=7), "column", "no name of a column"),  # type: ignore[arg-type]
        (lambda: declared(**{"no name": fd.model("late")}), "models", "is no parameter"),
        (lambda: declared(model="late"), "models", "is no model"),
        (lambda: declared(modle=fd.model("late")), "step", "cannot be called with a frame"),
        (
            lambda: declared(model=fd.model("a", column="by"), other=fd.model("b", column="by")),
            "column", "tells the version of a already",
        ),
        (
            lambda: declared(**{f"m{n}": fd.model("a") for n in range(MODELS_MAX + 1)}),
            "models", "use them in several zones",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_where_it_is_declared(
    declare: Callable[[], object], field: str, says: str
) -> None:
    with pytest.raises(fd.DeclarationError, match=says) as caught:
        declare()
    assert caught.value.field == field


def test_one_parameter_is_no_lookup_and_a_model_at_once() -> None:
    pipeline = fd.Pipeline("shop")
    rows = pipeline.source("rows", fd.jsonl("rows.jsonl"))
    with pytest.raises(fd.DeclarationError, match="is a lookup already"):
        pipeline.transform(
            reads=rows, lookups={"model": fd.lookup("t", "t.csv")},
            models={"model": fd.model("late")},
        )  # fmt: skip


@pytest.mark.parametrize("models", [["late"], "late", 3])
def test_models_are_a_mapping(models: Any) -> None:
    pipeline = fd.Pipeline("shop")
    rows = pipeline.source("rows", fd.jsonl("rows.jsonl"))
    with pytest.raises(fd.DeclarationError, match="is no mapping"):
        pipeline.transform(reads=rows, models=models)


def test_a_column_tells_of_one_model_in_all_of_a_pipeline() -> None:
    pipeline = fd.Pipeline("shop")
    rows = pipeline.source("rows", fd.jsonl("rows.jsonl"))
    used = fd.model("late", column="by")
    pipeline.transform(reads=rows, name="score", models={"model": used})(step)
    pipeline.transform(reads="score", name="again", models={"model": used})(step)
    with pytest.raises(fd.DeclarationError, match="give each model one of its own"):
        pipeline.transform(reads=rows, models={"model": fd.model("other", column="by")})


def test_a_zone_that_uses_another_model_is_another_version_of_the_zone() -> None:
    late, again, early = (planned(model=fd.model(name)) for name in ("late", "late", "early"))
    assert late.zone("score").version == again.zone("score").version
    assert late.zone("score").version != early.zone("score").version


def test_a_map_shows_which_zones_use_a_model() -> None:
    plan = planned(model=fd.model("late"))
    assert '  model_late[/"late"/]:::model' in mermaid(plan)
    assert "  model_late -.-> zone_score" in mermaid(plan)
    assert ">late</text>" in svg(plan)

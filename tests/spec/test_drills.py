"""What a pipeline declares of drills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.errors import DeclarationError
from firedoor.spec.plan import decode_plan, encode_plan

if TYPE_CHECKING:
    import polars as pl


def pipeline(**declared: Any) -> fd.Pipeline:
    made = fd.Pipeline("shop", **declared)
    orders = made.source("orders", fd.jsonl("orders.jsonl"))
    made.sink("store", fd.parquet("out"), reads=orders, drills=["kill"])
    return made


def test_zones_allow_in_production_what_the_pipeline_does_unless_they_say_otherwise(
    tmp_path: Any,
) -> None:
    made = pipeline(environment="production", drills=("latency", "kill"))

    plan = decode_plan(encode_plan(plan_of(made, file=tmp_path / "shop.py", sys_path=())))

    assert plan.environment == "production"
    assert plan.drills == ("latency", "kill")
    assert plan.zone("orders").drills == ("latency", "kill")
    assert plan.zone("store").drills == ("kill",)


def test_nothing_is_allowed_in_production_that_nobody_declared(tmp_path: Any) -> None:
    plan = plan_of(pipeline(), file=tmp_path / "shop.py", sys_path=())
    assert (plan.environment, plan.drills, plan.zone("orders").drills) == ("", (), ())


def test_a_service_declares_it_as_zones_do() -> None:
    made = fd.Pipeline("shop", drills=["model_nan"])

    @made.service(model=fd.model("delays"))
    def first(model: Any, rows: pl.DataFrame) -> pl.DataFrame:
        del model
        return rows

    @made.service(model=fd.model("delays"), drills=["kill", "model_slow"])
    def second(model: Any, rows: pl.DataFrame) -> pl.DataFrame:
        del model
        return rows

    assert [one.drills for one in made.services] == [("model_nan",), ("kill", "model_slow")]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"environment": "staging"}, "choose one of 'development', 'production'"),
        ({"drills": ["latancy"]}, "drills='latancy'.*write 'latency'"),
        ({"drills": "latency"}, "is no list of faults"),
        ({"drills": ["kill", "kill"]}, "names a fault twice"),
    ],
)
def test_a_wrong_declaration_is_refused_where_it_stands(
    declared: dict[str, Any], said: str
) -> None:
    with pytest.raises(DeclarationError, match=said):
        pipeline(**declared)


def test_what_may_be_drilled_is_no_part_of_a_zones_version(tmp_path: Any) -> None:
    one = plan_of(pipeline(), file=tmp_path / "shop.py", sys_path=())
    other = plan_of(pipeline(drills=["kill"]), file=tmp_path / "shop.py", sys_path=())
    assert one.zone("orders").version == other.zone("orders").version

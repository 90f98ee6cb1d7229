"""Services: what can be declared, what is refused where it is declared, and what a plan has."""

from __future__ import annotations

from typing import Any

import numpy as np  # noqa: TC002 - annotations are looked at
import pandas as pd  # noqa: TC002 - likewise
import polars as pl
import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.control.map import mermaid, svg
from firedoor.spec.plan import Plan, decode_plan, encode_plan
from firedoor.spec.service import takes_of


def predict(model: object, rows: pl.DataFrame) -> pl.Series:
    """Say how late it will be.

    More of it.
    """
    return pl.Series([len(str(model))] * rows.height)


def predict_pandas(_model: object, rows: pd.DataFrame) -> pd.Series:
    return rows["x"]


def predict_numpy(_model: object, rows: np.ndarray) -> np.ndarray:
    return rows[:, 0]


def predict_bare(_model, rows):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    return rows


def predict_dict(_model: object, rows: dict[str, list[float]]) -> list[float]:
    return rows["x"]


def usual(rows: pl.DataFrame) -> pl.Series:
    return pl.Series([0.5] * rows.height)


def fetch(keys: pl.DataFrame) -> pl.DataFrame:
    return keys.with_columns(temp=pl.lit(55.0))


weather = fd.Features("weather", ["origin"], {"temp": "Float64"}, fetch)


def declared(step: Any = predict, **more: Any) -> fd.Pipeline:
    pipeline = fd.Pipeline("shop", owner="ann@example.com", runbook="https://example.com/shop")
    pipeline.service(**{"model": fd.model("late"), **more})(step)
    return pipeline


def planned(**more: Any) -> Plan:
    pipeline = declared(**more)
    return plan_of(pipeline, file=pipeline.folder / "shop.py", sys_path=())


def refused(**more: Any) -> fd.DeclarationError:
    with pytest.raises(fd.DeclarationError) as caught:
        declared(**more)
    return caught.value


def test_a_service_can_be_all_that_there_is_and_its_plan_survives_json() -> None:
    plan = planned(
        key="tailnum", slices=["carrier"], features=[weather], loss="log_loss",
        replicas=2, memory="512MiB",
        timeout_s=2.0, cpus=2, slo=fd.SLO(latency_p99_s=0.2), batch_rows=64, body="1MiB",
        rollout=fd.RolloutPolicy(steps=(0.5, 1.0)),
        fallback=fd.Fallback(constant={"chance": 0.2}, function=usual, cached_s=60, cached="1MiB"),
    )  # fmt: skip
    assert decode_plan(encode_plan(plan)) == plan
    service = plan.service("predict")
    (group,) = service.features
    assert (group.name, group.keys, group.step.name) == ("weather", ("origin",), "fetch")
    assert (service.owner, service.runbook) == ("ann@example.com", "https://example.com/shop")
    assert service.doc == "Say how late it will be."
    assert (service.model.name, service.key, service.slices) == ("late", "tailnum", ("carrier",))
    assert (service.takes, service.loss, service.rollout.steps) == ("polars", "log_loss", (0.5, 1))
    assert service.slo == {"latency_p99_s": 0.2}
    limits = service.limits
    assert (limits.replicas, limits.memory_bytes, limits.cpus) == (2, 2**29, 2.0)
    assert (limits.timeout_s, limits.attempt_s, limits.hang_s) == (2.0, 0.25, 2.0)
    assert (limits.batch_rows, limits.body_bytes) == (64, 2**20)
    ladder = service.fallback
    assert (ladder.constant, ladder.cached_max_s, ladder.cached_bytes) == (
        {"chance": 0.2},
        60,
        2**20,
    )
    assert ladder.function is not None
    assert ladder.function.name == "usual"
    assert ladder.takes == "polars", "as it annotates them, whatever predict takes"
    assert service.step.name == "predict"
    assert service.where.startswith(__file__)


def test_the_decorator_returns_the_function_itself() -> None:
    pipeline = fd.Pipeline("shop")
    assert pipeline.service(model=fd.model("late"))(predict) is predict


@pytest.mark.parametrize(
    ("step", "takes"),
    [
        (predict, "polars"),
        (predict_pandas, "pandas"),
        (predict_numpy, "numpy"),
        (predict_bare, "polars"),
    ],
)
def test_rows_come_as_the_function_annotates_them(step: Any, takes: str) -> None:
    assert declared(step).services[0].takes == takes


def test_an_annotation_that_names_what_is_not_there_is_read_as_text() -> None:
    def later(model, rows):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        return model, rows

    later.__annotations__ = {"model": "absent.Thing", "rows": "pd.DataFrame"}
    assert takes_of(later) == "pandas"


def test_rows_in_any_other_form_are_refused_with_the_three_that_there_are() -> None:
    error = refused(step=predict_dict)
    assert error.field == "rows"
    assert "pl.DataFrame, pd.DataFrame or np.ndarray" in str(error)


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"model": "late"}, "model", 'fd.model("delays")'),
        ({"model": fd.model("late", alias="challenger")}, "model", "rollouts decide"),
        ({"model": fd.model("late", column="by")}, "model", "leave column= out"),
        ({"key": ""}, "key", "no name of a column"),
        ({"slices": "carrier"}, "slices", "not a list"),
        ({"slices": [f"c{n}" for n in range(9)]}, "slices", "more than 8"),
        ({"fallback": {"chance": 0.2}}, "fallback", "fd.Fallback"),
        ({"features": [weather, weather]}, "features", "named twice"),
        ({"features": weather}, "features", "is no list"),
        ({"rollout": "canary"}, "rollout", "fd.RolloutPolicy"),
        ({"rollout": fd.RolloutPolicy(need_labels=True)}, "need_labels", 'loss="log_loss"'),
        ({"loss": "auc"}, "loss", "log_loss"),
        ({"loss": "squared"}, "loss_max", "RolloutPolicy(loss_max=...)"),
        ({"replicas": 0}, "replicas", "give 1 to 64 workers"),
        ({"replicas": 1.5}, "replicas", "give 1 to 64 workers"),
        ({"timeout_s": 0}, "timeout_s", "0.005 to 600 seconds"),
        ({"attempt_s": 2.0}, "attempt_s", "timeout_s=1"),
        ({"hang_s": 0.1}, "hang_s", "attempt_s=0.25"),
        ({"cpus": 0}, "cpus", "processors"),
        ({"memory": "1 KiB"}, "memory", ""),
        ({"body": "1GiB"}, "body", "1 KiB to 32 MiB"),
        ({"log": 1}, "log", "True or False"),
        ({"nan_is_missing": "yes"}, "nan_is_missing", "True or False"),
        ({"slo": 0.99}, "slo", "fd.SLO"),
        ({"may_read": ["/nowhere/at/all"]}, "may_read", "create it first"),
        ({"timeout": 1}, "timeout", "write timeout_s="),
        ({"drain_s": float("nan")}, "drain_s", "seconds"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(
    more: dict[str, Any], field: str, said: str
) -> None:
    error = refused(**more)
    assert error.field == field
    assert said in str(error)


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"constant": 0.2}, "constant", 'constant={"chance": 0.2}'),
        ({"constant": {}}, "constant", "1 to 100 outputs"),
        ({"constant": {"chance": float("nan")}}, "constant", "not finite"),
        ({"constant": {"chance": [0.2]}}, "constant", "no switch"),
        ({"constant": {"chance": 2**63}}, "constant", "64 bits"),
        ({"constant": {1: 0.2}}, "constant", "no name"),
        ({"function": "usual"}, "function", "def step(rows)"),
        ({"function": predict}, "function", "def predict(rows)"),
        ({"previous": "yes"}, "previous", "True or False"),
        ({"cached_s": 0}, "cached_s", "seconds"),
        ({"cached": 1}, "cached", "64 KiB"),
    ],
)
def test_a_fallback_that_could_not_answer_is_refused(
    given: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(fd.DeclarationError) as caught:
        fd.Fallback(**given)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_a_function_that_takes_no_model_is_refused_with_how_to_write_it() -> None:
    assert "def usual(model, rows)" in str(refused(step=usual))


def test_a_name_is_given_once_among_zones_jobs_and_services() -> None:
    pipeline = declared()
    with pytest.raises(fd.DeclarationError, match="declared already"):
        pipeline.service(model=fd.model("late"))(predict)


def test_less_memory_than_a_worker_needs_is_refused_with_what_it_needs() -> None:
    with pytest.raises(fd.DeclarationError, match=r"service 'predict' is less than a worker needs"):
        planned(memory="2MiB")


def test_the_version_follows_what_answers_and_not_how_it_is_rolled_out() -> None:
    def version(**more: Any) -> str:
        return planned(**more).service("predict").version

    same = version()
    assert version(rollout=fd.RolloutPolicy(alpha=0.05), owner="bob", loss="log_loss") == same
    assert version(timeout_s=2.0) != same
    assert version(fallback=fd.Fallback(constant={"chance": 0.1})) != same


def test_a_map_shows_a_service_with_the_model_that_it_answers_by() -> None:
    plan = planned()
    drawn = mermaid(plan)
    assert 'service_predict[/"predict"/]:::service' in drawn
    assert "model_late -.-> service_predict" in drawn
    assert "service of late" in svg(plan)

"""A ladder and a demand are refused where they are declared, if they could never hold or miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import firedoor as fd
from firedoor.quality.grades import Demand
from firedoor.spec.plan import EdgePlan, LadderPlan, ShedPlan
from spec.test_pipeline import begun, refused, step

if TYPE_CHECKING:
    import polars as pl

SAMPLE = fd.Sample(keep=0.1, key=["carrier", "flight"])


def weather(frame: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    return frame.join(weather, on="hour")


def post(frame: pl.DataFrame, key: str) -> None:
    """Send it."""


def joined(pipeline: fd.Pipeline, reads: Any, **more: Any) -> None:
    """Declare a zone that joins to a lookup which is read again each minute."""
    more.setdefault("degrade", [fd.Older(max_age_s=600)])
    table = fd.lookup("weather", "weather.parquet", refresh_s=60)
    pipeline.transform(reads=reads, name="joined", lookups={"weather": table}, **more)(weather)


@pytest.mark.parametrize(
    ("rung", "field"),
    [
        (lambda: fd.Older(max_age_s=0), "max_age_s"),
        (lambda: fd.Older(max_age_s=1e9), "max_age_s"),
        (lambda: fd.Sample(keep=1.0, key=["a"]), "keep"),
        (lambda: fd.Sample(keep=0, key=["a"]), "keep"),
        (lambda: fd.Sample(keep=0.1, key="a"), "key"),
        (lambda: fd.Sample(keep=0.1, key=[]), "key"),
        (lambda: fd.Slower(wait_s=0), "wait_s"),
        (lambda: fd.Slower(wait_s=61), "wait_s"),
        (lambda: fd.Quality(at_least="good"), "at_least"),  # type: ignore[arg-type]
        (lambda: fd.Quality(max_age_s=-1), "max_age_s"),
        (lambda: fd.Quality(weight_max=0.5), "weight_max"),
        (lambda: fd.Quality(of="weather"), "of"),
        (lambda: fd.Quality(at_least="missing"), "at_least"),
        (lambda: fd.lookup("w", "w.csv", fresh_s=60), "fresh_s"),
        (lambda: fd.lookup("w", "w.csv", refresh_s=60, fresh_s=30), "fresh_s"),
    ],
)
def test_a_rung_or_demand_that_cannot_be_is_refused(rung: Callable[[], object], field: str) -> None:
    refused(rung, field, "")


@pytest.mark.parametrize(
    ("degrade", "remedy"),
    [
        (SAMPLE, "fd.Older(max_age_s=3600)"),
        ("slower", "fd.Older(max_age_s=3600)"),
        ([SAMPLE, 3], "fd.Older(max_age_s=3600)"),
        ([fd.Slower(wait_s=1), SAMPLE], "in this order"),
        ([SAMPLE, SAMPLE], "each at most once"),
    ],
)
def test_a_ladder_has_its_rungs_in_order_each_once(degrade: Any, remedy: str) -> None:
    pipeline, flights = begun()
    refused(lambda: pipeline.transform(reads=flights, degrade=degrade)(step), "degrade", remedy)


def test_older_features_need_a_lookup_that_is_read_again_and_more_than_its_usual_age() -> None:
    pipeline, flights = begun()
    older = [fd.Older(max_age_s=120)]
    once = {"weather": fd.lookup("once", "weather.parquet")}
    refused(lambda: pipeline.transform(reads=flights, degrade=older)(step), "degrade", "refresh_s")
    declare = pipeline.transform
    refused(lambda: declare(reads=flights, lookups=once, degrade=older)(weather), "degrade", "refr")
    said = refused(lambda: joined(pipeline, flights, degrade=older), "max_age_s", "more than 120")
    assert "no more than 120 s, to which age lookup 'weather' counts as live" in str(said)


def test_a_ladder_becomes_plain_values() -> None:
    pipeline, flights = begun()
    joined(pipeline, flights, degrade=[fd.Older(max_age_s=600), SAMPLE, fd.Slower(wait_s=2)])
    assert pipeline.zone("joined").ladder == LadderPlan(
        older_s=600.0, sample=ShedPlan(keep=0.1, key=("carrier", "flight")), slower_s=2.0
    )
    pipeline.transform(reads="joined", name="bare", degrade=[])(step)
    assert pipeline.zone("bare").ladder is None


def test_only_a_transform_has_a_ladder() -> None:
    pipeline, flights = begun()
    sink: Any = pipeline.sink
    refused(lambda: sink(reads=flights, degrade=[SAMPLE])(post), "degrade", "leave it out")
    refused(
        lambda: sink("out", fd.parquet("out"), reads=flights, degrade=[SAMPLE]), "degrade", "leave"
    )


def test_a_demand_names_what_zones_upstream_join_to_or_call() -> None:
    pipeline, flights = begun()
    live = fd.Quality()
    declare = pipeline.transform
    refused(
        lambda: declare(reads=flights, requires_quality=live)(step), "requires_quality", "refresh_s"
    )
    joined(pipeline, flights)
    named = fd.Quality(of=["wether"])
    refused(lambda: declare(reads="joined", requires_quality=named)(step), "of", "weather")
    weighed = fd.Quality(at_least="missing", weight_max=5)
    refused(
        lambda: declare(reads="joined", requires_quality=weighed)(step), "weight_max", "leave it"
    )
    wrong: Any = "live"
    refused(
        lambda: declare(reads="joined", requires_quality=wrong)(step),
        "requires_quality",
        "Quality(",
    )


def test_a_guard_with_a_fallback_can_fall_short_and_one_without_cannot() -> None:
    for fallback in ([], [fd.Stale(age_max_s=60)]):
        pipeline, flights = begun()
        guard = fd.Guard("enrich->weather", fallback=fallback)
        pipeline.transform(reads=flights, name="enrich", depends=[guard])(step)
        demand = fd.Quality(of=["enrich->weather"])

        def require(pipeline: fd.Pipeline = pipeline, demand: fd.Quality = demand) -> object:
            return pipeline.sink("out", fd.parquet("o"), reads="enrich", requires_quality=demand)

        if fallback:
            require()
            assert pipeline.zone("out").demand == Demand(of=("enrich->weather",))
        else:
            refused(require, "requires_quality", "fallback")


def test_what_is_below_goes_to_a_zone_that_reads_the_same() -> None:
    pipeline, flights = begun()
    joined(pipeline, flights)
    pipeline.transform(reads=flights, name="other")(step)
    pipeline.sink("elsewhere", fd.parquet("e"), reads="other")
    spare = pipeline.sink("spare", fd.parquet("s"), reads="joined")

    def best(below: Any, name: str = "best", reads: Any = "joined") -> object:
        demand = fd.Quality(below=below)
        return pipeline.sink(name, fd.parquet(name), reads=reads, requires_quality=demand)

    refused(lambda: best("elsewhere"), "below", "reads=joined there as well")
    refused(lambda: best("nowhere"), "below", "read one of")
    refused(lambda: best(spare, reads=["joined", "other"]), "below", "reads=other there as well")
    best(spare)
    refused(lambda: best("best", name="third"), "below", "takes every batch")

    edges = {edge.name: edge for edge in pipeline.freeze()}
    assert edges["joined:best"].demand == Demand(below="zone", otherwise="spare")
    assert edges["joined:spare"].instead_of == ("best",)
    assert edges["flights:joined"] == EdgePlan(
        publisher="flights", reader="joined", when_full="detach"
    )


def test_each_edge_that_sheds_hashes_with_a_salt_of_its_own() -> None:
    pipeline, flights = begun()
    shed = fd.Shed(keep=0.5, key=["tail"])
    pipeline.transform(reads=fd.Edge(flights, shed=shed), name="a")(step)
    pipeline.sink("b", fd.parquet("b"), reads=fd.Edge("a", shed=shed))
    salts = [edge.shed.salt for edge in pipeline.freeze() if edge.shed]
    assert salts == ["flights:a", "a:b"]

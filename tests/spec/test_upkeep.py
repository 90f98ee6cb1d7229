"""What rules judge by is refused where it is wrong, and kept as plain values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import firedoor as fd
from firedoor.errors import DeclarationError
from firedoor.spec.plan import BreakerPlan, GuardPlan, LoadPlan, RungPlan

if TYPE_CHECKING:
    import polars as pl

WEATHER = fd.Guard("enrich->weather", timeout_s=0.3, retry=3)
EXEMPT = {"owner": "ana", "reason": "it is being replaced", "until": "2027-01-31"}


def step(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def post(frame: pl.DataFrame, key: str) -> None:
    """Send it."""


@WEATHER
def wind(airport: str) -> str:
    return airport


def refused(declare: Callable[[], object], field: str, remedy: str) -> None:
    """Expect a refusal that names the field and says what to do."""
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert caught.value.field == field
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"depends": WEATHER}, "depends", "depends=[guard]"),
        ({"depends": "enrich->weather"}, "depends", "depends=[guard]"),
        ({"depends": ["enrich->weather"]}, "depends", "give the fd.Guard itself"),
        ({"depends": [fd.Guard]}, "depends", "give the fd.Guard itself"),
        ({"depends": [wind]}, "depends", "name its guard, 'enrich->weather'"),
        ({"depends": [WEATHER, WEATHER]}, "depends", "name each guard once"),
        ({"depends": [WEATHER, fd.Dependency(WEATHER)]}, "depends", "name each guard once"),
        ({"depends": [fd.Guard(f"a->b{n}") for n in range(17)]}, "depends", "split the step"),
        ({"batch_s": 0}, "batch_s", "seconds a batch"),
        ({"batch_s": "fast"}, "batch_s", "seconds a batch"),
        ({"batch_bytes": "8MiB"}, "batch_bytes", "give 1 B to 4 MiB"),
        ({"runbook": "two\nlines"}, "runbook", "one line"),
        ({"runbook": 3}, "runbook", "one line"),
        ({"exempt": fd.Exempt("FD106", **EXEMPT)}, "exempt", "exempt=[fd.Exempt("),
        ({"exempt": ["FD106"]}, "exempt", "exempt=[fd.Exempt("),
        ({"exempt": [fd.Exempt("FD106", **EXEMPT)] * 2}, "exempt", "name it once"),
        ({"peak": 3}, "peak", "leave it out"),
        ({"depend": [WEATHER]}, "depend", "write depends="),
    ],
)
def test_a_step_whose_upkeep_cannot_be_is_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    pipeline = fd.Pipeline("flights")
    rows = pipeline.source("rows", fd.jsonl("x.jsonl"))
    refused(lambda: pipeline.transform(reads=rows, **given)(step), field, remedy)
    if field != "peak":
        refused(lambda: pipeline.sink(reads=rows, **given)(post), field, remedy)


@pytest.mark.parametrize(
    ("given", "field"),
    [({"peak": 0}, "peak"), ({"batch_s": 1}, "batch_s"), ({"depends": []}, "depends")],
)
def test_a_source_whose_upkeep_cannot_be_is_refused(given: dict[str, Any], field: str) -> None:
    source = fd.Pipeline("flights").source
    refused(lambda: source("rows", fd.jsonl("x.jsonl"), **given), field, "")


def test_a_folder_has_a_runbook_and_no_dependencies() -> None:
    pipeline = fd.Pipeline("flights", runbook="https://wiki/flights")
    rows = pipeline.source("rows", fd.jsonl("x.jsonl"), runbook="rows.md")
    store: Any = {"to": fd.parquet("out/"), "reads": rows}
    refused(lambda: pipeline.sink("store", **store, depends=[]), "depends", "leave it out")
    assert pipeline.sink("store", **store).upkeep.runbook == "https://wiki/flights"
    assert rows.upkeep.runbook == "rows.md"


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"guard": "weather"}, "guard", "give the fd.Guard itself"),
        ({"availability": 99}, "availability", "give 0 to 1"),
        ({"calls": 0}, "calls", "calls a batch"),
        ({"idempotent": "yes"}, "idempotent", "True or False"),
    ],
)
def test_a_dependency_that_cannot_be_is_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    refused(lambda: fd.Dependency(**{"guard": WEATHER, **given}), field, remedy)


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        ({"rule": "fd106"}, "rule", "write 'FD106'"),
        ({"rule": "FD112"}, "rule", "docs/reference/checks.md has all"),
        ({"rule": 106}, "rule", "write 'FD1"),
        ({"owner": ""}, "owner", "give owner="),
        ({"reason": " "}, "reason", "give reason="),
        ({"until": "tomorrow"}, "until", "YYYY-MM-DD"),
        ({"until": "2027-02-30"}, "until", "YYYY-MM-DD"),
        ({"until": "20270131"}, "until", "YYYY-MM-DD"),
        ({"until": None}, "until", "YYYY-MM-DD"),
    ],
)
def test_an_exemption_of_nobody_or_for_ever_is_refused(
    given: dict[str, Any], field: str, remedy: str
) -> None:
    refused(lambda: fd.Exempt(**{"rule": "FD106", **EXEMPT, **given}), field, remedy)


def test_what_is_declared_is_kept_as_plain_values() -> None:
    pipeline = fd.Pipeline("flights", exempt=[fd.Exempt("FD115", **EXEMPT)])
    rows = pipeline.source("rows", fd.jsonl("x.jsonl"), peak=5_000)
    pipeline.transform(
        reads=rows, name="enrich", depends=[fd.Dependency(WEATHER, calls=2)], batch_s=1,
        batch_bytes="1MiB", exempt=[fd.Exempt("FD106", **EXEMPT)],
    )(step)  # fmt: skip
    kept = pipeline.zone("enrich")
    assert rows.upkeep.load == LoadPlan(peak=5_000.0)
    assert kept.upkeep.load == LoadPlan(batch_s=1.0, batch_bytes=2**20)
    (one,) = kept.upkeep.depends
    assert (one.guard.name, one.calls, one.availability) == ("enrich->weather", 2.0, None)
    assert [e.rule for e in (*kept.upkeep.exempt, *pipeline.exempt)] == ["FD106", "FD115"]
    file, _, line = kept.where.rpartition(":")
    assert file == __file__
    assert "pipeline.transform(" in lines_before(int(line))


def lines_before(line: int) -> str:
    """Return a line of this file, and the few before it."""
    return "\n".join(Path(__file__).read_text(encoding="utf-8").splitlines()[line - 4 : line])


def test_a_guard_tells_its_numbers() -> None:
    assert fd.Guard("a->b").plan() == GuardPlan(
        name="a->b", breaker=BreakerPlan(calls_min=20, window_s=10.0, consecutive=10, row_s=1.0)
    )
    whole = fd.Guard(
        "a->b", timeout_s=2, retry=4, limit=True, rate=5, breaker=False, priority="critical",
        fallback=[
            fd.Stale(60), fd.Previous(90), fd.Function(wind), fd.Function(str), fd.Constant(0),
        ],
    )  # fmt: skip
    assert whole.plan() == GuardPlan(
        name="a->b", timeout_s=2.0, attempts=4, wait_min_s=0.1, wait_max_s=5.0, limit=50, rate=5.0,
        priority="critical", fallback=(
            RungPlan(kind="stale", age_max_s=60.0), RungPlan(kind="previous", age_max_s=90.0),
            RungPlan(kind="function", guard="enrich->weather"), RungPlan(kind="function"),
            RungPlan(kind="constant"),
        ),
    )  # fmt: skip
    assert fd.Guard("a->b", limit=7).plan().limit == 7

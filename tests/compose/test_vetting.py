"""What is declared reaches the plan of a file; run says how many warnings there are."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firedoor.cli.refusing import warn_or_refuse
from firedoor.compose.arguments import reads_argument
from firedoor.compose.loading import load_plan
from firedoor.compose.vetting import vet
from firedoor.errors import PipelineUnloadable
from firedoor.spec.plan import LoadPlan, Plan, decode_plan, encode_plan
from lint.plans import calls, edge, plan, source, zone

if TYPE_CHECKING:
    import polars as pl

FILE = """
import polars as pl
import firedoor as fd

weather = fd.Guard("enrich->weather", timeout_s=0.5)
pipeline = fd.Pipeline("flights", owner="ops", runbook="run.md")
rows = pipeline.source("rows", fd.jsonl("x.jsonl"), peak=20_000, runbook="https://wiki/rows")


@pipeline.transform(reads=rows, depends=[weather], batch_s=0.1, batch_bytes="1MiB")
def enrich(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


@pipeline.sink(reads=enrich)
def post(frame: pl.DataFrame, key: str) -> None:
    print(frame)
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("vetting") / "pipeline.py"
    path.write_text(FILE, encoding="utf-8")
    return load_plan(path)


def test_what_is_declared_is_in_the_plan_and_survives_its_json(loaded: Plan) -> None:
    rows, enrich, post = loaded.zones
    folder = Path(loaded.file).parent
    assert (rows.runbook, enrich.runbook) == ("https://wiki/rows", str(folder / "run.md"))
    assert (rows.load, enrich.load) == (
        LoadPlan(peak=20_000.0), LoadPlan(batch_s=0.1, batch_bytes=2**20),
    )  # fmt: skip
    assert [one.guard.name for one in enrich.depends] == ["enrich->weather"]
    assert rows.where == f"{loaded.file}:7"
    assert post.sink is not None
    assert post.sink.keyed is False
    assert decode_plan(encode_plan(loaded)) == loaded


def test_a_zones_version_does_not_change_with_its_upkeep(loaded: Plan, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.py"
    steps = FILE.replace("batch_s=0.1, ", "batch_s=0.2, ").replace("peak=20_000", "peak=10_000")
    path.write_text(steps, encoding="utf-8")
    # The text of a step's file is part of its version, so a zone without a step is compared.
    again = load_plan(path)
    assert again.zone("rows").load != loaded.zone("rows").load
    assert again.zone("rows").version == loaded.zone("rows").version


def test_a_path_has_to_be_there_and_an_address_is_not_looked_up(tmp_path: Path) -> None:
    slo = {"availability": 0.9}
    zones = [
        source(slo=slo, runbook="https://wiki/rows"),
        zone("clean", slo=slo, runbook=str(tmp_path / "clean.md")),
    ]
    utc_s = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    assert [one.zone for one in vet(plan(*zones), utc_s).errors] == ["clean"]
    (tmp_path / "clean.md").touch()
    assert vet(plan(*zones), utc_s).errors == ()


def test_warnings_are_one_line_and_errors_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    file, slow = Path("flights.py"), (calls("clean->a"), calls("clean->b"))
    warn_or_refuse(plan(zone("clean", depends=slow)), file, 0.0)
    assert capsys.readouterr().err == "2 warnings: firedoor check flights.py\n"
    warn_or_refuse(plan(zone("clean")), file, 0.0)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(PipelineUnloadable, match=r"flights\.py: 1 error; see also"):
        warn_or_refuse(plan(zone("clean"), edges=[edge("rows", "clean", bytes_max=0)]), file, 0.0)


class Sink:
    def __call__(self, frame: pl.DataFrame, key: str) -> None:
        """Send it."""


def test_an_argument_is_read_in_closures_and_not_where_it_is_only_set() -> None:
    def nested(frame: object, key: str) -> object:
        return lambda: (frame, key)

    def handed_on(frame: object, **more: str) -> object:
        return (frame, more)

    def both(frame: object, key: str) -> object:
        return (frame, key)

    assert reads_argument(nested, "key") is True
    assert reads_argument(both, "key") is True
    assert reads_argument(lambda frame, key: frame, "key") is False  # noqa: ARG005
    assert reads_argument(handed_on, "key") is None
    assert reads_argument(print, "key") is None
    assert reads_argument(Sink(), "key") is None
    assert reads_argument(functools.partial(both, key="k"), "key") is None

"""``firedoor check``: what types cannot find, found on no rows; and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app

FILE = '''
import dataframely as dy
import polars as pl
import firedoor as fd


class Trip(dy.Schema):
    distance = dy.Int64(min=1)
    origin = dy.String()


class Fast(dy.Schema):
    speed = dy.Float64()


pipeline = fd.Pipeline("trips")
trips = pipeline.source("trips", fd.jsonl("x.jsonl"), schema=Trip)
table = fd.lookup("table", TABLE)


@pipeline.transform(reads=trips, OPTIONS)
def clean(trips: KIND, **tables: object) -> KIND:
    BODY


@pipeline.transform(reads=clean, READER)
def after(frame: pl.DataFrame) -> pl.DataFrame:
    """Use what the step before it should have made."""
    return frame.select(pl.col("speed") * 2)


@pipeline.sink(reads=after)
def post(frame: pl.DataFrame, key: str) -> None:
    """Have an effect."""
    raise AssertionError("a sink is not called by a check")


pipeline.sink("store", fd.parquet("out/"), reads=after)
'''
GOOD = "return trips.with_columns(speed=pl.col('distance') / 2)"


def check(
    folder: Path, *, body: str = GOOD, options: str = "", reader: str = "",
    kind: str = "pl.DataFrame", table: str = "'table.csv'",
) -> tuple[int, dict[str, tuple[str, str]], list[str]]:  # fmt: skip
    """Return exit code, verdict and text by zone, and what is missing."""
    text = FILE.replace("BODY", body).replace("OPTIONS", options).replace("READER", reader)
    text = text.replace("KIND", kind).replace("TABLE", table)
    (folder / "pipeline.py").write_text(text, encoding="utf-8")
    (folder / "x.jsonl").touch()
    told = CliRunner().invoke(app, ["check", str(folder / "pipeline.py"), "--json"])
    found = json.loads(told.output)
    zones = {one["zone"]: (one["verdict"], one["said"]) for one in found["zones"]}
    return told.exit_code, zones, found["missing"]


def test_a_pipeline_without_problems_ends_with_0_and_calls_no_sink(tmp_path: Path) -> None:
    code, zones, missing = check(tmp_path)
    assert (code, missing) == (0, [])
    assert {name: verdict for name, (verdict, _) in zones.items()} == {
        "trips": "ok", "clean": "ok", "after": "ok", "post": "ok", "store": "ok",
    }  # fmt: skip
    assert "not called" in zones["post"][1]


def test_a_column_that_is_missing_on_the_next_edge_is_found_with_its_line(tmp_path: Path) -> None:
    code, zones, _ = check(tmp_path, body="return trips")
    assert code == 1
    assert zones["clean"] == ("ok", "")
    verdict, said = zones["after"]
    assert verdict == "problem"
    assert said.startswith("on rows of clean: ")
    assert "speed" in said
    assert "pipeline.py:" in said
    assert zones["store"][0] == "untried"


@pytest.mark.parametrize(
    ("given", "zone", "said"),
    [
        ({"body": "return None"}, "clean", "the step returned None: was `return` forgotten?"),
        ({"body": "return trips['nope']"}, "clean", "nope"),
        ({"body": "return trips.with_columns(speed=pl.col('speeed'))"}, "clean", "speeed"),
        ({"body": "return trips", "options": "out_schema=Fast"}, "clean", "'speed' is declared in"),
        (
            {"body": "return trips.select(speed=pl.col('distance'))", "options": "out_schema=Fast"},
            "clean", "the step returned column 'speed' as Int64",
        ),
        ({"body": "return trips", "reader": "schema=Fast"}, "after", "'speed' is declared in Fast"),
        ({"options": "lookups={'table': table}"}, "clean", "lookup 'table' cannot be read"),
        (
            {"options": "lookups={'table': table}", "table": "lambda: 1 / 0"},
            "clean", "division by zero",
        ),
        ({"body": "return [1]"}, "clean", "the step returned a list"),
    ],
)  # fmt: skip
def test_what_no_type_tells_is_found(
    tmp_path: Path, given: dict[str, str], zone: str, said: str
) -> None:
    code, zones, _ = check(tmp_path, **given)
    assert code == 1
    assert zones[zone][0] == "problem"
    assert said in zones[zone][1]


def test_lookups_are_read_without_their_rows(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("origin,speed\nJFK,2.5\n", encoding="utf-8")
    body = (
        "assert tables['table'].is_empty()\n    "
        "return trips.join(tables['table'], on='origin', how='left')"
    )
    code, zones, _ = check(tmp_path, body=body, options="lookups={'table': table}")
    assert code == 0, zones


def test_a_zone_that_uses_a_model_is_untried_and_what_is_behind_it_is_tried(
    tmp_path: Path,
) -> None:
    options = "models={'model': fd.model('late')}, out_schema=Fast"
    code, zones, missing = check(tmp_path, options=options)
    assert (code, missing) == (0, [])
    assert zones["clean"] == ("untried", "model late is loaded when rows come")
    assert zones["after"] == ("ok", "")


def test_a_zone_of_which_nothing_is_known_is_untried_and_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.py"
    path.write_text(FILE.split("table =", maxsplit=1)[0].replace(", schema=Trip", "") + (
        "@pipeline.transform(reads=trips)\ndef clean(trips: pl.DataFrame) -> pl.DataFrame:\n"
        "    return trips['nope']\n\npipeline.sink('store', fd.parquet('out/'), reads=clean)\n"
    ), encoding="utf-8")  # fmt: skip
    (tmp_path / "x.jsonl").touch()
    told = CliRunner().invoke(app, ["check", str(path)])
    assert told.exit_code == 0
    told_lines = [line for line in told.output.splitlines() if not line.startswith("unjudged")]
    assert told_lines == [
        "ok        trips  without schema=, its columns are not known",
        "untried   clean  what it is given is not known: write schema= here, or at what it reads",
        "untried   store  what it is given is not known: write schema= here, or at what it reads",
        "",
        f"warning   FD118  unowned or unobserved: trips, clean, store ({path}:1)",
        "          why: nobody owns them, so nobody is told",
        '          do:  write fd.Pipeline("trips", owner="...")',
        "",
        "",
        "no problems, 1 warning; 2 of 3 zones could not be tried",
    ]


def test_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    check(tmp_path)
    (tmp_path / "x.jsonl").unlink()
    told = CliRunner().invoke(app, ["check", str(tmp_path / "pipeline.py")])
    assert told.exit_code == 1
    assert f"missing   source trips: {tmp_path / 'x.jsonl'} matches no file" in told.output
    assert told.output.splitlines()[-1] == "1 problem, 2 warnings"


def test_a_file_that_cannot_be_loaded_is_told_in_one_message(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["check", str(tmp_path / "none.py")])
    assert told.exit_code == 2
    assert told.output.startswith(f"firedoor: {tmp_path / 'none.py'}: there is no such file")


def test_a_step_that_ends_its_process_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.py"
    body = "import os; os.abort()"
    path.write_text(FILE.replace("BODY", body).replace("OPTIONS", "").replace("READER", "")
                    .replace("KIND", "pl.DataFrame").replace("TABLE", "'t.csv'"))  # fmt: skip
    told = CliRunner().invoke(app, ["check", str(path)])
    assert told.exit_code == 1
    assert "SIGABRT" in told.output
    assert "in clean" in told.output


def test_services_are_named_with_the_model_that_they_answer_by(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(
        "import firedoor as fd\n"
        "pipeline = fd.Pipeline('p', owner='ann@example.com')\n"
        "@pipeline.service(model=fd.model('late'))\n"
        "def predict(model, rows): return [0.5] * len(rows)\n",
        encoding="utf-8",
    )
    told = CliRunner().invoke(app, ["check", str(tmp_path / "serve.py")])
    assert told.exit_code == 0
    line = told.output.splitlines()[0]
    assert line.startswith("service   predict  answers by the champion of model late, polars rows")
    plain = json.loads(
        CliRunner().invoke(app, ["check", str(tmp_path / "serve.py"), "--json"]).output
    )
    assert plain["services"][0]["model"] == "late"

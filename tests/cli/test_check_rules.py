"""`firedoor check` tells what the rules say in three formats; `firedoor run` refuses on errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.cli.sample import files_of

FILE = """
import polars as pl
import firedoor as fd

weather = fd.Guard("enrich->weather", timeout_s=2.0, retry=fd.RetryPolicy(attempts=4))
pipeline = fd.Pipeline("flights", owner="ops", runbook="https://wiki/x")
rows = pipeline.source("rows", fd.jsonl("x.jsonl"), peak=20_000)


@pipeline.transform(
    reads=rows, depends=[fd.Dependency(weather, calls=5)], batch_s=0.1, WALL,
    slo=fd.SLO(availability=0.9),
    exempt=[fd.Exempt("FD101", owner="ana", reason="a trial", until="2999-01-01")],
)
def enrich(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


@pipeline.sink(reads=enrich)
def post(frame: pl.DataFrame, key: str) -> None:
    print(key)


pipeline.sink("store", fd.parquet("out/"), reads=enrich)
"""


def write(folder: Path, *, wall: str = "timeout_s=5") -> Path:
    """Write a pipeline whose retries do not fit into five seconds."""
    path = folder / "pipeline.py"
    path.write_text(FILE.replace("WALL", wall), encoding="utf-8")
    (folder / "x.jsonl").touch()
    return path


def told(*words: object) -> tuple[int, str]:
    """Return exit code and output of a command."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("broken"))


def test_an_error_of_a_rule_ends_with_1_and_says_where_why_and_what_to_do(broken: Path) -> None:
    code, output = told("check", broken, "--fmea")
    assert code == 1
    line = FILE.splitlines().index("def enrich(rows: pl.DataFrame) -> pl.DataFrame:") + 1
    lines = output.splitlines()
    at = lines.index(f"error     FD103  retries that do not fit: enrich->weather ({broken}:{line})")
    assert "4 attempts of 2 s and 0.7 s of waits take up to 8.7 s" in lines[at + 1]
    assert "give the caller 8.7 s" in lines[at + 2]
    assert "until 2999-01-01, ana: a trial" in output
    assert "unjudged  FD106  no latency or freshness is promised (slo=): enrich, post" in lines
    assert "1 problem" in output
    assert "RPN = severity x occurrence x detection orders" in output


def test_json_has_findings_with_their_places_and_what_could_not_be_judged(broken: Path) -> None:
    code, output = told("check", broken, "--json", "--fmea")
    assert code == 1
    found = json.loads(output)
    errors = [one for one in found["findings"] if one["severity"] == "error"]
    assert [(one["rule"], one["zone"], one["about"]) for one in errors] == [
        ("FD103", "enrich", "enrich->weather")
    ]
    assert errors[0]["file"] == str(broken)
    assert errors[0]["line"] > 1
    assert [(one["rule"], one["owner"], one["until"]) for one in found["exempt"]] == [
        ("FD101", "ana", "2999-01-01")
    ]
    assert {"rule": "FD106", "zone": "post"}.items() <= found["unjudged"][1].items()
    assert [mode["rpn"] for mode in found["fmea"]] == sorted(
        (mode["rpn"] for mode in found["fmea"]), reverse=True
    )


def test_sarif_names_files_below_where_it_is_run(
    broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(broken.parent)
    code, output = told("check", broken.name, "--format", "sarif")
    assert code == 1
    log: Any = json.loads(output)
    results = log["runs"][0]["results"]
    uris = {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results}
    assert uris == {"pipeline.py"}
    assert {one["ruleId"] for one in results} >= {"FD103", "FD101"}


def test_sarif_has_steps_that_fail_and_inputs_that_are_missing(tmp_path: Path) -> None:
    path = write(tmp_path, wall="timeout_s=9, schema=Row")
    text = path.read_text().replace("weather = ", "import dataframely as dy\n\n\n"
        "class Row(dy.Schema):\n    n = dy.Int64()\n\n\nweather = ", 1)  # fmt: skip
    path.write_text(text.replace("return rows", 'return rows["m"]'))
    (tmp_path / "x.jsonl").unlink()
    code, output = told("check", path, "--format", "sarif")
    assert code == 1
    results = json.loads(output)["runs"][0]["results"]
    assert {one["ruleId"] for one in results if one["level"] == "error"} == {"FD001", "FD002"}


def test_warnings_count_only_if_they_are_asked_to(tmp_path: Path) -> None:
    path = write(tmp_path, wall="timeout_s=9")
    path.write_text(path.read_text().replace("print(key)", "print(frame)"))
    code, output = told("check", path)
    assert (code, "no problems, 1 warning" in output) == (0, True)
    assert "it never reads its key" in output
    assert told("check", path, "--strict")[0] == 1


def test_run_refuses_what_the_rules_call_an_error(broken: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", str(broken), "--project", str(tmp_path)])
    assert result.exit_code == 2
    said = result.stderr.splitlines()
    assert said[0] == f"firedoor: {broken}: 1 error; see also: firedoor check {broken}"
    assert said[1].startswith("error     FD103  retries that do not fit: enrich->weather")
    assert said[2].startswith("          why: 4 attempts of 2 s")
    assert not (tmp_path / ".firedoor" / "plan.json").exists()


def test_a_new_project_passes_every_rule(tmp_path: Path) -> None:
    for name, text in files_of("parcels").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code, output = told("check", tmp_path / "pipeline.py", "--strict")
    assert code == 0, output
    assert output.splitlines()[-1] == "no problems"

"""``firedoor slo`` and ``firedoor export``."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.slo.status import ObjectiveStatus, SloStatus, encode_slo

FILE = """
import firedoor as fd

pipeline = fd.Pipeline("trips", owner="ann@example.com")
rows = pipeline.source("rows", fd.jsonl("x.jsonl"), slo=fd.SLO(freshness_s=60))
pipeline.sink("store", fd.parquet("out/"), reads=rows, slo=fd.SLO(availability=0.999))
"""
SILENT = FILE.replace(", slo=fd.SLO(freshness_s=60)", "").replace(
    ", slo=fd.SLO(availability=0.999)", ""
)


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


@pytest.fixture
def declared(tmp_path: Path) -> str:
    (tmp_path / "trips.py").write_text(FILE)
    return str(tmp_path / "trips.py")


def test_what_a_judge_wrote_is_shown_also_where_nothing_runs(tmp_path: Path) -> None:
    one = ObjectiveStatus(
        zone="store", indicator="availability", promise="99.9 % of rows come through",
        target=0.999, period_days=30, verdict="kept", left=0.5, good=10,
    )  # fmt: skip
    status = SloStatus(pipeline="trips", at_s=1.0, judge="zones", objectives=(one,))
    folder = tmp_path / ".firedoor"
    folder.mkdir()
    (folder / "slo.json").write_bytes(encode_slo(status))
    code, text = invoke("slo", "--project", str(tmp_path))
    assert code == 0
    assert "nobody is paged" in text
    assert "nobody watches them now" in text
    assert "50%" in text
    code, text = invoke("slo", "--json", "--project", str(tmp_path))
    assert msgspec.json.decode(text)["zones"]["objectives"][0]["zone"] == "store"


def test_a_folder_in_which_nothing_ran_is_told(tmp_path: Path) -> None:
    code, text = invoke("slo", "--project", str(tmp_path))
    assert code == 1
    assert "--project" in text


def test_whose_promises_are_watched_is_checked(tmp_path: Path) -> None:
    code, text = invoke("slo", "watch", "--of", "cats", "--project", str(tmp_path))
    assert code == 2
    assert "zones, services or all" in text


def test_rules_are_printed_or_written_for_others_to_read(declared: str, tmp_path: Path) -> None:
    code, text = invoke("export", "prometheus-rules", declared)
    assert code == 0
    assert "FiredoorFastBurn" in text
    out = tmp_path / "rules.yaml"
    code, said = invoke("export", "prometheus-rules", declared, "--out", str(out))
    assert (code, said) == (0, f"wrote {out}\n")
    assert out.read_text() == text
    assert out.stat().st_mode & 0o777 == 0o644


def test_definitions_name_the_prometheus_that_is_given(declared: str) -> None:
    code, text = invoke("export", "openslo", declared, "--prometheus", "http://metrics:9")
    assert code == 0
    assert "http://metrics:9" in text
    assert text.count("kind: SLO\n") == 2


def test_dashboards_are_written_with_what_loads_them(declared: str, tmp_path: Path) -> None:
    code, text = invoke("export", "grafana", declared, "--out", str(tmp_path / "grafana"))
    assert code == 0
    assert "wrote 2 dashboards" in text
    board = json.loads((tmp_path / "grafana/dashboards/firedoor-trips-sink.json").read_text())
    assert board["title"] == "trips: sinks"
    assert "path:" in (tmp_path / "grafana/provisioning.yaml").read_text()


def test_a_pipeline_that_promises_nothing_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    code, text = invoke("export", "prometheus-rules", str(tmp_path / "silent.py"))
    assert code == 1
    assert "declare slo=" in text


def test_a_file_that_cannot_be_written_is_told(declared: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, text = invoke("export", "grafana", declared, "--out", str(tmp_path / "file"))
    assert code == 1
    assert "Traceback" not in text

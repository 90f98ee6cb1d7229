"""Rules, dashboards and definitions that their readers take."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from firedoor.events.metrics import BY_NAME
from firedoor.slo.grafana import dashboards, provider
from firedoor.slo.objective import Kind, Objective
from firedoor.slo.panels import PANELS
from firedoor.slo.prometheus_rules import prometheus_rules
from slo.promtool import left_out, needs_promtool, promtool

yaml = pytest.importorskip("yaml", reason="PyYAML reads what is written; it is not installed")

OBJECTIVES = (
    Objective(
        zone="enrich", kind="transform", indicator="availability", target=0.999,
        owner="ann@example.com", runbook="https://example.com/enrich",
    ),
    Objective(zone="enrich", kind="transform", indicator="latency", target=0.99, bound_s=2),
    Objective(zone="flights", kind="source", indicator="availability", target=0.999),
    Objective(zone="predict", kind="service", indicator="availability", target=0.995),
    Objective(zone="nightly", kind="job", indicator="availability", target=0.95),
)  # fmt: skip
RULES = prometheus_rules(OBJECTIVES, pipeline="flights")
ZONES: dict[Kind, tuple[str, ...]] = {
    "source": ("flights",), "transform": ("enrich",), "sink": ("store",), "service": ("predict",),
    "job": ("train",),
}  # fmt: skip
SUFFIXES = ("_bucket", "_sum", "_count")


def metrics_in(expr: str) -> set[str]:
    """Return names of metrics of firedoor in an expression, without what rules record."""
    names = set(re.findall(r"(?<![:\w])(?:firedoor|process)_\w+", expr))
    plain = set()
    for name in names:
        for suffix in SUFFIXES:
            if name.endswith(suffix) and name.removesuffix(suffix) in BY_NAME:
                name = name.removesuffix(suffix)  # noqa: PLW2901 - of a histogram
        plain.add(name)
    return plain


def expressions(rules: str) -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]]


# ---- Prometheus


def test_what_promtool_says_is_not_left_out_in_continuous_integration() -> None:
    assert left_out(None, {})
    assert not left_out(None, {"CI": "true"})
    assert not left_out("/usr/bin/promtool", {})


@needs_promtool
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    done = promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


@needs_promtool
def test_promtool_takes_rules_of_every_promise_there_is(tmp_path: Path) -> None:
    odd = [
        Objective(zone="a", kind="sink", indicator="freshness", target=0.99, bound_s=60),
        Objective(zone="b", kind="sink", indicator="availability", target=1.0),
        Objective(
            zone="c", kind="sink", indicator="availability", target=0.6, owner='a "b" {{ c }}'
        ),
        Objective(zone="d", kind="sink", indicator="availability", target=0.3),
    ]
    (tmp_path / "rules.yaml").write_text(prometheus_rules(odd, pipeline="p"))
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stderr


def test_rules_use_metrics_that_there_are() -> None:
    used = {name for expr in expressions(RULES) for name in metrics_in(expr)}
    assert used
    assert used <= set(BY_NAME), used - set(BY_NAME)


@needs_promtool
def test_an_outage_fires_the_rules_and_what_is_inherited_does_not(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "other.yaml").write_text(prometheus_rules(OBJECTIVES, pipeline="trips"))
    (tmp_path / "test.yaml").write_text(json.dumps(SCENES))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def _series(
    outcome: str, values: str, *, zone: str = "enrich", cause: str = "", pipeline: str = "flights"
) -> dict[str, str]:
    labels = (
        f'pipeline="{pipeline}", zone="{zone}", process="a-1", indicator="availability", '
        f'outcome="{outcome}", cause="{cause}"'
    )
    return {"series": f"firedoor_objective_units_total{{{labels}}}", "values": values}


EVERY = "15s"
"""100 units a second, so 1,500 a scrape; 40 scrapes are ten minutes."""
WELL, STILL = "0+1500x160", "0+0x160"
SCENES = {
    "rule_files": ["rules.yaml", "other.yaml"],
    "evaluation_interval": "15s",
    "tests": [
        {
            "name": "an outage by its own fault pages, by evidence and by burn rate",
            "interval": EVERY,
            "input_series": [
                _series("good", "0+1500x40 60000+0x120"),
                _series("own", "0+0x40 0+1500x120"),
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{severity="page", zone="enrich"})',
                    "eval_time": "14m",
                    "exp_samples": [
                        {"labels": '{alertname="FiredoorBurnRate1h"}', "value": 1},
                        {"labels": '{alertname="FiredoorFastBurn"}', "value": 1},
                        {"labels": '{alertname="FiredoorBurnRate6h"}', "value": 1},
                    ],
                },
            ],
        },
        {
            "name": "a zone of another pipeline that has the same name is another's page",
            "interval": EVERY,
            "input_series": [
                _series("good", "0+1500x160"),
                _series("own", "0+0x160"),
                _series("good", "0+1500x40 60000+0x120", pipeline="trips"),
                _series("own", "0+0x40 0+1500x120", pipeline="trips"),
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (pipeline, alertname) (ALERTS{severity="page"})',
                    "eval_time": "14m",
                    "exp_samples": [
                        {"labels": f'{{pipeline="trips", alertname="{name}"}}', "value": 1}
                        for name in (
                            "FiredoorFastBurn",
                            "FiredoorBurnRate1h",
                            "FiredoorBurnRate6h",
                        )
                    ],
                },
            ],
        },
        {
            "name": "a blip of 30 s pages nobody by evidence",
            "interval": EVERY,
            "input_series": [
                _series("good", "0+1500x40 60000+0x2 60000+1500x120"),
                _series("own", "0+0x40 0+1500x2 3000+0x120"),
            ],
            "promql_expr_test": [
                {
                    "expr": 'count(ALERTS{alertname="FiredoorFastBurn"}) or vector(0)',
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": "{}", "value": 0}],
                }
                for minute in (11, 12, 15, 20)
            ],
        },
        {
            "name": "who inherits from somebody who is paged is not paged",
            "interval": EVERY,
            "input_series": [
                _series("good", "0+1500x40 60000+0x120"),
                _series("inherited", "0+0x40 0+1500x120", cause="flights"),
                _series("good", "0+1500x40 60000+0x120", zone="flights"),
                _series("own", "0+0x40 0+1500x120", zone="flights"),
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (zone) (ALERTS{alertstate="firing", severity="page"} > 0)',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": '{zone="flights"}', "value": 3}],
                },
            ],
        },
        {
            "name": "who inherits from nobody that is paged is paged as unexplained",
            "interval": EVERY,
            "input_series": [
                _series("good", "0+1500x40 60000+0x120"),
                _series("inherited", "0+0x40 0+1500x120", cause="dependency:weather"),
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing", severity="page"})',
                    "eval_time": "20m",
                    "exp_samples": [{"labels": '{alertname="FiredoorUnexplained"}', "value": 1}],
                },
            ],
        },
        *(
            {
                "name": f"where there are few and {promised} is promised, {bad} bad of ten",
                "interval": EVERY,
                "input_series": [
                    _series("good", f"0x40 {10 - bad}+0x80", zone=zone),
                    _series("own", f"0x40 {bad}+0x80", zone=zone),
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count(ALERTS{alertname="FiredoorLowTraffic"}) or vector(0)',
                        "eval_time": "15m",
                        "exp_samples": [{"labels": "{}", "value": pages}],
                    }
                ],
            }
            for zone, promised, bad, pages in (
                ("nightly", "95 %", 3, 0),
                ("nightly", "95 %", 6, 1),
                ("enrich", "99.9 %", 2, 0),
                ("enrich", "99.9 %", 3, 1),
            )
        ),
        {
            "name": "a job is not missed when whoever spoke for it has ended",
            "interval": EVERY,
            "input_series": [
                {
                    "series": 'firedoor_objective_waiting{pipeline="flights", zone="nightly", '
                    'process="a-1-jobs"}',
                    "values": "0x40 stale _x80",
                },
            ],
            "promql_expr_test": [
                {
                    "expr": "count(ALERTS) or vector(0)",
                    "eval_time": "13m",
                    "exp_samples": [{"labels": "{}", "value": 0}],
                },
            ],
        },
        {
            "name": "a zone that goes silent pages once",
            "interval": EVERY,
            "input_series": [
                {
                    "series": 'firedoor_objective_waiting{pipeline="flights", zone="enrich", '
                    'process="a-1"}',
                    "values": "0x40 stale _x80",
                },
            ],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "13m",
                    "exp_samples": [{"labels": '{alertname="FiredoorZoneSilent"}', "value": 1}],
                },
            ],
        },
    ],
}


# ---- Grafana

BOARDS = dashboards(ZONES, pipeline="flights")


def test_there_is_a_dashboard_for_each_kind_of_zone() -> None:
    assert set(BOARDS) == {f"firedoor-flights-{kind}.json" for kind in PANELS}
    assert list(dashboards({"sink": ("a",), "job": ()}, pipeline="p")) == ["firedoor-p-sink.json"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_what_the_provisioner_loads(name: str) -> None:
    board = json.loads(BOARDS[name])
    assert board["uid"]
    assert len(board["uid"]) <= 40
    assert board["title"]
    assert "id" not in board, "the provisioner gives one"
    assert board["schemaVersion"] >= 36, "panels name their datasource by uid since then"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == (
        "datasource", "prometheus",
    )  # fmt: skip
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) - {"__rate_interval"}
    assert used == set(variables)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(8)}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        lines = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(lines)) == len(lines), "nobody could tell them apart"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_dashboards_use_metrics_that_there_are() -> None:
    exprs = [query.expr for panels in PANELS.values() for p in panels for query in p.queries]
    used = {name for expr in exprs for name in metrics_in(expr)}
    assert used <= set(BY_NAME), used - set(BY_NAME)


def test_dashboards_group_and_name_lines_by_labels_that_there_are() -> None:
    for query in (query for panels in PANELS.values() for p in panels for query in p.queries):
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", query.expr))))
        there = {label for name in metrics_in(query.expr) for label in BY_NAME[name].labels}
        assert 'pipeline="$pipeline"' in query.expr
        assert grouped <= there | {"le"}, query.expr
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= grouped, query.expr


@needs_promtool
def test_promtool_takes_every_expression_of_a_dashboard(tmp_path: Path) -> None:
    exprs = sorted({q.expr for panels in PANELS.values() for p in panels for q in p.queries})
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "1m")}
        for number, expr in enumerate(exprs)
    ]
    (tmp_path / "panels.yaml").write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    done = promtool("check", "rules", str(tmp_path / "panels.yaml"))
    assert done.returncode == 0, done.stderr


def test_the_provisioner_is_told_where_dashboards_are() -> None:
    told = yaml.safe_load(provider("/etc/grafana/x", pipeline="flights"))
    assert told["apiVersion"] == 1
    assert told["providers"][0]["options"] == {"path": "/etc/grafana/x"}


def test_long_names_of_pipelines_stay_apart_and_within_what_grafana_takes() -> None:
    boards = dashboards(ZONES, pipeline="p" * 60).values()
    uids = {json.loads(board)["uid"] for board in boards}
    assert len(uids) == len(ZONES)
    assert all(len(uid) <= 40 for uid in uids)

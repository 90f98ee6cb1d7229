"""Exemptions hold until they end; what is told in text and SARIF; failure modes in an order."""

from __future__ import annotations

from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pytest

import firedoor as fd
from firedoor.lint.fmea import failure_modes
from firedoor.lint.judging import RULES, Judgement, judge
from firedoor.lint.sarif import sarif
from firedoor.lint.telling import asides, lines_of, place_of
from firedoor.spec import exempt
from firedoor.spec.plan import Plan
from lint.plans import TODAY, calls, edge, found, plan, source, zone

SLO = {"latency_p99_s": 2.0}


def excused(until: str, rule: str = "FD102") -> Plan:
    """Return a pipeline that breaks FD102, exempt from a rule until then."""
    by = fd.Exempt(rule, owner="ana", reason="it is being replaced", until=until).plan()
    slow = calls("clean->a", timeout_s=9)
    return plan(zone("clean", depends=(slow,), exempt=(by,)), zone("store", "sink"))


def test_an_exempt_finding_does_not_count_and_is_told_with_its_reason() -> None:
    pipeline = excused("2027-01-31")
    judged = judge(pipeline, today=TODAY)
    assert (judged.errors, judged.warnings) == ((), ())
    told = next(line for line in asides(judged) if line.startswith("exempt"))
    assert told.endswith("until 2027-01-31, ana: it is being replaced")


@pytest.mark.parametrize(
    ("today", "errors", "said"),
    [
        (date(2027, 1, 17), 0, ""),
        (date(2027, 1, 18), 0, "it ends on 2027-01-31"),
        (date(2027, 1, 31), 0, "it ends on 2027-01-31"),
        (date(2027, 2, 1), 1, "it ended on 2027-01-31, and the rule counts again"),
    ],
)
def test_an_exemption_ends_after_its_last_day_and_says_so_before(
    today: date, errors: int, said: str
) -> None:
    judged = judge(excused("2027-01-31"), today=today)
    assert len(judged.errors) == errors
    told = found(judged, "FD100")
    assert [one.why.startswith(said) for one in told] == [True] * bool(said)
    assert all("ana said: it is being replaced" in one.why for one in told)


def test_an_exemption_of_no_use_is_told() -> None:
    judged = judge(excused("2027-01-31", rule="FD106"), today=TODAY)
    assert [one.why.split(";")[0] for one in found(judged, "FD100")] == ["nothing falls under it"]
    assert len(judged.errors) == 1


def test_what_is_wrong_with_the_whole_is_exempt_at_the_pipeline() -> None:
    by = fd.Exempt("FD115", owner="ana", reason="a demonstration", until="2027-01-31").plan()
    short = plan(zone("clean"), retention_days=1.0, exempt=(by,))
    assert judge(short, today=TODAY).warnings == ()


def test_errors_come_first_and_each_finding_has_place_reason_and_remedy() -> None:
    pipeline = plan(zone("clean", depends=(calls("clean->a", timeout_s=9, retry=4),)))
    judged = judge(pipeline, today=TODAY)
    assert [(one.severity, one.rule) for one in judged.findings] == [
        ("error", "FD102"), ("warning", "FD101"),
    ]  # fmt: skip
    assert list(lines_of(pipeline, judged.findings[0])) == [
        "error     FD102  deadline inversion: clean->a (/flights.py:12)",
        "          why: one attempt may take 9 s, and the wall of clean ends after 5 s",
        "          do:  give the guard less than 5 s, or the caller more than 9",
    ]


def test_a_rule_that_could_not_judge_is_told_and_is_no_finding() -> None:
    judged = judge(plan(zone("clean"), zone("store", "sink")), today=TODAY)
    assert judged.findings == ()
    assert "unjudged  FD107  no peak is declared at rows (peak=, or rate=): clean, store" in list(
        asides(judged)
    )


def test_a_zone_without_a_step_is_placed_where_it_is_declared() -> None:
    pipeline = plan(source(where="/flights.py:3"), zone("clean"))
    assert place_of(pipeline, "rows") == ("/flights.py", 3)
    assert place_of(pipeline, "clean") == ("/flights.py", 12)
    assert place_of(plan(source(where="")), "rows") is None


def test_the_rules_are_those_that_can_be_exempt_in_order_and_each_says_when() -> None:
    assert tuple(rule.id for rule in RULES) == exempt.RULES
    for rule in RULES:
        assert "Error: " in rule.doc or "Warning: " in rule.doc, rule.id
        assert "Needs: " in rule.doc or rule.id in {"FD105", "FD115"}, rule.id


class TestSarif:
    def log(self) -> dict[str, Any]:
        """Return a log with an error, an exempt finding, and rules that could not judge."""
        by = fd.Exempt("FD101", owner="ana", reason="it is idle", until="2027-01-31").plan()
        depends = (calls("clean->a", timeout_s=9, retry=4),)
        pipeline = plan(zone("clean", depends=depends, exempt=(by,)))
        judged = judge(pipeline, today=TODAY)
        assert len(judged.excused) == 1
        return sarif(pipeline, judged, version="1.2.3", root=PurePosixPath("/"))

    def test_it_has_what_the_standard_and_code_hosts_require(self) -> None:
        log = self.log()
        assert log["version"] == "2.1.0"
        assert log["$schema"].endswith("sarif-schema-2.1.0.json")
        (run,) = log["runs"]
        driver = run["tool"]["driver"]
        assert driver["name"] == "firedoor check"
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids)) == len(RULES) + 3
        for rule in driver["rules"]:
            assert set(rule) >= {"id", "name", "shortDescription", "fullDescription", "help"}
            assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert len(run["results"]) == 2
        for result in run["results"]:
            assert ids[result["ruleIndex"]] == result["ruleId"]
            assert result["level"] in {"error", "warning"}
            assert result["message"]["text"]
            (place,) = [one["physicalLocation"] for one in result["locations"]]
            assert place["artifactLocation"] == {"uri": "flights.py", "uriBaseId": "SRCROOT"}
            assert place["region"] == {"startLine": 12}
            assert result["partialFingerprints"]
        assert run["originalUriBaseIds"]["SRCROOT"]["uri"].endswith("/")

    def test_what_is_exempt_is_suppressed_with_its_reason(self) -> None:
        results = {one["ruleId"]: one for one in self.log()["runs"][0]["results"]}
        assert "suppressions" not in results["FD102"]
        (suppressed,) = results["FD101"]["suppressions"]
        assert suppressed["kind"] == "inSource"
        assert "ana: it is idle" in suppressed["justification"]

    def test_what_could_not_be_judged_is_a_note_and_no_result(self) -> None:
        (invocation,) = self.log()["runs"][0]["invocations"]
        notes = invocation["toolExecutionNotifications"]
        assert {note["associatedRule"]["id"] for note in notes} >= {"FD106", "FD107", "FD118"}
        assert {note["level"] for note in notes} == {"note"}

    def test_a_file_elsewhere_is_named_whole_and_odd_names_are_escaped(self) -> None:
        judged = judge(plan(zone("clean", depends=(calls("clean->a"),))), today=TODAY)
        for root, uri in (("/else", "file:///a%20b/c.py"), ("/a b", "c.py")):
            step = zone("clean").step
            assert step is not None
            clean = zone("clean", step=type(step)(
                name="s", pickled=b"", main_path=None, main_module=None, where="/a b/c.py:2",
            ))  # fmt: skip
            log: Any = sarif(plan(clean), judged, version="1", root=PurePosixPath(root))
            (result,) = log["runs"][0]["results"]
            location = result["locations"][0]["physicalLocation"]["artifactLocation"]
            assert location["uri"] == uri


class TestFailureModes:
    def test_the_product_orders_and_ten_are_told(self) -> None:
        many = plan(*(zone(f"z{n}") for n in range(20)))
        modes = failure_modes(many)
        assert len(modes) == 10
        assert [mode.rpn for mode in modes] == sorted((m.rpn for m in modes), reverse=True)
        assert modes[0].rpn == 10 * 5 * 10

    def test_who_is_hurt_watched_and_helped_makes_the_figures(self) -> None:
        zones = [
            source(),
            zone("clean", slo=SLO, runbook="https://wiki/x", depends=(
                calls("clean->a"), calls("clean->b", fallback=fd.Constant(0)),
            )),
            zone("one", "sink", slo=SLO), zone("two", "sink"),
        ]  # fmt: skip
        edges = [
            edge("rows", "clean"), edge("clean", "one", when_full="detach"),
            edge("clean", "two", when_full="block"),
        ]  # fmt: skip
        modes = {mode.what: mode for mode in failure_modes(plan(*zones, edges=edges))}

        def figures(what: str) -> tuple[int, int, int]:
            return modes[what].severity, modes[what].occurrence, modes[what].detection

        assert figures("clean stands still") == (10, 5, 4)
        assert figures("one stands still") == (3, 5, 7)  # of four zones itself; nobody is blocked
        assert figures("two stands still") == (8, 5, 10)  # it blocks clean, and that blocks rows
        assert figures("a is away") == (10, 5, 4)
        assert figures("b is away") == (5, 5, 4)
        assert modes["b is away"].effect.startswith("degraded")


def test_a_judgement_tells_errors_from_warnings() -> None:
    judged: Judgement = judge(excused("2026-01-01"), today=TODAY)
    assert len(judged.errors) + len(judged.warnings) == len(judged.findings)

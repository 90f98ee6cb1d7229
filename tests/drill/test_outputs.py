"""What is kept of a drill: JSON that reads back, JUnit that CI reads, a page that needs nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
from msgspec.structs import replace

from drilled import STAGE, exercise, report, row, second
from firedoor.drill.books import Conservation, Rows
from firedoor.drill.comparing import compare
from firedoor.drill.followups import FollowUp, follow_ups
from firedoor.drill.junit import junit_of
from firedoor.drill.page import page_of
from firedoor.drill.report import Moment, Report, Unrecovered, decode_report, encode_report
from firedoor.drill.retrospective import matrix_lines, retrospective
from firedoor.drill.telling import books
from firedoor.lint.judging import RULES
from firedoor.slo.objective import Objective
from firedoor.slo.prometheus_rules import prometheus_rules

PROMISED = (Objective(zone="enrich", kind="transform", indicator="availability", target=0.9),)
ALERTS = set(re.findall(r"alert: \"?(\w+)", prometheus_rules(PROMISED, pipeline="year")))
SECONDS = 12
HURT = {"predict": [second(lost=30)] * SECONDS}
STALE = {"predict": [second(stale_from={"enrich": 1})] * SECONDS}
IDLE = {"store": [second(0, batches=0)] * 40}
EVIL = '<script>alert("x")</script> | & \x00'


def mixed() -> Report:
    """Return a report with a cell of each kind."""
    moments = (Moment(at_s=1_001.0, what="fault", zone="enrich", text=EVIL),)
    degraded = {"predict": [second(degraded=50)] * SECONDS}
    return report(
        row(HURT, timeline=moments),
        row({"enrich": [second(lost=50)] * SECONDS, **degraded}, done=exercise("freeze")),
        row(IDLE, well_s=1, done=exercise("crash_loop")),
        row(done=exercise("latency", "flights")),
    )


def test_a_report_reads_back_as_it_was() -> None:
    made = mixed()
    assert decode_report(encode_report(made)) == made
    assert msgspec.json.decode(encode_report(made))["schema"] == 1


def test_junit_has_a_suite_a_row_and_a_case_a_zone() -> None:
    made = mixed()
    root = ET.fromstring(junit_of(made))  # noqa: S314 - our own
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == [one.name for one in made.rows]
    assert int(root.get("tests", "0")) == sum(len(one.cells) for one in made.rows)
    failures = root.findall(".//failure")
    assert {each.get("type") for each in failures} == {"ContainmentBreach"}
    assert len(failures) == int(root.get("failures", "0")) == made.score.breaches
    assert len(root.findall(".//error")) == int(root.get("errors", "0")) == made.score.no_evidence


def test_a_drill_that_did_not_run_to_its_end_looks_well_nowhere() -> None:
    idle = replace(report(), exit_code=3, verdict="not proven: the pipeline is too idle to judge")
    cut = replace(report(row()), exit_code=4, stopped="ann stopped it", verdict="stopped: ann")
    for made, tests in ((idle, 1), (cut, len(cut.rows[0].cells) + 1)):
        root = ET.fromstring(junit_of(made))  # noqa: S314 - our own
        (error,) = root.findall(".//error")
        assert error.get("message") == made.verdict
        assert (root.get("tests"), root.get("errors")) == (str(tests), "1")
        assert "nothing leaked" not in retrospective(made)


JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped"},
        {"name", "tests", "failures", "errors"}, {"testcase"},
    ),
    "testcase": (
        {"name", "time", "classname"}, {"name"}, {"skipped", "error", "failure", "system-out"},
    ),
    "failure": ({"type", "message"}, set(), set()),
    "error": ({"type", "message"}, set(), set()),
    "skipped": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
}  # fmt: skip
"""Of each element: attributes that it may have, those that it must have, and what may be in it.
As the schema of Jenkins' xUnit plugin has them (junit-10.xsd), of what is written here."""


def test_junit_is_what_its_schema_allows_even_where_the_clock_was_set_back() -> None:
    held = replace(row(HURT), began_s=2_000.0)
    for made in (mixed(), replace(report(held), began_s=9_000.0)):
        root = ET.fromstring(junit_of(made))  # noqa: S314 - our own
        assert root.tag == "testsuites"
        for element in root.iter():
            allowed, needed, inside = JUNIT[element.tag]
            assert needed <= set(element.keys()) <= allowed, element.tag
            assert {child.tag for child in element} <= inside, element.tag
            assert re.fullmatch(r"\d+\.\d{3}|0", element.get("time", "0"))
            for count in ("tests", "failures", "errors", "skipped"):
                assert element.get(count, "0").isdecimal()


def test_a_known_breach_is_skipped_in_junit_and_says_who_answers() -> None:
    broken = row(HURT)
    cells = tuple(
        replace(cell, known="ann until 2026-12-31") if cell.verdict == "breach" else cell
        for cell in broken.cells
    )
    root = ET.fromstring(junit_of(report(replace(broken, cells=cells))))  # noqa: S314 - our own
    assert not root.findall(".//failure")
    assert all("ann until" in each.get("message", "") for each in root.findall(".//skipped"))


class Page(HTMLParser):
    """Checks that what is opened is closed, and that nothing is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        assert tag not in {"script", "img", "link", "iframe"}
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        if told.get("id"):
            assert told["id"] not in self.ids
            self.ids.add(str(told["id"]))
        if tag == "a":
            self.links.append(str(told["href"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_whole_fetches_nothing_and_every_cell_leads_to_its_figures() -> None:
    made = mixed()
    page = Page(page_of(made))
    assert page.open == []
    cells = sum(len(one.cells) for one in made.rows)
    assert len(page.links) == cells + len(made.rows)
    assert {link.removeprefix("#") for link in page.links} <= page.ids
    assert not re.search(r"url\(|@import|src=|srcset=|https?:", page_of(made))


def test_every_cell_of_the_page_has_a_letter_besides_its_colour() -> None:
    text = page_of(mixed())
    for letter in "KDEB?":
        assert f"<i>{letter}</i>" in text


def test_nothing_that_a_zone_says_becomes_markup() -> None:
    assert "<script" not in page_of(mixed())
    assert "\x00" not in junit_of(mixed())


def test_the_page_says_what_changed_since_the_drill_before() -> None:
    text = page_of(mixed(), compare(report(row()), mixed()))
    assert "worse:" in text
    assert "kept -&gt; breach" in text


def test_a_comparison_names_what_got_worse_first() -> None:
    made = compare(report(row()), report(row(HURT)))
    assert made.worse
    assert made.changes[0].in_words == "kill in enrich, predict: kept -> breach"
    assert not compare(report(row(HURT)), report(row())).worse
    assert not compare(report(row()), report(row())).changes


def test_what_is_new_and_well_is_not_worse_and_what_is_new_and_bad_is() -> None:
    freeze = exercise("freeze")
    assert not compare(report(row()), report(row(), row(done=freeze))).worse
    assert compare(report(row()), report(row(), row(HURT, done=freeze))).worse


def test_the_retrospective_tells_prediction_observation_and_leaves_people_their_questions() -> None:
    text = retrospective(mixed())
    assert "# Drill 20261129-040000-abcd of year" in text
    assert "*Predicted:* only enrich may miss its objectives; store may wait" in text
    assert "*Observed:* it leaked: predict" in text
    assert "## To be answered by people" in text
    assert "| 00:16:41.0 | enrich | fault |" in text


def test_every_proposal_names_what_shows_that_it_is_done() -> None:
    for made in (mixed(), report(row(STALE)), report(row(recovered_s=None))):
        proposed = follow_ups(made)
        assert proposed
        assert all(_is_there(each, made) for each in proposed), proposed


def test_what_a_stopped_broker_proposes_names_alerts_that_there_are() -> None:
    waits = {name: [second(stale_from={"broker": 1})] * SECONDS for name in ("enrich", "store")}
    held = row(waits, done=exercise("kill", may_starve=False), recovered_s=None)
    made = report(replace(held, zone="broker"))
    proposed = [each for each in follow_ups(made) if each.kind == "alert"]
    assert {each.check for each in proposed} >= {
        "FiredoorUnexplained", 'FiredoorUnexplained{zone="store"}',
    }  # fmt: skip
    assert all(_is_there(each, made) for each in proposed)


def _is_there(proposed: FollowUp, made: Report) -> bool:
    """Return whether what would show that it is done is a thing that a machine can ask."""
    match proposed.kind:
        case "lint":
            return set(proposed.check.split(", ")) <= {rule.id for rule in RULES}
        case "alert":
            return proposed.check.partition("{")[0] in ALERTS
        case "drill":
            return any(one.name in proposed.check for one in made.rows)
        case "gate":
            return any(zone in proposed.check for zone in (*STAGE.names, "dependency:"))


def test_a_zone_that_is_not_well_again_is_told_everywhere_with_its_owner_and_what_to_do() -> None:
    left = Unrecovered(
        zone="store", owner="ann@example.com", waited_s=60.0, seen="halted", to_do="firedoor why"
    )
    made = report(row(recovered_s=None, unrecovered=(left,)))
    (proposed,) = (each for each in follow_ups(made) if each.check.endswith("well within 60 s"))
    for text in (proposed.text, retrospective(made), page_of(made), junit_of(made)):
        assert "store is not well 60 s after the fault has ended (halted)" in text
        assert "ann@example.com: firedoor why" in text
    root = ET.fromstring(junit_of(made))  # noqa: S314 - our own
    assert [each.get("type") for each in root.iter("failure")] == ["NotRecovered"]
    assert decode_report(encode_report(made)) == made


def test_a_contained_drill_without_dead_rows_proposes_nothing() -> None:
    even = Conservation(checked=True, holds=True)
    made = report(row(conservation=even))
    assert follow_ups(made) == ()
    assert "None: nothing leaked" in retrospective(made)


def test_rows_that_died_of_the_drill_are_told_with_the_way_back() -> None:
    assert "dlq replay --zone enrich" in retrospective(report(row()))


def test_the_faulted_zone_is_in_brackets_and_breaches_stand_out() -> None:
    lines = matrix_lines(report(row(HURT)))
    assert "[K]" in lines[2]
    assert "**B**" in lines[2]


def test_lost_and_doubled_rows_are_numbers() -> None:
    lost = Conservation(checked=True, holds=False, problems=("p",), rows=Rows(lost=12, doubled=3))
    assert books(row(conservation=lost)) == "12 lost, 3 doubled"
    assert books(row()) == "exact"
    assert books(row(conservation=Conservation(checked=False))) == "not read"

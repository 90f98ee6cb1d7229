"""What is kept of a drill: JSON that reads back, JUnit that CI reads, a page that needs nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
from msgspec.structs import replace

from drilled import exercise, report, row, second
from firedoor.drill.books import Conservation, Rows
from firedoor.drill.comparing import compare
from firedoor.drill.followups import follow_ups
from firedoor.drill.junit import junit_of
from firedoor.drill.page import page_of
from firedoor.drill.report import Moment, Report, Unrecovered, decode_report, encode_report
from firedoor.drill.retrospective import matrix_lines, retrospective
from firedoor.drill.telling import books

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
        assert all(each.check and each.kind in {"lint", "drill", "gate", "alert"}
                   for each in proposed)  # fmt: skip


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

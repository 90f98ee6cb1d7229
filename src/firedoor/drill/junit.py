"""The matrix as JUnit XML: a suite a row, a case a zone; what CI systems show."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from firedoor.drill.cell import Cell
from firedoor.drill.report import Report, Row, Unrecovered
from firedoor.drill.scoring import CLEANUP, SAFETY


def junit_of(report: Report) -> str:
    """Return the report as JUnit XML.

    A breach is a failure, no evidence an error, a breach that somebody answers for is skipped.
    A zone that was not well again in time has a case of its own, which is a failure.
    A drill that did not run to its end is an error as a whole: what is missing must not look well.
    Elements and attributes are those of the schema of Jenkins' xUnit plugin, junit-10.xsd.
    """
    suites = ET.Element("testsuites", name=f"containment of {report.pipeline}")
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for suite in (*map(_suite, report.rows), *_whole(report)):
        for name in totals:
            totals[name] += int(suite.get(name, "0"))
        suites.append(suite)
    for name, count in totals.items():
        suites.set(name, str(count))
    suites.set("time", _took(report.began_s, report.ended_s))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode")


def _whole(report: Report) -> list[ET.Element]:
    """Return a suite for the drill as a whole, where it did not run to its end."""
    if report.rows and report.exit_code not in {SAFETY, CLEANUP}:
        return []
    case = ET.Element("testcase", classname="drill", name=_clean(report.drill), time="0")
    ET.SubElement(case, "error", type="NotDone", message=_clean(report.verdict))
    return [_suite_of("drill", [case], _took(report.began_s, report.ended_s))]


def _suite(row: Row) -> ET.Element:
    """Return one row."""
    cases = [_case(row, cell) for cell in row.cells]
    cases += [_recovery(row, each) for each in row.unrecovered]
    return _suite_of(_clean(row.name), cases, _took(row.began_s, row.ended_s))


def _suite_of(name: str, cases: list[ET.Element], took: str) -> ET.Element:
    """Return a suite of some cases."""
    suite = ET.Element("testsuite", name=name)
    suite.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", took)
    suite.extend(cases)
    return suite


def _case(row: Row, cell: Cell) -> ET.Element:
    """Return one cell."""
    case = ET.Element("testcase", classname=_clean(row.name), name=cell.zone, time="0")
    if cell.verdict == "breach" and cell.known:
        ET.SubElement(case, "skipped", message=_clean(f"known: {cell.known}; {cell.why}"))
    elif cell.verdict == "breach":
        failure = ET.SubElement(case, "failure", type="ContainmentBreach", message=_clean(cell.why))
        failure.text = _clean(f"{row.name} hurt {cell.zone} ({cell.cause or 'cause unknown'})")
    elif cell.verdict == "no_evidence":
        ET.SubElement(case, "error", type="NoEvidence", message=_clean(cell.why))
    else:
        out = ET.SubElement(case, "system-out")
        out.text = _clean(f"{cell.verdict}{' (flaky)' if cell.flaky else ''}: {cell.why}")
    return case


def _recovery(row: Row, unrecovered: Unrecovered) -> ET.Element:
    """Return a zone that was not well again in time."""
    name = f"{unrecovered.zone} recovers"
    case = ET.Element("testcase", classname=_clean(row.name), name=name, time="0")
    ET.SubElement(case, "failure", type="NotRecovered", message=_clean(unrecovered.in_words))
    return case


def _took(began_s: float, ended_s: float) -> str:
    """Return seconds; a clock that was set back has taken none."""
    return f"{max(0.0, ended_s - began_s):.3f}"


def _clean(text: str) -> str:
    """Return a text without what XML does not allow."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)

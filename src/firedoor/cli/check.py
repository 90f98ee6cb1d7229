"""``firedoor check``: what is wrong with a pipeline, before any row flows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import firedoor
from firedoor.adapters.clock import SystemClock
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.inputs import missing_inputs
from firedoor.compose.loading import load_plan
from firedoor.compose.trying import Found, try_pipeline
from firedoor.compose.vetting import counted, vet
from firedoor.lint.finding import Finding
from firedoor.lint.fmea import failure_modes
from firedoor.lint.judging import Judgement
from firedoor.lint.sarif import INPUT_MISSING, STEP_FAILS, sarif
from firedoor.lint.telling import asides, lines_of, place_of
from firedoor.spec.plan import Plan
from firedoor.spec.service_plan import ServicePlan

UNLOADABLE = 2


class Format(StrEnum):
    """What the findings are written in."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def check(
    pipeline: Annotated[Path, typer.Argument(help="The file that declares the pipeline.")],
    *,
    form: Annotated[
        Format, typer.Option("--format", help="SARIF is for code hosts.")
    ] = Format.TEXT,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    fmea: Annotated[
        bool, typer.Option("--fmea", help="List the ten worst failure modes as well.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 for warnings, too.")] = False,
) -> None:
    """Load a pipeline, run each transform on no rows, and judge what is declared by rules.

    Ends with 0 if nothing is wrong, with 1 if anything is, and with 2 if the file cannot be
    loaded. Warnings, and rules that lack a number to judge by, do not count as wrong.
    """
    with refusals_told(UNLOADABLE):
        plan = load_plan(pipeline)
    with refusals_told():
        found = try_pipeline(pipeline)
    missing = missing_inputs(plan)
    judgement = vet(plan, SystemClock().utc_s())
    match Format.JSON if as_json else form:
        case Format.TEXT:
            _show(plan, found, missing, judgement)
            if fmea:
                print("\n" + "\n".join(_modes(plan)))
        case Format.JSON:
            print(json.dumps(_plain(plan, found, missing, judgement, fmea=fmea), indent=2))
        case Format.SARIF:
            log = sarif(
                plan,
                judgement,
                version=firedoor.__version__,
                root=Path.cwd(),
                problems=_problems(found, missing),
            )
            print(json.dumps(log, indent=2))
    wrong = missing or judgement.errors or any(one.verdict == "problem" for one in found)
    raise typer.Exit(1 if wrong or (strict and judgement.warnings) else 0)


def _show(
    plan: Plan, found: tuple[Found, ...], missing: tuple[str, ...], judgement: Judgement
) -> None:
    """Print a line a zone, what is missing, what the rules found, and a summary."""
    width = max((len(one.zone) for one in found), default=0)
    for one in found:
        said = one.said.replace("\n", "\n" + " " * (width + 12))
        print(f"{one.verdict:<8}  {one.zone:<{width}}  {said}".rstrip())
    for line in missing:
        print(f"missing   {line}")
    for service in plan.services:
        print(f"service   {service.name}  {_served(service)}")
    for finding in judgement.findings:
        print("\n".join(["", *lines_of(plan, finding)]))
    told = list(asides(judgement))
    if told:
        print("\n" + "\n".join(told))
    problems = len(missing) + len(judgement.errors)
    problems += sum(one.verdict == "problem" for one in found)
    summary = counted(problems, "problem") if problems else "no problems"
    if judgement.warnings:
        summary += f", {counted(len(judgement.warnings), 'warning')}"
    untried = sum(one.verdict == "untried" for one in found)
    if untried:
        summary += f"; {untried} of {len(found)} zones could not be tried"
    print(f"\n{summary}")


def _served(service: ServicePlan) -> str:
    """Say what becomes of a service when it is served; its model is not loaded here."""
    looked_up = ", ".join(group.name for group in service.features)
    more = f", features {looked_up}" if looked_up else ""
    return (
        f"answers by the champion of model {service.model.name}, {service.takes} rows{more}; it is "
        "tried on the model's example rows when it is served"
    )


def _plain(
    plan: Plan,
    found: tuple[Found, ...],
    missing: tuple[str, ...],
    judgement: Judgement,
    *,
    fmea: bool,
) -> dict[str, object]:
    """Return everything as JSON has it."""
    told: dict[str, object] = {
        "zones": [{"zone": one.zone, "verdict": one.verdict, "said": one.said} for one in found],
        "services": [
            {"service": one.name, "model": one.model.name, "said": _served(one)}
            for one in plan.services
        ],
        "missing": list(missing),
        "findings": [_placed(plan, one) for one in judgement.findings],
        "unjudged": [asdict(one) for one in judgement.unjudged],
        "exempt": [
            {
                **_placed(plan, one.finding),
                "owner": one.by.owner,
                "reason": one.by.reason,
                "until": one.by.until,
            }
            for one in judgement.excused
        ],
    }
    if fmea:
        told["fmea"] = [{**asdict(mode), "rpn": mode.rpn} for mode in failure_modes(plan)]
    return told


def _placed(plan: Plan, finding: Finding) -> dict[str, object]:
    """Return a finding with file and line."""
    file, line = place_of(plan, finding.zone) or (plan.file, 1)
    return {**asdict(finding), "file": file, "line": line}


def _problems(found: tuple[Found, ...], missing: tuple[str, ...]) -> list[Finding]:
    """Return what was found without rules, as findings."""
    fails = [
        Finding(
            severity="error", zone=one.zone, about=one.zone, why=one.said,
            remedy="mend the step or the schema", rule=STEP_FAILS,
        )
        for one in found
        if one.verdict == "problem"
    ]  # fmt: skip
    absent = [
        Finding(
            severity="error", zone="", about="missing", why=why,
            remedy="then check again", rule=INPUT_MISSING,
        )
        for why in missing
    ]  # fmt: skip
    return fails + absent


def _modes(plan: Plan) -> Iterator[str]:
    """Yield the table of failure modes."""
    modes = failure_modes(plan)
    width = max((len(mode.what) for mode in modes), default=0)
    wide = max((len(mode.effect) for mode in modes), default=0)
    yield f"{'RPN':>4}  {'S':>2} x {'O':>2} x {'D':>2}  {'failure mode':<{width}}  effect"
    for mode in modes:
        yield (
            f"{mode.rpn:>4}  {mode.severity:>2} x {mode.occurrence:>2} x {mode.detection:>2}  "
            f"{mode.what:<{width}}  {mode.effect:<{wide}}".rstrip()
        )
    yield "RPN = severity x occurrence x detection orders; it does not measure, and gates nothing."
    yield "Occurrence is 5, not known, until there are drills and incidents to count."

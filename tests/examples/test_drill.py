"""The drill of the example: its matrices fit its pipeline, and the page shows what it prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from firedoor.compose.drill_file import load_matrix
from firedoor.compose.drill_stage import stage_of
from firedoor.compose.loading import load_plan
from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.planning import Exercise, plan_exercises
from firedoor.drill.stage import Stage

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flights"
PAGE = ROOT / "docs" / "guide" / "drills.md"
LETTERS = re.compile(r"\[?[KDE?B]~?\]?")
TOOK_MAX_S = float(os.environ.get("FIREDOOR_DRILL_S", "180"))
"""Of the drill itself, on two processors that have nothing else to do."""


@pytest.fixture(scope="module")
def stage() -> Stage:
    return stage_of(load_plan(EXAMPLE / "live.py"))


def rows(stage: Stage, name: str) -> list[Exercise]:
    """Return what a matrix of the example asks for."""
    return list(plan_exercises(load_matrix(EXAMPLE / name), stage, drill="d"))


def shown() -> Mapping[tuple[str, str], list[str]]:
    """Return the letters that the page shows, by fault and zone."""
    found: dict[tuple[str, str], list[str]] = {}
    fence = PAGE.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    fault = ""
    for line in fence.splitlines():
        words = line.split()
        letters = [word for word in words if LETTERS.fullmatch(word)]
        if len(letters) < len("KKKKKKK"):
            continue
        before = words[: words.index(letters[0])]
        fault = before[0] if len(before) > 1 else fault
        found[fault, before[-1]] = letters
    return found


def test_make_drill_has_a_fault_of_each_class_in_every_zone_that_can_have_it(stage: Stage) -> None:
    found = rows(stage, "drills.yaml")
    assert {each.fault.of for each in found} == {"process", "link", "data", "model", "control"}
    zones = {
        of: {each.fault.zone for each in found if each.fault.of == of}
        for of in ("process", "link", "data")
    }
    assert zones["process"] == zones["link"] == set(stage.names)
    assert zones["data"] == set(stage.names) - {"store"}, "nothing of a user runs in the store"


def test_make_drill_full_has_every_fault_and_those_of_processes_in_jobs_as_well(
    stage: Stage,
) -> None:
    found = rows(stage, "drills-full.yaml")
    assert {each.fault.name for each in found} == set(CATALOGUE)
    jobs = {each.fault.zone for each in found if each.fault.name in {"kill", "job_kill"}}
    assert jobs >= {"train", "evaluate"}
    (flipped,) = [each.fault for each in found if each.fault.name == "label_flip"]
    assert flipped.zone == "train", "no column of two values comes into any step"


def test_make_drill_jobs_strikes_the_training_in_each_way_and_what_judges_it(
    stage: Stage,
) -> None:
    found = {(each.fault.name, each.fault.zone) for each in rows(stage, "drills-jobs.yaml")}
    assert {zone for _, zone in found} == {"train", "evaluate"}
    assert {name for name, _ in found} == {"kill", "job_kill", "job_raise", "label_flip"}


def test_the_page_shows_every_row_of_make_drill_and_no_breach(stage: Stage) -> None:
    asked = {(each.fault.name, each.fault.zone) for each in rows(stage, "drills.yaml")}
    letters = shown()
    assert set(letters) == asked
    for row, told in letters.items():
        assert len(told) == len(stage.names) + 1, row
        assert not {"B", "?"} & {letter.strip("[]~") for letter in told}, row


def test_the_readme_shows_lines_of_that_page() -> None:
    page = {" ".join(line.split()) for line in PAGE.read_text(encoding="utf-8").splitlines()}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fence = text.partition("And `make drill`")[2].partition("```text\n")[2].partition("```")[0]
    lines = [" ".join(line.split()) for line in fence.splitlines() if line]
    assert len(lines) > 5
    odd = [line for line in lines if line not in page and not line.startswith("fault in")]
    assert odd == []


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_make_drill_is_contained_in_three_minutes_and_shows_what_the_page_shows(
    tmp_path: Path,
) -> None:
    environ = {
        **os.environ,
        "FLIGHTS_FEED": str(tmp_path / "feed"),
        "FLIGHTS_LIVE": str(tmp_path / "live"),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "drill.py"), "--project", str(tmp_path / "drill")],
        env=environ, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    (found,) = (tmp_path / "drill" / ".firedoor" / "drills").glob("*/containment.json")
    report = json.loads(found.read_text())
    rows = {(row["fault"], row["zone"]): len(row["cells"]) for row in report["rows"]}
    assert rows == {row: len(letters) for row, letters in shown().items()}
    assert report["ended_s"] - report["began_s"] <= TOOK_MAX_S, told

"""Flags by the command line, where nothing runs: the broker is started for as long as it lasts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.stored import firedoor, make_project
from control.world import World
from control_api.served import make_served
from firedoor.cli.flag import read_value
from firedoor.cli.flagging import known_plan
from firedoor.compose.project import Project
from firedoor.spec.plan import encode_plan

if TYPE_CHECKING:
    from typer.testing import Result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("flags")

    async def nothing(world: World) -> None:
        del world

    make_project(directory, nothing)
    return directory


def told(folder: Path, *words: str) -> str:
    result = firedoor(folder, *words)
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return result.stderr


def test_a_flag_is_set_listed_confirmed_exported_imported_and_unset(folder: Path) -> None:
    why = ("--because", "try it")
    assert 'colour: not set -> "blue" for 10 % of' in told(
        folder, "flag", "set", "colour", "blue", "--share", "0.1", *why
    )
    told(folder, "flag", "set", "count", "7", "--hours", "0.001", *why)
    listed = told(folder, "flag", "list")
    assert re.search(r"^colour +\"blue\" for 10 % of the subjects .* try it$", listed, re.MULTILINE)
    told(folder, "flag", "confirm", "count", *why)
    assert "confirm by" in told(folder, "flag", "list")
    file = folder / "flags.flagd.json"
    told(folder, "flag", "export", "--format", "flagd", "--to", str(file))
    assert set(json.loads(file.read_text())["flags"]) == {"colour", "count"}
    told(folder, "flag", "unset", "colour", *why)
    assert "colour" in told(folder, "flag", "import", str(file), *why)
    flags = json.loads(told(folder, "flag", "list", "--json"))["flags"]
    assert (flags["colour"]["value"], flags["colour"]["share"]) == ("blue", 0.1)
    log = told(folder, "flag", "log", "--about", "colour")
    assert [line.split("  ")[2] for line in log.splitlines()] == [
        "flag set", "flag unset", "flag set",
    ]  # fmt: skip
    assert told(folder, "changes", "--about", "colour") == log
    everything = json.loads(told(folder, "changes", "--json"))
    assert {change["about"] for change in everything} >= {"colour", "count"}
    assert all(change["by"] and change["because"] for change in everything)


def test_what_cannot_be_is_refused(folder: Path) -> None:
    assert "there is no flag 'none'" in refused(
        firedoor(folder, "flag", "unset", "none", "--because", "x")
    )
    assert "it has flights, clean" in refused(
        firedoor(folder, "flag", "set", "kill.nobody.route", "true", "--because", "x")
    )
    assert "share=" in refused(
        firedoor(folder, "flag", "set", "a", "1", "--share", "2", "--because", "x")
    )
    assert "value=" in refused(firedoor(folder, "flag", "set", "a", "[1]", "--because", "x"))
    other = folder / "other.json"
    other.write_text("[]")
    assert "flagd file" in refused(firedoor(folder, "flag", "import", str(other), "--because", "x"))


def test_where_nothing_ever_ran_it_says_so(tmp_path: Path) -> None:
    assert "firedoor run PIPELINE.py" in refused(firedoor(tmp_path, "flag", "list"))


def test_a_switch_is_thrown_where_the_broker_cannot_be_started(
    folder: Path, tmp_path: Path
) -> None:
    project = Project.at(tmp_path)
    project.create()
    project.write_plan(Project.at(folder).read_plan())
    (project.folder / "nats" / "alone").mkdir()
    said = told(tmp_path, "kill", "flights.ingest", "--because", "bad rows")
    assert "the broker does not answer" in said
    assert "flights.ingest is killed" in said
    listed = told(tmp_path, "flag", "list")
    assert "what this machine knew last" in listed
    assert "only on this machine" in listed
    assert "lifted" in told(tmp_path, "kill", "flights.ingest", "--off", "--because", "mended")


def test_services_that_are_served_alone_are_known(folder: Path, tmp_path: Path) -> None:
    place = Project.at(tmp_path)
    place.create()
    (place.folder / "serving").mkdir()
    plan = make_served()
    (place.folder / "serving" / "plan.json").write_bytes(encode_plan(plan))
    assert known_plan(place) == plan
    run = Project.at(folder).read_plan()
    place.write_plan(run)
    assert known_plan(place).zones == run.zones
    assert [service.name for service in known_plan(place).services] == ["predict"]


@pytest.mark.parametrize(
    ("word", "value"),
    [("true", True), ("0.5", 0.5), ("7", 7), ("blue", "blue"), ('"7"', "7"), ("-1e3", -1000.0)],
)
def test_a_word_is_the_value_that_it_spells(word: str, value: object) -> None:
    found = read_value(word)
    assert found == value
    assert type(found) is type(value)

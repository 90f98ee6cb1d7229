"""``firedoor models``: what is printed, what is refused, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.files.bundles import make_folder
from firedoor.cli.models import app
from firedoor.compose.models import Models


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with three versions: one was live, one is, one is qualified."""
    models = Models(tmp_path, by="ann")
    for number in (1, 2, 3):
        folder = make_folder(tmp_path / "m", weights=b"%d" % number)
        models.add(
            "flights", folder, inputs={"distance": "Int64"}, run=f"run-{number}",
            environment={"numpy": f"2.{number}"}, metrics={"auc": 0.7 + number / 100},
        )  # fmt: skip
        models.qualify(f"flights@{number}", "promote", because="[bold]auc[/]")
        if number < 3:
            models.promote("flights")
    return tmp_path


def run(project: Path, *arguments: str, code: int = 0) -> str:
    """Return what a command prints."""
    ended = CliRunner().invoke(app, [*arguments, "--project", str(project)], env={"COLUMNS": "160"})
    assert ended.exit_code == code, ended.output + ended.stderr
    return ended.stderr if code else ended.output


def test_the_list_names_what_counts(project: Path) -> None:
    row = r"flights\s+2\s+3\s+1\s+3\s+qualified version 3 \(\[bold\]auc\[/\]\), \d+ s"
    assert re.search(row, run(project, "list"))
    told = json.loads(run(project, "list", "--json"))
    assert told["flights"] == {
        "generation": 8, "champion": 2, "challenger": 3, "previous": 1, "versions": 3,
        "quarantined": 0,
    }  # fmt: skip


def test_versions_and_one_version_are_shown(project: Path) -> None:
    shown = run(project, "show", "flights")
    assert re.search(r"1\s+retired\s+previous\s+\w{12}\s+auc 0.71", shown)
    assert re.search(r"3\s+qualified\s+challenger\s+\w{12}\s+auc 0.73.*\[bold\]auc\[/\]", shown)
    one = run(project, "show", "flights@champion")
    assert "version    flights@2, champion\n" in one
    assert "inputs     distance Int64\n" in one
    assert "libraries  numpy=2.2\n" in one
    told = json.loads(run(project, "show", "flights@champion", "--json"))
    assert told["version"]["number"] == 2
    assert told["manifest"]["files"][0]["path"] == "weights"
    assert len(json.loads(run(project, "show", "flights", "--json"))["versions"]) == 3


def test_two_versions_are_compared_by_what_differs(project: Path) -> None:
    shown = run(project, "compare", "flights@champion", "flights@3")
    assert re.search(r"figures: auc\s+0.72\s+0.73\s+\+0.01", shown)
    assert re.search(r"libraries: numpy\s+2.2\s+2.3", shown)
    assert "the same: inputs, outputs" in shown
    told = json.loads(run(project, "compare", "flights@2", "flights@3", "--json"))
    assert told["figures"] == {"auc": [0.72, 0.73]}
    assert set(told["files"]) == {"weights"}


def test_promoting_and_rolling_back_say_what_is_live_now(project: Path) -> None:
    shown = run(project, "promote", "flights@3", "--because", "better")
    assert shown == "flights: version 3 is live, a rollback goes to version 2\n"
    told = json.loads(run(project, "rollback", "flights", "--because", "slow", "--json"))
    assert (told["champion"], told["previous"]) == (2, 1)
    run(project, "rollback", "flights@2")
    refused = run(project, "rollback", "flights", code=1)
    assert refused == (
        "firedoor: no version was live before, or none that may be again: promote another one\n"
    )
    history = run(project, "history", "flights")
    assert re.search(r"rolled back version 3 \(slow\)\s+3 -> 2\n", history)
    told = json.loads(run(project, "history", "flights", "--limit", "1", "--json"))
    assert [(entry["what"], entry["number"]) for entry in told] == [("rolled back", 2)]
    assert "@" in told[0]["by"]


def test_a_version_that_is_not_qualified_or_outdated_is_not_promoted(project: Path) -> None:
    assert "is live, and now" not in run(project, "promote", "flights@1", code=1)
    run(project, "rollback", "flights")
    outdated = run(project, "promote", "flights@3", code=1)
    assert "was qualified against version 2, and now version 1 is live" in outdated
    assert "version 3 is live" in run(project, "promote", "flights@3", "--anyway")


def test_a_quarantine_needs_a_reason_and_is_released_with_one(project: Path) -> None:
    run(project, "quarantine", "flights@2", code=2)
    shown = run(project, "quarantine", "flights@2", "--because", "everybody is late")
    assert shown == "flights: version 1 is live, there is nothing to roll back to\n"
    assert re.search(r"quarantined: \w{64} everybody is late", run(project, "show", "flights"))
    run(project, "release", "flights@2", "--because", "labels were wrong")
    assert re.search(r"2\s+candidate", run(project, "show", "flights"))
    nothing = run(project, "quarantine", "flights@1", "--because", "late as well")
    assert nothing.startswith("flights: nothing is live")


def test_verify_names_what_is_damaged_and_ends_with_1(project: Path) -> None:
    assert run(project, "verify") == "3 of 3 bundles are what was stored\n"
    files = project / ".firedoor" / "models" / "artifacts" / "files"
    for path in files.iterdir():
        if path.read_bytes() == b"2":
            path.unlink()
    ended = CliRunner().invoke(app, ["verify", "flights", "--project", str(project)])
    assert ended.exit_code == 1
    assert re.search(r"flights@2: weights of bundle \w{64} is missing", ended.output)
    assert "2 of 3 bundles are what was stored" in ended.output
    assert json.loads(run(project, "verify", "flights@1", "--json")) == {"flights@1": ""}


def test_prune_says_what_would_go_and_what_went(project: Path) -> None:
    folder = make_folder(project / "m", weights=b"4")
    Models(project).add("flights", folder)
    options = ("--keep-days", "0", "--keep-newest", "0")
    assert "flights: versions 4 would go" in run(project, "prune", *options, "--dry-run")
    assert "flights: versions 4 gone" in run(project, "prune", *options)
    assert json.loads(run(project, "prune", *options, "--json"))["versions"] == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "delays"), "there is no model 'delays': there are flights"),
        (("show", "flights@9"), "version 9 is not there: there are 1, 2, 3"),
        (("show", "flights@latest"), "write a number, or one of champion"),
        (("show", "../x"), "use a small letter"),
        (("history", "delays"), "there is no model 'delays'"),
        (("release", "flights@1", "--because", "x"), "is not quarantined"),
        (("quarantine", "flights", "--because", "x"), "write flights@3, for example"),
    ],
)
def test_what_is_not_there_is_told_and_ends_with_1(
    project: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says in run(project, *arguments, code=1)


def test_a_project_without_models_is_told(tmp_path: Path) -> None:
    assert "was never used, or its disk is not mounted" in run(tmp_path, "list", code=1)
    assert list(tmp_path.iterdir()) == []


def test_a_rollback_loads_neither_frames_nor_broker_nor_tables(project: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom firedoor.cli.models import app\n"
        f"ended = CliRunner().invoke(app, ['rollback', 'flights', '--project', {str(project)!r}])\n"
        "assert ended.exit_code == 0, ended.output\n"
        "print(sorted({'polars', 'dataframely', 'nats', 'rich'} & set(sys.modules)))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout == "[]\n"

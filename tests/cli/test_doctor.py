"""``firedoor doctor`` on this machine, and on machines that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from firedoor.cli import doctor as face
from firedoor.cli import main as cli
from firedoor.compose.project import Project
from firedoor.compute import cgroup, doctor, landlock, seal
from firedoor.compute.doctor import Diagnosis, Finding


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    """What the doctor finds here; it puts up a wall."""
    return doctor.diagnose()


def finding(diagnosis: Diagnosis, topic: str) -> Finding:
    return next(finding for finding in diagnosis.findings if finding.topic == topic)


def test_walls_work_on_this_machine(found: Diagnosis) -> None:
    assert found.usable, found
    assert "99 of 99 good rows, 1 dead" in finding(found, "trial").found


def test_the_seal_that_is_reported_is_the_one_in_a_worker(found: Diagnosis) -> None:
    level = finding(found, "seal").found.split(":")[0]
    assert level == ("full" if seal.supported() >= landlock.ABI_SCOPES else level)
    assert (level == "advisory") == (seal.supported() == 0)


def test_the_way_and_time_of_replacement_are_told(found: Diagnosis) -> None:
    assert finding(found, "workers").found.startswith("started by ")
    assert "replaced in" in finding(found, "workers").found


def test_whatever_is_weaker_or_missing_says_what_to_do(found: Diagnosis) -> None:
    assert not [item for item in found.findings if item.verdict != "ok" and not item.remedy]


def test_json_carries_the_same_findings(found: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "diagnose", lambda: found)
    result = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert result.exit_code == 0
    told = json.loads(result.output)
    assert told["usable"] is True
    assert [item["topic"] for item in told["findings"]] == [f.topic for f in found.findings]


def test_a_person_is_shown_verdict_finding_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosis = Diagnosis(
        findings=(Finding(topic="disk", verdict="weaker", found="[full]", remedy="clean it"),)
    )
    monkeypatch.setattr(face, "diagnose", lambda: diagnosis)
    output = CliRunner().invoke(cli.app, ["doctor"]).output
    assert "weaker" in output
    assert "[full]" in output
    assert "-> clean it" in output
    assert "walls work here" in output


def test_it_ends_with_1_where_walls_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Finding(topic="trial", verdict="missing", found="no", remedy="mend", fatal=True)
    monkeypatch.setattr(face, "diagnose", lambda: Diagnosis(findings=(broken,)))
    result = CliRunner().invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert "walls do not work here" in result.output


def test_windows_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(doctor, "os", SimpleNamespace(name="nt"))
    diagnosis = doctor.diagnose()
    assert not diagnosis.usable
    assert "WSL" in finding(diagnosis, "platform").remedy


def test_without_landlock_the_doctor_says_so_and_walls_stay_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    (only,) = doctor._seal()
    assert only.verdict == "missing"
    assert not only.fatal
    assert "advisory" in only.found


def test_an_old_landlock_is_weaker_and_names_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    (only,) = doctor._seal()
    assert only.verdict == "weaker"
    assert "TCP, signals and abstract sockets" in only.remedy


def test_a_scratch_folder_that_cannot_be_used_is_fatal() -> None:
    broken = doctor._space("scratch", "/no/such/folder", "point TMPDIR elsewhere")
    assert broken.fatal
    assert broken.verdict == "missing"


def test_a_wall_that_cannot_be_put_up_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TRIAL_MEMORY", "1MiB")
    (only,) = doctor._trial()
    assert only.fatal
    assert "DeclarationError" in only.found


def test_the_control_group_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    delegation = cgroup.Delegation(version=2, folder=Path("/ml"))
    monkeypatch.setattr(cgroup, "look", lambda: (delegation, ""))
    told = next(item for item in doctor._machine() if item.topic == "cgroup")
    assert told.verdict == "ok"
    assert "/ml" in told.found


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.output.strip() == f"firedoor {doctor.version_of('firedoor')}"


def test_without_a_command_the_commands_are_shown() -> None:
    assert "doctor" in CliRunner().invoke(cli.app, []).output


def of_project(machine: Diagnosis, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Look at a project on a machine that was looked at before."""
    monkeypatch.setattr(face, "diagnose", lambda: machine)
    return CliRunner().invoke(cli.app, ["doctor", "--project", str(folder)])


def test_a_project_that_is_not_there_is_wrong_and_walls_still_work(
    found: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = of_project(found, tmp_path / "nowhere", monkeypatch)
    assert result.exit_code == 1
    assert "is not there" in result.output
    assert "name the folder that .firedoor is in" in " ".join(result.output.split())
    assert result.output.splitlines()[-2:] == [
        "walls work here", "the project cannot run: see above",
    ]  # fmt: skip
    assert not (tmp_path / "nowhere").exists()


def test_a_project_in_which_nothing_ran_yet_is_well(
    found: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project.at(tmp_path).create()
    result = of_project(found, tmp_path, monkeypatch)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "nothing is wrong with the project"


def test_a_damaged_plan_is_told_and_the_store_is_looked_at_all_the_same(
    found: Diagnosis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.at(tmp_path)
    project.create()
    project.plan_file.write_text("{")
    result = of_project(found, tmp_path, monkeypatch)
    assert result.exit_code == 1
    told = " ".join(result.output.split())
    assert "is no plan of this version" in told
    assert "store lock" in told
    assert "Traceback" not in result.output

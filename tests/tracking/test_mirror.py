"""A project on a real tracking server: all of it, once, however its mirror or the server ends."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import firedoor as fd
from tracking.conftest import client_of
from tracking.server import TrackingServer, begin, firedoor, killed, wait_for

if TYPE_CHECKING:
    from mlflow import MlflowClient

KILLS = 3
REPLAYED = 7
"""The seed of the points at which a mirror is killed."""


def train(project: Path, seed: int, *more: str) -> str:
    return firedoor(
        project, "job", "run", "train", "--pipeline", "late.py", "--seed", str(seed), *more
    )


def there(client: MlflowClient, name: str) -> dict[str, Any]:
    """Return all that a server has of a project, in the server's order."""
    found: dict[str, Any] = {"runs": [], "versions": {}, "aliases": {}}
    for experiment in client.search_experiments(filter_string=f"name LIKE '{name}/%'"):
        runs = client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time ASC"]
        )
        for run in runs:
            figures = {
                key: [
                    (one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)
                ]
                for key in run.data.metrics
            }
            files = sorted(one.path for one in walk(client, run.info.run_id, ""))
            told = (run.data.tags["firedoor.run"], run.info.status, figures, files)
            found["runs"].append(told)
    for model in client.search_registered_models(f"name LIKE '{name}-%'"):
        versions = client.search_model_versions(f"name='{model.name}'")
        ours = sorted(
            (int(one.tags["firedoor.version"]), int(one.version), one.tags["firedoor.state"])
            for one in versions
        )
        found["versions"][model.name.removeprefix(name)] = ours
        aliases = client.get_registered_model(model.name).aliases
        found["aliases"] |= {alias: str(number) for alias, number in aliases.items()}
    return found


def walk(client: MlflowClient, run: str, path: str) -> list[Any]:
    found = []
    for one in client.list_artifacts(run, path or None):
        found += walk(client, run, one.path) if one.is_dir else [one]
    return found


def live(models: fd.Models, name: str) -> None:
    models.qualify(name, "promote", because="auc")
    models.promote(name)


def test_a_run_is_there_with_figures_parameters_tags_files_and_its_version(
    server: TrackingServer, client: MlflowClient, project: Path, tmp_path: Path
) -> None:
    train(project, 3)
    said = firedoor(project, "mlflow", "mirror", "--uri", server.uri)
    assert said == f"run train-1: done, 1 figure\nlate@1: {project.name}-late version 1\n"
    experiment = client.get_experiment_by_name(f"{project.name}/late")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    record = json.loads((project / ".firedoor" / "runs" / "train-1" / "record.json").read_text())
    assert (run.info.run_name, run.info.status) == ("train-1", "FINISHED")
    assert run.info.start_time == round(record["started_s"] * 1000)
    assert run.info.end_time == round(record["ended_s"] * 1000)
    assert run.data.params == {"rounds": "4", "rate": "0.1"}
    tags = run.data.tags
    assert tags["firedoor.code"] == record["code"]["version"]
    assert (tags["firedoor.seed"], tags["firedoor.run"]) == ("3", "train-1")
    figures = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in figures] == [(n, 1 / (n + 4)) for n in range(4)]
    assert all(run.info.start_time <= one.timestamp <= run.info.end_time for one in figures)
    to = client.download_artifacts(run.info.run_id, "firedoor/record.json", str(tmp_path))
    assert json.loads(Path(to).read_text()) == record
    version = client.get_model_version(f"{project.name}-late", "1")
    assert (version.run_id, version.tags["firedoor.state"]) == (run.info.run_id, "candidate")
    to = client.download_artifacts(run.info.run_id, "models/late-1/model.json", str(tmp_path))
    assert json.loads(Path(to).read_text()) == {"late_from_min": 3}


def test_a_second_mirror_and_one_without_its_note_change_nothing(
    server: TrackingServer, client: MlflowClient, project: Path
) -> None:
    train(project, 1)
    firedoor(project, "job", "run", "fails", "--pipeline", "late.py", code=1)
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    before = there(client, project.name)
    (failed,) = [run for run in before["runs"] if run[0] == "fails-1"]
    assert failed[1] == "FAILED"
    (name,) = failed[2]
    assert name.startswith("F1 _JFK_.")
    assert "has all of it" in firedoor(project, "mlflow", "mirror", uri=server.uri)
    for note in (project / ".firedoor" / "mlflow").glob("*.json"):
        note.unlink()
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    assert there(client, project.name) == before


def test_a_model_that_a_job_saved_as_mlflow_does_is_there_as_one(
    server: TrackingServer, client: MlflowClient, project: Path
) -> None:
    firedoor(project, "job", "run", "saves", "--pipeline", "late.py")
    assert fd.Models(project).manifest("flavored@1").format == "mlflow"
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    (run,) = there(client, project.name)["runs"]
    assert "models/flavored-1/MLmodel" in run[3]


def test_a_job_ends_well_while_the_server_is_away_and_the_mirror_catches_up_in_order(
    other: TrackingServer, project: Path
) -> None:
    for seed in (1, 2):
        said = train(project, seed, "--mlflow", other.uri)
        assert f"run        train-{seed}: done" in said
        assert "warning: not all is mirrored: the tracking server at" in said
    assert "is away" in firedoor(project, "mlflow", "mirror", uri=other.uri, code=3)
    other.start()
    assert "warning" not in train(project, 3, "--mlflow", other.uri)
    found = there(client_of(other), project.name)
    assert [run[0] for run in found["runs"]] == ["train-1", "train-2", "train-3"]
    assert found["versions"] == {"-late": [(n, n, "candidate") for n in (1, 2, 3)]}
    assert all(len(run[2]["loss"]) == 4 for run in found["runs"])


def test_a_mirror_that_follows_goes_on_when_the_server_is_back(
    other: TrackingServer, project: Path
) -> None:
    train(project, 1)
    follower = begin(project, ["mlflow", "mirror", "--follow"], other.uri)
    try:
        assert follower.stdout is not None
        assert "is tried again until it is back" in follower.stdout.readline()
        train(project, 2)
        other.start()
        lines = [follower.stdout.readline() for _ in range(3)]
        assert lines[0] == "firedoor: the tracking server is back\n"
        assert lines[1:] == ["run train-1: done, 1 figure\n", "run train-2: done, 1 figure\n"]
        assert "mirrors this project" in firedoor(
            project, "mlflow", "mirror", uri=other.uri, code=1
        )
        models = fd.Models(project)
        live(models, "late@2")
        client = client_of(other)
        wait_for(
            lambda: there(client, project.name)["aliases"] == {"champion": "2"}, 60, "the champion"
        )
        follower.send_signal(signal.SIGTERM)
        assert follower.wait(timeout=60) == 0
    finally:
        follower.kill()
        follower.communicate()
    assert len(there(client_of(other), project.name)["runs"]) == 2


def test_a_mirror_that_is_killed_midway_goes_on_and_doubles_nothing(
    server: TrackingServer, client: MlflowClient, project: Path
) -> None:
    for seed in (1, 2):
        train(project, seed)
    live(fd.Models(project), "late@1")
    sends = counted_sends(project, server.uri)
    whole = there(client, "whole")
    assert len(whole["runs"]) == 2
    for point in sorted(random.Random(REPLAYED).sample(range(1, sends + 1), KILLS)):
        shutil.rmtree(project / ".firedoor" / "mlflow")
        name = f"killed{point}"
        words = ["mlflow", "mirror", "--name", name]
        killed(project, *words, uri=server.uri, at=point)
        firedoor(project, *words, uri=server.uri)
        assert there(client, name) == whole, f"killed before send {point} of {sends}"


def counted_sends(project: Path, uri: str) -> int:
    """Mirror once, and return how often that sent."""
    counting = (
        "import sys\nsent = []\n"
        "sys.addaudithook(lambda e, a: sent.append(e) if e == 'http.client.send' else None)\n"
        "from firedoor.cli.main import app\n"
        "app(standalone_mode=False)\nprint(len(sent))"
    )
    words = ["mlflow", "mirror", "--name", "whole", "--uri", uri]
    ended = subprocess.run(
        [sys.executable, "-c", counting, *words],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return int(ended.stdout.split()[-1])


def test_aliases_follow_promotion_rollback_and_quarantine(
    server: TrackingServer, client: MlflowClient, project: Path
) -> None:
    models = fd.Models(project, by="ann")

    def mirrored() -> tuple[dict[str, str], list[str]]:
        firedoor(project, "mlflow", "mirror", uri=server.uri)
        found = there(client, project.name)
        return found["aliases"], [state for _, _, state in found["versions"]["-late"]]

    for number in (1, 2, 3):
        folder = project / f"made{number}"
        folder.mkdir()
        (folder / "model.json").write_text(str(number))
        models.add("late", folder)
        models.qualify(f"late@{number}", "promote", because="auc")
        if number < 3:
            models.promote(f"late@{number}")
    wanted = {"champion": "2", "challenger": "3", "previous": "1"}
    assert mirrored() == (wanted, ["retired", "live", "qualified"])
    models.promote("late@3")
    assert mirrored() == ({"champion": "3", "previous": "2"}, ["retired", "retired", "live"])
    models.rollback("late", because="scores are off")
    assert mirrored() == ({"champion": "2", "previous": "1"}, ["retired", "live", "retired"])
    models.quarantine("late@2", because="leaks")
    assert mirrored() == ({"champion": "1"}, ["live", "quarantined", "retired"])
    models.quarantine("late@1", because="leaks too")
    assert mirrored()[0] == {}
    told = client.get_registered_model(f"{project.name}-late").description.splitlines()
    assert told[0].endswith("quarantined version 1 (leaks too)")
    assert told[-1].endswith("registered version 1")


def test_two_projects_on_one_server_are_told_apart_and_never_mixed(
    server: TrackingServer, client: MlflowClient, project: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "elsewhere" / project.name
    shutil.copytree(project, twin)
    train(project, 1)
    train(twin, 2)
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    said = firedoor(twin, "mlflow", "mirror", uri=server.uri, code=1)
    assert f"has a model {project.name}-late that is not of this project" in said
    assert [run[0] for run in there(client, project.name)["runs"]] == ["train-1", "train-1"]
    firedoor(twin, "mlflow", "mirror", "--name", "twin", "--again", uri=server.uri)
    assert there(client, "twin")["versions"] == {"-late": [(1, 1, "candidate")]}
    assert there(client, project.name)["versions"] == {"-late": [(1, 1, "candidate")]}


def test_a_run_of_many_figures_is_there_whole(
    server: TrackingServer, client: MlflowClient, project: Path
) -> None:
    firedoor(project, "job", "run", "train", "--pipeline", "late.py", "--param", "rounds=1500")
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    experiment = client.get_experiment_by_name(f"{project.name}/late")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    figures = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in figures] == [(n, 1 / (n + 1)) for n in range(1500)]

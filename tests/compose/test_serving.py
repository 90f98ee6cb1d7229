"""Zones that use a model: which version, how it comes to the worker, and what goes wrong."""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import firedoor as fd
from compose import model_steps
from compose.scored import FRAME, Project, rows_of, scores, take
from firedoor.compose.serving import ServedModels
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.spec.referred import ModelPlan

pytestmark = pytest.mark.usefixtures("kept_fork_servers")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    for stage in made.stages:
        stage.close()


# ---- which version


def test_a_batch_is_scored_by_the_champion_and_says_so(project: Project) -> None:
    project.add()
    handled = take(project.stage())
    assert scores(handled) == [11, 12, 13]
    assert handled.models == {"late": "late@1"}


def test_after_a_rollback_the_next_batch_is_scored_by_the_older_version(project: Project) -> None:
    project.add()
    project.add()
    stage = project.stage()
    assert take(stage).models == {"late": "late@2"}
    project.models.rollback("late")
    handled = take(stage)
    assert (scores(handled), handled.models) == ([11, 12, 13], {"late": "late@1"})


def test_after_a_quarantine_the_next_batch_is_scored_by_the_version_before(
    project: Project,
) -> None:
    project.add()
    project.add()
    stage = project.stage()
    assert take(stage).models == {"late": "late@2"}
    project.models.quarantine("late@2", because="it is wrong about SFO")
    assert take(stage).models == {"late": "late@1"}


def test_a_batch_that_was_scored_before_gets_the_same_version_and_the_same_bytes(
    project: Project,
) -> None:
    project.add()
    project.add()
    first = take(project.stage())
    project.models.quarantine("late@2", because="it is wrong about SFO")
    again = take(project.stage(), noted=first.models)
    assert again.models == {"late": "late@2"}
    assert again.parcel.payload == first.parcel.payload


def test_a_step_uses_several_models_and_each_alias_once(project: Project) -> None:
    project.add(bias=1)
    project.add(bias=2, live=False)
    champion, challenger = ModelPlan(name="late"), ModelPlan(name="late", alias="challenger")
    models = {"model": champion, "other": challenger, "again": champion}
    handled = take(project.stage(model_steps.both, models=models))
    assert rows_of(handled).row(0) == (1, 1.0, 2.0, 1.0)
    assert handled.models == {"late": "late@1", "late@challenger": "late@2"}


def test_the_registry_is_read_again_only_if_it_has_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add()
    served = ServedModels(project.stage()._zone, project=project.folder)
    read, reads = served._registry.read, list[str]()

    def counted(model: str) -> Any:
        reads.append(model)
        return read(model)

    monkeypatch.setattr(served._registry, "read", counted)
    for _ in range(5):
        served.of({})
    assert len(reads) == 1
    project.add()
    assert served.of({}).versions == {"late": "late@2"}
    assert len(reads) == 2


def test_a_booster_scores_in_the_worker_as_it_does_outside(project: Project) -> None:
    lightgbm: Any = pytest.importorskip("lightgbm")
    chance = np.random.default_rng(1)
    features = chance.uniform(0, 10, (200, 1))
    data = lightgbm.Dataset(features, (features[:, 0] > 5).astype(float))
    booster = lightgbm.train({"objective": "binary", "num_threads": 1, "verbose": -1}, data, 5)
    text = booster.model_to_string().encode()
    folder = project.folder.parent / "boosted"
    folder.mkdir()
    (folder / "model.txt").write_bytes(text)
    project.models.add("late", folder, format="lightgbm", inputs={"distance": "Float64"})
    project.models.qualify("late@1", "promote", because="auc")
    project.models.promote("late@1")
    frame = pl.DataFrame({"distance": features[:, 0]})
    assert scores(take(project.stage(model_steps.boosted), frame)) == list(
        booster.predict(features)
    )


# ---- what waits


def test_batches_wait_for_a_model_that_is_not_there_yet_and_are_told_what_to_do(
    project: Project,
) -> None:
    stage = project.stage()
    with pytest.raises(DependencyDown, match="registry of model 'late' cannot be read"):
        take(stage)
    project.add("other")
    with pytest.raises(DependencyDown, match="no model 'late' yet: add and promote a version"):
        take(stage)
    project.add(live=False)
    with pytest.raises(DependencyDown, match="firedoor models promote late@NUMBER"):
        take(stage)
    project.models.promote("late@1")
    assert take(stage).models == {"late": "late@1"}


def test_a_champion_that_is_quarantined_with_nothing_before_it_leaves_batches_waiting(
    project: Project,
) -> None:
    project.add()
    stage = project.stage()
    take(stage)
    project.models.quarantine("late@1", because="it is wrong about SFO")
    with pytest.raises(DependencyDown, match="has no champion"):
        take(stage)


def test_what_is_loaded_is_used_on_while_the_registry_cannot_be_read(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.add()
    project.add()
    stage = project.stage()
    take(stage)
    registry = project.folder / "models" / "registry"
    away = registry.rename(registry.with_name("away"))
    with caplog.at_level(logging.WARNING):
        assert take(stage).models == take(stage).models == {"late": "late@2"}
    assert [r.getMessage() for r in caplog.records if "said last of late" in r.getMessage()]
    assert "model late: goes on with what the registry said last" in stage.report()
    with pytest.raises(DependencyDown, match="cannot be read"):
        take(project.stage())
    away.rename(registry)
    project.models.rollback("late")
    assert take(stage).models == {"late": "late@1"}
    assert "goes on" not in stage.report()


def test_a_registry_that_forgot_the_model_is_one_that_cannot_be_read(project: Project) -> None:
    project.add()
    stage = project.stage()
    take(stage)
    shutil.rmtree(project.folder / "models" / "registry" / "late")
    assert take(stage).models == {"late": "late@1"}
    assert "not in the registry any more" in stage.report()


def test_a_damaged_bundle_is_waited_for_and_named(project: Project) -> None:
    project.add()
    for file in (project.folder / "models" / "artifacts" / "files").iterdir():
        file.chmod(0o600)
        file.write_bytes(b"999")
    stage = project.stage()
    with pytest.raises(DependencyDown, match=r"late@1 cannot be had.*bias of bundle"):
        take(stage)
    assert not any(place.is_dir() for place in (project.folder / "models" / "loaded").iterdir())


def test_a_damaged_copy_is_never_loaded_and_made_again(project: Project) -> None:
    project.add()
    take(project.stage())
    digest = project.models.find("late")[1].digest
    copy = project.folder / "models" / "loaded" / digest
    (copy / "bias").write_bytes(b"999")
    stage = project.stage()
    with pytest.raises(DependencyDown, match="late@1 are not what was stored: bias differs"):
        take(stage)
    assert scores(take(stage)) == [11, 12, 13]
    copy.with_suffix(".json").write_bytes(b"{}")
    assert scores(take(stage)) == [11, 12, 13], "a worker that has it needs no files"


def test_no_room_for_a_copy_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.add()
    stage = project.stage()

    def full(*args: object) -> Any:
        raise fd.ArtifactsFull(f"no room for {args[-1]}")

    monkeypatch.setattr("firedoor.compose.loaded.FileArtifacts.get", full)
    with pytest.raises(DependencyDown, match="no room for"):
        take(stage)


# ---- what halts


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ({"loader": "nowhere:read"}, "nowhere:read cannot be imported"),
        ({"loader": "compute.loaders:fail"}, "has no weights"),
        ({"loader": "compose.model_steps:leaves"}, "nothing in it"),
        ({"format": "pickle", "files": {"model.pkl": pickle.dumps({})}}, "is a pickle.*allow it"),
    ],
)
def test_a_model_that_cannot_be_loaded_halts_the_zone_by_name(
    project: Project, version: dict[str, Any], says: str
) -> None:
    project.add(**version)
    with pytest.raises(StepAtFault, match=f"(?s)model late@1 cannot be loaded: .*{says}") as caught:
        take(project.stage())
    assert caught.value.code == "model_unloadable"
    assert "firedoor models rollback late" in str(caught.value)


def test_a_model_that_kills_its_worker_halts_the_zone_and_no_row_is_blamed(
    project: Project,
) -> None:
    project.add(loader="compose.model_steps:segfaults")
    stage = project.stage()
    with pytest.raises(StepAtFault, match="died while it loaded model late@1") as caught:
        take(stage)
    assert caught.value.code == "model_unloadable"
    assert stage.workers_lost() == 1
    project.add()
    assert scores(take(stage)) == [21, 22, 23], "the wall goes on with the next version"


def test_a_worker_that_is_killed_while_it_loads_is_replaced_once(project: Project) -> None:
    """Somebody outside may have done that; twice in one batch it is the model."""
    project.add(loader="compose.model_steps:killed")
    stage = project.stage()
    with pytest.raises(StepAtFault, match="died while it loaded model late@1") as caught:
        take(stage, deaths_max=1)
    assert caught.value.code == "model_unloadable"
    assert stage.workers_lost() >= 2


def test_a_model_that_never_loads_has_as_long_as_the_step_has_to_be_imported(
    project: Project,
) -> None:
    project.add(loader="compose.model_steps:hangs")
    with pytest.raises(StepAtFault, match="load_timeout_s") as caught:
        take(project.stage(load_timeout_s=1.0))
    assert caught.value.code == "model_unloadable"


def test_a_pickle_is_loaded_where_the_zone_allows_it_by_name(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.add(format="pickle", files={"model.pkl": pickle.dumps({"bias": 5})})
    models = {"model": ModelPlan(name="late", allow=("pickle",))}
    with caplog.at_level(logging.INFO):
        assert scores(take(project.stage(models=models))) == [6, 7, 8]
    assert "is a pickle: loading it runs the code in it" in caplog.text


@pytest.mark.parametrize(
    ("inputs", "column", "says"),
    [
        ({"distanse": "Int64"}, "distanse", r"column 'distanse' \(Int64\) is not there"),
        ({"distance": "String"}, "distance", "'distance' is wanted as String and is Int64"),
        (
            {"distance": "Int64", "pixels": "Float32[2, ?]"}, "pixels",
            r"'pixels' is wanted as Float32\[2, \?\] and is Array\(Float32, shape=\(3, 3\)\)",
        ),
        ({"pixels": "Float32[?]"}, "pixels", "is wanted as Float32"),
    ],
)  # fmt: skip
def test_rows_that_a_model_does_not_take_halt_the_zone_and_name_the_column(
    project: Project, inputs: dict[str, str], column: str, says: str
) -> None:
    project.add(inputs=inputs)
    frame = FRAME.with_columns(
        pixels=pl.Series([[[0.0] * 3] * 3] * 3, dtype=pl.Array(pl.Float32, (3, 3)))
    )
    with pytest.raises(StepAtFault, match=says) as caught:
        take(project.stage(), frame)
    assert (caught.value.code, caught.value.columns) == ("model_misfit", (column,))


def test_rows_that_a_model_takes_are_scored_whatever_else_they_have(project: Project) -> None:
    inputs = {"distance": "Int64", "pixels": "Float32[?, 3]", "days": "Int8[?]", "at": "Datetime"}
    project.add(inputs=inputs)
    frame = FRAME.with_columns(
        pixels=pl.Series([[[0.0] * 3] * 2] * 3, dtype=pl.Array(pl.Float32, (2, 3))),
        days=pl.Series([[1], [2, 3], []], dtype=pl.List(pl.Int8)),
        at=pl.lit(0, pl.Datetime("us")),
    )
    assert scores(take(project.stage(), frame)) == [11, 12, 13]

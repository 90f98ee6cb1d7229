"""Models of MLflow as bundles: from a folder and from a server, loaded where that is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import firedoor as fd
from tracking.server import TrackingServer, firedoor
from tracking.steps import predict

ROWS = 200
PINS = ["scikit-learn==1.2.3", "pandas"]
"""Said, so that MLflow does not find out by loading the model in a process, for ten seconds."""


@pytest.fixture
def frame() -> Any:
    import numpy as np  # noqa: PLC0415 - not where these tests are left out
    import pandas as pd  # noqa: PLC0415

    delays = np.arange(ROWS, dtype="int64")
    return pd.DataFrame({"delay": delays, "share": (delays / ROWS).astype("float32")})


def save_sklearn(folder: Path, frame: Any) -> Any:
    """Save a model of scikit-learn, and return what it predicts."""
    import mlflow.sklearn  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    model = LogisticRegression().fit(frame, frame.delay > ROWS // 3)
    said = model.predict(frame)
    signature = infer_signature(frame, said)
    mlflow.sklearn.save_model(
        model, folder, signature=signature, input_example=frame[:3], pip_requirements=PINS
    )
    return said


def save_lightgbm(folder: Path, frame: Any) -> Any:
    """Save a model of LightGBM, and return what it predicts."""
    import lightgbm  # noqa: PLC0415
    import mlflow.lightgbm  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415

    rows = lightgbm.Dataset(frame, frame.delay > ROWS // 3)
    model = lightgbm.train({"objective": "binary", "verbose": -1}, rows, 5)
    said = model.predict(frame)
    mlflow.lightgbm.save_model(
        model, folder, signature=infer_signature(frame, said), pip_requirements=PINS
    )
    return said


def live(project: Path, name: str) -> fd.Models:
    models = fd.Models(project)
    models.qualify(f"{name}@1", "promote", because="auc")
    models.promote(name)
    return models


@pytest.mark.parametrize("save", [save_sklearn, save_lightgbm])
def test_a_model_from_a_folder_predicts_as_it_did(project: Path, frame: Any, save: Any) -> None:
    wanted = save(project / "saved", frame)
    assert firedoor(project, "models", "add", "late", "--from-mlflow", "saved") == (
        "late@1: candidate\n"
    )
    models = live(project, "late")
    with pytest.raises(fd.ModelRefused, match="a model of MLflow, and loading it runs") as refused:
        models.load("late")
    assert refused.value.code == "pickle"
    with pytest.warns(UserWarning, match="MLmodel is a model of MLflow: loading it runs"):
        model: Any = models.load("late", allow=("pickle",))
    assert list(model.predict(frame)) == list(wanted)
    manifest = models.manifest("late")
    assert {one.name: one.dtype for one in manifest.signature.inputs} == {
        "delay": "Int64", "share": "Float32",
    }  # fmt: skip
    assert len(manifest.signature.outputs) == 1
    assert manifest.environment["scikit-learn"] == "1.2.3"
    assert "mlflow" in manifest.environment


def test_a_worker_behind_a_wall_loads_it_and_scores(project: Path, frame: Any) -> None:
    wanted = save_sklearn(project / "saved", frame)
    firedoor(project, "models", "add", "late", "--from-mlflow", "saved")
    live(project, "late").get("late", project / "champion")
    rows = pl.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
    rows = rows.with_columns(project=pl.lit(str(project)))
    with fd.Wall(predict, timeout_s=60, reads=[str(project)]) as wall:
        good, dead = wall(rows)
    assert dead.frame.height == 0
    assert good["late"].to_list() == [bool(one) for one in wanted]
    assert not (project / "mlflow.db").exists()
    assert not (project / "mlruns").exists()


def test_a_model_goes_to_a_server_and_comes_back_the_same(
    server: TrackingServer, project: Path, frame: Any
) -> None:
    save_sklearn(project / "saved", frame)
    firedoor(project, "models", "add", "late", "--from-mlflow", "saved")
    live(project, "late")
    firedoor(project, "mlflow", "mirror", uri=server.uri)
    source = f"models:/{project.name}-late@champion"
    firedoor(project, "models", "add", "back", "--from-mlflow", source, uri=server.uri)
    models = fd.Models(project)
    sides = [{e.path: e.sha256 for e in models.manifest(f"{n}@1").files} for n in ("late", "back")]
    assert sides[0].items() <= sides[1].items()
    said = firedoor(
        project, "models", "add", "x", "--from-mlflow", "models:/nobody/1", uri=server.uri, code=1
    )
    assert "refuses it" in said
    assert "not found" in said


def test_a_signature_of_tensors_has_the_shape_of_one_row(project: Path, frame: Any) -> None:
    import mlflow.sklearn  # noqa: PLC0415
    from mlflow.models import infer_signature  # noqa: PLC0415
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    rows = frame.to_numpy()
    model = LinearRegression().fit(rows, rows)
    signature = infer_signature(rows, model.predict(rows))
    mlflow.sklearn.save_model(model, project / "saved", signature=signature, pip_requirements=PINS)
    said = json.loads(
        firedoor(project, "models", "add", "late", "--from-mlflow", "saved", "--json")
    )
    manifest = fd.Models(project).manifest(f"late@{said['number']}")
    (one,) = manifest.signature.inputs
    assert (one.name, one.dtype, one.shape) == ("input", "Float64", (2,))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "an MLmodel that is damaged"),
        ("- a list", "names no flavors"),
        ("flavors: {}", "no flavor python_function"),
        ("flavors: {python_function: {}}\nsignature: {inputs: '[1]'}", "no side of a signature"),
        ("flavors: !!python/object/apply:os.abort []", "an MLmodel that is damaged"),
    ],
)
def test_a_folder_that_mlflow_did_not_write_is_refused(project: Path, text: str, says: str) -> None:
    (project / "saved").mkdir()
    (project / "saved" / "MLmodel").write_text(text)
    assert says in firedoor(project, "models", "add", "late", "--from-mlflow", "saved", code=1)
    assert not (project / ".firedoor" / "models" / "registry" / "late").exists()

"""A pipeline with a job that learns nothing much. Tests copy it to where they run it."""

from __future__ import annotations

import json

import firedoor as fd

pipeline = fd.Pipeline("late", owner="ann@example.com")


@pipeline.job(parameters={"rounds": 4, "rate": 0.1})
def train(run: fd.Run) -> None:
    """Tell a loss a round, and save a model that is another with each seed."""
    rounds = run.parameters["rounds"]
    assert isinstance(rounds, int)
    for number in range(rounds):
        run.log_metric("loss", 1 / (number + 1 + run.seed))
        run.progress(number + 1, rounds, step="fit")
    folder = run.scratch / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"late_from_min": run.seed}))
    run.save("late", folder, inputs={"dep_delay": "Int64"}, outputs={"late": "Boolean"})


@pipeline.job()
def fails(run: fd.Run) -> None:
    """Fail after a figure whose name MLflow does not take."""
    run.log_metric("F1 (JFK)", 0.5)
    message = "no rows of class 1"
    raise ValueError(message)


@pipeline.job()
def saves(run: fd.Run) -> None:
    """Save what MLflow would have written, as far as it is read when it is added."""
    folder = run.scratch / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {python_function: {}}")
    run.save("flavored", folder, format="mlflow")

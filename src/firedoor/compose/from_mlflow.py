"""Register a model of MLflow as a version: from a folder, or from a tracking server."""

from __future__ import annotations

import tempfile
from pathlib import Path

from firedoor.adapters.mlflow.mlmodel import described, is_address
from firedoor.adapters.mlflow.server import Server
from firedoor.compose.models import Models
from firedoor.errors import DeclarationError
from firedoor.registry.model import Version


def add_from_mlflow(models: Models, name: str, source: str, *, uri: str = "") -> Version:
    """Store a model of MLflow as a bundle of format ``mlflow``, and register it as a candidate.

    Nothing of it is loaded: its signature is what its ``MLmodel`` says.

    Args:
        models: to add it to.
        name: of the model here.
        source: a folder that holds an ``MLmodel``; or ``models:/late/1``, ``runs:/ID/model``.
        uri: of the server that the source is on.

    Raises:
        DeclarationError: if it is no model of MLflow, or the extra is missing.
        StoreRefused: if the server has none.
        DependencyDown: if the server is away.
        ModelRefused: if the same files were quarantined.
    """
    if not is_address(source):
        return _add(models, name, Path(source))
    if not uri:
        raise DeclarationError(
            "from_mlflow", source, "is on a server, and none is named",
            "give --uri http://127.0.0.1:5000, or set MLFLOW_TRACKING_URI",
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="firedoor-mlflow-") as beside:
        return _add(models, name, Server(uri).fetch(source, Path(beside)))


def _add(models: Models, name: str, folder: Path) -> Version:
    """Store a folder."""
    said = described(folder)
    return models.add(
        name, folder, format="mlflow", inputs=said.inputs, outputs=said.outputs,
        example=said.example, environment=said.environment, run=said.run,
    )  # fmt: skip

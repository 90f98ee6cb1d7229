"""One server for the tests that leave it running, and what they need of MLflow."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tracking.server import TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests out where MLflow is not installed, and let it warn about itself."""
    is_there = importlib.util.find_spec("mlflow") is not None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.mlflow)
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if not is_there:
                item.add_marker(pytest.mark.skip(reason="needs MLflow: run `make test-mlflow`"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    one = TrackingServer(tmp_path_factory.mktemp("server"))
    try:
        one.start()
        yield one
    finally:
        one.stop()


@pytest.fixture
def other(server: TrackingServer, tmp_path: Path) -> Iterator[TrackingServer]:
    """A server that is not started yet."""
    one = TrackingServer(tmp_path / "server", like=server)
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def client(server: TrackingServer) -> MlflowClient:
    return client_of(server)


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of a name of its own: experiments and models are named by it."""
    folder = tmp_path / str(request.node.name)[5:60].replace("[", "-").rstrip("]")
    folder.mkdir()
    shutil.copy(HERE / "late.py", folder / "late.py")
    return folder


def client_of(server: TrackingServer) -> MlflowClient:
    """Return MLflow's own client."""
    from mlflow import MlflowClient  # noqa: PLC0415 - not installed where these tests are left out

    return MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)

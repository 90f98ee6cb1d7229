"""A server of another environment, for clients that firedoor cannot be installed beside."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests out where the client is not installed, and let it warn about itself."""
    is_there = importlib.util.find_spec("kserve") is not None
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clients)
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if not is_there:
                item.add_marker(pytest.mark.skip(reason="needs KServe: run `make test-clients`"))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve the scripted service, by the interpreter that has firedoor."""
    root = HERE.parents[1]
    python = os.environ.get("FIREDOOR_SERVER_PYTHON", str(root / ".venv" / "bin" / "python"))
    paths = os.pathsep.join((str(root / "src"), str(root / "tests")))
    with subprocess.Popen(
        [python, "-m", "gateway.scripted"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": paths},
    ) as server:  # fmt: skip
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.communicate(timeout=10)
        assert server.returncode == 0

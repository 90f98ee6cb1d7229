from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firedoor.adapters.nats.server import LocalServer, start
from firedoor.testing.conformance.store import make_plan


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    with start(tmp_path / ".firedoor", make_plan()) as running:
        yield running

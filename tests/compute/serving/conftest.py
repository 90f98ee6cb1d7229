"""One fork server for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firedoor.compute import server
from firedoor.compute.launch import PRELOAD


@pytest.fixture(scope="module", autouse=True)
def warm() -> Iterator[None]:
    server.borrow(PRELOAD, 1)
    yield
    server.give_back(PRELOAD, 1)

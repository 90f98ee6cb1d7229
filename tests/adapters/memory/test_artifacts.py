"""A store of bundles in memory keeps every promise of the port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firedoor.adapters.memory.artifacts import MemoryArtifacts
from firedoor.testing.artifacts_conformance import CASES, Case


class InMemory:
    def __init__(self) -> None:
        self.store = MemoryArtifacts()

    def open(self) -> MemoryArtifacts:
        return self.store

    def damage(self, sha256: str) -> None:
        self.store.files[sha256] = b"x" + self.store.files[sha256][1:]

    @contextmanager
    def full(self) -> Iterator[None]:
        before, self.store.bytes_max = self.store.bytes_max, 2**19
        yield
        self.store.bytes_max = before

    def stop(self) -> None:
        self.store.away = True

    def start(self) -> None:
        self.store.away = False


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case, tmp_path: Path) -> None:
    case.run(InMemory(), tmp_path)

"""A registry in memory keeps every promise of the port."""

from __future__ import annotations

import pytest

from firedoor.adapters.memory.registry import MemoryRegistry
from firedoor.testing.registry_conformance import CASES, Case


class InMemory:
    def __init__(self) -> None:
        self.registry = MemoryRegistry()

    def open(self) -> MemoryRegistry:
        return self.registry

    def stop(self) -> None:
        self.registry.away = True

    def start(self) -> None:
        self.registry.away = False


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case) -> None:
    case.run(InMemory())

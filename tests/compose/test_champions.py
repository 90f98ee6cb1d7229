"""What gateways know of the registry while it cannot be read."""

from __future__ import annotations

from pathlib import Path

from firedoor.compose.champions import Champions


def test_of_a_registry_that_was_never_read_it_says_that_nothing_is_known(tmp_path: Path) -> None:
    said: list[str] = []
    champions = Champions(tmp_path / ".firedoor", said.append)
    assert champions.of("late").generation == champions.of("late").generation == 0
    (told,) = said
    assert told.startswith("nothing is known of model late: ")

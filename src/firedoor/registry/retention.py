"""Which versions are old enough to go, and are needed by nothing."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.errors import DeclarationError
from firedoor.registry.model import ModelState, Version

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long versions are kept that nothing refers to."""

    keep_s: float = 90 * DAY_S
    """Since their state changed last, in seconds; 0 or more."""
    keep_newest: int = 10
    """Versions that are kept whatever their age; 0 or more."""

    def __post_init__(self) -> None:
        """Refuse what is no time or number."""
        if not 0 <= self.keep_s < float("inf"):
            raise DeclarationError("keep_s", self.keep_s, "is no time to keep", "give 0 or more")
        if self.keep_newest < 0:
            raise DeclarationError("keep_newest", self.keep_newest, "is below 0", "give 0 or more")


def needed(state: ModelState) -> set[int]:
    """Return the versions that an alias refers to, and all that these were made of."""
    by_digest = {version.digest: version for version in state.versions}
    by_number = {version.number: version for version in state.versions}
    numbers: set[int] = set()
    left = [
        by_number[number]
        for number in (state.champion, state.challenger, state.previous)
        if number is not None
    ]
    while left:
        version = left.pop()
        if version.number not in numbers:
            numbers.add(version.number)
            left += [by_digest[one] for one in version.lineage if one in by_digest]
    return numbers


def due(state: ModelState, retention: Retention, now_s: float) -> tuple[Version, ...]:
    """Return the versions that may go now."""
    kept = needed(state)
    newest = len(state.versions) - retention.keep_newest
    return tuple(
        version
        for place, version in enumerate(state.versions)
        if place < newest
        and version.number not in kept
        and now_s - version.changed_s > retention.keep_s
    )

"""What a mirror needs of a tracking server: runs, versions and aliases, found again by their keys.

Everything may be said twice, and is there once: whoever says it may be killed in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a metric."""

    name: str
    value: float
    at_ms: int
    """Since 1970, UTC."""
    step: int
    """From 0, in the order in which the run told them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A run as the server has it."""

    id: str
    """The server's."""
    events: int = 0
    """Of the run's events, how many it was told."""
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedVersion:
    """A version as the server has it."""

    number: str
    """The server's, which counts without gaps."""
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedModel:
    """A model as the server has it."""

    versions: Mapping[int, TrackedVersion] = field(default_factory=dict)
    """By our number."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The server's number by alias."""


class Tracking(Protocol):
    """A tracking server, for one project.

    Any of it raises ``DependencyDown`` while the server is away, ``StoreRefused`` for what it
    does not take, and ``DeclarationError`` if it is none, or does not let us in.
    """

    def run(self, experiment: str, key: str, *, start_ms: int, tags: Mapping[str, str]) -> Tracked:
        """Return the run of a key, made if it is not there."""
        ...

    def tell(
        self,
        run: str,
        *,
        events: int,
        figures: Sequence[Figure] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add to a run, in one step with the number of events that were told by it."""
        ...

    def keep(self, run: str, folder: Path) -> None:
        """Have the files of a folder with a run, in place of those of the same names."""
        ...

    def end(self, run: str, status: Status, *, ended_ms: int) -> None:
        """Have a run ended."""
        ...

    def model(self, name: str) -> TrackedModel:
        """Return a model, made if it is not there."""
        ...

    def add_version(
        self, model: str, number: int, *, run: str, path: str, tags: Mapping[str, str]
    ) -> TrackedVersion:
        """Add a version, whose files are in a folder that is kept with a run."""
        ...

    def tag_version(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version, given the server's number."""
        ...

    def alias(self, model: str, alias: str, version: str | None) -> None:
        """Have an alias mean a version, given the server's number; None: nothing."""
        ...

    def describe(self, model: str, text: str) -> None:
        """Have a text beside a model, in place of the one before."""
        ...

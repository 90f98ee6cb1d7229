"""Which version of each lookup a batch is joined to, and how old that was when the batch was cut.

The file of a version carries the time at which it was last known to be the newest: whoever reads a
lookup writes it anew, also with the same content (``compose.lookup_reader``). The age of a lookup
is the time from then until the batch was cut, however long the batch has waited since: that is how
old the features were for its rows, and it stays so when the batch comes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.errors import DependencyDown
from firedoor.quality.grades import Grade
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Joined:
    """The lookups of one batch."""

    files: dict[str, str] = field(default_factory=dict)
    """By parameter of the step."""
    grades: dict[str, Grade] = field(default_factory=dict)
    """By lookup."""
    versions: dict[str, str] = field(default_factory=dict)
    """By lookup, where another version than the pinned one was taken."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a lookup, for one batch."""

    name: str
    file: Path
    age_s: float


class PinnedLookups:
    """The versions that the batches of one zone are joined to."""

    def __init__(self, zone: ZonePlan, plan: Plan, *, project: Path) -> None:
        """Take what a zone joins to; ``project`` is the project folder, in which lookups are."""
        self._names = dict(zone.lookups)
        self._folder = project / "lookups"
        self._live_s = {lookup.name: lookup.live_s for lookup in plan.lookups}
        self._older_s = None if zone.ladder is None else zone.ladder.older_s

    def of(self, envelope: Envelope) -> Joined:
        """Return what a batch is joined to.

        Past the bound of the zone, a batch is joined to the version in force instead of the one
        that it is pinned to, if that is within the bound: else it would wait for ever.

        Raises:
            DependencyDown: if a version is not there, or is older than the zone allows.
        """
        found = {name: self._find(name, envelope) for name in _once(self._names.values())}
        return Joined(
            files={parameter: str(found[name].file) for parameter, name in self._names.items()},
            grades={name: self._grade(name, version) for name, version in found.items()},
            versions={
                name: version.name
                for name, version in found.items()
                if envelope.lookups.get(name, version.name) != version.name
            },
        )

    def _find(self, name: str, envelope: Envelope) -> _Version:
        """Return the version of one lookup."""
        pinned = envelope.lookups.get(name)
        version = self._version(name, pinned or self._current(name), envelope.cut_s)
        if not self._is_too_old(name, version):
            return version
        if pinned is not None:
            version = self._version(name, self._current(name), envelope.cut_s)
        if self._is_too_old(name, version):
            message = (
                f"lookup {name!r} was {version.age_s:.0f} s old when {envelope.batch} was cut, and "
                f"{self._older_s:g} s are allowed: it waits until the lookup can be read again"
            )
            raise DependencyDown(message, dependency=name)
        return version

    def _version(self, name: str, version: str, cut_s: float) -> _Version:
        """Return a version with its age.

        Raises:
            DependencyDown: if it is not there.
        """
        file = self._folder / name / f"{version}.parquet"
        try:
            newest_s = file.stat().st_mtime
        except OSError:
            message = f"lookup {name!r} in version {version} is not at {file}"
            raise DependencyDown(message, dependency=name) from None
        return _Version(version, file, max(0.0, cut_s - newest_s))

    def _is_too_old(self, name: str, version: _Version) -> bool:
        """Return whether a version is past the bound; what is never read again has none."""
        bounded = self._older_s is not None and self._live_s.get(name) is not None
        return bounded and version.age_s > (self._older_s or 0.0)

    def _grade(self, name: str, version: _Version) -> Grade:
        """Return how good a version is."""
        live_s = self._live_s.get(name)
        is_live = live_s is None or version.age_s <= live_s
        return Grade("live" if is_live else "older", round(version.age_s, 3))

    def _current(self, name: str) -> str:
        """Return the version that holds now.

        Raises:
            DependencyDown: if there is none.
        """
        current = self._folder / "current.json"
        try:
            return str(json.loads(current.read_text())[name])
        except (OSError, ValueError, KeyError) as error:
            message = f"lookup {name!r} has no version yet ({current}: {error})"
            raise DependencyDown(message, dependency=name) from error


def _once(names: Iterable[str]) -> dict[str, None]:
    """Return names, each once, in order."""
    return dict.fromkeys(names)

"""A model as its versions, and which of them counts.

| State | Means | Leaves it by |
|---|---|---|
| ``candidate`` | registered, not proven | a verdict, ``Retired``, ``Quarantined`` |
| ``qualified`` | evaluation said promote | ``Promoted``, a verdict, ``Retired``, ``Quarantined`` |
| ``live`` | it is the champion | another ``Promoted``, ``RolledBack``, ``Quarantined`` |
| ``retired`` | it was live, or a person put it aside | ``RolledBack``, a verdict, ``Quarantined`` |
| ``quarantined`` | its content is barred, under any number | ``Released`` |

Aliases: ``champion`` is the version that is live; ``challenger`` the one qualified last, as long as
it is qualified and no more; ``previous`` the one that was live before the champion, and what a
rollback goes to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from firedoor.errors import NotKnown

State = Literal["candidate", "qualified", "live", "retired", "quarantined"]
ALIASES = ("champion", "challenger", "previous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a model. Times are seconds since 1970, UTC."""

    number: int
    """From 1; never given twice."""
    digest: str
    """Of its bundle."""
    content: str
    """Hash of what it does, whichever run made it: what is barred by a quarantine."""
    run: str = ""
    """The run that made it."""
    metrics: dict[str, float] = field(default_factory=dict)
    lineage: tuple[str, ...] = ()
    """Digests of the bundles that it was made of."""
    state: State = "candidate"
    because: str = ""
    """Why it is in this state."""
    against: int | None = None
    """The champion that it was compared with when it was qualified."""
    verdict: str = ""
    """What evaluation said last: ``promote``, ``hold`` or ``reject``; empty: it was not judged."""
    judged: str = ""
    """The run that judged it."""
    registered_s: float = 0.0
    changed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """All that is known of a model."""

    versions: tuple[Version, ...] = ()
    """By number."""
    next_number: int = 1
    champion: int | None = None
    challenger: int | None = None
    lived: tuple[int, ...] = ()
    """Versions that were live before the champion, the latest last; none that is quarantined."""
    barred: dict[str, str] = field(default_factory=dict)
    """Quarantined contents, and why; also of versions that were pruned."""

    @property
    def previous(self) -> int | None:
        """Return what a rollback goes to."""
        return self.lived[-1] if self.lived else None


def version_of(state: ModelState, number: int) -> Version:
    """Return a version.

    Raises:
        NotKnown: if it was never there, or was pruned.
    """
    for version in state.versions:
        if version.number == number:
            return version
    pruned = 0 < number < state.next_number
    known = ", ".join(str(version.number) for version in state.versions[-10:])
    message = f"version {number} {'was pruned' if pruned else 'is not there'}: there are {known}"
    raise NotKnown(message if known else f"version {number} is not there: there is none")


def resolve(state: ModelState, wanted: str) -> Version:
    """Return the version that a number or an alias means.

    Raises:
        NotKnown: if it means none.
    """
    if wanted.isascii() and wanted.isdigit():
        return version_of(state, int(wanted[:10]))
    if wanted not in ALIASES:
        message = f"{wanted!r} is no version: write a number, or one of {', '.join(ALIASES)}"
        raise NotKnown(message)
    number = getattr(state, wanted)
    if number is None:
        message = f"there is no {wanted}: `firedoor models list` shows which versions there are"
        raise NotKnown(message)
    return version_of(state, number)

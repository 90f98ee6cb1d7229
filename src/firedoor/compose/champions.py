"""What the registry says of the models that services answer by, seen for the price of a stat.

A route of the control plane goes before it, but for one thing: a person who rolls back, promotes or
quarantines by hand, after the route was written and while no rollout is under way, is followed at
once, by every gateway, with the control plane and the broker dead too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from firedoor.adapters.files.registry import FileRegistry
from firedoor.errors import ModelsUnavailable, NotKnown
from firedoor.registry.model import ModelState, version_of
from firedoor.wire.models import Kept
from firedoor.wire.route import Arm, Route


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the registry said of a model, and what its file was like then."""

    stamp: tuple[int, ...] | None
    kept: Kept


class Champions:
    """The registry's champions. Not thread-safe."""

    def __init__(self, project: Path, tell: Callable[[str], None]) -> None:
        """Use a project's registry; nothing is read yet.

        Args:
            project: the project folder, ``.firedoor``.
            tell: told when the registry cannot be read, once.
        """
        self._registry = FileRegistry(project / "models" / "registry")
        self._tell = tell
        self._seen: dict[str, _Seen] = {}
        self._away: set[str] = set()

    def of(self, model: str) -> Kept:
        """Return a model as the registry says, or said last; generation 0 if there is none."""
        seen = self._seen.get(model)
        try:
            stamp = self._registry.stamp(model)
            if seen is None or stamp != seen.stamp:
                kept = self._registry.read(model)
                if not kept.generation and seen is not None and seen.kept.generation:
                    message = f"{model} is not in the registry any more"
                    raise ModelsUnavailable(message)  # noqa: TRY301 - as what cannot be read
                seen = self._seen[model] = _Seen(stamp, kept)
        except ModelsUnavailable as error:
            if model not in self._away:
                self._away.add(model)
                way = f"nothing is known of model {model}"
                if seen is not None:
                    way = f"goes on with what the registry said last of {model}"
                self._tell(f"{way}: {error}")
            return Kept() if seen is None else seen.kept
        self._away.discard(model)
        return seen.kept


def followed(service: str, model: str, route: Route | None, kept: Kept) -> Route | None:
    """Return the route that a service follows; None if there is nothing to answer by.

    Args:
        service: whose.
        model: of its declaration.
        route: what the control plane said last; None: nothing.
        kept: what the registry says.
    """
    champion = arm_of(model, kept.state, kept.state.champion)
    if route is not None and route.champion.model != model:
        route = None  # the service answers by another model since it was declared anew
    if route is None:
        if champion is None:
            return None
        previous = arm_of(model, kept.state, kept.state.previous)
        return Route(service=service, champion=champion, previous=previous)
    if champion is None or not _by_hand(route, kept, champion):
        return route
    latest = kept.latest
    return replace(
        route,
        champion=champion,
        candidate=None,
        previous=None if _barred(kept.state, route.champion) else route.champion,
        mode="steady",
        weight=0.0,
        by="" if latest is None else latest.by,
        because="the registry says so" if latest is None else f"{latest.what} in the registry",
    )


def arm_of(model: str, state: ModelState, number: int | None) -> Arm | None:
    """Return a version as an arm of a route; None if there is none."""
    if number is None:
        return None
    try:
        version = version_of(state, number)
    except NotKnown:
        return None
    return Arm(model=model, version=version.number, digest=version.digest)


def _by_hand(route: Route, kept: Kept, champion: Arm) -> bool:
    """Return whether a champion went live after a route was written, and not by its rollout."""
    if champion == route.champion:
        return False
    if version_of(kept.state, champion.version).changed_s <= route.at_s:
        return False
    # While a rollout is under way whoever drives it sees to it, unless what answers is barred.
    return route.mode == "steady" or _barred(kept.state, route.champion)


def _barred(state: ModelState, arm: Arm) -> bool:
    """Return whether a version must not answer."""
    try:
        return version_of(state, arm.version).state == "quarantined"
    except NotKnown:
        return False

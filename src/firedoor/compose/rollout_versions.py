"""The registry as whoever drives rollouts needs it: see ``ports.rollouts.Versions``."""

from __future__ import annotations

import asyncio

from firedoor.compose.models import Models
from firedoor.errors import NotKnown, shorten
from firedoor.ports.rollouts import FoundVersion, LiveVersion
from firedoor.registry.model import ModelState, Version, resolve, version_of
from firedoor.rollout.state import Target
from firedoor.wire.bundle import TEXT_MAX

A_STATE = {"candidate": "is a candidate", "retired": "is retired", "quarantined": "is quarantined"}


class RegistryVersions:
    """One model of a project. Each call reads or writes files, in a thread."""

    def __init__(self, models: Models, model: str) -> None:
        """Use a registry; nothing is read yet."""
        self._models = models
        self._model = model

    async def standing(self) -> LiveVersion:
        """Return who is live."""
        return await asyncio.to_thread(self._standing)

    async def find(self, version: int | None) -> FoundVersion:
        """Return a version; of None the challenger. Raises ``NotKnown`` if there is none."""
        return await asyncio.to_thread(self._find, version)

    async def promote(self, version: int, *, because: str, anyway: bool) -> None:
        """Have it be the champion; one that is already is fine. ``anyway``: a person said so.

        That it was qualified against another champion is no matter: it was compared with this one.
        """
        await asyncio.to_thread(self._promote, version, line_of(because), anyway=anyway)

    async def quarantine(self, version: int, *, because: str) -> None:
        """Bar its content; one that is barred already is fine."""
        await asyncio.to_thread(self._quarantine, version, line_of(because))

    async def roll_back(self, of: int, *, because: str) -> None:
        """Have the version before ``of`` be the champion; where it is already, fine."""
        await asyncio.to_thread(self._roll_back, of, line_of(because))

    # ---- blocking

    def _standing(self) -> LiveVersion:
        try:
            kept = self._models.read(self._model)
        except NotKnown:  # there is no such model yet
            return LiveVersion(live=None)
        state = kept.state
        return LiveVersion(
            live=_target(state, state.champion),
            previous=_target(state, state.previous),
            by="" if kept.latest is None else kept.latest.by,
        )

    def _find(self, wanted: int | None) -> FoundVersion:
        state = self._models.read(self._model).state
        version = resolve(state, "challenger") if wanted is None else version_of(state, wanted)
        return FoundVersion(
            target=_target_of(version),
            barred=state.barred.get(version.content, ""),
            unqualified=A_STATE.get(version.state, ""),
        )

    def _promote(self, number: int, because: str, *, anyway: bool) -> None:
        name, state = f"{self._model}@{number}", self._models.read(self._model).state
        if state.champion == number:
            return
        version = version_of(state, number)
        if anyway and version.state == "quarantined":
            self._models.release(name, because=because)
        if anyway and version.state != "qualified":
            self._models.qualify(name, "promote", because=because, against=None)
        self._models.promote(name, because=because, anyway=True)

    def _quarantine(self, number: int, because: str) -> None:
        state = self._models.read(self._model).state
        if version_of(state, number).content not in state.barred:
            self._models.quarantine(f"{self._model}@{number}", because=because)

    def _roll_back(self, of: int, because: str) -> None:
        if self._models.read(self._model).state.champion == of:
            self._models.rollback(f"{self._model}@{of}", because=because)


def line_of(because: str) -> str:
    """Return a reason as the registry keeps it: one printable line.

    It may be a traceback, or whatever a person sent; no reason may keep a rollout from its end.
    """
    plain = "".join(char if char.isprintable() else " " for char in because)
    return shorten(" ".join(plain.split()), TEXT_MAX) or "no reason was given"


def _target(state: ModelState, number: int | None) -> Target | None:
    """Return a version as rollouts know it; None if there is none."""
    try:
        return None if number is None else _target_of(version_of(state, number))
    except NotKnown:
        return None


def _target_of(version: Version) -> Target:
    """Return a version as rollouts know it."""
    return Target(version=version.number, digest=version.digest, content=version.content)

"""By which version of each model a batch is scored.

The one that the alias names when the batch is first handled; noted by the runner before anything of
the batch goes on, so that it is scored by the same one should it come again. While the registry
cannot be read, what it said last holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.adapters.files.registry import FileRegistry
from firedoor.compose.loaded import LoadedBundles
from firedoor.errors import DependencyDown, FiredoorError, ModelsUnavailable, NotKnown
from firedoor.ports.clock import Clock
from firedoor.registry.model import ModelState, Version, resolve
from firedoor.spec.plan import ZonePlan
from firedoor.spec.referred import ModelPlan
from firedoor.wire.model_files import ModelFiles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """The models of one batch."""

    files: dict[str, ModelFiles] = field(default_factory=dict)
    """By parameter of the step."""
    versions: dict[str, str] = field(default_factory=dict)
    """By the key of a model in records: ``delays@3``."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the registry said of a model, and what its file was like then."""

    stamp: tuple[int, ...] | None
    state: ModelState


class ServedModels:
    """The models of one zone. Thread-safe."""

    def __init__(self, zone: ZonePlan, *, project: Path, clock: Clock | None = None) -> None:
        """Take what a zone uses; nothing is read yet.

        Args:
            zone: the zone.
            project: the project folder, ``.firedoor``, in which the models are.
            clock: for tests.
        """
        folder = project / "models"
        self._plans = dict(zone.models)
        self._registry = FileRegistry(folder / "registry")
        self.folder = folder / "loaded"
        """What a worker has to be able to read."""
        clock = SystemClock() if clock is None else clock
        artifacts = FileArtifacts(folder / "artifacts")
        self._loaded = LoadedBundles(self.folder, artifacts, clock) if self._plans else None
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._away: dict[str, str] = {}
        """Why the registry cannot be read, by model."""

    def of(self, noted: Mapping[str, str]) -> Served:
        """Return what a batch is scored by, with its files on the disk.

        Args:
            noted: the versions by which it was scored before, by key.

        Raises:
            DependencyDown: if there is no such version, or it cannot be had: the batch waits.
        """
        if self._loaded is None:
            return Served()
        served = Served()
        for parameter, plan in self._plans.items():
            name = served.versions.get(plan.key, noted.get(plan.key, ""))
            version = self._version(plan, name.rpartition("@")[2] or plan.alias)
            name = f"{plan.name}@{version.number}"
            try:
                folder = self._loaded.have(version.digest)
            except (FiredoorError, OSError) as error:
                message = f"model {name} cannot be had, and batches wait for it: {error}"
                raise DependencyDown(message, dependency=plan.name) from error
            served.versions[plan.key] = name
            served.files[parameter] = ModelFiles(
                name=name, digest=version.digest, folder=str(folder), allow=plan.allow
            )
        return served

    def renew(self, served: Served) -> None:
        """Have copies made again that a worker found damaged."""
        for files in served.files.values():
            if self._loaded is not None:
                self._loaded.renew(files.digest)

    def report(self) -> str:
        """Return what a person should know; empty if all is well."""
        away = dict(self._away)
        return "".join(
            f"\nmodel {model}: goes on with what the registry said last: {why}"
            for model, why in away.items()
        )

    def _version(self, plan: ModelPlan, wanted: str) -> Version:
        """Return the version that a number or an alias means.

        Raises:
            DependencyDown: if there is none.
        """
        with self._lock:
            state = self._state(plan.name)
        try:
            return resolve(state, wanted)
        except NotKnown as error:
            if not state.versions:
                what = f"there is no model {plan.name!r} yet: add and promote a version"
            elif wanted == "champion":
                what = (
                    f"model {plan.name!r} has no champion: promote a version "
                    f"(`firedoor models promote {plan.name}@NUMBER`)"
                )
            else:
                what = f"model {plan.name!r}: {error}"
            message = f"{what}; batches wait for it"
            raise DependencyDown(message, dependency=plan.name) from error

    def _state(self, model: str) -> ModelState:
        """Return a model as the registry says, read again only if it has changed.

        Raises:
            DependencyDown: if that cannot be read, and never could.
        """
        seen = self._seen.get(model)
        try:
            stamp = self._registry.stamp(model)
            if seen is None or stamp is None or stamp != seen.stamp:
                kept = self._registry.read(model)
                if not kept.generation and seen is not None:
                    message = f"{model} is not in the registry any more"
                    raise ModelsUnavailable(message)  # noqa: TRY301 - as what cannot be read
                seen = self._seen[model] = _Seen(stamp, kept.state)
        except ModelsUnavailable as error:
            if seen is None:
                message = f"the registry of model {model!r} cannot be read: {error}"
                raise DependencyDown(message, dependency=model) from error
            if model not in self._away:
                _log.warning("goes on with what the registry said last of %s: %s", model, error)
            self._away[model] = str(error)
            return seen.state
        self._away.pop(model, None)
        return seen.state

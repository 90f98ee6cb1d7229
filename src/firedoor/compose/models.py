"""The models of a project: bundles and the registry together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, SupportsFloat

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files.artifacts import FileArtifacts
from firedoor.adapters.files.registry import FileRegistry
from firedoor.compose.entries import entry_of
from firedoor.compose.project import FOLDER
from firedoor.compute.formats import load_model
from firedoor.errors import ChangedMeanwhile, DeclarationError, NotKnown
from firedoor.names import check_name
from firedoor.ports.artifacts import Swept
from firedoor.ports.clock import Clock
from firedoor.registry.change import (
    Event,
    Promoted,
    Pruned,
    Qualified,
    Quarantined,
    Registered,
    Released,
    Retired,
    RolledBack,
    Verdict,
    step,
)
from firedoor.registry.model import ModelState, Version, resolve
from firedoor.registry.retention import DAY_S, Retention, due
from firedoor.wire.bundle import (
    Manifest,
    Signature,
    check_digest,
    check_text,
    content_of,
    parse_fields,
)
from firedoor.wire.models import Entry, Kept

TRIES = 100
"""Of a change that does not depend on what others do meanwhile."""
GRACE_S = DAY_S
"""How long a bundle stays that no version refers to: somebody may be about to register it."""
HISTORY_MAX = 10_000
VERDICTS = ("promote", "hold", "reject")


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a prune took away, or would."""

    versions: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By model."""
    bundles: tuple[str, ...] = ()
    """Digests of bundles that no version refers to."""
    swept: Swept = field(default_factory=Swept)


class Models:
    """Versions of models: stored as bundles, qualified, promoted, rolled back.

    A version is named ``flights@3``, ``flights@champion``, ``flights@challenger`` or
    ``flights@previous``. Everything raises ``ModelsUnavailable`` if the folder cannot be used.
    """

    def __init__(
        self, project: str | Path = ".", *, by: str = "", clock: Clock | None = None
    ) -> None:
        """Use the models of a project; nothing is made before one is added.

        Args:
            project: the folder that ``.firedoor`` is in, or will be.
            by: who makes changes; it is kept with each.
            clock: for tests.
        """
        folder = Path(project).absolute() / FOLDER / "models"
        self._artifacts = FileArtifacts(folder / "artifacts")
        self._registry = FileRegistry(folder / "registry")
        self._by = check_text("by", by) or "a program"
        self._clock: Clock = SystemClock() if clock is None else clock

    # ---- changing

    def add(
        self,
        model: str,
        folder: str | Path,
        *,
        format: str = "files",  # noqa: A002 - the field's word
        loader: str = "",
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        example: str = "",
        environment: Mapping[str, str] | None = None,
        run: str = "",
        metrics: Mapping[str, SupportsFloat] | None = None,
        lineage: tuple[str, ...] = (),
    ) -> Version:
        """Store a folder as a bundle and register it as a candidate; whole or not at all.

        Args:
            model: its name.
            folder: the files; they are copied.
            format: ``files``, ``pickle``, ``skops``, ``onnx``, ``lightgbm``, ``torch``, ``mlflow``.
            loader: of format ``files``: ``module:function`` that is given the folder.
            inputs: dtype by name, ``{"distance": "Int64", "pixels": "Float32[28, 28]"}``.
            outputs: likewise.
            example: file of the folder with example rows.
            environment: version by library.
            run: which run made it.
            metrics: figures that are known.
            lineage: digests of bundles that it was made of.

        Raises:
            DeclarationError: if something in the folder or in what is said cannot be stored.
            ModelRefused: if the same files were quarantined.
            ArtifactsFull: if there is no room.
        """
        check_name("model", model)
        manifest = Manifest(
            format=format,
            loader=loader,
            files=(),
            signature=Signature(
                inputs=parse_fields("inputs", inputs or {}),
                outputs=parse_fields("outputs", outputs or {}),
            ),
            example=example,
            environment=dict(environment or {}),
            run=run,
            created_s=self._clock.utc_s(),
        )
        event = Registered(
            digest="",
            run=run,
            metrics=figures_of(metrics),
            lineage=tuple(check_digest(digest) for digest in lineage),
        )
        step(ModelState(), event, 0.0)  # what makes no sense is refused before it is stored
        self._artifacts.create()
        self._registry.create()
        digest = self._artifacts.put(Path(folder), manifest)
        content = content_of(self._artifacts.manifest(digest))
        event = Registered(
            digest=digest, content=content, run=run, metrics=event.metrics, lineage=event.lineage
        )
        state = self._change(model, event, "registered").state
        return next(version for version in state.versions if version.content == content)

    def qualify(
        self,
        name: str,
        verdict: Verdict,
        *,
        because: str,
        metrics: Mapping[str, SupportsFloat] | None = None,
        against: int | Literal["champion"] | None = "champion",
        run: str = "",
    ) -> Version:
        """Keep the verdict of an evaluation.

        Args:
            name: the version.
            verdict: ``promote``, ``hold`` or ``reject``.
            because: why.
            metrics: figures of the evaluation.
            against: number of the version that it was compared with, None for none; by itself
                the one that is live now.
            run: which run judged it.

        Raises:
            ModelRefused: if it is live, or quarantined.
        """
        if verdict not in VERDICTS:
            raise DeclarationError(
                "verdict", verdict, "is none", f"write one of {', '.join(VERDICTS)}"
            )
        model, version = self.find(name)
        check_text("because", because, empty=False)
        event = Qualified(
            number=version.number, verdict=verdict, because=because, metrics=figures_of(metrics),
            against=against, run=check_text("run", run),
        )  # fmt: skip
        what = {"promote": "qualified", "hold": "held", "reject": "rejected"}[verdict]
        return resolve(self._change(model, event, what).state, str(version.number))

    def promote(self, name: str, *, because: str = "", anyway: bool = False) -> Version:
        """Have a qualified version go live, once its bundle is verified; by itself the challenger.

        Args:
            name: the version.
            because: why.
            anyway: also if it was compared with another champion than the one that is live.

        Raises:
            ModelRefused: if it is not qualified, or was qualified against another champion.
            ChangedMeanwhile: if somebody changed the model at the same moment.
            BundleDamaged: if it is not what was stored.
        """
        model, version = self.find(name, "challenger")
        self._artifacts.verify(version.digest)
        event = Promoted(number=version.number, because=because, anyway=anyway)
        return resolve(self._change(model, event, "promoted").state, str(version.number))

    def rollback(self, name: str, *, because: str = "") -> Version:
        """Have the version go live again that was live last; needs nothing of the current one.

        Args:
            name: the model, or ``flights@3``: only if that is the champion.
            because: why.

        Raises:
            ModelRefused: if there is none, or another version is live by now.
            ChangedMeanwhile: if somebody changed the model at the same moment.
        """
        model, wanted = parse_version(name)
        found = self.read(model)
        of = resolve(found.state, wanted).number if wanted else None
        event = RolledBack(because=because, of=of)
        return resolve(self._change(model, event, "rolled back").state, "champion")

    def quarantine(self, name: str, *, because: str) -> ModelState:
        """Bar a version and its content; if it is live, go back to what was live before."""
        check_text("because", because, empty=False)
        model, version = self.find(name, "")
        event = Quarantined(number=version.number, because=because)
        return self._change(model, event, "quarantined").state

    def release(self, name: str, *, because: str) -> ModelState:
        """Let a quarantined version, or content (``flights@`` and 64 digits), be a candidate."""
        check_text("because", because, empty=False)
        model, wanted = parse_version(name)
        state = self.read(model).state
        content = wanted if wanted in state.barred else resolve(state, wanted).content
        return self._change(model, Released(content=content, because=because), "released").state

    def retire(self, name: str, *, because: str = "") -> Version:
        """Put a version aside that is neither live nor what a rollback goes to."""
        model, version = self.find(name, "")
        event = Retired(number=version.number, because=because)
        return resolve(self._change(model, event, "retired").state, str(version.number))

    def prune(
        self,
        retention: Retention | None = None,
        *,
        grace_s: float = GRACE_S,
        dry_run: bool = False,
    ) -> PruneReport:
        """Take away versions that are old and needed by nothing, and what no version refers to."""
        retention = Retention() if retention is None else retention
        now_s = self._clock.utc_s()
        gone: dict[str, tuple[int, ...]] = {}
        referred: set[str] = set()
        for model in self._registry.models():
            state = self.read(model).state
            old = {version.number for version in due(state, retention, now_s)}
            if old and not dry_run:
                state = self._change(model, Pruned(retention=retention), "pruned").state
            if old:
                gone[model] = tuple(sorted(old))
            for version in state.versions:
                if not (dry_run and version.number in old):
                    referred |= {version.digest, *version.lineage}
        bundles = tuple(
            one.digest
            for one in self._artifacts.listed()
            if one.digest not in referred and one.stored_s < now_s - grace_s
        )
        if dry_run:
            return PruneReport(gone, bundles)
        deleted = tuple(
            digest
            for digest in bundles
            if self._artifacts.delete(digest, stored_before_s=now_s - grace_s)
        )
        return PruneReport(gone, deleted, self._artifacts.sweep())

    # ---- reading

    def names(self) -> list[str]:
        """Return the models that there are."""
        return self._registry.models()

    def read(self, model: str) -> Kept:
        """Return a model as it is.

        Raises:
            NotKnown: if there is none of this name.
        """
        kept = self._registry.read(model)
        if not kept.generation:
            known = ", ".join(self.names()[:10]) or "none"
            message = f"there is no model {model!r}: there are {known}"
            raise NotKnown(message)
        return kept

    def find(self, name: str, default: str = "champion") -> tuple[str, Version]:
        """Return model and version that a name means.

        Raises:
            NotKnown: if it means none.
        """
        model, wanted = parse_version(name)
        if not wanted and not default:
            raise DeclarationError(
                "version", name, "does not say which version", f"write {model}@3, for example"
            )
        return model, resolve(self.read(model).state, wanted or default)

    def manifest(self, name: str) -> Manifest:
        """Return what a version's bundle says it is; by itself the champion's."""
        return self._artifacts.manifest(self.find(name)[1].digest)

    def get(self, name: str, to: str | Path) -> Manifest:
        """Copy a version's files into a new folder, verified; by itself the champion's."""
        return self._artifacts.get(self.find(name)[1].digest, Path(to))

    def load(self, name: str, *, allow: tuple[str, ...] = ()) -> object:
        """Return a version's model as an object; by itself the champion's.

        Its files are verified while they are copied to a folder that is gone afterwards. This runs
        code: of the loader, of a library, of a pickle. A step loads its model in its worker.

        Args:
            name: the version.
            allow: ``("pickle",)`` to load a pickle or a model of MLflow, which warns.

        Raises:
            ModelRefused: if it may run code that is in it, and that was not allowed.
            ModelUnloadable: if a library or the loader is not there, or fails.
            BundleDamaged: if it is not what was stored.
        """
        with tempfile.TemporaryDirectory(prefix="firedoor-model-") as beside:
            folder = Path(beside) / "bundle"
            manifest = self.get(name, folder)
            return load_model(folder, manifest, allow=allow)

    def verify(self, name: str) -> Manifest:
        """Read a version's whole bundle and compare."""
        return self._artifacts.verify(self.find(name)[1].digest)

    def history(self, model: str, limit: int = 100) -> list[Entry]:
        """Return the latest changes of a model, the latest last."""
        if not 1 <= limit <= HISTORY_MAX:
            raise DeclarationError("limit", limit, "is out of range", f"give 1 to {HISTORY_MAX}")
        self.read(model)
        return self._registry.history(model, limit)

    def _change(self, model: str, event: Event, what: str) -> Kept:
        """Make a change. Only what does not depend on others' changes is tried again after one."""
        because = check_text("because", getattr(event, "because", ""))
        left = 0 if isinstance(event, Promoted | RolledBack) else TRIES
        while True:
            found = self._registry.read(model)
            now_s = self._clock.utc_s()
            state = step(found.state, event, now_s)
            if state == found.state:
                return found
            entry = entry_of(
                model, found, event, state, what=what, by=self._by, because=because, at_s=now_s
            )
            kept = Kept(generation=found.generation + 1, state=state, latest=entry)
            try:
                self._registry.swap(model, kept)
            except ChangedMeanwhile:
                if not left:
                    raise
                left -= 1
            else:
                return kept


def parse_version(name: str) -> tuple[str, str]:
    """Return model and version of ``flights@3``; the version is empty if it is not said."""
    model, _, wanted = name.partition("@")
    return check_name("model", model), wanted


def figures_of(metrics: Mapping[str, SupportsFloat] | None) -> dict[str, float]:
    """Return figures as plain numbers: those of numpy are as good.

    Raises:
        DeclarationError: if one is no number.
    """
    figures = {}
    for name, value in (metrics or {}).items():
        if isinstance(value, bool | str) or not isinstance(value, SupportsFloat):
            raise DeclarationError(
                "metrics", {name: value}, "is no number", "leave out what could not be measured"
            )
        figures[name] = float(value)
    return figures

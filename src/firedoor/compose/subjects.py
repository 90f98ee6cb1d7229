"""What an evaluation is about: which version, against which champion, on which rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firedoor.compose.datasets import Datasets
from firedoor.compose.models import Models
from firedoor.compose.repeat import Repeat
from firedoor.compose.runs import Runs
from firedoor.errors import ModelRefused, NotKnown, StoreRefused
from firedoor.ports.clock import Clock
from firedoor.registry.model import ModelState, Version, resolve
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.run import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged, against what, on what."""

    model: str
    version: Version
    champion: Version | None
    snapshot: SnapshotRecord
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The version: ``late@3``."""
        return f"{self.model}@{self.version.number}"

    @property
    def against(self) -> str:
        """The champion, likewise; empty: there is none."""
        return "" if self.champion is None else f"{self.model}@{self.champion.number}"


def subject_of(
    plan: Plan, job: JobPlan, models: Models, wanted: str, *, project: Path, clock: Clock
) -> Subject:
    """Return what an evaluation is about.

    Raises:
        NotKnown: if there is nothing to evaluate, or to judge by.
        ModelRefused: if the version is live or quarantined.
    """
    assert job.evaluation is not None
    model = job.evaluation.model
    state, version = candidate_of(models, model, wanted)
    champion = None if state.champion is None else resolve(state, str(state.champion))
    snapshot, notes = _snapshot(plan, job, project, clock, version)
    return Subject(model=model, version=version, champion=champion, snapshot=snapshot, notes=notes)


def subject_again(repeat: Repeat, models: Models) -> Subject:
    """Return what an evaluation was about that is to be repeated.

    Raises:
        NotKnown: if the version, or the champion of then, was pruned.
    """
    record, snapshot = repeat.record, repeat.snapshot
    assert snapshot is not None, "it judged by something"
    assert record.verdict is not None, "it ended well"
    model, version = models.find(record.judges)
    against = record.verdict.champion
    return Subject(
        model=model, version=version, champion=models.find(against)[1] if against else None,
        snapshot=snapshot, notes=record.verdict.notes,
    )  # fmt: skip


def candidate_of(models: Models, model: str, wanted: str) -> tuple[ModelState, Version]:
    """Return a model, and the version of it that is to be judged.

    Raises:
        NotKnown: if there is none.
        ModelRefused: if a verdict could not change it.
    """
    state = models.read(model).state
    if not wanted:
        open_ = [one for one in state.versions if one.state == "candidate" and not one.verdict]
        if not open_:
            message = (
                f"no version of {model} waits for a verdict: train one, or name one by --version; "
                f"see `firedoor models show {model}`"
            )
            raise NotKnown(message)
        return state, open_[-1]
    found = resolve(state, wanted.rpartition("@")[2])
    if found.state in {"live", "quarantined"}:
        remedy = "roll back, or quarantine it" if found.state == "live" else "release it first"
        message = f"version {found.number} is {found.state}, which no verdict changes: {remedy}"
        raise ModelRefused(message, code="in_use" if found.state == "live" else "quarantined")
    return state, found


def _snapshot(
    plan: Plan, job: JobPlan, project: Path, clock: Clock, version: Version
) -> tuple[SnapshotRecord, tuple[str, ...]]:
    """Return the rows that a version is judged by, and what a reader has to know of them."""
    evaluation, datasets = job.evaluation, Datasets(project)
    assert evaluation is not None
    why = f"run {version.run} is not known" if version.run else "it was added by hand"
    try:
        run = Runs(project).read(version.run) if version.run else None
        if run is not None:
            read = run.input
            why = f"run {run.id} did not read {job.dataset}"
            if run.model != f"{evaluation.model}@{version.number}":
                why = f"run {run.id} says that it made {run.model or 'no model'}, and not this"
            elif read is not None and read.dataset == job.dataset:
                why = f"the snapshot that {run.id} read has gone"
                snapshot = datasets.read(read.snapshot)
                sealed = any(part.sealed for part in snapshot.parts if part.name == evaluation.part)
                if sealed:
                    return snapshot, (*_of_seal(run), *_of_snapshot(snapshot))
                why = f"part {evaluation.part} was open to {run.id}"
    except (NotKnown, StoreRefused):
        pass
    snapshot = datasets.take(plan, plan.dataset(job.dataset), clock=clock)
    note = f"{why}: nothing shows that it was not trained on these rows"
    return snapshot, (note, *_of_snapshot(snapshot))


def _of_seal(run: RunRecord) -> tuple[str, ...]:
    """Say where the training was kept from the rows only in part."""
    if run.seal.level == "full":
        return ()
    missing = "".join(f"; {name}: {why}" for name, why in run.seal.missing.items())
    level = run.seal.level or "not recorded"
    return (f"the seal of {run.id}, which made it, was {level}{missing}",)


def _of_snapshot(snapshot: SnapshotRecord) -> tuple[str, ...]:
    """Say what parts share, or that nobody looked."""
    if not snapshot.compared:
        return ("whether parts share rows was not looked at: the dataset declares no leakage=",)
    return tuple(f"parts share rows, few enough to be let pass: {leak}" for leak in snapshot.leaks)

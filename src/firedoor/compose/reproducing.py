"""Run a job again on what it ran on, and say bit for bit, figure for figure, what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.adapters.files.packing import entries_of
from firedoor.compose.datasets import Datasets
from firedoor.compose.jobs import job_of, run_job, with_parameters
from firedoor.compose.models import Models
from firedoor.compose.recording import Watcher
from firedoor.errors import NotKnown, StoreRefused
from firedoor.ports.clock import Clock
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.bundle import (
    FileEntry,
    Manifest,
    Signature,
    check_manifest,
    check_whole,
    parse_fields,
)
from firedoor.wire.dataset import SnapshotRecord
from firedoor.wire.jobs import Keep
from firedoor.wire.run import Difference, RunRecord
from firedoor.wire.verdict import VerdictNote

NONE = "-"
TIMED = "latency_a_row_s"
SHORT = 16
"""Digits of a hash that are told."""


@dataclass(slots=True, kw_only=True)
class Repeated:
    """A run that is being repeated. See ``compose.repeat.Repeat``."""

    record: RunRecord
    snapshot: SnapshotRecord | None
    manifest: Manifest | None
    """Of the model that it made; None: it made none."""
    made: tuple[str, Manifest] | None = None
    """The model that the repetition made, and its name."""

    @property
    def run(self) -> str:
        """Return the id of the run that is repeated."""
        return self.record.id

    def take(self, keep: Keep, folder: Path) -> None:
        """Hash what was saved as a model, as a bundle of it would be refused or named."""
        manifest = Manifest(
            format=keep.format,
            loader=keep.loader,
            files=entries_of(folder),
            signature=Signature(
                inputs=parse_fields("inputs", keep.inputs),
                outputs=parse_fields("outputs", keep.outputs),
            ),
            example=keep.example,
        )
        check_manifest(manifest)
        check_whole(manifest)
        self.made = keep.name, manifest

    def differences(self, record: RunRecord) -> tuple[Difference, ...]:
        """Return in what the run that has just ended differs, what came of it first."""
        before = self.record
        return (
            *_unlike("outcome", {"": before.outcome}, {"": record.outcome}),
            *self._of_models(),
            *_of_figures(before.metrics, record.metrics),
            *_of_verdicts(before.verdict, record.verdict),
            *_unlike("code", _code(before), _code(record)),
            *_unlike("library", before.libraries, record.libraries),
            *_unlike("machine", _plain(before.machine), _plain(record.machine)),
            *_unlike("parameter", _plain(before.parameters), _plain(record.parameters)),
            *_unlike("way", _way(before), _way(record)),
            *_unlike("seal", {"level": before.seal.level}, {"level": record.seal.level}),
        )

    @property
    def files(self) -> int:
        """Return how many files are the same."""
        if self.manifest is None or self.made is None:
            return 0
        return len(_hashes(self.manifest.files).items() & _hashes(self.made[1].files).items())

    def figures(self, record: RunRecord) -> int:
        """Return how many figures are the same."""
        return len(self.record.metrics.items() & record.metrics.items())

    def _of_models(self) -> Iterator[Difference]:
        """Yield in what the models differ."""
        before = self.manifest
        name, now = self.made if self.made is not None else (NONE, None)
        named = {"name": self.record.model.partition("@")[0] or NONE}
        yield from _unlike("model", named, {"name": name})
        yield from _unlike("model", _said(before), _said(now))
        yield from _unlike(
            "file", _hashes(before.files if before else ()), _hashes(now.files if now else ())
        )


def prepared(run: RunRecord, plan: Plan, project: Path) -> tuple[JobPlan, Repeated]:
    """Return the job of a run, and all that is needed to repeat it.

    Raises:
        NotKnown: if the run did not end well, or its job, snapshot or model is gone.
        StoreRefused: if the job does not read any more what it read, or is of another kind.
        SnapshotDamaged: if the snapshot is not what was taken.
        BundleDamaged: if what the run made or judged is not what was stored.
    """
    if run.reproduces:
        raise NotKnown(f"{run.id} itself repeats {run.reproduces}: reproduce that one")
    if run.changed:
        message = f"{run.id} learnt from rows that drill fault {run.drilled} had changed"
        raise NotKnown(f"{message}: they are gone; reproduce another run")
    if run.outcome != "done":
        message = f"{run.id} did not end well ({run.outcome}), so there is nothing to compare with"
        raise NotKnown(message)
    job = job_of(plan, run.job)
    reads, read = plan.read_by(job), run.input
    if (reads and reads.name) != (read and read.dataset):
        now, then = (reads.name if reads else "nothing"), (read.dataset if read else "nothing")
        message = f"job {job.name!r} reads {now} now, and read {then} in {run.id}"
        raise StoreRefused(message)
    snapshot = None
    if read is not None:
        snapshot = Datasets(project).verify(read.snapshot)
        if snapshot.digest != read.digest:
            message = f"snapshot {snapshot.id} is not the one that {run.id} read"
            raise StoreRefused(message)
    if bool(run.judges) != (job.evaluation is not None):
        message = f"{job.name!r} is {'no' if run.judges else 'an'} evaluation now, unlike {run.id}"
        raise StoreRefused(message)
    used = (run.model, run.judges, run.verdict.champion if run.verdict else "")
    manifests = {name: _verified(run, name, project) for name in used if name}
    return job, Repeated(record=run, snapshot=snapshot, manifest=manifests.get(run.model))


def _verified(run: RunRecord, version: str, project: Path) -> Manifest:
    """Return the manifest of a version that a run made or judged, once all of it was read."""
    try:
        return Models(project).verify(version)
    except NotKnown as error:
        did = "made" if version == run.model else "judged or compared with"
        message = f"{version}, which {run.id} {did}, is gone: {error}"
        raise NotKnown(message) from error


def reproduce(
    run: RunRecord,
    plan: Plan,
    *,
    project: Path,
    clock: Clock,
    by: str,
    watcher: Watcher,
    cancelled: Callable[[], bool],
) -> tuple[RunRecord, Repeated]:
    """Run a job again with the snapshot, parameters and seed of a run.

    Args:
        run: which ended well.
        plan: the pipeline, as its file is now.
        project: the folder that ``.firedoor`` is in.
        clock: for what is written down.
        by: who asked for it.
        watcher: told of each change of the new record.
        cancelled: asked often whether to end.

    Returns:
        the record of the new run, which says what differs, and what was compared.

    Raises:
        FiredoorError: if it cannot be run, see ``prepared``, ``with_parameters`` and ``run_job``.
    """
    job, repeated = prepared(run, plan, project)
    record = run_job(
        plan, job, project=project, clock=clock, by=by, seed=run.seed, repeat=repeated,
        parameters=with_parameters(job, run.parameters), watcher=watcher, cancelled=cancelled,
    )  # fmt: skip
    return record, repeated


def _of_figures(before: Mapping[str, float], now: Mapping[str, float]) -> Iterator[Difference]:
    """Yield figures that are not the same to the last bit, with by how much."""
    for one in _unlike("figure", before, now):
        by = ""
        if one.name in before and one.name in now:
            by = f" ({now[one.name] - before[one.name]:+.6g})"
        yield msgspec.structs.replace(one, now=f"{one.now}{by}")


def _of_verdicts(before: VerdictNote | None, now: VerdictNote | None) -> Iterator[Difference]:
    """Yield in what verdicts differ; how long calls took is no part of it."""
    then, later = _rules(before), _rules(now)
    timed = {name for name in {*then, *later} if name.startswith(TIMED)}
    for names, what in (({*then, *later} - timed, "verdict"), (timed, "timing")):
        yield from _unlike(
            what,
            {name: said for name, said in then.items() if name in names},
            {name: said for name, said in later.items() if name in names},
        )


def _rules(verdict: VerdictNote | None) -> dict[str, str]:
    """Return what is compared of a verdict: the word, the predictions, rule by rule."""
    if verdict is None:
        return {}
    judgement = verdict.judgement
    found = {"word": verdict.word, "predictions": judgement.predictions[:SHORT] or NONE}
    return found | {rule.rule: f"{rule.outcome}: {rule.sentence}" for rule in judgement.rules}


def _unlike(
    what: str, before: Mapping[str, object], now: Mapping[str, object]
) -> Iterator[Difference]:
    """Yield what is not the same, or there once only."""
    for name in sorted({*before, *now}):
        then, later = before.get(name, NONE), now.get(name, NONE)
        if then != later:
            yield Difference(what=what, name=name, before=str(then), now=str(later))


def _hashes(files: tuple[FileEntry, ...]) -> dict[str, str]:
    """Return the hash of each file."""
    return {entry.path: entry.sha256 for entry in files}


def _said(manifest: Manifest | None) -> dict[str, object]:
    """Return what a model is said to be, but for its files."""
    if manifest is None:
        return {}
    signature = msgspec.json.encode(manifest.signature).decode()
    return {
        "format": manifest.format, "loader": manifest.loader, "example": manifest.example,
        "signature": signature,
    }  # fmt: skip


def _code(record: RunRecord) -> dict[str, object]:
    """Return which code ran."""
    code = record.code
    return {
        "version": code.version, "commit": code.commit[:SHORT] or NONE,
        "changes": code.diff[:SHORT] or NONE,
    }  # fmt: skip


def _way(record: RunRecord) -> dict[str, object]:
    """Return how a run came to its end, where that was not in one go."""
    attempts = ", ".join(f"{cause} {count}" for cause, count in record.causes.items())
    return {"failed attempts": attempts or NONE, "went on from": record.resumes or NONE}


def _plain(value: object) -> dict[str, object]:
    """Return fields by name."""
    found: dict[str, object] = msgspec.to_builtins(value)
    return found

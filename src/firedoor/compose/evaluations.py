"""Evaluate a version of a model: rows that it never saw, predictions, a judgement, a verdict.

What knows labels runs no code of the model, and what runs it knows no label. The verdict is given
to the registry in one step, after all else is written down.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from firedoor.compose.contest import Contest, Rows, Stopped
from firedoor.compose.datasets import Datasets
from firedoor.compose.drilled_job import Drilled
from firedoor.compose.files import explain
from firedoor.compose.models import Models
from firedoor.compose.origins import code_of, input_of, libraries, machine
from firedoor.compose.recording import Recording, Watcher
from firedoor.compose.repeat import Repeat
from firedoor.compose.runs import Runs
from firedoor.compose.sealing import Reading
from firedoor.compose.subjects import Subject, subject_again, subject_of
from firedoor.compute.evaluation_order import JudgeTask, PredictTask, Told
from firedoor.compute.job import Ending
from firedoor.errors import (
    BundleDamaged,
    FiredoorError,
    NotKnown,
    SnapshotDamaged,
    StoreRefused,
    shorten,
)
from firedoor.flow.triggers import Because
from firedoor.ports.clock import Clock
from firedoor.registry.model import Version
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.bundle import TEXT_MAX
from firedoor.wire.run import Input, RunRecord
from firedoor.wire.verdict import Figure, Judgement, RuleNote, VerdictNote, VerdictWord

REJECTS = frozenset({"signature", "values"})
"""What of a model bars it: it was seen to be so. All else that is unfit holds."""


def run_evaluation(
    plan: Plan,
    job: JobPlan,
    *,
    project: Path,
    clock: Clock,
    by: str,
    version: str = "",
    seed: int | None = None,
    because: Because | None = None,
    seen: Mapping[str, str] | None = None,
    repeat: Repeat | None = None,
    drilled: Drilled = Drilled(),  # noqa: B008 - frozen
    watcher: Watcher = lambda record: None,  # noqa: ARG005 - nobody looks
    cancelled: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Judge a version to the end, whatever that is, and return the record, which is kept.

    Args:
        plan: the pipeline.
        job: one of its evaluations.
        project: the folder that ``.firedoor`` is in.
        clock: for what is written down.
        by: who asked for it.
        version: number or alias; empty: the latest candidate without a verdict.
        seed: chance; None: as declared.
        because: what has it begin, if that is no person.
        seen: hash over the listing of each sink that its trigger watches.
        repeat: the run that it is to repeat, if any: of the same version, against the same
            champion, on the same rows; nobody is given the verdict then.
        drilled: what a drill wants of this run.
        watcher: told of each change.
        cancelled: asked often whether the run is to end.

    Raises:
        NotKnown: if there is nothing to evaluate, or to judge by.
        ModelRefused: if the version is live or quarantined.
        ModelsUnavailable: if the registry cannot be read.
        ProjectBusy: if the same evaluation is at work.
        SnapshotDamaged: if the rows to judge by are not what was taken.
        StoreRefused: if the project folder cannot be used.
    """
    evaluation = job.evaluation
    assert evaluation is not None
    if seed is not None:
        evaluation = msgspec.structs.replace(evaluation, seed=seed)
        job = msgspec.structs.replace(job, evaluation=evaluation)
    models = Models(project, by=by, clock=clock)
    subject = (
        subject_of(plan, job, models, version, project=project, clock=clock)
        if repeat is None
        else subject_again(repeat, models)
    )
    again = "" if repeat is None else repeat.run
    code = code_of(job, plan.file)
    told = (job.name, code.version, evaluation.seed, subject.version.digest, subject.against,
            subject.snapshot.digest, again)  # fmt: skip
    key = hashlib.blake2b(msgspec.json.encode(told), digest_size=16).hexdigest()

    def make(name: str, _: str) -> RunRecord:
        return RunRecord(
            id=name, job=job.name, pipeline=plan.pipeline, file=plan.file, by=by, key=key,
            code=code, parameters={}, seed=evaluation.seed, started_s=clock.utc_s(),
            input=_input_of(subject, project), libraries=libraries(), machine=machine(),
            judges=subject.name, because=because, drilled=drilled.fault, seen=dict(seen or {}),
            reproduces=again,
        )  # fmt: skip

    with Runs(project).begin(job.name, key, make, fresh=True) as (folder, record):
        recording = Recording(folder, record, clock=clock, watcher=watcher)
        sitting = _Sitting(
            plan, job, subject, recording, project=project, clock=clock, repeat=repeat,
            drilled=drilled,
        )  # fmt: skip
        try:
            return sitting.to_its_end(cancelled)
        except OSError as error:  # a full disk, most likely
            return recording.give_up(f"the run cannot be kept: {explain(error)}")
        finally:
            shutil.rmtree(folder.work, ignore_errors=True)


def _input_of(subject: Subject, project: Path) -> Input:
    """Return what is judged by."""
    snapshot = subject.snapshot
    return input_of(snapshot, Datasets(project).folder(snapshot.id))


class _Sitting:
    """One evaluation at work."""

    def __init__(
        self,
        plan: Plan,
        job: JobPlan,
        subject: Subject,
        recording: Recording,
        *,
        project: Path,
        clock: Clock,
        repeat: Repeat | None,
        drilled: Drilled,
    ) -> None:
        """Begin."""
        self._repeat, self._drilled = repeat, drilled
        assert job.evaluation is not None
        self._plan, self._job, self._subject, self._recording = plan, job, subject, recording
        self._evaluation = job.evaluation
        self._clock, self._datasets, self._runs = clock, Datasets(project), Runs(project)
        self._models = Models(project, by=f"run {recording.record.id}", clock=clock)

    def to_its_end(self, cancelled: Callable[[], bool]) -> RunRecord:
        """Come to a verdict and give it, or say why there is none."""
        recording = self._recording
        recording.tell("started", recording.record.begun)
        try:
            verdict = self._verdict(cancelled)
            recording.change(verdict=verdict, metrics=figures_of(verdict.judgement))
            if self._repeat is None:
                self._give(verdict)
            cause, message = "", ""
        except Stopped as stopped:
            cause, message = stopped.cause, str(stopped)
        outcome = {"": "done", "cancelled": "cancelled"}.get(cause, "failed")
        recording.change(
            outcome=outcome, cause=cause, message=message, ended_s=self._clock.utc_s(),
            publishing="",
        )  # fmt: skip
        if self._repeat is not None:
            recording.change(differences=self._repeat.differences(recording.record))
        recording.tell("ended", outcome)
        return recording.record

    def _verdict(self, cancelled: Callable[[], bool]) -> VerdictNote:
        """Return the verdict, which nobody has yet.

        Raises:
            Stopped: if there is none.
        """
        self._verify()
        subject, part = self._subject, self._subject.snapshot.part(self._evaluation.part)
        sealed = self._datasets.folder(subject.snapshot.id) / "sealed" / part.name
        contest = Contest(
            self._plan, self._job, self._recording, clock=self._clock,
            rows=Rows(
                inputs=sealed / "inputs" / "rows.parquet",
                labels=sealed / "labels" / "rows.parquet",
            ),
            denies=Reading(self._plan, subject.snapshot, self._datasets).denies(),
            faults=self._drilled.faults, cancelled=cancelled,
        )  # fmt: skip
        said = self._predicted(contest, "challenger", subject.version)
        if isinstance(said, Told):
            there, why = self._champion(contest)
            self._verify()
            task = JudgeTask(
                label=subject.snapshot.label, champion=there, why=why, evaluation=self._evaluation
            )
            judgement, notes = contest.judge(task), said.notes
        else:
            judgement, notes = said, ()
        self._verify()
        return VerdictNote(
            judged=subject.name, judgement=judgement, champion=subject.against,
            dataset=subject.snapshot.id, part=part.name, rows=part.rows,
            notes=(*subject.notes, *self._of_own_seal(), *notes),
        )  # fmt: skip

    def _predicted(
        self, contest: Contest, who: Literal["challenger", "champion"], version: Version
    ) -> Told | Judgement:
        """Return what the worker of a version says, or what to conclude from how it ended."""
        folder = contest.place(who)
        try:
            manifest = self._models.get(f"{self._subject.model}@{version.number}", folder / "model")
        except BundleDamaged as error:
            raise Stopped("tampered", str(error)) from error
        except FiredoorError as error:
            raise Stopped("refused", f"its bundle cannot be read: {error}") from error
        task = PredictTask(
            manifest=manifest, allow=self._evaluation.allow, seed=self._evaluation.seed,
            once=who == "champion", calls=self._evaluation.calls,
        )  # fmt: skip
        said = contest.predict(who, folder, task)
        if isinstance(said, Ending):
            at = f" ({said.line})" if said.line else ""
            why = f"it could not predict the rows: {said.message.partition(chr(10))[0]}{at}"
            return _sole(said.cause, "hold", why)
        if said.fault:
            return _sole(said.fault, "reject" if said.fault in REJECTS else "hold", said.message)
        return said

    def _champion(self, contest: Contest) -> tuple[Literal["there", "none", "unknown"], str]:
        """Have the live model predict as well, if a rule asks; its faults are not the other's."""
        champion = self._subject.champion
        if champion is None:
            return "none", ""
        if not any(rule.kind == "Champion" for rule in self._evaluation.rules):
            return "unknown", "no rule compares it with the champion"
        try:
            said = self._predicted(contest, "champion", champion)
        except Stopped as stopped:
            if stopped.cause == "cancelled":
                raise
            why = str(stopped)
        else:
            if isinstance(said, Told):
                return "there", ""
            why = said.rules[0].sentence
        return "unknown", f"the champion, {self._subject.against}, cannot be compared with: {why}"

    def _verify(self) -> None:
        """Hold the sealed part against its hashes.

        Raises:
            Stopped: if it is not what it was.
        """
        try:
            self._datasets.check(self._subject.snapshot, [self._evaluation.part])
        except (SnapshotDamaged, NotKnown) as error:
            raise Stopped("tampered", str(error)) from error

    def _of_own_seal(self) -> tuple[str, ...]:
        """Say where the model's own worker was sealed only in part."""
        seal = self._recording.record.seal
        if seal.level in {"", "full"}:
            return ()
        missing = "".join(f"; {name}: {why}" for name, why in seal.missing.items())
        return (f"the seal of the worker that predicted was {seal.level}{missing}",)

    def _give(self, verdict: VerdictNote) -> None:
        """Give the verdict, which is written down, to the registry in one step.

        Raises:
            Stopped: if the registry does not take it; it stands in the record then, not given.
        """
        recording, subject = self._recording, self._subject
        recording.change(publishing=subject.model)
        try:
            self._models.qualify(
                subject.name, verdict.word, because=because(verdict), run=recording.record.id,
                metrics={
                    f"{verdict.part}.{name}": value
                    for name, value in recording.record.metrics.items()
                },
                against=None if subject.champion is None else subject.champion.number,
            )  # fmt: skip
        except FiredoorError as error:
            message = f"the verdict is {verdict.word}, and the registry does not take it: {error}"
            raise Stopped("refused", message) from error
        recording.change(verdict=msgspec.structs.replace(verdict, given=True))
        recording.tell("verdict", f"{verdict.word} {subject.name}")
        if verdict.word != "reject":  # which bars it as well
            self._bar_spoilt()

    def _bar_spoilt(self) -> None:
        """Bar a version that learnt from what a drill had changed, whatever the verdict was."""
        with contextlib.suppress(NotKnown, StoreRefused):  # its run was pruned, or it has none
            made = self._runs.read(self._subject.version.run)
            if not made.changed:
                return
            because = f"drill fault {made.drilled} had changed what {made.id} learnt from"
            try:
                self._models.quarantine(self._subject.name, because=because)
            except FiredoorError as error:
                self._recording.tell("note", f"it could not be quarantined: {error}")


def figures_of(judgement: Judgement) -> dict[str, float]:
    """Return the figures that there are, by name."""
    found = {
        name: figure.value for name, figure in judgement.metrics.items() if figure.value is not None
    }
    calibration = judgement.calibration
    if calibration is not None and calibration.rmsce.value is not None:
        found["rmsce"] = calibration.rmsce.value
    return found


def because(verdict: VerdictNote) -> str:
    """Return a verdict's reason in a line: what stands in the way, or the figures."""
    figures = [
        f"{name} {figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"
        for name, figure in verdict.judgement.metrics.items()
        if figure.value is not None
    ]
    said = "; ".join(verdict.judgement.why) or ", ".join(figures) or "all rules are kept"
    plain = "".join(char if char.isprintable() else " " for char in said)
    return shorten(plain, TEXT_MAX)


def _sole(rule: str, outcome: VerdictWord, why: str) -> Judgement:
    """Return a judgement that hangs on one thing, before any rule was looked at."""
    assert outcome != "promote", "nothing is promoted without its rules"
    note = RuleNote(rule=rule, outcome=outcome, figure=Figure(why=why), sentence=why)
    return Judgement(word=outcome, rules=(note,))

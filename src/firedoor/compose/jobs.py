"""Run a job: attempts behind a wall, one after another, a record of all that happens, a model."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from firedoor.compose.datasets import Datasets
from firedoor.compose.drilled_job import Drilled
from firedoor.compose.evaluations import run_evaluation
from firedoor.compose.files import FOLDER_MODE, explain
from firedoor.compose.listing import watched
from firedoor.compose.models import Models
from firedoor.compose.origins import code_of, input_of, libraries, machine
from firedoor.compose.recording import Recording, Watcher
from firedoor.compose.repeat import Repeat
from firedoor.compose.runs import RunFolder, Runs
from firedoor.compose.sealing import Reading
from firedoor.compute.job import Ending, Order, attempt
from firedoor.compute.jobbench import METRICS_MAX
from firedoor.errors import DeclarationError, FiredoorError, NotKnown, shorten
from firedoor.flow.triggers import Because
from firedoor.names import check_name
from firedoor.ports.clock import Clock
from firedoor.spec.job import Parameter, check_parameters
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.jobs import Keep, Metric, Progress
from firedoor.wire.messages import Loaded
from firedoor.wire.run import Attempt, RunRecord, SealNote

NO_MORE = frozenset({"unloadable", "cancelled", "tampered"})
"""After these another attempt would end likewise, or nobody wants one."""
SEED_MAX = 2**63 - 1
NAME_MAX = 200
CHECKPOINTS_MAX = 100


def job_of(plan: Plan, name: str) -> JobPlan:
    """Return a job of a pipeline.

    Raises:
        NotKnown: if it has none of that name.
    """
    try:
        return plan.job(name)
    except KeyError:
        known = ", ".join(job.name for job in plan.jobs) or "none"
        message = f"pipeline {plan.pipeline!r} has no job {name!r}: there are {known}"
        raise NotKnown(message) from None


def with_parameters(job: JobPlan, given: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters of a run: those declared, changed by those given.

    Raises:
        DeclarationError: for one that is not declared, or of another kind than declared.
    """
    merged = dict(job.parameters)
    for name, value in check_parameters(given).items():
        if name not in merged:
            known = ", ".join(merged) or "none"
            remedy = f"declare it by parameters={{...}} at the job; there are {known}"
            raise DeclarationError("param", name, "is no parameter of this job", remedy)
        declared = merged[name]
        numbers = isinstance(declared, float) and type(value) is int
        if declared is not None and type(value) is not type(declared) and not numbers:
            kind = type(declared).__name__
            raise DeclarationError("param", value, f"of {name} is no {kind}", f"give a {kind}")
        merged[name] = float(value) if numbers and isinstance(value, int) else value
    return merged


def run_job(
    plan: Plan,
    job: JobPlan,
    *,
    project: Path,
    clock: Clock,
    by: str,
    parameters: Mapping[str, Parameter],
    seed: int | None = None,
    version: str = "",
    fresh: bool = False,
    because: Because | None = None,
    repeat: Repeat | None = None,
    drilled: Drilled = Drilled(),  # noqa: B008 - frozen
    watcher: Watcher = lambda record: None,  # noqa: ARG005 - nobody looks
    cancelled: Callable[[], bool] = lambda: False,
) -> RunRecord:
    """Run a job to its end, whatever that is, and return the record, which is kept.

    An evaluation judges the latest candidate without a verdict, see ``run_evaluation``.

    Args:
        plan: the pipeline.
        job: one of its jobs.
        project: the folder that ``.firedoor`` is in.
        clock: for what is written down.
        by: who asked for it.
        parameters: all of them, see ``with_parameters``.
        seed: 0 to 2**63 - 1; None: 0, or what an evaluation declares.
        version: of an evaluation: number or alias; empty: the latest without a verdict.
        fresh: do not resume a run that did not end well.
        because: what has it begin, if that is no person.
        repeat: the run that it is to repeat, if any: it registers nothing then.
        drilled: what a drill wants of this run.
        watcher: told of each change.
        cancelled: asked often whether the run is to end.

    Raises:
        DeclarationError: for a seed that is none, or a version that no job judges.
        NotKnown: if what it reads is not there yet.
        ProjectBusy: if the same run is at work.
        SnapshotDamaged: if the snapshot that it reads is not what was taken.
        StoreRefused: if the project folder cannot be used, or no snapshot be taken.
    """
    if seed is not None and not 0 <= seed <= SEED_MAX:
        raise DeclarationError("seed", seed, "is out of range", f"give 0 to {SEED_MAX}")
    seen = {name: listing.hash for name, listing in watched(plan, job).items()}
    if job.evaluation is not None:
        return run_evaluation(
            plan, job, project=project, clock=clock, by=by, version=version, seed=seed,
            because=because, seen=seen, repeat=repeat, drilled=drilled, watcher=watcher,
            cancelled=cancelled,
        )  # fmt: skip
    if version:
        why = f"is for evaluations, and {job.name!r} is none"
        raise DeclarationError("version", version, why, "leave it out")
    seed = seed or 0
    datasets, snapshot, read = Datasets(project), None, None
    if job.reads:
        taken = repeat.snapshot if repeat else None
        snapshot = taken or datasets.take(plan, job, clock=clock, cancelled=cancelled)
        read = input_of(snapshot, datasets.folder(snapshot.id))
    code = code_of(job, plan.file)
    again = repeat.run if repeat else ""
    # Checkpoints of one that learns from what a drill has changed are for no other run.
    other = again or (drilled.fault if drilled.changes else "")
    told = (job.name, code.version, parameters, seed, read.digest if read else "", other)
    key = hashlib.blake2b(msgspec.json.encode(told, order="sorted"), digest_size=16).hexdigest()

    def make(name: str, resumes: str) -> RunRecord:
        return RunRecord(
            id=name, job=job.name, pipeline=plan.pipeline, file=plan.file, by=by, key=key,
            code=code, parameters=dict(parameters), seed=seed, started_s=clock.utc_s(),
            input=read, libraries=libraries(), machine=machine(), resumes=resumes,
            because=because, drilled=drilled.fault, seen=seen, reproduces=again,
        )  # fmt: skip

    with Runs(project).begin(job.name, key, make, fresh=fresh or bool(repeat)) as (folder, record):
        running = _Running(
            plan, job, project=project, clock=clock, folder=folder, record=record,
            watcher=watcher, reading=Reading(plan, snapshot, datasets) if snapshot else None,
            repeat=repeat, drilled=drilled,
        )  # fmt: skip
        try:
            return running.to_its_end(cancelled)
        except OSError as error:  # a full disk, most likely
            return running.give_up(error)


class _Running:
    """One run at work. Listens to its job."""

    def __init__(
        self,
        plan: Plan,
        job: JobPlan,
        *,
        project: Path,
        clock: Clock,
        folder: RunFolder,
        record: RunRecord,
        watcher: Watcher,
        reading: Reading | None,
        repeat: Repeat | None,
        drilled: Drilled,
    ) -> None:
        """Begin."""
        self._repeat, self._drilled = repeat, drilled
        self._reading = reading
        self._plan, self._job, self._project = plan, job, project
        self._clock, self._folder = clock, folder
        self._recording = Recording(folder, record, clock=clock, watcher=watcher)
        self._keep: Keep | None = None

    def to_its_end(self, cancelled: Callable[[], bool]) -> RunRecord:
        """Try until it ends well, or there is no attempt left."""
        self._change(checkpoints=self._folder.names())
        self._tell("started", self._record.begun)
        if self._record.resumes:
            self._tell("resumed", self._record.resumes)
        if self._record.input is not None:
            self._tell("snapshot", self._record.input.snapshot)
            source, tell = Path(self._record.input.folder), lambda said: self._tell("note", said)
            changed = self._drilled.change(source, self._folder.work, tell)
            if changed:
                self._change(changed=changed)
        ending = self._attempt(1, cancelled)
        for number in range(2, self._job.limits.attempts + 1):
            if not ending.cause or ending.cause in NO_MORE:
                break
            ending = self._attempt(number, cancelled)
        if not ending.cause and self._keep is not None:
            ending = self._publish(self._keep, ending)
        outcome = {"": "done", "cancelled": "cancelled"}.get(ending.cause, "failed")
        self._change(
            outcome=outcome, cause=ending.cause, message=ending.message,
            ended_s=self._clock.utc_s(), publishing="",
        )  # fmt: skip
        if self._repeat is not None:
            self._change(differences=self._repeat.differences(self._record))
        self._tell("ended", outcome)
        for left in (self._folder.model, self._folder.work):
            shutil.rmtree(left, ignore_errors=True)
        if not ending.cause:
            shutil.rmtree(self._folder.checkpoints, ignore_errors=True)
        return self._record

    def give_up(self, error: OSError) -> RunRecord:
        """Fail because nothing can be written; say so on disk if that is possible by now."""
        for left in (self._folder.scratch, self._folder.model, self._folder.work):
            shutil.rmtree(left, ignore_errors=True)
        return self._recording.give_up(f"the run cannot be kept: {explain(error)}")

    def _attempt(self, number: int, cancelled: Callable[[], bool]) -> Ending:
        """Try once; nothing is left of it but what was kept, and the record."""
        began_s = self._clock.utc_s()
        self._keep = None
        for left in (self._folder.scratch, self._folder.model):
            shutil.rmtree(left, ignore_errors=True)
        self._folder.scratch.mkdir(mode=FOLDER_MODE)
        self._tell("attempt", str(number))
        order = Order(
            job=self._job.name,
            run=self._record.id,
            attempt=number,
            step=self._job.step,
            sys_path=self._plan.sys_path,
            limits=self._job.limits,
            parameters=self._record.parameters,
            seed=self._record.seed,
            folder=self._handed,
            scratch=self._folder.scratch,
            checkpoints=self._folder.checkpoints,
            space=self._folder.path,
            denies=self._reading.denies() if self._reading else (),
            faults=self._drilled.faults,
        )
        ending = (
            attempt(order, self, cancelled)
            if self._reading is None
            else (self._reading.around(lambda: attempt(order, self, cancelled)))
        )
        shutil.rmtree(self._folder.scratch, ignore_errors=True)
        tried = Attempt(
            number=number, started_s=began_s, ended_s=self._clock.utc_s(), cause=ending.cause,
            message=ending.message, line=ending.line, peak_bytes=ending.peak_bytes,
            last_lines=ending.last_lines,
        )  # fmt: skip
        if ending.cause:
            self._tell("failed", f"{ending.cause}: {ending.message.partition(chr(10))[0]}")
        self._change(
            attempts=(*self._record.attempts, tried),
            peak_bytes=max(self._record.peak_bytes, ending.peak_bytes),
        )
        return ending

    def _publish(self, keep: Keep, ending: Ending) -> Ending:
        """Register what the job saved as a candidate; the run fails where that is refused."""
        try:
            if self._repeat is not None:
                self._repeat.take(keep, self._folder.model)
                return ending
            self._change(publishing=keep.name)
            models = Models(self._project, by=f"run {self._record.id}", clock=self._clock)
            version = models.add(
                keep.name,
                self._folder.model,
                format=keep.format,
                loader=keep.loader,
                inputs=keep.inputs,
                outputs=keep.outputs,
                example=keep.example,
                environment=self._record.libraries,
                run=self._record.id,
                metrics=self._record.metrics,
            )
        except FiredoorError as error:
            message = f"the job ended well, and its model cannot be registered: {error}"
            self._tell("failed", f"refused: {error}")
            return Ending(cause="refused", message=message, peak_bytes=ending.peak_bytes)
        self._change(model=f"{keep.name}@{version.number}")
        self._tell("model", self._record.model)
        with contextlib.suppress(FiredoorError):  # what cannot go now goes after a later run
            for model, gone in models.prune().versions.items():
                names = ", ".join(f"{model}@{number}" for number in gone)
                self._tell("note", f"past retention, and needed by nothing: {names} went")
        return ending

    # ---- what the job says

    def loaded(self, loaded: Loaded, notes: Sequence[str]) -> None:
        """Keep what of the seal is in force."""
        missing = dict(loaded.seal_missing)
        seal = SealNote(level=loaded.seal_level, what=loaded.seal_what, missing=missing)
        if self._reading is not None:
            resumed = self._record.resumes
            earlier = Runs(self._project).read(resumed) if resumed else None
            seal = self._reading.judged(seal, self._job, earlier)
        self._change(seal=seal)
        self._tell("loaded", f"seal {seal.level}")
        for note in notes:
            self._tell("note", note)

    def progress(self, said: Progress) -> None:
        """Keep how far it is."""
        if said.done is not None and math.isfinite(said.done + (said.total or 0.0)):
            step = shorten(said.step) or self._record.step
            self._change(later=True, done=said.done, total=said.total, step=step)

    def metric(self, said: Metric) -> None:
        """Keep a figure; what a worker says is bounded here, whatever it was meant to say."""
        known = self._record.metrics
        full = len(known) >= METRICS_MAX and said.name not in known
        if full or not math.isfinite(said.value) or len(said.name) > NAME_MAX:
            return
        self._tell("metric", said.name, said.value)
        self._change(later=True, metrics={**known, said.name: said.value})

    def keep(self, said: Keep) -> str:
        """Take a folder over in one step. What a worker says of it is not believed."""
        try:
            source = self._folder.scratch / "keep" / check_name("name", said.name)
            if not all(_is_folder(path) for path in (source.parent, source)):
                return f"{source} is no folder"
            if said.kind == "checkpoint":
                names = self._record.checkpoints
                if said.name not in names and len(names) >= CHECKPOINTS_MAX:
                    return f"there are {CHECKPOINTS_MAX} under other names; use those again"
                self._folder.keep_checkpoint(said.name, source)
            else:
                shutil.rmtree(self._folder.model, ignore_errors=True)
                source.rename(self._folder.model)
                self._keep = said
        except (FiredoorError, OSError) as error:
            return explain(error) if isinstance(error, OSError) else str(error)
        if said.kind == "checkpoint":
            self._tell("checkpoint", said.name)
            self._change(checkpoints=self._folder.names())
        return ""

    @property
    def _handed(self) -> str | None:
        """The folder that it reads; None: nothing."""
        if self._record.changed:
            return str(self._folder.work)
        return self._record.input.folder if self._record.input else None

    # ---- the record

    @property
    def _record(self) -> RunRecord:
        """The record as it is now."""
        return self._recording.record

    def _tell(self, what: str, said: str = "", value: float | None = None) -> None:
        """Add an event."""
        self._recording.tell(what, said, value)

    def _change(self, *, later: bool = False, **fields: object) -> None:
        """Change the record; figures are written once a second."""
        self._recording.change(later=later, **fields)


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself, and no link to one."""
    return stat.S_ISDIR(path.lstat().st_mode)

"""The workers of an evaluation: those that predict and know no label, and the one that judges."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain
from firedoor.compose.recording import Recording
from firedoor.compute.evaluation_order import (
    CHALLENGER,
    JUDGEMENT,
    LABELS_FILE,
    PREDICTIONS,
    ROWS_FILE,
    TASK_FILE,
    TOLD_BYTES_MAX,
    TOLD_FILE,
    JudgeTask,
    PredictTask,
    Told,
    decode_told,
    encode_task,
)
from firedoor.compute.job import Ending, Order, attempt
from firedoor.errors import StoreRefused, shorten
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults, NoFaults
from firedoor.spec.plan import JobLimits, JobPlan, Plan
from firedoor.spec.referred import StepNote
from firedoor.wire.jobs import Keep, Metric, Progress
from firedoor.wire.messages import Loaded
from firedoor.wire.run import Attempt, SealNote
from firedoor.wire.verdict import Judgement

Who = Literal["challenger", "champion", "judge"]
STOPS = frozenset({"cancelled", "unloadable", "killed", "not_started"})
"""Ends of a worker that say nothing of a model: the evaluation has no verdict then."""
JUDGE_BYTES_MIN = 2**30
JUDGE_S_MIN = 3_600.0
JUDGEMENT_BYTES_MAX = 64 * 2**20


class Stopped(Exception):
    """The evaluation ended without a verdict."""

    def __init__(self, cause: str, message: str) -> None:
        """Say why."""
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Where the rows are that are judged by."""

    inputs: Path
    labels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What one worker is to do."""

    who: Who
    step: StepNote
    sys_path: tuple[str, ...]
    limits: JobLimits
    folder: Path
    """Which it is given."""
    wanted: str
    """Name of the folder that it is to hand over."""
    to: Path
    """Where that goes."""
    denies: tuple[str, ...] = ()


class Contest:
    """Worker after worker, each given a folder of its own and nothing else of the project."""

    def __init__(
        self,
        plan: Plan,
        job: JobPlan,
        recording: Recording,
        *,
        clock: Clock,
        rows: Rows,
        denies: Sequence[str],
        faults: Faults,
        cancelled: Callable[[], bool],
    ) -> None:
        """Prepare; what workers write lies in the run's folder.

        Args:
            plan: the pipeline.
            job: the evaluation.
            recording: of its run.
            clock: for what is written down.
            rows: the sealed part.
            denies: what those that predict must not read.
            faults: what a drill wants of the worker of the version that is judged.
            cancelled: asked often whether the run is to end.
        """
        assert job.evaluation is not None
        self._plan, self._job, self._recording = plan, job, recording
        self._evaluation = job.evaluation
        self._clock, self._rows = clock, rows
        self._denies, self._cancelled = tuple(denies), cancelled
        self._faults = faults
        self._work = recording.folder.work

    def place(self, who: Who) -> Path:
        """Return the folder that a worker is given, empty."""
        folder = self._work / who
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=FOLDER_MODE, parents=True)
        return folder

    def predict(self, who: Who, folder: Path, task: PredictTask) -> Told | Ending:
        """Return what a model's worker says of its predictions, or how it ended instead.

        Args:
            who: whose.
            folder: its place, with the model's files in it.
            task: what to predict.

        Raises:
            Stopped: if nothing is to be concluded from it.
        """
        _share(self._rows.inputs, folder / ROWS_FILE)
        (folder / TASK_FILE).write_bytes(encode_task(task))
        to = self._predicted(who)
        ending = self._try(
            _Task(
                who=who, step=self._job.step, sys_path=self._plan.sys_path,
                limits=self._job.limits, folder=folder, wanted=PREDICTIONS, to=to,
                denies=self._denies,
            )
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)
        if ending.cause:
            return ending
        try:
            data = _read(to / TOLD_FILE, TOLD_BYTES_MAX)
            return decode_told(data)
        except (OSError, StoreRefused, msgspec.MsgspecError, UnicodeDecodeError) as error:
            why = f"what it says of its predictions cannot be read: {shorten(str(error))}"
            return Ending(cause="crash", message=why)

    def judge(self, task: JudgeTask) -> Judgement:
        """Return what the judge says.

        Raises:
            Stopped: if it could not say.
        """
        folder, to = self.place("judge"), self._work / JUDGEMENT
        _share(self._rows.inputs, folder / ROWS_FILE)
        _share(self._rows.labels, folder / LABELS_FILE)
        (folder / TASK_FILE).write_bytes(encode_task(task))
        for who in ("challenger", "champion"):
            with contextlib.suppress(FileNotFoundError):
                self._predicted(who).rename(folder / who)
        ending = self._try(
            _Task(
                who="judge", step=_judge_step(), sys_path=_own_path(),
                limits=self._judge_limits(), folder=folder, wanted=JUDGEMENT, to=to,
            )
        )  # fmt: skip
        if ending.cause:
            message = f"the judgement could not be made: {ending.message}"
            raise Stopped(ending.cause, message)
        try:
            data = _read(to / f"{JUDGEMENT}.json", JUDGEMENT_BYTES_MAX)
            return msgspec.json.decode(data, type=Judgement)
        except (OSError, StoreRefused, msgspec.MsgspecError) as error:
            message = f"the judgement cannot be read: {shorten(str(error))}"
            raise Stopped("crash", message) from error

    def _predicted(self, who: str) -> Path:
        """Return where predictions are that were taken over."""
        return self._work / f"predicted-{who}"

    def _judge_limits(self) -> JobLimits:
        """Return what the judge may use: no less than its figures need."""
        told = self._job.limits
        return JobLimits(
            memory_bytes=max(told.memory_bytes, JUDGE_BYTES_MIN),
            timeout_s=max(told.timeout_s, JUDGE_S_MIN), hang_s=None, disk_bytes=told.disk_bytes,
        )  # fmt: skip

    def _try(self, task: _Task) -> Ending:
        """Run a worker, again where attempts are left; return how the last one ended.

        Raises:
            Stopped: if nothing is to be concluded from that.
        """
        ending, run = Ending(cause="not_started"), self._recording.folder
        for number in range(1, task.limits.attempts + 1):
            began_s = self._clock.utc_s()
            for left in (run.scratch, task.to):
                shutil.rmtree(left, ignore_errors=True)
            run.scratch.mkdir(mode=FOLDER_MODE)
            self._recording.tell("attempt", f"{task.who} {number}")
            order = Order(
                job=self._job.name, run=self._recording.record.id, attempt=number, step=task.step,
                sys_path=task.sys_path, limits=task.limits, parameters={},
                seed=self._evaluation.seed, folder=str(task.folder), scratch=run.scratch,
                checkpoints=run.checkpoints, space=run.path, denies=task.denies,
                in_project=task.who != "judge",
                faults=self._faults if task.who == CHALLENGER else NoFaults(),
            )  # fmt: skip
            heard = _Heard(self._recording, task, run.scratch)
            ending = attempt(order, heard, self._cancelled)
            if not ending.cause and not heard.taken:
                message = f"it ended and handed over no {task.wanted}"
                ending = Ending(cause="crash", message=message, peak_bytes=ending.peak_bytes)
            self._note(task.who, number, began_s, ending)
            if not ending.cause or ending.cause in {"cancelled", "unloadable"}:
                break
        shutil.rmtree(run.scratch, ignore_errors=True)
        if ending.cause in STOPS:
            raise Stopped(ending.cause, ending.message)
        return ending

    def _note(self, who: Who, number: int, began_s: float, ending: Ending) -> None:
        """Write down how an attempt ended."""
        record = self._recording.record
        tried = Attempt(
            number=number, worker=who, started_s=began_s, ended_s=self._clock.utc_s(),
            cause=ending.cause, message=ending.message, line=ending.line,
            peak_bytes=ending.peak_bytes, last_lines=ending.last_lines,
        )  # fmt: skip
        if ending.cause:
            first = ending.message.partition("\n")[0]
            self._recording.tell("failed", f"{who}: {ending.cause}: {first}")
        self._recording.change(
            attempts=(*record.attempts, tried), peak_bytes=max(record.peak_bytes, ending.peak_bytes)
        )


class _Heard:
    """Listens to a worker, and takes over one folder."""

    def __init__(self, recording: Recording, task: _Task, scratch: Path) -> None:
        """Begin."""
        self._recording, self._who = recording, task.who
        self._source, self._wanted, self._to = scratch / "keep" / task.wanted, task.wanted, task.to
        self.taken = False

    def loaded(self, loaded: Loaded, notes: Sequence[str]) -> None:
        """Keep what of the seal is in force for the one whose code is under evaluation."""
        if self._who == CHALLENGER:
            missing = dict(loaded.seal_missing)
            seal = SealNote(level=loaded.seal_level, what=loaded.seal_what, missing=missing)
            self._recording.change(seal=seal)
        self._recording.tell("loaded", f"{self._who}: seal {loaded.seal_level}")
        for note in notes:
            self._recording.tell("note", note)

    def progress(self, said: Progress) -> None:
        """Keep how far it is."""
        if said.done is not None:
            step = f"{self._who}: {shorten(said.step)}"
            self._recording.change(later=True, done=said.done, total=said.total, step=step)

    def metric(self, said: Metric) -> None:
        """Believe no figure that is not the judge's, who says all at once."""

    def keep(self, said: Keep) -> str:
        """Take over the folder that is wanted of it, in one step, and no other."""
        if said.name != self._wanted or said.kind != "checkpoint" or self.taken:
            return f"{said.name!r} is not asked for"
        try:
            folders = (self._source.parent, self._source)
            if any(path.is_symlink() or not path.is_dir() for path in folders):
                return f"{self._source} is no folder"
            if any(entry.is_symlink() or not entry.is_file() for entry in self._source.iterdir()):
                return f"{self._source} holds what is no plain file"
            self._source.rename(self._to)
        except OSError as error:
            return explain(error)
        self.taken = True
        return ""


def step_of(step: Callable[..., object]) -> bytes:
    """Return a function of firedoor's as a worker follows it."""
    return pickle.dumps((step, None, None))


@functools.cache
def _judge_step() -> StepNote:
    """Return the step of the judge."""
    from firedoor.compute.judging import judge  # noqa: PLC0415 - imports numpy, an extra

    return StepNote(
        name="judge", pickled=step_of(judge), main_path=None, main_module=None, where=""
    )


def _own_path() -> tuple[str, ...]:
    """Return where firedoor's modules are looked for: not in the folder where the user's are."""
    here = Path.cwd()
    return tuple(entry for entry in sys.path if entry and Path(entry).absolute() != here)


def _share(file: Path, to: Path) -> None:
    """Have a file be in a folder as well: by a second name for it, or by a copy."""
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _read(file: Path, bytes_max: int) -> bytes:
    """Return what a worker wrote, if it is not too much.

    Raises:
        StoreRefused: if it is.
    """
    with file.open("rb") as opened:
        data = opened.read(bytes_max + 1)
    if len(data) > bytes_max:
        message = f"{file.name} has more than {bytes_max:,} bytes"
        raise StoreRefused(message)
    return data

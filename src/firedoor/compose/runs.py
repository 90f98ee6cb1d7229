"""Records of runs: a folder each under ``.firedoor/runs``, there whole or not at all.

| In ``runs/train-3`` | What |
|---|---|
| ``record.json`` | the record, written anew whenever something changes |
| ``events.jsonl`` | what happened, a line each, only ever added to |
| ``lock`` | held by the supervisor: whether it lives |
| ``scratch/`` | of the attempt that runs |
| ``checkpoints/NAME/`` | what the job kept; gone once it has ended well |
| ``model/`` | what is to be registered once it has ended well |
| ``work/`` | of an evaluation: what its workers are given, and what they said |
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.adapters.files.locking import Taken, locked
from firedoor.adapters.files.writing import FILE_MODE, sync_folder
from firedoor.bounds import within
from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.compose.models import Models
from firedoor.compose.project import FOLDER
from firedoor.compose.run_retention import RUNS_KEPT, number_of, old_runs
from firedoor.errors import FiredoorError, NotKnown, ProjectBusy, StoreRefused
from firedoor.wire.run import Event, RunRecord, decode_events, decode_run, encode_event, encode_run

EVENTS_MAX = 10_000
"""Events that are kept of a run; those after them are not."""
EVENTS_BYTES_MAX = 32 * 2**20
WAIT_S = 30.0
KEEP_MAX = 1_000_000
KEPT_RUNS = 3
"""Runs of a job that did not end well and keep their checkpoints, the latest."""
_ID = re.compile(r"([a-z][a-z0-9_]{0,59})-([1-9][0-9]{0,8})")
_OLD = ".old-"


@dataclass(slots=True)
class RunFolder:
    """The folder of one run, for the supervisor that holds its lock."""

    path: Path
    told: int = 0
    """Events so far."""

    @property
    def checkpoints(self) -> Path:
        """What the job kept."""
        return self.path / "checkpoints"

    @property
    def scratch(self) -> Path:
        """Of the attempt that runs."""
        return self.path / "scratch"

    @property
    def model(self) -> Path:
        """What is to be registered."""
        return self.path / "model"

    @property
    def work(self) -> Path:
        """Of an evaluation at work: what its workers are given, and what they said."""
        return self.path / "work"

    def write(self, record: RunRecord, *, durable: bool = False) -> None:
        """Write the record."""
        write_atomically(self.path / "record.json", encode_run(record), durable=durable)

    def tell(self, event: Event) -> None:
        """Add an event."""
        if self.told < EVENTS_MAX:
            self.told += 1
            _append(self.path / "events.jsonl", encode_event(event))

    def keep_checkpoint(self, name: str, source: Path) -> None:
        """Put a folder in the place of what was kept under a name."""
        kept, old = self.checkpoints / name, self.checkpoints / f"{_OLD}{name}"
        if kept.exists():
            shutil.rmtree(old, ignore_errors=True)
            kept.rename(old)
        source.rename(kept)
        sync_folder(self.checkpoints)
        shutil.rmtree(old, ignore_errors=True)

    def names(self) -> tuple[str, ...]:
        """Return the checkpoints that there are, after mending what a kill left half-replaced."""
        for old in self.checkpoints.glob(f"{_OLD}*"):
            kept = self.checkpoints / old.name.removeprefix(_OLD)
            if kept.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.rename(kept)
        with contextlib.suppress(FileNotFoundError):
            return tuple(sorted(path.name for path in self.checkpoints.iterdir()))
        return ()


class Runs:
    """The runs of a project."""

    def __init__(self, project: Path) -> None:
        """Use the runs of a project; nothing is made before one begins.

        Args:
            project: the folder that ``.firedoor`` is in, or will be.
        """
        self._project = project.absolute()
        self.folder = self._project / FOLDER / "runs"

    @contextlib.contextmanager
    def begin(
        self, job: str, key: str, make: Callable[[str, str], RunRecord], *, fresh: bool
    ) -> Iterator[tuple[RunFolder, RunRecord]]:
        """Make the folder of a new run, and hold it while the block is at work.

        Args:
            job: its name.
            key: what runs have in common that may take over each other's checkpoints.
            make: returns the record; given the run's id and that of the run that it resumes.
            fresh: resume none.

        Raises:
            ProjectBusy: if the same run is at work.
            StoreRefused: if the folder cannot be used.
        """
        with contextlib.ExitStack() as held:
            try:
                self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                with locked(self.folder / "lock", wait_s=WAIT_S):
                    run, record = self._make(job, key, make, held, fresh=fresh)
            except Taken:
                message = f"another run is just beginning in {self.folder}; try again"
                raise ProjectBusy(message) from None
            except OSError as error:
                raise StoreRefused(f"no run can begin: {explain(error)}") from error
            yield run, record

    def read(self, name: str) -> RunRecord:
        """Return the record of a run.

        Raises:
            NotKnown: if there is none.
            StoreRefused: if it cannot be read.
        """
        if _ID.fullmatch(name) is None:
            message = f"{name!r} is no run: write it like train-3; see `firedoor runs`"
            raise NotKnown(message)
        path = self.folder / name
        try:
            record = decode_run((path / "record.json").read_bytes())
        except FileNotFoundError:
            message = f"there is no run {name} in {self.folder}; see `firedoor runs`"
            raise NotKnown(message) from None
        except OSError as error:
            raise StoreRefused(explain(error)) from error
        except StoreRefused as error:
            raise StoreRefused(f"{path}: {error}") from error
        return self._settled(path, record) if record.outcome == "running" else record

    def events(self, name: str) -> list[Event]:
        """Return what happened in a run, in order."""
        self.read(name)
        try:
            with (self.folder / name / "events.jsonl").open("rb") as file:
                return decode_events(file.read(EVENTS_BYTES_MAX))
        except FileNotFoundError:
            return []

    def every(self, job: str = "") -> list[RunRecord]:
        """Return the records of all runs that can be read, the latest first."""
        found = []
        for name in self.names(job):
            with contextlib.suppress(NotKnown, StoreRefused):
                found.append(self.read(name))
        return sorted(found, key=lambda record: record.started_s, reverse=True)

    def prune(self, keep: int = RUNS_KEPT, *, job: str = "", dry_run: bool = False) -> list[str]:
        """Remove the records of old runs, and return which.

        Of each job the latest stay, and those that a version of a model refers to, that are at
        work, or that say how far a trigger has come.

        Args:
            keep: how many of each job, 1 or more.
            job: of this one alone.
            dry_run: only say which.

        Raises:
            DeclarationError: for a number below 1.
            ModelsUnavailable: if what models refer to cannot be read.
            ProjectBusy: if a run is just beginning.
            StoreRefused: if the folder cannot be used.
        """
        within("keep", keep, 1, KEEP_MAX, "runs of each job", whole=True)
        if not self.folder.is_dir():
            return []
        try:
            with locked(self.folder / "lock", wait_s=WAIT_S):
                return self._prune(keep, job, dry_run=dry_run)
        except Taken:
            message = f"a run is just beginning in {self.folder}; try again"
            raise ProjectBusy(message) from None
        except OSError as error:
            raise StoreRefused(f"runs cannot be pruned: {explain(error)}") from error

    def is_alive(self, name: str) -> bool:
        """Return whether the supervisor of a run lives."""
        try:
            with locked(self.folder / name / "lock", wait_s=0):
                return False
        except Taken:
            return True

    def names(self, job: str = "") -> list[str]:
        """Return the ids of runs, of one job or of all, in no order."""
        with contextlib.suppress(FileNotFoundError):
            matched = (_ID.fullmatch(name) for name in os.listdir(self.folder))  # noqa: PTH208
            return [match[0] for match in matched if match and job in {"", match[1]}]
        return []

    def _prune(self, keep: int, job: str, *, dry_run: bool = False) -> list[str]:
        """Remove old records. Whoever calls holds the lock of all runs."""
        records, referred = self.every(job), self._referred()
        old = [
            name
            for one in sorted({(record.job, record.pipeline) for record in records})
            for name in old_runs([r for r in records if (r.job, r.pipeline) == one], keep, referred)
        ]
        for name in () if dry_run else old:
            gone = self.folder / f".new-gone-{name}"  # swept by whoever comes next, too
            (self.folder / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        return old

    def _referred(self) -> frozenset[str]:
        """Return the runs that versions of models refer to."""
        if not (self._project / FOLDER / "models").exists():
            return frozenset()  # none was ever made; a disk that is away leaves its folder
        models = Models(self._project)
        versions = (one for name in models.names() for one in models.read(name).state.versions)
        return frozenset(run for version in versions for run in (version.run, version.judged))

    def _make(
        self,
        job: str,
        key: str,
        make: Callable[[str, str], RunRecord],
        held: contextlib.ExitStack,
        *,
        fresh: bool,
    ) -> tuple[RunFolder, RunRecord]:
        """Make the folder of a run in one step. Whoever calls holds the lock of all runs."""
        for left in self.folder.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        before = self._resumable(job, key)
        before = None if fresh else before
        number = max(map(number_of, self.names(job)), default=0) + 1
        name = f"{job}-{number}"
        making = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        held.enter_context(locked(making / "lock", wait_s=0))
        run = RunFolder(self.folder / name)
        record = make(name, before or "")
        RunFolder(making).write(record, durable=True)
        making.rename(run.path)
        if before is not None:
            (self.folder / before / "checkpoints").rename(run.checkpoints)
            self._forget(self.read(before))
        self._drop_old(job)
        if len(self.names(job)) > RUNS_KEPT:
            with contextlib.suppress(FiredoorError):  # they go another time
                self._prune(RUNS_KEPT, job)
        run.checkpoints.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(self.folder)
        return run, record

    def _drop_old(self, job: str) -> None:
        """Remove the checkpoints of all but the latest runs: each change of the code left some."""
        kept = [record for record in self.every(job) if record.checkpoints]
        for record in [one for one in kept if one.outcome != "running"][KEPT_RUNS:]:
            shutil.rmtree(self.folder / record.id / "checkpoints", ignore_errors=True)
            self._forget(record)

    def _forget(self, record: RunRecord) -> None:
        """Have a record no longer name checkpoints that have gone."""
        RunFolder(self.folder / record.id).write(msgspec.structs.replace(record, checkpoints=()))

    def _resumable(self, job: str, key: str) -> str | None:
        """Return the latest run of a key that did not end well and kept something.

        Raises:
            ProjectBusy: if one is at work.
        """
        same = [record for record in self.every(job) if record.key == key]
        for record in same:
            if record.outcome == "running":
                message = (
                    f"run {record.id} of the same code, parameters, seed and input is at work; "
                    "wait for it, end it, or change --param or --seed"
                )
                raise ProjectBusy(message)
        for record in same:
            if record.outcome == "done":  # what is older than that was superseded
                for left in ("checkpoints", "model"):  # by a kill just before the end
                    shutil.rmtree(self.folder / record.id / left, ignore_errors=True)
                return None
            if RunFolder(self.folder / record.id).names():
                return record.id
        return None

    def _settled(self, path: Path, record: RunRecord) -> RunRecord:
        """Return a record that says it is running; if nobody runs it, it is settled first."""
        with contextlib.suppress(Taken, OSError), locked(path / "lock", wait_s=0):
            record = decode_run((path / "record.json").read_bytes())
            if record.outcome != "running":
                return record
            events = self._heard(path)
            record = self._ended(record, events[-1].at_s if events else record.started_s)
            run = RunFolder(path, told=len(events))
            run.tell(Event(at_s=record.ended_s or 0.0, what="ended", said=record.outcome))
            run.write(record, durable=True)
            for left in (run.scratch, run.model, run.work):
                shutil.rmtree(left, ignore_errors=True)
            if record.outcome == "done":
                shutil.rmtree(run.checkpoints, ignore_errors=True)
        return record

    def _heard(self, path: Path) -> list[Event]:
        """Return the events of a run."""
        with contextlib.suppress(FileNotFoundError):
            return decode_events((path / "events.jsonl").read_bytes())
        return []

    def _ended(self, record: RunRecord, heard_s: float) -> RunRecord:
        """Return the record of a run whose supervisor died: lost, or done but for saying so."""
        if record.publishing:
            with contextlib.suppress(FiredoorError):
                state = Models(self._project).read(record.publishing).state
                for version in state.versions:
                    if version.judged == record.id and record.verdict is not None:
                        verdict = msgspec.structs.replace(record.verdict, given=True)
                        return msgspec.structs.replace(
                            record, outcome="done", ended_s=heard_s, publishing="", verdict=verdict
                        )
                    if version.run == record.id and not record.judges:
                        return msgspec.structs.replace(
                            record, outcome="done", ended_s=heard_s, publishing="",
                            model=f"{record.publishing}@{version.number}",
                        )  # fmt: skip
        at = f" at {record.step!r}" if record.step else ""
        far = "" if record.done is None else f", {record.done:g} of {record.total or 0:g} done"
        message = (
            f"its supervisor was ended from outside{at}{far}; nothing was registered, and run it "
            "again to go on from its checkpoints"
        )
        return msgspec.structs.replace(
            record, outcome="lost", cause="supervisor", message=message, ended_s=heard_s,
            publishing="",
        )  # fmt: skip


def _append(path: Path, line: bytes) -> None:
    """Add a line to a file, in one call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)

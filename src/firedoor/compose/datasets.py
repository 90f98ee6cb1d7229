"""Snapshots of datasets: a folder each under ``.firedoor/datasets``, there whole or not at all.

The rows are read and parted by a worker behind a wall; here files are listed, linked, hashed and
moved, and what is in them is never decoded. See ``wire.dataset`` for the folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from firedoor.adapters.files.locking import Taken, locked
from firedoor.adapters.files.writing import sync_folder
from firedoor.compose.files import FOLDER_MODE, explain, write_atomically
from firedoor.compose.project import FOLDER
from firedoor.compose.runs import Runs
from firedoor.compose.snapshots import Listed, Making, digest_of, drop, freeze, hashed, listed
from firedoor.errors import NotKnown, ProjectBusy, SnapshotDamaged, StoreRefused
from firedoor.ports.clock import Clock
from firedoor.spec.dataset_plan import DatasetPlan
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.dataset import FileNote, SnapshotRecord, decode_snapshot, encode_snapshot

WAIT_S = 600.0
"""Longest wait for another snapshot that is being taken."""
KEPT_SNAPSHOTS = 5
"""Of a dataset, the latest: these stay, and so do those that the record of a run names."""
IDLE_S = 86_400.0
"""Time since a snapshot was last asked for, within which it stays whatever refers to it."""
RECORD = "snapshot.json"
_ID = re.compile(r"([a-z][a-z0-9_]{0,59})-([0-9a-f]{16})")


def dataset_of(plan: Plan, name: str) -> DatasetPlan:
    """Return a dataset of a pipeline, or a sink as it is read without one.

    Raises:
        NotKnown: if there is neither.
    """
    sinks = {zone.name: zone.sink.path for zone in plan.zones if zone.sink and zone.sink.path}
    if name in sinks:
        return DatasetPlan(name=name, sink=name, folder=sinks[name])
    try:
        return plan.dataset(name)
    except KeyError:
        known = ", ".join([*(one.name for one in plan.datasets), *sinks]) or "none"
        message = f"pipeline {plan.pipeline!r} has no dataset {name!r}: there are {known}"
        raise NotKnown(message) from None


class Datasets:
    """The snapshots of a project."""

    def __init__(self, project: Path) -> None:
        """Use the snapshots of a project; nothing is made before one is taken.

        Args:
            project: the folder that ``.firedoor`` is in, or will be.
        """
        self._project = project.absolute()
        self.kept = self._project / FOLDER
        """All that firedoor keeps in the project."""
        self._folder = self.kept / "datasets"

    def take(
        self,
        plan: Plan,
        reader: JobPlan | DatasetPlan,
        *,
        clock: Clock,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> SnapshotRecord:
        """Return the snapshot of what is there now; the same content is the same snapshot.

        Args:
            plan: the pipeline.
            reader: the dataset, or a job that reads one, or that reads a sink as it is.
            clock: for when it was taken.
            cancelled: asked often whether to end.

        Raises:
            NotKnown: if nothing was written yet.
            StoreRefused: if rows cannot be parted, parts are empty or share what they must not,
                or files cannot be read or written. Nothing is left then.
            SnapshotDamaged: if it is there already, and not as it was taken.
            ProjectBusy: if another is being taken, for long.
        """
        dataset = reader if isinstance(reader, DatasetPlan) else plan.read_by(reader)
        assert dataset is not None, f"{reader.name} reads something"
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            with locked(self._folder / "lock", wait_s=WAIT_S):
                found = listed(dataset, cancelled)
                digest = digest_of(dataset, found)
                name = f"{dataset.name}-{digest[:16]}"
                record = self._known(name, digest)
                if record is None:
                    record = self._make(plan, dataset, found, digest, clock, cancelled)
                os.utime(self._folder / name, (clock.utc_s(), clock.utc_s()))
                self._prune(dataset.name, clock.utc_s())
        except Taken:
            message = f"another snapshot is being taken in {self._folder}; try again"
            raise ProjectBusy(message) from None
        except OSError as error:
            raise StoreRefused(f"no snapshot can be taken: {explain(error)}") from error
        return record

    def folder(self, name: str) -> Path:
        """Return the folder of a snapshot; ``open`` in it is what a job is handed."""
        return self._folder / name

    def read(self, name: str) -> SnapshotRecord:
        """Return the record of a snapshot.

        Raises:
            NotKnown: if there is none.
            StoreRefused: if it cannot be read.
        """
        if _ID.fullmatch(name) is None:
            message = f"{name!r} is no snapshot: write it like delays-0123456789abcdef"
            raise NotKnown(f"{message}; see `firedoor datasets`")
        path = self._folder / name / RECORD
        try:
            record = decode_snapshot(path.read_bytes())
        except FileNotFoundError:
            message = f"there is no snapshot {name} in {self._folder}; see `firedoor datasets`"
            raise NotKnown(message) from None
        except OSError as error:
            raise StoreRefused(explain(error)) from error
        except StoreRefused as error:
            raise StoreRefused(f"{path}: {error}") from error
        if record.id != name:
            raise StoreRefused(f"{path}: it is of {record.id}; remove its folder")
        return record

    def every(self, dataset: str = "") -> list[SnapshotRecord]:
        """Return the records of all snapshots that can be read, the latest first."""
        found = []
        for name in self._names(dataset):
            with contextlib.suppress(NotKnown, StoreRefused):
                found.append(self.read(name))
        return sorted(found, key=lambda record: record.taken_s, reverse=True)

    def verify(self, name: str, parts: Iterable[str] | None = None) -> SnapshotRecord:
        """Hash the files of a snapshot again, and return its record.

        Args:
            name: of the snapshot.
            parts: which; None: all of them, and that there is nothing else.

        Raises:
            NotKnown: if there is none, or no such part.
            SnapshotDamaged: naming the file that differs, is gone, or does not belong.
        """
        record = self.read(name)
        self.check(record, parts)
        return record

    def check(self, record: SnapshotRecord, parts: Iterable[str] | None = None) -> None:
        """Hold the files of a snapshot against a record of it. See ``verify``."""
        wanted = [part.name for part in record.parts] if parts is None else list(parts)
        known = {part.name: part for part in record.parts}
        folder = self._folder / record.id
        files: list[FileNote] = []
        for one in wanted:
            if one not in known:
                message = f"snapshot {record.id} has no part {one!r}: there are {', '.join(known)}"
                raise NotKnown(message)
            files += known[one].files
        for file in files:
            try:
                same = hashed(folder, file.name) == file
            except OSError as error:
                message = f"snapshot {record.id}: {explain(error)}"
                raise SnapshotDamaged(message) from error
            if not same:
                message = f"snapshot {record.id}: {file.name} is not what was taken"
                raise SnapshotDamaged(f"{message}; `firedoor datasets forget {record.id}`")
        if parts is None:
            names = {file.name for file in files}
            for path in sorted(_files(folder)):
                if path not in names and path != RECORD:
                    raise SnapshotDamaged(f"snapshot {record.id}: {path} does not belong to it")

    def forget(self, name: str) -> None:
        """Remove a snapshot.

        Raises:
            NotKnown: if there is none.
            ProjectBusy: if a run that reads it is at work.
            StoreRefused: if it cannot be removed.
        """
        if _ID.fullmatch(name) is None or not (self._folder / name).is_dir():
            self.read(name)
        for run in Runs(self._project).every():
            if run.outcome == "running" and run.input is not None and run.input.snapshot == name:
                raise ProjectBusy(f"run {run.id} reads snapshot {name}; wait for it, or end it")
        try:
            with locked(self._folder / "lock", wait_s=WAIT_S):
                drop(self._folder / name)
        except Taken:
            raise ProjectBusy(f"a snapshot is being taken in {self._folder}; try again") from None
        except OSError as error:
            raise StoreRefused(explain(error)) from error

    def _known(self, name: str, digest: str) -> SnapshotRecord | None:
        """Return the snapshot of a digest if it is there, and looks whole."""
        if not (self._folder / name).exists():
            return None
        record = self.read(name)
        for part in record.parts:
            for file in part.files:
                try:
                    size = (self._folder / name / file.name).stat().st_size
                except FileNotFoundError:
                    size = -1
                if size != file.bytes or record.digest != digest:
                    message = f"snapshot {name}: {file.name} is not what was taken"
                    raise SnapshotDamaged(f"{message}; `firedoor datasets forget {name}`")
        return record

    def _make(
        self,
        plan: Plan,
        dataset: DatasetPlan,
        found: tuple[Listed, ...],
        digest: str,
        clock: Clock,
        cancelled: Callable[[], bool],
    ) -> SnapshotRecord:
        """Take a snapshot. Whoever calls holds the lock."""
        for left in self._folder.glob(".new-*"):
            drop(left)
        making = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            record = Making(dataset, making, found, cancelled).record(
                plan.pipeline, digest, clock.utc_s()
            )
            made = making / "made"
            write_atomically(made / RECORD, encode_snapshot(record), durable=True)
            freeze(made, linked=dataset.split is None)
            place = self._folder / record.id
            made.rename(place)
            sync_folder(self._folder)
        finally:
            drop(making)
        return record

    def _names(self, dataset: str) -> Iterator[str]:
        """Yield the names of snapshots."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):  # noqa: PTH208
                match = _ID.fullmatch(name)
                if match and dataset in {"", match[1]}:
                    yield name

    def _prune(self, dataset: str, now_s: float) -> None:
        """Remove what nobody refers to, is not of the latest, and was not asked for lately."""
        names = list(self._names(dataset))
        if len(names) <= KEPT_SNAPSHOTS:
            return
        used_s = {name: (self._folder / name).stat().st_mtime for name in names}
        spare = sorted(names, key=lambda name: used_s[name], reverse=True)[KEPT_SNAPSHOTS:]
        idle = {name for name in spare if now_s - used_s[name] > IDLE_S}
        if idle:
            runs = Runs(self._project).every()
            for name in idle - {run.input.snapshot for run in runs if run.input is not None}:
                drop(self._folder / name)


def _files(folder: Path) -> Iterator[str]:
    """Yield what is in a folder, at any depth, but for folders."""
    for at, _, names in os.walk(folder):
        for name in names:
            yield str((Path(at) / name).relative_to(folder))

"""How a snapshot is made: files listed and hashed, a worker that parts them, a record of it all."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.compose.files import FOLDER_MODE, explain
from firedoor.compute.job import Order, attempt
from firedoor.compute.snapshot_order import (
    FOUND,
    FOUND_BYTES_MAX,
    KEPT,
    ORDER,
    Found,
    PartFound,
    SnapshotOrder,
    decode_found,
    encode,
)
from firedoor.compute.step import refer
from firedoor.errors import NotKnown, StoreRefused
from firedoor.spec.dataset import leakage_told, split_told
from firedoor.spec.dataset_plan import DatasetPlan
from firedoor.spec.plan import JobLimits
from firedoor.spec.referred import StepNote
from firedoor.units import format_bytes
from firedoor.wire.dataset import SINK_KEY, SNAPSHOT_VERSION, FileNote, PartNote, SnapshotRecord
from firedoor.wire.jobs import Keep, Metric, Progress
from firedoor.wire.messages import Loaded

FILES_MAX = 100_000
TIMEOUT_S = 6 * 3_600.0
DISK_MIN_BYTES = 2**30
SPREAD_MAX = 20
"""Bytes that parts may take, over those of the files: dictionaries are written anew."""
CHUNK_BYTES = 2**20
FILE_MODE = 0o400


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a sink."""

    path: Path
    note: FileNote


def listed(dataset: DatasetPlan, cancelled: Callable[[], bool]) -> tuple[Listed, ...]:
    """Return the files that a sink has written whole, in the order of their names.

    The list is taken once: what is written afterwards is not in the snapshot, and what is half
    written has no such name.

    Raises:
        NotKnown: if there are none.
        StoreRefused: if one is no plain file, there are too many, or nobody wants them any more.
        OSError: if they cannot be read.
    """
    folder = Path(dataset.folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))
    names = [name for name in names if not any(part[0] == "." for part in Path(name).parts)]
    if not names:
        message = (
            f"sink {dataset.sink!r} has written nothing into {folder} yet: run the pipeline "
            "first, `firedoor run PIPELINE.py`"
        )
        raise NotKnown(message)
    if len(names) > FILES_MAX:
        message = f"{folder} has more than {FILES_MAX:,} files; write larger batches"
        raise StoreRefused(message)
    found = []
    for name in names:
        if cancelled():
            raise StoreRefused(f"no snapshot of {dataset.name}: it was cancelled")
        if not stat.S_ISREG((folder / name).lstat().st_mode):
            message = f"{folder / name} is no file of its own, and what it stands for may change"
            raise StoreRefused(f"{message}: put the file itself there")
        found.append(Listed(folder / name, hashed(folder, name)))
    return tuple(found)


def hashed(folder: Path, name: str) -> FileNote:
    """Return a file with its hash.

    Raises:
        OSError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileNote(name=name, bytes=size, sha256=digest.hexdigest())


def digest_of(dataset: DatasetPlan, found: Sequence[Listed]) -> str:
    """Return a hash over the content of files and over how they are parted."""
    files = [(one.note.name, one.note.sha256) for one in found]
    parted = (dataset.split, dataset.sealed, dataset.label, dataset.leakage)
    told = msgspec.json.encode((SNAPSHOT_VERSION, files, *parted), order="deterministic")
    return hashlib.sha256(told).hexdigest()


def freeze(folder: Path, *, linked: bool) -> None:
    """Make a folder its owner's alone, and its files read-only but for those that a sink has."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at) / name
            if not linked or path.stat().st_nlink == 1:
                path.chmod(FILE_MODE)
        Path(at).chmod(FOLDER_MODE)


def drop(folder: Path) -> None:
    """Remove a folder. First it goes out of sight, in one step."""
    if not folder.exists():
        return
    gone = folder.with_name(f".new-gone-{folder.name.removeprefix('.new-')}")
    folder.rename(gone)
    shutil.rmtree(gone)


class Making:
    """One snapshot that is being made. Listens to its worker."""

    def __init__(
        self,
        dataset: DatasetPlan,
        folder: Path,
        files: tuple[Listed, ...],
        cancelled: Callable[[], bool],
    ) -> None:
        """Begin.

        Args:
            dataset: of what.
            folder: an empty one, removed afterwards; the snapshot is ``made`` in it.
            files: what is read.
            cancelled: asked often whether to end.
        """
        self._dataset, self._files, self._cancelled = dataset, files, cancelled
        self._folder, self._made = folder, folder / "made"

    def record(self, pipeline: str, digest: str, taken_s: float) -> SnapshotRecord:
        """Return the record of the snapshot, which is in ``made``, whole.

        Raises:
            StoreRefused: if there cannot be one.
        """
        links = self._folder / "links"
        if self._dataset.split is None:
            self._link(links)
        found = self._read(links if links.exists() else Path(self._dataset.folder))
        if found.refused:
            raise StoreRefused(f"no snapshot of {self._dataset.name}: {found.refused}")
        if found.sha256 != tuple(one.note.sha256 for one in self._files):
            message = f"files in {self._dataset.folder} changed while they were read; try again"
            raise StoreRefused(message)
        if links.exists():
            links.rename(self._made / "open")
        schema = msgspec.json.encode(list(found.columns.items()))
        return SnapshotRecord(
            name=self._dataset.name,
            digest=digest,
            pipeline=pipeline,
            sink=self._dataset.sink,
            taken_s=taken_s,
            rows=found.rows,
            files=tuple(one.note for one in self._files),
            columns=found.columns,
            schema=hashlib.sha256(schema).hexdigest()[:16],
            parts=tuple(self._part(part) for part in found.parts),
            provenance=found.provenance,
            span=found.span,
            label=self._dataset.label,
            split=split_told(self._dataset.split),
            apart=found.apart,
            leaks=found.leaks,
            compared=leakage_told(self._dataset.leakage),
        )

    def _link(self, links: Path) -> None:
        """Have files in a second folder: links where the disk has them, else copies."""
        links.mkdir(mode=FOLDER_MODE)
        for one in self._files:
            target = links / one.note.name
            target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            try:
                os.link(one.path, target)
            except OSError:  # another disk, or files of somebody else
                shutil.copyfile(one.path, target)

    def _read(self, folder: Path) -> Found:
        """Have a worker read and part the files; return what it found."""
        scratch, kept = self._folder / "scratch", self._folder / "kept"
        scratch.mkdir(mode=FOLDER_MODE)
        (kept / KEPT).mkdir(mode=FOLDER_MODE, parents=True)
        names = tuple(one.note.name for one in self._files)
        order = SnapshotOrder(dataset=self._dataset, names=names, mark=SINK_KEY)
        (kept / KEPT / ORDER).write_bytes(encode(order))
        told = self._order(folder, scratch, kept)
        ending = attempt(told, self, self._cancelled)
        if ending.cause or not self._made.exists():
            message = f"no snapshot of {self._dataset.name}: {ending.message or ending.cause}"
            if ending.cause == "memory":
                held = format_bytes(self._dataset.memory_bytes)
                message += f"; give the dataset more than memory={held}"
            raise StoreRefused(message)
        try:
            said = self._made / FOUND
            if said.lstat().st_size > FOUND_BYTES_MAX:
                raise StoreRefused(f"no snapshot of {self._dataset.name}: it has too many columns")
            found = decode_found(said.read_bytes())
            said.unlink()
        except (OSError, msgspec.MsgspecError) as error:
            message = f"no snapshot of {self._dataset.name}: its worker left no account of it"
            raise StoreRefused(f"{message} ({error})") from error
        return found

    def _order(self, folder: Path, scratch: Path, kept: Path) -> Order:
        """Return what the worker is to do."""
        step = refer("firedoor.compute.snapshot:take", None, None, by_value=False)
        size = sum(one.note.bytes for one in self._files)
        return Order(
            job=f"snapshot_{self._dataset.name}",
            run=self._dataset.name,
            attempt=1,
            step=StepNote(
                name=step.name, pickled=step.pickled, main_path=None, main_module=None, where=""
            ),
            sys_path=tuple(sys.path),
            limits=JobLimits(
                memory_bytes=self._dataset.memory_bytes,
                disk_bytes=max(DISK_MIN_BYTES, SPREAD_MAX * size),
                timeout_s=TIMEOUT_S,
                hang_s=None,
            ),
            parameters={},
            seed=0,
            folder=str(folder),
            scratch=scratch,
            checkpoints=kept,
            space=scratch,
            in_project=False,
        )

    def _part(self, part: PartFound) -> PartNote:
        """Return a part with its files, hashed here: what the worker says of them is not asked."""
        sealed = part.name in self._dataset.sealed
        if self._dataset.split is None:
            names = [f"open/{one.note.name}" for one in self._files]
        elif sealed:
            names = [f"sealed/{part.name}/{kind}/rows.parquet" for kind in ("inputs", "labels")]
        else:
            names = [f"open/{part.name}/rows.parquet"]
        try:
            files = tuple(hashed(self._made, name) for name in names)
        except OSError as error:
            raise StoreRefused(f"no snapshot of {self._dataset.name}: {explain(error)}") from error
        return PartNote(name=part.name, rows=part.rows, files=files, sealed=sealed, span=part.span)

    # ---- what the worker says

    def loaded(self, loaded: Loaded, notes: Sequence[str]) -> None:
        """Go on: its seal is told by nobody, since no user code runs there."""

    def progress(self, said: Progress) -> None:
        """Go on."""

    def metric(self, said: Metric) -> None:
        """Go on: it has none."""

    def keep(self, said: Keep) -> str:
        """Take the parts over in one step."""
        source = self._folder / "scratch" / "keep" / KEPT
        if said.name != KEPT or not stat.S_ISDIR(source.lstat().st_mode) or self._made.exists():
            return "there is one snapshot"
        source.rename(self._made)
        return ""

"""The stages of sinks. A batch is written once, however often it comes.

``ParquetSink`` writes ``<folder>/<batch>.parquet``, whole or not at all: into a file beside it that
is synced and renamed. A file that is there already was written by an earlier delivery, whose record
was not; inside it stands of which zone, batch and rows it is, so that the file of another run is
not taken for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from firedoor.compose.function_sink import FunctionSink
from firedoor.compose.living import is_alive
from firedoor.compose.tagging import Tags, tags_of
from firedoor.compute import ipc
from firedoor.errors import DependencyDown, StepAtFault, shorten
from firedoor.ports.faults import Faults
from firedoor.ports.stage import Handled, Journal, Parcel
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.dataset import SINK_KEY
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder

WORKERS = 2
_UNFINISHED = re.compile(r"\.firedoor-(?P<zone>[a-z0-9_]+)-.+\.(?P<pid>\d+)\.tmp")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def build_sink(
    zone: ZonePlan, plan: Plan, *, faults: Faults | None = None
) -> ParquetSink | FunctionSink:
    """Return the stage of a sink.

    Raises:
        StepAtFault: if its folder cannot be used.
        DependencyDown: if there is no room for it.
    """
    assert zone.sink is not None, f"{zone.name} is a sink"
    tags = tags_of(plan, zone.name)
    if zone.sink.form == "function":
        return FunctionSink(zone, plan, tags, faults=faults)
    return ParquetSink(zone, tags)


class ParquetSink:
    """Writes each batch as a file, its rows as they came, and perhaps tags beside them.

    See ``ports.stage.Stage``.
    """

    def __init__(self, zone: ZonePlan, tags: Tags | None = None) -> None:
        """Make the folder; remove what a killed run left half-written.

        Raises:
            StepAtFault: if it cannot be made or written to.
            DependencyDown: if there is no room for it.
        """
        assert zone.sink is not None, f"{zone.name} is a sink"
        self._zone = zone.name
        self._tags = tags
        self._folder = Path(zone.sink.path)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix=zone.name)
        self._written = 0
        self._found = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            raise self._told(error, self._folder) from error

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Write a batch. See ``ports.stage.Stage.handle``."""
        del journal  # what is written twice is the same file: no attempt is worth a note
        loop = asyncio.get_running_loop()
        path = await loop.run_in_executor(self._threads, self._write, envelope, payload)
        return Handled(Parcel(b"", 0, envelope.rows), sink=str(path))

    def workers_lost(self) -> int:
        """Return 0: there are no workers."""
        return 0

    def guards(self) -> tuple[GuardNote, ...]:
        """Return nothing: no user code runs here."""
        return ()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Do nothing: there are no guards."""

    def report(self) -> str:
        """Return what was written."""
        found = f", {self._found:,} were there already" if self._found else ""
        return f"{self._folder}: {self._written:,} files written{found}"

    def close(self) -> None:
        """Let go of the threads; what is being written is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _write(self, envelope: Envelope, payload: bytes) -> Path:
        """Write a batch if it is not there; return its file."""
        path = self._folder / f"{envelope.batch}.parquet"
        mark = f"{self._zone}/{envelope.batch}/{envelope.crc32:08x}"
        try:
            if path.exists():
                self._check(path, mark)
                self._found += 1
                return path
            self._put(path, self._encoded(envelope, payload, mark))
        except OSError as error:
            raise self._told(error, path) from error
        self._written += 1
        return path

    def _encoded(self, envelope: Envelope, payload: bytes, mark: str) -> bytes:
        """Return a batch as the bytes of a Parquet file."""
        file = io.BytesIO()
        try:
            frame = ipc.decode(io.BytesIO(payload[: envelope.frame_bytes]))
            if self._tags is not None:
                frame = self._tags.put(frame, envelope)
            frame.write_parquet(file, metadata={SINK_KEY: mark})
        except StepAtFault:
            raise
        except Exception as error:
            # polars raises many kinds, over a type that Parquet has not.
            message = f"{envelope.batch} cannot be written as Parquet: {shorten(str(error))}"
            raise StepAtFault(message, code="unwritable", signature=type(error).__name__) from error
        return file.getvalue()

    def _put(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all, durably."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".firedoor-{self._zone}-{path.stem}.{os.getpid()}.tmp")
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _check(self, path: Path, mark: str) -> None:
        """Refuse a file that is not what this batch would be written as.

        Raises:
            StepAtFault: if it is another's.
        """
        try:
            found = pl.read_parquet_metadata(path).get(SINK_KEY, "")
        except OSError:
            raise
        except Exception as error:
            # polars raises many kinds over bytes that are no Parquet.
            raise self._occupied(path, f"it is no Parquet file: {shorten(str(error))}") from error
        if found != mark:
            held = found.rpartition("/")[0] or "no batch of firedoor"
            raise self._occupied(path, f"it holds {held}, of other rows or another run")

    def _occupied(self, path: Path, why: str) -> StepAtFault:
        """Return the fault of a file that stands where a batch belongs."""
        message = (
            f"{path} is there already, and {why}: move the files of the other run away, or name "
            f"another folder, then `firedoor zone restart {self._zone}`"
        )
        return StepAtFault(message, code="sink_occupied", signature="file is there already")

    def _sweep(self) -> None:
        """Remove what killed runs of this sink left half-written."""
        for file in self._folder.glob(".firedoor-*.tmp"):
            match = _UNFINISHED.fullmatch(file.name)
            if match and match["zone"] == self._zone and not _is_alive(int(match["pid"])):
                file.unlink(missing_ok=True)

    def _told(self, error: OSError, path: Path) -> DependencyDown | StepAtFault:
        """Return what an error of the file system means."""
        why = error.strerror or str(error)
        if error.errno in _FULL:
            return DependencyDown(
                f"there is no room for {path} ({why}): make some; what is not written waits"
            )
        if error.errno in _FORBIDDEN:
            message = (
                f"{path} may not be written ({why}): allow it to the user who runs firedoor, then "
                f"`firedoor zone restart {self._zone}`"
            )
            return StepAtFault(message, code="no_permission", signature=why)
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return self._occupied(path, f"that cannot be ({why})")
        return DependencyDown(f"{path} cannot be written: {why}")


def _is_alive(pid: int) -> bool:
    """Return whether another process of this number runs."""
    if pid == os.getpid():
        return False  # a number that comes again: this process has only just begun
    return is_alive(pid)

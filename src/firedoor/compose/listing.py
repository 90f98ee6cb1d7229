"""The files of a sink's folder, without a look into them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.errors import StoreRefused
from firedoor.spec.plan import JobPlan, Plan

FILES_MAX = 1_000_000
ENDING = ".parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What is there."""

    files: int
    bytes: int
    hash: str
    """Over names, sizes and times; empty: there is no file."""
    newest_s: float
    """When the latest change was, by the clock of that disk; also of one that was taken away."""


def list_files(folder: Path) -> Listing:
    """Return what is in a folder and those in it.

    Raises:
        StoreRefused: if it cannot be looked at, or is too much.
    """
    found: list[tuple[str, int, int]] = []
    newest_ns, waiting = 0, [str(folder)] if folder.is_dir() else []
    try:
        while waiting:
            at = waiting.pop()
            newest_ns = max(newest_ns, os.stat(at).st_mtime_ns)  # noqa: PTH116 - plain strings
            with os.scandir(at) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.name.endswith(ENDING):
                        with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                            status = entry.stat()
                            found.append((entry.path, status.st_size, status.st_mtime_ns))
                            newest_ns = max(newest_ns, status.st_mtime_ns)
            if len(found) > FILES_MAX:
                message = f"{folder} has more than {FILES_MAX:,} files; write larger batches"
                raise StoreRefused(message)
    except OSError as error:
        raise StoreRefused(f"{folder} cannot be read: {error.strerror or error}") from error
    found.sort()
    digest = hashlib.blake2b(msgspec.json.encode(found), digest_size=16).hexdigest()
    return Listing(
        files=len(found), bytes=sum(size for _, size, _ in found), hash=digest if found else "",
        newest_s=newest_ns / 1e9,
    )  # fmt: skip


def watched(plan: Plan, job: JobPlan) -> dict[str, Listing]:
    """Return what is in the folder of each sink that a job's trigger waits for.

    Raises:
        StoreRefused: if one cannot be looked at.
    """
    sinks = {name: plan.zone(name).sink for name in job.trigger.sinks}
    return {name: list_files(Path(sink.path)) for name, sink in sinks.items() if sink is not None}

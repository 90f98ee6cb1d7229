"""How these tests watch processes: by descriptors that become readable when a process has ended."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil

PATIENCE_S = 30.0
"""No test waits longer than this for something that must happen; none waits for it in vain."""


def numbers(count: int, *, first: int = 0, **columns: object) -> pl.DataFrame:
    """Return rows with a number each, and the same text in all of each further column."""
    frame = pl.DataFrame({"number": range(first, first + count)}, schema={"number": pl.Int64})
    return frame.with_columns(**{name: pl.lit(str(text)) for name, text in columns.items()})


class Watch:
    """Processes that are expected to end. Made while they live, so that none is mistaken."""

    def __init__(self, pids: Iterable[int]) -> None:
        """Open a descriptor for each; fails if one has gone already."""
        self.pids = tuple(pids)
        self._fds = {os.pidfd_open(pid): pid for pid in self.pids}

    def left(self, timeout_s: float = PATIENCE_S) -> list[int]:
        """Wait until all have ended, return those that have not."""
        poller = select.poll()
        waiting = dict(self._fds)
        for fd in waiting:
            poller.register(fd, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while waiting:
            ended = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ended:
                break
            for fd, _ in ended:
                poller.unregister(fd)
                del waiting[fd]
        return sorted(waiting.values())

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._fds:
            os.close(fd)


@contextmanager
def watch(pids: Iterable[int]) -> Iterator[Watch]:
    """Watch processes until the end of the block."""
    watched = Watch(pids)
    try:
        yield watched
    finally:
        watched.close()


def running(pids: Iterable[int]) -> list[int]:
    """Return those of the processes that are there now, zombies included."""
    return [pid for pid in pids if psutil.pid_exists(pid)]


def descriptors() -> dict[str, str]:
    """Return the open descriptors of this process and where they lead."""
    found = {}
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the listing itself is closed again
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except FileNotFoundError:
            continue
    return found


class Said(logging.Handler):
    """Keeps what comes out of workers, and lets a test act on it the moment it comes."""

    def __init__(self, act: Callable[[str], None] | None = None) -> None:
        """Call ``act`` with each text, in the thread that reads it."""
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, act on it."""
        self.records.append(record)
        if self._act is not None:
            self._act(record.getMessage())

    @property
    def texts(self) -> list[str]:
        """The texts so far."""
        return [record.getMessage() for record in self.records]


@contextmanager
def listening(wall: str, act: Callable[[str], None] | None = None) -> Iterator[Said]:
    """Listen to what a wall's workers say."""
    logger = logging.getLogger(f"firedoor.wall.{wall}")
    said = Said(act)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(said)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(said)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def script(
    code: str, *before: str, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a program of its own that has the paths of this one; it ends with the block.

    ``before`` stands before the interpreter on its command line. If it takes far too long, it says
    where it stands, and ends.
    """
    patience = f"import faulthandler; faulthandler.dump_traceback_later({PATIENCE_S}, exit=True)\n"
    with subprocess.Popen(
        [*before, sys.executable, "-W", "error", "-c", patience + textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_script(code: str, *before: str, env: dict[str, str] | None = None) -> list[str]:
    """Run such a program to its end; it must succeed in silence. Return the lines it printed."""
    with script(code, *before, env=env) as process:
        out, err = process.communicate(timeout=2 * PATIENCE_S)
    assert (process.returncode, err) == (0, ""), err + out
    return out.splitlines()


def entries(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())

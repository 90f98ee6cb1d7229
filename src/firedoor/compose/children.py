"""A zone's process, as its supervisor holds it: by a pipe whose end of file ends it.

The process waits for one line on its standard input before it opens its streams, so that it can
import while streams are still being declared; afterwards nothing is ever written there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firedoor.compose.project import Project

LOG_BYTES_MAX = 4 * 2**20
"""Of a zone's log; the one before it is kept as ``ZONE.log.1``."""
GO = b"go\n"
DRAIN_S = 35.0
"""A zone drains within 30 s by itself."""
KILL_S = 5.0


@dataclass(slots=True, kw_only=True)
class Child:
    """One process of a zone."""

    zone: str
    version: str
    process: Process
    began_s: float
    """On the supervisor's clock."""
    at_s: float = 0.0
    """The same instant, in seconds since 1970, UTC."""
    told: bool = False
    """Whether it was told to begin."""
    leaving: bool = False
    """Whether it was told to end."""
    generation: int = 0
    """Of the order that held when it was started."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.returncode is None

    def go(self) -> None:
        """Let it open its streams."""
        if self.told or self.process.stdin is None:
            return
        self.told = True
        with contextlib.suppress(OSError, RuntimeError):  # it died; its end is noticed elsewhere
            self.process.stdin.write(GO)

    def drain(self) -> None:
        """Ask it to finish what it has begun, and to end."""
        self.leaving = True
        self._signal(signal.SIGTERM)
        self.go()  # one that never began ends as well

    def kill(self) -> None:
        """End it at once. Its workers end with it: they notice that it has gone."""
        self.leaving = True
        self._signal(signal.SIGKILL)

    def crash(self) -> None:
        """Have it die as by a hand from outside: it was not asked to, and another one is due."""
        self._signal(signal.SIGKILL)

    async def stop(self, within_s: float = DRAIN_S) -> None:
        """Drain it; kill it if that takes too long; return when it has gone."""
        if not self.alive:
            return
        self.drain()
        try:
            async with asyncio.timeout(within_s):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            async with asyncio.timeout(KILL_S):
                await self.process.wait()

    def _signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


async def spawn(
    project: Project,
    zone: str,
    *,
    version: str,
    began_s: float,
    at_s: float = 0.0,
    deployed: Path | None = None,
) -> Child:
    """Start a zone's process; it waits for ``go``.

    Raises:
        OSError: if no process can be started, or its log cannot be opened.
    """
    command = ["zone", "run", zone]
    if deployed is not None:
        command += ["--deployed", str(deployed)]
    process = await start(project, zone, command)
    return Child(zone=zone, version=version, process=process, began_s=began_s, at_s=at_s)


async def start(project: Project, name: str, command: Sequence[str]) -> Process:
    """Start a command that ends when this process does; what it prints goes to a log of that name.

    Raises:
        OSError: if no process can be started, or its log cannot be opened.
    """
    log = project.log_file(name)
    with contextlib.suppress(OSError):  # on a full disk the log goes on as it is
        rotate(log, now=log.exists() and log.stat().st_size > LOG_BYTES_MAX // 4)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no module is found by chance, because it lies where the command was typed
            "-m",
            "firedoor.cli",
            *command,
            "--project",
            str(project.folder.parent),
            "--supervised",
            stdin=asyncio.subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            process_group=0,  # Ctrl-C is the supervisor's: zones end when it says so
        )
    finally:
        os.close(descriptor)


def rotate(log: Path, *, now: bool = False) -> None:
    """Keep a log bounded: what is in it moves to ``.1``. Whoever appends to it goes on at its top.

    Raises:
        OSError: if that cannot be done.
    """
    if not now and (not log.exists() or log.stat().st_size <= LOG_BYTES_MAX):
        return
    before = log.with_name(f"{log.name}.1")
    shutil.copyfile(log, before)
    before.chmod(0o600)
    os.truncate(log, 0)


def last_words(log: Path, lines: int = 3) -> str:
    """Return the end of a log, for one who asks why a process died."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(line[:300] for line in text.rstrip().splitlines()[-lines:])

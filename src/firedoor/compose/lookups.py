"""Lookups of a run: versioned tables, read at the start and as often as they are to be refreshed.

``lookups/current.json`` says which version sources pin to the batches that they cut. A refresh that
fails leaves the last good version in force, and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from firedoor.compose.files import explain, write_atomically
from firedoor.compose.project import Project
from firedoor.errors import FrameRefused
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.telemetry import Journal, Unheard
from firedoor.spec.plan import LookupPlan, Plan

LIMIT_S = 300.0
"""Longest time that reading a lookup may take."""
GRACE_S = 5.0
KEPT_S = 86_400.0
KEPT_MIN = 3
"""Versions that are kept however old they are, the latest."""
SAID_BYTES = 2_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Which lookups to read, and where to keep them."""

    lookups: tuple[LookupPlan, ...]
    folder: str
    """``.firedoor/lookups``."""
    file: str
    """The file that declares the pipeline."""
    sys_path: tuple[str, ...]
    limit_s: float


class Read(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one lookup."""

    name: str
    version: str = ""
    rows: int = 0
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Lookups:
    """The lookups of one pipeline."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    """Told what a person should know."""
    journal: Journal = field(default_factory=Unheard)
    limit_s: float = LIMIT_S
    failures: dict[str, str] = field(default_factory=dict)
    """Why the last refresh of a lookup failed, by name."""

    async def snapshot(self) -> None:
        """Read every lookup, files in one process and each function in one of its own.

        Raises:
            FrameRefused: if one cannot be read of which there is no earlier version.
        """
        files = [lookup for lookup in self.plan.lookups if lookup.path]
        groups = [[lookup] for lookup in self.plan.lookups if not lookup.path]
        async with asyncio.TaskGroup() as group:
            for some in [files, *groups]:
                if some:
                    group.create_task(self.refresh(some))
        current = self.current()
        missing = [name for name in self.failures if name not in current]
        if missing:
            raise FrameRefused("\n".join(self.failures[name] for name in missing))

    async def keep_fresh(self) -> None:
        """Read lookups again when they are due; never returns."""
        async with asyncio.TaskGroup() as group:
            for lookup in self.plan.lookups:
                if lookup.refresh_s is not None:
                    group.create_task(self._keep_fresh(lookup, lookup.refresh_s))

    async def refresh(self, lookups: Sequence[LookupPlan]) -> None:
        """Read some lookups; a new version of one takes effect for batches cut from then on."""
        current = self.current()
        for name, version, error in await self._read(lookups):
            if error:
                if self.failures.get(name) != error:
                    self._note(name, error, code="unreadable")
                self.failures[name] = error
                if name in current:  # else nothing begins, and that is told
                    self.tell(f"{error}; version {current[name]} stays in force")
                continue
            if self.failures.pop(name, None):
                self.tell(f"lookup {name!r} can be read again: version {version}")
                self._note(name, f"lookup {name!r} can be read again", code="read", after=version)
            self._put_in_force(name, version)
            self._forget(name, version)

    def current(self) -> dict[str, str]:
        """Return the version in force of each lookup."""
        try:
            found = json.loads((self.project.lookups / "current.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return {
            str(name): str(version)
            for name, version in found.items()
            if (self.project.lookups / str(name) / f"{version}.parquet").is_file()
        }

    async def _keep_fresh(self, lookup: LookupPlan, every_s: float) -> None:
        """Read one lookup again and again."""
        while True:
            await self.clock.wait(every_s)
            try:
                await self.refresh([lookup])
            except OSError as error:  # a full disk must not end what runs
                why = f"lookup {lookup.name!r} could not be refreshed: {explain(error)}"
                self.tell(f"{why}; the version in force stays")

    def _put_in_force(self, name: str, version: str) -> None:
        """Say which version of a lookup sources pin."""
        current = self.current()
        if current.get(name) != version:
            before, text = current.get(name, ""), f"lookup {name!r} has another version"
            self._note(name, text, code="version", before=before, after=version)
            said = json.dumps({**current, name: version}, sort_keys=True)
            write_atomically(self.project.lookups / "current.json", said.encode(), durable=True)

    def _note(self, name: str, text: str, *, code: str, before: str = "", after: str = "") -> None:
        """Note what happened to a lookup."""
        at_s = self.clock.utc_s()
        self.journal.note(
            Happened(
                at_s=at_s, kind="lookup", text=text, code=code, about=name, before=before,
                after=after,
            )
        )  # fmt: skip

    def _forget(self, name: str, version: str) -> None:
        """Remove versions that are older than a day, but for the latest three."""
        folder = self.project.lookups / name
        dated = sorted(
            ((file.stat().st_mtime, file) for file in folder.glob("*.parquet")), reverse=True
        )
        oldest_s = self.clock.utc_s() - KEPT_S
        for made_s, file in dated[KEPT_MIN:]:
            if made_s < oldest_s and file.stem != version:
                file.unlink(missing_ok=True)

    async def _read(self, lookups: Sequence[LookupPlan]) -> list[tuple[str, str, str]]:
        """Return name, version and error of each; the reading process may die of any of them."""
        request = Request(
            lookups=tuple(lookups),
            folder=str(self.project.lookups),
            file=self.plan.file,
            sys_path=self.plan.sys_path,
            limit_s=self.limit_s,
        )
        log = self.project.log_file("lookups")
        with log.open("wb") as printed:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                *("-m", "firedoor.compose.lookup_reader"),
                msgspec.json.encode(request).decode(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=printed,
                start_new_session=True,
            )
        try:
            answer = await self._answer(child)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(msgspec.DecodeError):
            return [
                (read.name, read.version, read.error)
                for read in msgspec.json.decode(answer, type=list[Read])
            ]
        code = await child.wait()
        return [(lookup.name, "", self._died(lookup, code, log)) for lookup in lookups]

    async def _answer(self, child: Process) -> bytes:
        """Return what the reading process says, nothing if it takes too long."""
        assert child.stdout is not None, "it is a pipe"
        try:
            async with asyncio.timeout(self.limit_s + GRACE_S):
                answer = await child.stdout.read()
                await child.wait()
        except TimeoutError:
            return b""
        return answer

    def _died(self, lookup: LookupPlan, code: int, log: Path) -> str:
        """Return why there is no answer."""
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - SAID_BYTES))
            said = file.read().decode("utf-8", "replace").strip()
        if "Timeout (" in said or code == -signal.SIGKILL:
            why = f"reading it did not end within {self.limit_s:g} s"
        elif code < 0:
            why = f"reading it crashed the process by {signal.Signals(-code).name}"
        else:
            why = f"reading it ended the process with exit code {code}"
        shown = "".join(f"\n  | {line[:200]}" for line in said.splitlines()[-6:])
        return f"lookup {lookup.name!r}: {why}{shown}"
